# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fork processes that outlive the run, detach them from it, and kill process groups."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

from .. import syscalls

#: Signals that keep their meaning: those that cannot be handled, those of a fault in the process
#: itself, and those about children and stopping, whose default does no harm.
_KEPT = frozenset(
    (
        signal.SIGKILL,
        signal.SIGSTOP,
        signal.SIGCONT,
        signal.SIGCHLD,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGABRT,
        signal.SIGTRAP,
        signal.SIGSYS,
    )
)


def fork(main: Callable[[], None]) -> int:
    """Run `main` in a new process, which ends after it; return the number of the process.

    None of the caller's code runs in the new process: no `finally`, no exit handler.
    """
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        main()
        status = 0
    finally:
        os._exit(status)


class Children:
    """The processes that a run has forked, by a key."""

    def __init__(self) -> None:
        self._pids: dict[int, int] = {}

    def fork(self, key: int, main: Callable[[], None]) -> int:
        """Fork another process; return its number."""
        self._pids[key] = fork(main)
        return self._pids[key]

    def __iter__(self) -> Iterator[int]:
        """Return the keys of the processes that have not been reaped."""
        return iter(tuple(self._pids))

    def wait(self, limit_s: float) -> bool:
        """Reap the processes as they end; return True if all ended within the limit."""
        until = time.monotonic() + limit_s
        while True:
            for key, pid in tuple(self._pids.items()):
                if _has_ended(pid):
                    del self._pids[key]
            if not self._pids or time.monotonic() > until:
                return not self._pids
            time.sleep(0.005)

    def kill(self) -> None:
        """Kill the processes that have not been reaped."""
        for pid in self._pids.values():
            os.kill(pid, signal.SIGKILL)


def _has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def daemonize(name: str, keep: set[int]) -> None:
    """Make this process independent of the run: session, signals, descriptors, folder.

    The folder is `/proc`, which no run freezes and no program unmounts. No core dump holds the
    memory of this process. A handler that does nothing takes the signals. They are not ignored,
    because the programs that this process starts would inherit that.

    Only the descriptors in `keep` stay open, so that a reader of the run's output does not wait for
    this process.
    """
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - _KEPT:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, _do_nothing)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.setsid()
    os.chdir("/proc")
    syscalls.forbid_core_dumps()
    os.umask(0o077)
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    for entry in tuple(Path("/proc/self/fd").iterdir()):
        if int(entry.name) > 2 and int(entry.name) not in keep:
            with contextlib.suppress(OSError):
                os.close(int(entry.name))
    gc.disable()
    sys.dont_write_bytecode = True
    syscalls.name_process(name)


def kill_process_group(leader: int, start_time: int) -> None:
    """Kill the process group of `leader`, a process that started at `start_time`.

    The kernel does not reuse a number while a group has it. So if another process has the number
    now, the group has ended and nothing is killed.
    """
    current = syscalls.start_time(leader)
    if leader > 1 and current in (None, start_time):
        with contextlib.suppress(OSError):
            os.killpg(leader, signal.SIGKILL)


def _do_nothing(_number: int, _frame: object) -> None:
    """Handle a signal."""
