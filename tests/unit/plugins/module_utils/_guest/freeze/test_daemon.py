# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Daemonize real processes."""

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


def _crash(folder: Path, daemonized: bool) -> os.waitid_result:
    """Let a process die of SIGSEGV, with core dumps allowed; return how it ended."""

    def main() -> None:
        if daemonized:
            daemonize("quiesce-test", set())
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGSEGV)

    status = os.waitid(os.P_PID, fork(main), os.WEXITED)
    assert status is not None and status.si_status == signal.SIGSEGV
    return status


def test_daemon_crashes_without_core_dump(tmp_path: Path) -> None:
    # The memory of a supervisor is a copy of the run's, with the addresses of the disks.
    if _crash(tmp_path, daemonized=False).si_code != os.CLD_DUMPED:
        pytest.skip("this machine writes no core dump of any process")
    for core in tmp_path.iterdir():
        core.unlink()
    assert _crash(tmp_path, daemonized=True).si_code == os.CLD_KILLED
    assert list(tmp_path.iterdir()) == []


def test_daemon_has_no_core_limit_and_lives_in_proc() -> None:
    reader, writer = os.pipe()

    def main() -> None:
        daemonize("quiesce-test", {writer})
        soft, _hard = resource.getrlimit(resource.RLIMIT_CORE)
        os.write(writer, f"{soft} {Path.cwd()}".encode())

    os.waitpid(fork(main), 0)
    assert os.read(reader, 4096) == b"0 /proc"
    os.close(reader)
    os.close(writer)
