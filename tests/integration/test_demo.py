# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo, as a user runs it: it proves a real snapshot, and cleans up when it is interrupted."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import List

from tests.lab._process import ROOT

_DEMO = [sys.executable, "-m", "tests.lab.demo"]


def test_the_demo_proves_its_snapshot() -> None:
    done = subprocess.run(
        _DEMO, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(
        r"every line of the proof holds; \d+ s in all", done.stdout.splitlines()[-1]
    )
    for proved in (
        "OK    ext4 at rest   needs_recovery absent, journal start 0, "
        "accepts a plain read-only mount",
        "OK    XFS at rest",
        "OK    write log      0 writes reached the disks between freeze and thaw",
        "OK    control",
        "OK    protected      in the lab's vault, where its state is Protected",
        "OK    backup job     Completed, 3 of 3 tasks",
        "OK    recovery point AppConsistent in the vault",
        "OK    second run     of protected_vm: unchanged",
        "OK    no secret",
    ):
        assert proved in done.stdout
    assert "  <== frozen" in done.stdout


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    # This folder identifies all that the demo starts and mounts.
    process = subprocess.Popen(
        _DEMO,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "TASK [Take the application-consistent" in line:
            assert str(tmp_path) in Path("/proc/self/mountinfo").read_text()
            assert len(_processes(str(tmp_path))) > 5
            process.send_signal(signal.SIGINT)
            break
    rest, _nothing = process.communicate(timeout=900)
    assert process.returncode == 130, "".join(said) + rest
    assert "what the demo had started is gone" in rest
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert list(tmp_path.iterdir()) == []
    assert _processes(str(tmp_path)) == []


def _processes(folder: str) -> List[str]:
    """Return the processes that have this folder as their temporary one, or whose demo has."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"TMPDIR={folder}\0" in environment.read_text(errors="replace"):
                found.append((environment.parent / "cmdline").read_text().replace("\0", " "))
    return found
