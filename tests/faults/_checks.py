# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks after every case, for any fault: (a) to (h).

The machine may pause for a long time, so every limit here is on the time that the *run* costs. A
writer on a filesystem that is never frozen shows the pauses of the machine. These are subtracted
from the stall and from the time of a write before they are judged.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Callable

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.rcu_expedited import (
    SettingPaths,
)
from tests.faults import _processes as processes
from tests.faults._case import DIED, FAILED, PRE, Case
from tests.faults._harness import Harness
from tests.lab.expedited import left_on

GRACE_S = 0.5
WRITE_S = 1.0


def outcome_of(harness: Harness) -> str:
    """Return the verdict, `failed`, or `died` if the run left no result."""
    result = None if harness.unjudged_output else harness.result()
    if result is None:
        return DIED
    return FAILED if result.get("failed") else str(result.get("consistency"))


def all_of(case: Case, harness: Harness) -> list[str]:
    """Return the failed checks, each as a sentence that begins with its letter."""
    checks: tuple[Callable[[], list[str]], ...] = (
        lambda: _ended(harness),
        lambda: _thawed(harness),
        lambda: _stall(case, harness),
        lambda: _post_script(case, harness),
        lambda: _snapshots(harness),
        lambda: _verdict_and_cause(case, harness),
        lambda: _secrets(harness),
        lambda: _left(harness),
        _setting,
        lambda: _also(case, harness),
    )
    problems: list[str] = []
    for check in checks:
        found = check()
        for problem in found:
            harness.witness.capture(problem)
        problems += found
    return problems


def _also(case: Case, harness: Harness) -> list[str]:
    try:
        if case.also is not None:
            case.also(harness)
    except AssertionError as error:
        return [f"also: {error}"]
    return []


def _ended(harness: Harness) -> list[str]:
    left = processes.marked(harness.token)
    return [f"(g) still running: {member.comm} {member.pid} ({member.state})" for member in left]


def _thawed(harness: Harness) -> list[str]:
    # FITHAW answers EINVAL for what is not frozen, and thaws what is.
    frozen = [mount for mount in harness.mount_points if harness.guarded.thaw(mount)]
    problems = [f"(a) {mount} was still frozen" for mount in frozen]
    if frozen:
        harness.witness.capture(f"was still frozen: {frozen}")

    def capture() -> None:
        harness.witness.capture(f"a write takes longer than {WRITE_S:g} s")

    for mount in harness.writers.folders:
        took = harness.writers.first_write_after(mount, 60, slow_s=WRITE_S, when_slow=capture)
        if took > WRITE_S:
            problems.append(f"(a) a write to {mount} took {took:.2f} s")
    return problems


def judged_stall_ms(case: Case, harness: Harness) -> float:
    """Return the longest stall of a writer on a filesystem that the case itself did not block."""
    unjudged = {harness.mount_points[index] for index in case.unjudged}
    folders = [mount for mount in harness.writers.folders if mount not in unjudged]
    return max((harness.writers.longest_judged_ms(mount) for mount in folders), default=0.0)


def _stall(case: Case, harness: Harness) -> list[str]:
    limit = (case.setting.freeze_timeout + GRACE_S) * 1000
    stall = judged_stall_ms(case, harness)
    return [f"(b) a writer waited {stall:.0f} ms, at most {limit:.0f}"] if stall > limit else []


def _post_script(case: Case, harness: Harness) -> list[str]:
    ran, due = harness.started("post"), _due_starts(case, harness)
    if ran in due:
        return []
    return [f"(c) the post-script was started {ran} times, due {' or '.join(map(str, due))}"]


def _due_starts(case: Case, harness: Harness) -> tuple[int, ...]:
    """Return the allowed numbers of starts of the post-script."""
    if case.post_runs is not None:
        return (case.post_runs,)
    if case.setting.post is None:
        return (0,)
    if harness.started(PRE):
        return (1,)
    # The run marks the post-script due before it starts the pre-script. If it is killed between, or
    # before the pre-script has left its mark, a supervisor runs the post-script.
    return (0, 1) if case.setting.pre is not None and outcome_of(harness) == DIED else (0,)


def snapshots(harness: Harness) -> dict[str, dict[str, str]]:
    """Return the labels of the current snapshots of the case's blobs, by address."""
    return {
        found.uri: found.metadata
        for blob in harness.blobs
        for found in harness.azurite.snapshots(blob)
    }


def _snapshots(harness: Harness) -> list[str]:
    return [
        f"(d) snapshot {name} has no label that names its owner: {labels}"
        for name, labels in snapshots(harness).items()
        if not any("quiesce" in key.lower() for key in labels)
    ]


def _verdict_and_cause(case: Case, harness: Harness) -> list[str]:
    outcome = outcome_of(harness)
    problems = []
    if outcome not in case.expect:
        problems.append(f"(e) ended as {outcome}, expected {' or '.join(case.expect)}")
    result = harness.result()
    if result is None or harness.unjudged_output:
        return problems
    if outcome == FAILED and not (result.get("failure") or {}).get("name"):
        problems.append(f"(e) no named failure: {result.get('msg')}")
    if case.cause and not re.search(case.cause, _texts(result), re.IGNORECASE):
        problems.append(f"(e) no text contains {case.cause!r}: {result.get('msg')}")
    if "Traceback" in harness.output():
        problems.append("(e) a traceback")
    return problems


def _texts(result: dict[str, Any]) -> str:
    """Return the texts of the result, without its keys and numbers."""
    parts = [result.get(key) for key in ("msg", "failure", "warnings", "evidence", "scripts")]
    parts += [disk.get("failure") for disk in result.get("disks") or []]
    return json.dumps([_values(part) for part in parts])


def _values(part: Any) -> Any:
    if isinstance(part, dict):
        return [_values(value) for value in part.values()]
    return [_values(value) for value in part] if isinstance(part, list) else part


def _secrets(harness: Harness) -> list[str]:
    places = {
        "the run's output": harness.output(),
        "the process list": harness.command_lines,
        "the scratch folder": _text_below(harness),
    }
    for document in harness.documents:
        places[document] = harness.azurite.read(document).decode(errors="replace")
    return [
        f"(f) a signature is in {place}"
        for place, text in places.items()
        if any(secret in text for secret in harness.secrets)
    ]


def _text_below(harness: Harness) -> str:
    return "".join(
        path.read_text(errors="replace") for path in harness.scratch.rglob("*") if path.is_file()
    )


def _left(harness: Harness) -> list[str]:
    problems = [
        f"(g) left in its scratch folder: {path}"
        for path in harness.scratch.rglob("*")
        if not str(path.relative_to(harness.scratch)).startswith(tuple(harness.unjudged_files))
    ]
    running = processes.mentions(str(harness.folder))
    problems += [f"(g) left running: {member.comm} {member.pid}" for member in running]
    if running:
        harness.witness.capture(f"left running: {running}")
    harness.writers.stop()
    for mount in reversed(harness.mount_points):
        refusal = _held(mount)
        if refusal:
            problems.append(f"(g) a process still holds {mount}: {refusal}")
    return problems


def _setting() -> list[str]:
    paths = SettingPaths()
    return [f"(h) {paths.value} was left on without a run that uses it"] if left_on(paths) else []


def _held(mount: str) -> str | None:
    """Return the error of a read-only remount if a file is open for writing; None if none is."""
    if not Path(mount).is_mount():
        return None
    refusal = ""

    def read_only() -> bool:
        nonlocal refusal
        words = ["mount", "-o", "remount,ro", mount]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        refusal = done.stderr.strip()
        return done.returncode == 0

    # The case's own load opens a file from time to time; a file that stays open fails each try.
    if not processes.wait_for(read_only, 30, 0.05):
        return refusal
    subprocess.run(["mount", "-o", "remount,rw", mount], check=False, capture_output=True)
    return None
