# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of a combination, each a command in its environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import List, Sequence, Tuple

from tests.matrix._combinations import DOC, SANITY, TESTS
from tests.matrix._environment import Environment
from tests.utils.ansible_test import ROOT, copy_of_tracked_files, put_shims, sanity_not_run

#: Two at a time: most tests wait more than they work.
_PYTEST = ("-m", "pytest", "-q", "-n", "2", "--dist", "loadfile")


def check(name: str, of: Environment) -> Tuple[bool, str]:
    """Run a check; return True if it passed, and its output."""
    if name == SANITY:
        return _sanity(of)
    if name == DOC:
        return _doc(of)
    passed, said = _run(of, [of.python, *_PYTEST, *TESTS[name]])
    # A selection that selects nothing ends with an error of pytest's own; this is for the rest.
    return passed and " passed" in said, said


def _sanity(of: Environment) -> Tuple[bool, str]:
    put_shims(of.home, of.purelib / "ansible_test")
    python = of.purelib.parent.name[len("python") :]
    with copy_of_tracked_files() as copy:
        command = [of.bin / "ansible-test", "sanity", "--local", "--python", python]
        passed, said = _run(of, [*command, "--color", "no"], cwd=copy)
    missing = sanity_not_run(said)
    if missing:
        said += f"\nThese tests did not run: {', '.join(missing)}\n"
    return passed and not missing, said


def _doc(of: Environment) -> Tuple[bool, str]:
    """Read the documentation of every module, and of what no module may have."""
    wanted = {
        f"quiesce.azure_backup.{path.stem}"
        for path in (ROOT / "plugins" / "modules").glob("[a-z]*.py")
    }
    command = [of.bin / "ansible-doc", "--type", "module", "--json", *sorted(wanted)]
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env=of.variables(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    said = f"{done.stderr}{done.stdout[-2000:]}"
    if done.returncode != 0 or done.stderr.strip():
        return False, said
    found = {name for name, one in json.loads(done.stdout).items() if one.get("doc")}
    lost = sorted(wanted - found)
    return not lost, f"{said}\nWithout documentation: {', '.join(lost) or 'none'}"


def _run(of: Environment, command: Sequence[object], cwd: Path = ROOT) -> Tuple[bool, str]:
    words: List[str] = [str(word) for word in command]
    done = subprocess.run(
        words,
        cwd=cwd,
        env=of.variables(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode == 0, done.stdout
