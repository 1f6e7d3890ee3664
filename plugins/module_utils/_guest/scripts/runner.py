# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runner of the pre-script and post-script: attempts, a time limit, no process left running.

The run and its supervisors (guard and watchdog) use it, so all imports are at the top. A process
that calls it must handle the signals that would end it, not ignore or block them: the script
inherits ignored and blocked signals.

Each attempt is a session and process group of its own. When the script has ended or its time is
up, the rest of the group is killed, and is gone before `run_script` returns. A daemon that left
the group lives on. The runner does not wait for it, even if it holds the output open.
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
from typing import Callable

from .. import syscalls
from ..model import ScriptOutcome, ScriptSpec
from .trusted_file import identity

#: How much of a script's output is kept, in bytes: the end of it.
TAIL_BYTES = 64 * 1024
#: The whole environment of a script.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/sh",
}
#: Time limit for the end of a killed process group, in seconds. Only a process in an
#: uninterruptible wait of the kernel takes longer.
_GONE_LIMIT_S = 10.0
#: Poll interval for the end of a script that closed its output or left it to a daemon.
_POLL_S = 0.05
#: The capacity of a pipe; a daemon outside the group could write without end.
_LAST_READ_BYTES = 1024 * 1024

_REASONS = {
    errno.ENOENT: "the interpreter that its first line names does not exist",
    errno.EACCES: "its mode does not allow it, or its filesystem is mounted noexec",
    errno.ENOEXEC: "it is not a program, and has no first line such as #!/bin/sh",
    errno.ETXTBSY: "it is open for writing",
}


class _Tail:
    """The last `TAIL_BYTES` bytes of the output."""

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
    """One process of the script, from its start to the end of its process group."""

    def __init__(
        self,
        spec: ScriptSpec,
        tail: _Tail,
        before_exec: Callable[[], None] | None,
        output: tuple[int, int] | None,
    ) -> None:
        self._tail = tail
        self._owns_output = output is None
        self._read_end, write_end = open_output() if output is None else output
        try:
            # Not run_command, which gives the process no group of its own to kill.
            self._process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                # In UTF-8, as in the configuration; Python would use the locale's encoding.
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
        #: True if the script had ended before other processes of its group.
        self.left_processes = False

    def wait(self, until: float, stop: Callable[[], bool]) -> bool:
        """Read the output until the script ends, the time is up or `stop` returns True.

        Return True if the script ended.
        """
        while not self._ended():
            left = until - time.monotonic()
            if left <= 0 or stop():
                return False
            self._read_for(min(left, _POLL_S))
        return True

    def finish(self, ended: bool) -> int | None:
        """Kill the process group, wait for its end, and return the exit status if it has one."""
        self.left_processes = ended and _group_lives(self.pid)
        # The script is reaped only after the kill. Until then no other process can get its id,
        # which is also the id of its group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        limit = time.monotonic() + _GONE_LIMIT_S
        while not self._gone():
            if time.monotonic() > limit:
                self._tail.note("a process of the script did not end after SIGKILL")
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


def _before_exec(callback: Callable[[], None] | None) -> None:
    """Prepare the new process, which still is a copy of this one, to become the script.

    Restore the limit of core dumps that the module was started with. The script holds no SAS, and
    a service that it starts would inherit the limit.
    """
    syscalls.restore_core_limit()
    if callback is not None:
        callback()


def _group_lives(group: int) -> bool:
    """Return True if the group has a process that is not a zombie, which may never be reaped."""
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


def _why_changed(spec: ScriptSpec) -> str:
    """Return the reason why the file is not the one that was checked, or an empty text."""
    try:
        present = identity(os.lstat(spec.path))
    except OSError as error:
        return f"{spec.path}: {error.strerror}"
    if present != spec.identity:
        return f"{spec.path} was changed after it was checked at the start of the run"
    return ""


def open_output() -> tuple[int, int]:
    """Return the read end, which never blocks, and the write end of a pipe for script output."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    return read_end, write_end


def _start(
    spec: ScriptSpec,
    tail: _Tail,
    before_exec: Callable[[], None] | None,
    output: tuple[int, int] | None,
) -> tuple[_Attempt | None, str]:
    reason = _why_changed(spec)
    if reason:
        return None, reason
    try:
        return _Attempt(spec, tail, before_exec, output), ""
    except subprocess.SubprocessError:
        # `before_exec` raised: another process has claimed the script or taken over the run.
        return None, f"{spec.path} was not started: another process has started it or taken over"
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        return None, f"{spec.path} cannot be started: {reason}"


class _Attempts:
    """All attempts to run one script within its time limit."""

    def __init__(self, spec: ScriptSpec, stop: Callable[[], bool]) -> None:
        self._spec, self._stop = spec, stop
        self._started = time.monotonic()
        self._until = self._started + spec.timeout_s
        self._tail = _Tail()
        self._count = 0
        self._rc: int | None = None
        self._not_started = ""
        self._timed_out = False
        self._left_processes = False

    def make(self, before_exec: Callable[[], None] | None, output: tuple[int, int] | None) -> bool:
        """Make one attempt; return True if another one may follow."""
        attempt, reason = _start(self._spec, self._tail, before_exec, output)
        if attempt is None:
            self._not_started = reason if self._count == 0 else ""
            self._tail.note(reason)
            return False
        self._count += 1
        ended = False
        try:
            ended = attempt.wait(self._until, self._stop)
        finally:
            self._rc = attempt.finish(ended)
            self._left_processes = self._left_processes or attempt.left_processes
        if self._rc == 0:
            return False
        stopped = not ended and self._stop()
        is_late = self._rc is None or time.monotonic() >= self._until
        self._timed_out = not stopped and is_late
        return self._count <= self._spec.retries and not stopped and not self._timed_out

    def outcome(self, run_by: str) -> ScriptOutcome:
        """Return the outcome of the attempts so far."""
        return ScriptOutcome(
            kind=self._spec.kind,
            attempts=self._count,
            rc=self._rc,
            duration_ms=(time.monotonic() - self._started) * 1000,
            tail=self._tail.text(),
            timed_out=self._timed_out,
            not_started=self._not_started,
            run_by=run_by,
            left_processes=self._left_processes,
        )


def run_script(
    spec: ScriptSpec,
    *,
    before_exec: Callable[[], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    run_by: str = "run",
    output: tuple[int, int] | None = None,
) -> ScriptOutcome:
    """Run the script until an attempt succeeds, the attempts are used up or the time is up.

    There are `spec.retries` attempts after the first one, as documented for the framework;
    Microsoft's agent makes only one. `spec.timeout_s` limits all attempts together. A script that
    fails is an outcome, not an exception.

    `before_exec` is called in the new process right before it becomes the script. If it raises,
    the process ends and the script is not started. `stop` is called about 20 times a second; if it
    returns True, the script is ended early. `output` is a pipe of `open_output` that other
    processes hold open too: without a reader the script would die of its next write.
    """
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        # While SIGCHLD is ignored, the kernel discards the exit status.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    attempts = _Attempts(spec, stop)
    while attempts.make(before_exec, output):
        pass
    return attempts.outcome(run_by)
