# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a pre-script or post-script: attempts, one time budget, nothing left running.

PRIVATE: for this collection only. The run and its supervisors (guard and watchdog) use it, so it
imports nothing late. A process that calls it must handle the signals that it does not want to
die from, not ignore or block them: a program inherits what is ignored and blocked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable, Optional, Tuple

from .. import syscalls
from ..model import ScriptOutcome, ScriptSpec
from .trusted_file import identity

#: How much of a script's output is kept, in bytes: the end of it.
TAIL_BYTES = 64 * 1024
#: All that a script finds in its environment.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/sh",
}
#: How long a killed process group may take to be gone, in seconds. Only a process that the
#: kernel holds in an uninterruptible wait takes longer.
_GONE_LIMIT_S = 10.0
#: How often the end of a script is looked for that closed its output or left it to a daemon.
_POLL_S = 0.05
#: What a pipe can hold at most; a daemon outside the group could write for ever.
_LAST_READ_BYTES = 1024 * 1024

_REASONS = {
    errno.ENOENT: "the interpreter that its first line names does not exist",
    errno.EACCES: "it may not be executed: its mode, or its filesystem is mounted noexec",
    errno.ENOEXEC: "it has no first line such as #!/bin/sh and is no program",
    errno.ETXTBSY: "it is open for writing",
}


def _no_start(pid: int) -> None:
    """Nobody wants to know."""


def _never() -> bool:
    return False


class _Tail:
    """The last bytes of everything that was added."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        self._kept += data
        del self._kept[:-TAIL_BYTES]

    def note(self, text: str) -> None:
        self.add(f"\n[{text}]\n".encode())

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")


class _Attempt:
    """One process of the script, from its start until nothing of its group is left."""

    def __init__(
        self,
        spec: ScriptSpec,
        tail: _Tail,
        before_exec: Optional[Callable[[], None]],
        output: Optional[Tuple[int, int]],
    ) -> None:
        self._tail = tail
        self._owns_output = output is None
        self._read_end, write_end = open_output() if output is None else output
        try:
            # Not run_command, which gives the process no group of its own to be ended with.
            self._process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                # In UTF-8, as the configuration says them; Python would go by the locale.
                [word.encode("utf-8", "surrogateescape") for word in (spec.path, *spec.params)],
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,
                preexec_fn=lambda: _before_exec(before_exec),
            )
        except BaseException:
            self._close(self._read_end)
            raise
        finally:
            self._close(write_end)
        self.pid = self._process.pid
        self._output = select.poll()
        self._output.register(self._read_end, select.POLLIN)
        self._output_open = True
        self._pause_s = 0.001
        #: Processes of its group had not ended when the script had.
        self.left_processes = False

    def wait(self, until: float, clock: Callable[[], float], stop: Callable[[], bool]) -> bool:
        """Read the output until the script ended (true), the time is up or a stop is wanted."""
        while not self._ended():
            left = until - clock()
            if left <= 0 or stop():
                return False
            self._read_for(min(left, _POLL_S))
        return True

    def finish(self, ended: bool) -> Optional[int]:
        """Kill what is left, wait until it is gone, and give the exit status if it had one."""
        self.left_processes = ended and _group_lives(self.pid)
        # The script itself is reaped only after the kill, so that its number, which is also the
        # number of its group, cannot have gone to somebody else.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        limit = time.monotonic() + _GONE_LIMIT_S
        while not self._gone():
            if time.monotonic() > limit:
                self._tail.note("a process of the script does not end, not even by SIGKILL")
                ended = False
                break
            self._read_for(0.005)
        self._read_rest()
        self._close(self._read_end)
        return self._process.returncode if ended else None

    def _close(self, end: int) -> None:
        if self._owns_output:
            os.close(end)

    def _ended(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _gone(self) -> bool:
        if self._process.poll() is None:
            return False
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return True
        return not _group_lives(self.pid)

    def _read_for(self, seconds: float) -> None:
        if not self._output_open:
            # Most scripts end right after they have closed their output.
            time.sleep(min(seconds, self._pause_s))
            self._pause_s = min(2 * self._pause_s, _POLL_S)
        elif self._output.poll(seconds * 1000):
            self._read()

    def _read(self) -> int:
        try:
            data = os.read(self._read_end, 65536)
        except BlockingIOError:
            return 0
        if not data:
            self._output_open = False
        self._tail.add(data)
        return len(data)

    def _read_rest(self) -> None:
        total = 0
        while self._output_open and total < _LAST_READ_BYTES:
            count = self._read()
            if not count:
                break
            total += count


def _before_exec(then: Optional[Callable[[], None]]) -> None:
    """Prepare the new process, which still is a copy of this one, to become the script.

    The script gets back the limit of core dumps that the module was started with. It holds no SAS,
    and a service that it starts would inherit the limit for as long as it runs.
    """
    syscalls.restore_core_limit()
    if then is not None:
        then()


def _group_lives(group: int) -> bool:
    """Whether the process group has a member that is no zombie, which nobody may ever reap."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            status = (folder / "stat").read_bytes()
        except OSError:
            continue
        state, _parent, its_group = status.rpartition(b")")[2].split()[:3]
        if int(its_group) == group and state not in (b"Z", b"X"):
            return True
    return False


def _why_not(spec: ScriptSpec) -> str:
    """Why the file cannot be started as the one that was checked; empty when it can."""
    try:
        found = identity(os.lstat(spec.path))
    except OSError as error:
        return f"{spec.path}: {error.strerror}"
    if found != spec.identity:
        return f"{spec.path} is not the file any more that was checked at the start of the run"
    return ""


def open_output() -> Tuple[int, int]:
    """Both ends of a pipe for the output of scripts; the reader of it never waits."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    return read_end, write_end


def _start(
    spec: ScriptSpec,
    tail: _Tail,
    before_exec: Optional[Callable[[], None]],
    output: Optional[Tuple[int, int]],
) -> Tuple[Optional[_Attempt], str]:
    reason = _why_not(spec)
    if reason:
        return None, reason
    try:
        return _Attempt(spec, tail, before_exec, output), ""
    except subprocess.SubprocessError:
        return None, f"{spec.path} was not started: it is being run already"
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        return None, f"{spec.path} cannot be started: {reason}"


def run_script(
    spec: ScriptSpec,
    *,
    budget_s: Optional[float] = None,
    on_start: Callable[[int], None] = _no_start,
    before_exec: Optional[Callable[[], None]] = None,
    stop: Callable[[], bool] = _never,
    clock: Callable[[], float] = time.monotonic,
    run_by: str = "run",
    output: Optional[Tuple[int, int]] = None,
) -> ScriptOutcome:
    """Run the script until an attempt succeeds, the attempts are used up or the budget ends.

    Attempts: one and C(spec.retries) more, as the documentation of the framework says (Microsoft's
    agent runs the script once, whatever its configuration says). One budget over all of them:
    C(budget_s) seconds, C(spec.timeout_s) when not given.

    Each attempt is a session and process group of its own. When the script ended or its time is
    up, what is left of the group is killed, and it is gone before this returns; a daemon that left
    the group lives on and is not waited for, even when it holds the output open.
    C(before_exec) is called in the new process right before it becomes the script; when it raises,
    the process ends and the script is not started. C(on_start) is told the number of each group;
    C(stop) is asked some twenty times a second and ends the script early when it says true.
    C(output) is a pipe of C(open_output) that others hold open too: a script whose only reader
    died would die of the next line that it writes. Raises nothing for what the script does.

    Over 50 lines, as what it promises takes a third of them.
    """
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        # Inherited so, the kernel would throw the exit status away.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    started = clock()
    until = started + (spec.timeout_s if budget_s is None else budget_s)
    tail = _Tail()
    attempts = 0
    rc: Optional[int] = None
    not_started = ""
    timed_out = stopped = left_processes = False
    while attempts <= spec.retries and not timed_out and not stopped:
        attempt, reason = _start(spec, tail, before_exec, output)
        if attempt is None:
            not_started = reason if attempts == 0 else ""
            tail.note(reason)
            break
        attempts += 1
        ended = False
        try:
            on_start(attempt.pid)
            ended = attempt.wait(until, clock, stop)
        finally:
            rc = attempt.finish(ended)
            left_processes = left_processes or attempt.left_processes
        if rc == 0:
            break
        stopped = not ended and stop()
        timed_out = not stopped and (rc is None or clock() >= until)
    return ScriptOutcome(
        kind=spec.kind,
        attempts=attempts,
        rc=rc,
        duration_ms=(clock() - started) * 1000,
        tail=tail.text(),
        timed_out=timed_out,
        not_started=not_started,
        run_by=run_by,
        left_processes=left_processes,
    )
