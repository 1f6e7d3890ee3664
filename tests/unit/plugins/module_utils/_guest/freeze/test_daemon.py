# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a supervisor parts from the run, tried in real processes."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.daemon import (
    daemonize,
    fork,
)


def _die_after_parting(folder: Path, part: bool) -> os.waitid_result:
    """How a process ended that was killed by a fault of its own, with core dumps allowed."""

    def main() -> None:
        if part:
            daemonize("quiesce-test", set())
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGSEGV)

    found = os.waitid(os.P_PID, fork(main), os.WEXITED)
    assert found is not None and found.si_status == signal.SIGSEGV
    return found


def test_a_supervisor_that_crashes_leaves_no_core_dump(tmp_path: Path) -> None:
    """Its memory is a copy of the run's, with the addresses of the disks."""
    if _die_after_parting(tmp_path, part=False).si_code != os.CLD_DUMPED:
        pytest.skip("this machine writes no core dump of any process")
    for core in tmp_path.iterdir():
        core.unlink()
    assert _die_after_parting(tmp_path, part=True).si_code == os.CLD_KILLED
    assert list(tmp_path.iterdir()) == []


def test_a_supervisor_dumps_nothing_and_lives_in_a_folder_that_no_run_freezes() -> None:
    reader, writer = os.pipe()

    def main() -> None:
        daemonize("quiesce-test", {writer})
        soft, _hard = resource.getrlimit(resource.RLIMIT_CORE)
        os.write(writer, f"{soft} {Path.cwd()}".encode())

    os.waitpid(fork(main), 0)
    assert os.read(reader, 4096) == b"0 /proc"
    os.close(reader)
    os.close(writer)
