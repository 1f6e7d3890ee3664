# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The processes of one case, found by a mark in the environment of the module.

A forked process shows the environment of the program that forked it. So the mark finds the guard
and the watchdog in any session, control group or below any parent. No process is found by its name
alone.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

MARK = "QUIESCE_FAULT_CASE"
RUN, GUARD, WATCHDOG = "run", "guard", "watchdog"

FIFREEZE = 0xC0045877
FITHAW = 0xC0045878
#: Numbers of system calls by machine: ioctl, syncfs and execve.
_CALLS = {"x86_64": (16, 306, 59), "aarch64": (29, 267, 221)}
_UNKNOWN = (-1, -1, -1)


@dataclass(frozen=True)
class Process:
    """One process of a case."""

    pid: int
    comm: str
    state: str


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def process(pid: int) -> Process | None:
    """Return the process as it is now; None if it has ended.

    A killed process lives on while a thread of it is in an uninterruptible system call, even if the
    main thread has ended.
    """
    for task in _tasks_of(pid):
        stat = _read(task / "stat").decode(errors="replace")
        if stat:
            state = stat[stat.rindex(")") + 2]
            if state not in "ZX":
                return Process(pid, stat[stat.index("(") + 1 : stat.rindex(")")], state)
    return None


def _tasks_of(pid: int) -> list[Path]:
    """Return the folders of a process's threads, the main thread first."""
    try:
        return sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name))
    except OSError:
        return []


def _has_mark(pid: int, token: str) -> bool:
    wanted = f"{MARK}={token}".encode()
    return any(wanted in _read(task / "environ").split(b"\0") for task in _tasks_of(pid))


def marked(token: str) -> list[Process]:
    """Return all living processes whose mark has this token."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    found = [process(pid) for pid in pids if _has_mark(pid, token)]
    return [member for member in found if member is not None]


def mentions(text: str) -> list[Process]:
    """Return all living processes whose command line contains this text (a case's folder)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and text.encode() in _read(entry / "cmdline"):
            member = process(int(entry.name))
            if member is not None and member.pid != os.getpid():
                found.append(member)
    return found


def by_role(token: str, run_pid: int) -> dict[str, int]:
    """Return the three processes by role; the supervisors are known by their names."""
    roles: dict[str, int] = {}
    for member in marked(token):
        if member.pid == run_pid:
            roles[RUN] = member.pid
        elif GUARD in member.comm:
            roles[GUARD] = member.pid
        elif "watch" in member.comm:
            roles[WATCHDOG] = member.pid
    return roles


def tasks_in(token: str, request: int) -> list[int]:
    """Return the tasks of the case that are inside `ioctl` with this request now."""
    number = _CALLS.get(os.uname().machine, _UNKNOWN)[0]
    return _tasks(token, lambda call: call[:1] == [str(number)] and int(call[2], 16) == request)


def tasks_in_syncfs(token: str) -> list[int]:
    """Return the tasks of the case that are inside `syncfs` now."""
    number = _CALLS.get(os.uname().machine, _UNKNOWN)[1]
    return _tasks(token, lambda call: call[:1] == [str(number)])


def tasks_in_execve(token: str) -> list[int]:
    """Return the tasks of the case that are inside `execve` now."""
    number = _CALLS.get(os.uname().machine, _UNKNOWN)[2]
    return _tasks(token, lambda call: call[:1] == [str(number)])


def is_freezing(pid: int) -> bool:
    """Return True if a thread of this process is inside FIFREEZE now."""
    wanted = [str(_CALLS.get(os.uname().machine, _UNKNOWN)[0]), hex(FIFREEZE)]
    calls = (_read(task / "syscall").decode().split() for task in _tasks_of(pid))
    return any([*call[:1], *call[2:3]] == wanted for call in calls)


def _tasks(token: str, wanted: Callable[[list[str]], bool]) -> list[int]:
    found = []
    for member in marked(token):
        for task in Path(f"/proc/{member.pid}/task").glob("*"):
            call = _read(task / "syscall").decode().split()
            if len(call) > 2 and wanted(call):
                found.append(int(task.name))
    return found


def send(pid: int, token: str, signum: int) -> bool:
    """Send a signal to a process of the case; return False if it had ended."""
    if not _has_mark(pid, token):
        return False
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return False
    if signum == signal.SIGSTOP:
        # The stop is not immediate; a process that waits for a disk stops after that.
        wait_for(lambda: _is_stopped(pid), 0.5, 0.001)
    return True


def _is_stopped(pid: int) -> bool:
    found = process(pid)
    return found is None or found.state in "Tt"


def resume_all(token: str) -> None:
    """Continue every stopped process of the case."""
    for member in marked(token):
        if member.state in "Tt":
            send(member.pid, token, signal.SIGCONT)


def kill_all(token: str) -> None:
    """Kill the processes of the case that are left."""
    for member in marked(token):
        send(member.pid, token, signal.SIGKILL)


def wait_for(condition: Callable[[], object], limit_s: float = 60.0, step_s: float = 0.01) -> bool:
    """Wait until the condition is true; return False if it is not within the limit."""
    limit = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(step_s)
    return True
