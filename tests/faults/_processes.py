# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The processes of one case, found by a mark in the environment with which the module started.

A forked process shows the environment of the program that forked it, so the mark finds the guard
and the watchdog whatever session, parent or control group they have moved to. Nothing is ever
looked up by its name alone.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional

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


def process(pid: int) -> Optional[Process]:
    """The process as it is now; None when there is none, or only what is left of a dead one.

    A killed process whose main thread has ended lives on while another thread of it is inside a
    system call that cannot be interrupted: that is a living process here.
    """
    for task in _tasks_of(pid):
        stat = _read(task / "stat").decode(errors="replace")
        if stat:
            state = stat[stat.rindex(")") + 2]
            if state not in "ZX":
                return Process(pid, stat[stat.index("(") + 1 : stat.rindex(")")], state)
    return None


def _tasks_of(pid: int) -> List[Path]:
    """The folders of its threads, the main one first."""
    try:
        return sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name))
    except OSError:
        return []


def _has_mark(pid: int, token: str) -> bool:
    wanted = f"{MARK}={token}".encode()
    return any(wanted in _read(task / "environ").split(b"\0") for task in _tasks_of(pid))


def marked(token: str) -> List[Process]:
    """All living processes that carry the mark with this token."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    found = [process(pid) for pid in pids if _has_mark(pid, token)]
    return [one for one in found if one is not None]


def mentions(text: str) -> List[Process]:
    """All living processes whose command line mentions this text (the folder of a case)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and text.encode() in _read(entry / "cmdline"):
            one = process(int(entry.name))
            if one is not None and one.pid != os.getpid():
                found.append(one)
    return found


def by_role(token: str, run_pid: int) -> Dict[str, int]:
    """The three processes by role; the supervisors are told apart by their names."""
    roles: Dict[str, int] = {}
    for one in marked(token):
        if one.pid == run_pid:
            roles[RUN] = one.pid
        elif GUARD in one.comm:
            roles[GUARD] = one.pid
        elif "watch" in one.comm:
            roles[WATCHDOG] = one.pid
    return roles


def tasks_in(token: str, request: int) -> List[int]:
    """The tasks of the case that are inside C(ioctl) with this request right now."""
    number = _CALLS.get(os.uname().machine, _UNKNOWN)[0]
    return _tasks(token, lambda call: call[:1] == [str(number)] and int(call[2], 16) == request)


def tasks_in_syncfs(token: str) -> List[int]:
    """The tasks of the case that are inside C(syncfs) right now."""
    number = _CALLS.get(os.uname().machine, _UNKNOWN)[1]
    return _tasks(token, lambda call: call[:1] == [str(number)])


def tasks_in_execve(token: str) -> List[int]:
    """The tasks of the case that are inside C(execve) right now."""
    number = _CALLS.get(os.uname().machine, _UNKNOWN)[2]
    return _tasks(token, lambda call: call[:1] == [str(number)])


def is_freezing(pid: int) -> bool:
    """Whether a thread of this process is inside FIFREEZE right now."""
    wanted = [str(_CALLS.get(os.uname().machine, _UNKNOWN)[0]), hex(FIFREEZE)]
    calls = (_read(task / "syscall").decode().split() for task in _tasks_of(pid))
    return any([*call[:1], *call[2:3]] == wanted for call in calls)


def _tasks(token: str, wanted: Callable[[List[str]], bool]) -> List[int]:
    found = []
    for one in marked(token):
        for task in Path(f"/proc/{one.pid}/task").glob("*"):
            call = _read(task / "syscall").decode().split()
            if len(call) > 2 and wanted(call):
                found.append(int(task.name))
    return found


def send(pid: int, token: str, signum: int) -> bool:
    """Send a signal to a process of the case; False when it was gone already."""
    if not _has_mark(pid, token):
        return False
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return False
    if signum == signal.SIGSTOP:
        # It stops when the kernel lets it next; one that waits for a disk stops after that.
        wait_for(lambda: _is_stopped(pid), 0.5, 0.001)
    return True


def _is_stopped(pid: int) -> bool:
    found = process(pid)
    return found is None or found.state in "Tt"


def resume_all(token: str) -> None:
    """Let every stopped process of the case go on."""
    for one in marked(token):
        if one.state in "Tt":
            send(one.pid, token, signal.SIGCONT)


def kill_all(token: str) -> None:
    """Kill whatever is left of the case."""
    for one in marked(token):
        send(one.pid, token, signal.SIGKILL)


def wait_for(what: Callable[[], object], limit_s: float = 60.0, step_s: float = 0.01) -> bool:
    """Whether this became true within so many seconds."""
    limit = time.monotonic() + limit_s
    while not what():
        if time.monotonic() > limit:
            return False
        time.sleep(step_s)
    return True
