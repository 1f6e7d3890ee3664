# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must hold after every case, whatever the fault was: (a) to (h).

The machine that this runs on may pause, and for long. So every limit in here is on what *we* cost:
a pause that a writer on a filesystem that nobody freezes saw at the same time is the machine's,
and is taken off the stall and off the time of the write before they are judged.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.rcu_expedited import (
    SettingPaths,
)
from tests.faults import _processes as processes
from tests.faults._case import DIED, FAILED, PRE, Case
from tests.faults._rig import Rig
from tests.lab.expedited import left_on

GRACE_S = 0.5
WRITE_S = 1.0


def outcome_of(rig: Rig) -> str:
    """The verdict, C(failed), or C(died) when the run left no result."""
    result = None if rig.unjudged_output else rig.result()
    if result is None:
        return DIED
    return FAILED if result.get("failed") else str(result.get("consistency"))


def all_of(case: Case, rig: Rig) -> List[str]:
    """What does not hold, each as a sentence that begins with its letter."""
    checks: Tuple[Callable[[], List[str]], ...] = (
        lambda: _ended(rig),
        lambda: _thawed(rig),
        lambda: _stall(case, rig),
        lambda: _post_script(case, rig),
        lambda: _snapshots(rig),
        lambda: _said(case, rig),
        lambda: _secrets(rig),
        lambda: _left(rig),
        _setting,
        lambda: _also(case, rig),
    )
    problems: List[str] = []
    for check in checks:
        found = check()
        for problem in found:
            rig.witness.look(problem)
        problems += found
    return problems


def _also(case: Case, rig: Rig) -> List[str]:
    try:
        if case.also is not None:
            case.also(rig)
    except AssertionError as error:
        return [f"also: {error}"]
    return []


def _ended(rig: Rig) -> List[str]:
    left = processes.marked(rig.token)
    return [f"(g) still running: {one.comm} {one.pid} ({one.state})" for one in left]


def _thawed(rig: Rig) -> List[str]:
    # FITHAW answers EINVAL for what is not frozen, and thaws what is.
    frozen = [mount for mount in rig.mount_points if rig.guarded.thaw(mount)]
    problems = [f"(a) {mount} was still frozen" for mount in frozen]
    if frozen:
        rig.witness.look(f"was still frozen: {frozen}")

    def look() -> None:
        rig.witness.look("a write has taken long and is not done")

    for mount in rig.writers.folders:
        took = rig.writers.first_write_after(mount, 60, slow_s=WRITE_S, when_slow=look)
        if took > WRITE_S:
            problems.append(f"(a) a write to {mount} took {took:.2f} s")
    return problems


def judged_stall_ms(case: Case, rig: Rig) -> float:
    """The longest stall of a writer that the case's own doing does not explain."""
    unjudged = {rig.mount_points[index] for index in case.unjudged}
    folders = [mount for mount in rig.writers.folders if mount not in unjudged]
    return max((rig.writers.longest_judged_ms(mount) for mount in folders), default=0.0)


def _stall(case: Case, rig: Rig) -> List[str]:
    limit = (case.setting.freeze_timeout + GRACE_S) * 1000
    stall = judged_stall_ms(case, rig)
    return [f"(b) a writer waited {stall:.0f} ms, at most {limit:.0f}"] if stall > limit else []


def _post_script(case: Case, rig: Rig) -> List[str]:
    ran, owed = rig.started("post"), _owed(case, rig)
    if ran in owed:
        return []
    return [f"(c) the post-script was started {ran} times, owed {' or '.join(map(str, owed))}"]


def _owed(case: Case, rig: Rig) -> Tuple[int, ...]:
    """How often the post-script may have been started."""
    if case.post_runs is not None:
        return (case.post_runs,)
    if case.setting.post is None:
        return (0,)
    if rig.started(PRE):
        return (1,)
    # The run says that it owes the post-script before it starts the pre-script. When it is killed
    # in between, or before the pre-script has written its mark, its supervisors pay.
    return (0, 1) if case.setting.pre is not None and outcome_of(rig) == DIED else (0,)


def snapshots(rig: Rig) -> Dict[str, Dict[str, str]]:
    """The snapshots that the case's blobs have now, by address, and their labels."""
    return {
        found.uri: found.metadata for blob in rig.blobs for found in rig.azurite.snapshots(blob)
    }


def _snapshots(rig: Rig) -> List[str]:
    return [
        f"(d) snapshot {name} has no label that says whose it is: {labels}"
        for name, labels in snapshots(rig).items()
        if not any("quiesce" in key.lower() for key in labels)
    ]


def _said(case: Case, rig: Rig) -> List[str]:
    outcome = outcome_of(rig)
    problems = []
    if outcome not in case.expect:
        problems.append(f"(e) ended as {outcome}, expected {' or '.join(case.expect)}")
    result = rig.result()
    if result is None or rig.unjudged_output:
        return problems
    if outcome == FAILED and not (result.get("failure") or {}).get("name"):
        problems.append(f"(e) no named failure: {result.get('msg')}")
    if case.cause and not re.search(case.cause, _words(result), re.IGNORECASE):
        problems.append(f"(e) nothing says {case.cause!r}: {result.get('msg')}")
    if "Traceback" in rig.output():
        problems.append("(e) a traceback")
    return problems


def _words(result: Dict[str, Any]) -> str:
    """What the result says to people; not its keys and numbers."""
    parts = [result.get(key) for key in ("msg", "failure", "warnings", "evidence", "scripts")]
    parts += [disk.get("failure") for disk in result.get("disks") or []]
    return json.dumps([_values(part) for part in parts])


def _values(part: Any) -> Any:
    if isinstance(part, dict):
        return [_values(value) for value in part.values()]
    return [_values(value) for value in part] if isinstance(part, list) else part


def _secrets(rig: Rig) -> List[str]:
    places = {
        "the run's output": rig.output(),
        "the process list": rig.command_lines,
        "the scratch folder": _text_below(rig),
    }
    for document in rig.documents:
        places[document] = rig.azurite.read(document).decode(errors="replace")
    return [
        f"(f) a signature is in {place}"
        for place, text in places.items()
        if any(secret in text for secret in rig.secrets)
    ]


def _text_below(rig: Rig) -> str:
    return "".join(
        path.read_text(errors="replace") for path in rig.scratch.rglob("*") if path.is_file()
    )


def _left(rig: Rig) -> List[str]:
    problems = [
        f"(g) left in its scratch folder: {path}"
        for path in rig.scratch.rglob("*")
        if not str(path.relative_to(rig.scratch)).startswith(tuple(rig.unjudged_files))
    ]
    running = processes.mentions(str(rig.folder))
    problems += [f"(g) left running: {one.comm} {one.pid}" for one in running]
    if running:
        rig.witness.look(f"left running: {running}")
    rig.writers.stop()
    for mount in reversed(rig.mount_points):
        refusal = _held(mount)
        if refusal:
            problems.append(f"(g) somebody still holds {mount}: {refusal}")
    return problems


def _setting() -> List[str]:
    places = SettingPaths()
    return [f"(h) {places.value} was left on, and nobody uses it"] if left_on(places) else []


def _held(mount: str) -> Optional[str]:
    """What holds a file in it open for writing, in the kernel's words; None when nothing does."""
    if not Path(mount).is_mount():
        return None
    refusal = ""

    def read_only() -> bool:
        nonlocal refusal
        words = ["mount", "-o", "remount,ro", mount]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        refusal = done.stderr.strip()
        return done.returncode == 0

    # The case's own load has a file open now and then; what stays open is seen every time.
    if not processes.wait_for(read_only, 30, 0.05):
        return refusal
    subprocess.run(["mount", "-o", "remount,rw", mount], check=False, capture_output=True)
    return None
