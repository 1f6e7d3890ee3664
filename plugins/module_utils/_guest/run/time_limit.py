# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls with a time limit, made in a separate process.

A call that reads storage that does not answer may never return, and no signal ends it. A thread
in such a call keeps its whole process from ending. Therefore a run makes these calls in a process
that it can leave behind. That process holds no lock, none of the run's output and nothing frozen,
and the kernel ends it with the run.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import time
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Callable

from ..._errors import Failure, QuiesceError, SettingsError
from .. import syscalls
from ..freeze.daemon import daemonize, fork

_NAME = "quiesce-reader"
#: The interval of the checks for a signal to the run, in seconds.
_CHECK_INTERVAL_S = 0.1
#: Seconds to wait for a killed process; a process that hangs in the kernel takes longer.
_END_LIMIT_S = 2.0
_VALUE, _REFUSED, _DEFECT = "value", "refused", "defect"


class CallFailedError(QuiesceError):
    """A call that exceeded its time limit, or whose process was killed."""


class CallDefectError(Exception):
    """A defect of the collection in a call; its text is the traceback."""


def _continue() -> None:
    """Let the wait continue."""


class BoundedCalls:
    """The process that makes the calls; it starts when the context is entered.

    `calls` are by names that complete "stopped while it was ...". Arguments and results are copied
    between the processes. Enter the context while the process has one thread.
    """

    def __init__(self, calls: Mapping[str, Callable[..., Any]]) -> None:
        self._calls = dict(calls)
        self._until = 0.0
        self._limit_s = 0.0
        self._check: Callable[[], None] = _continue
        self._pid = 0
        self._requests = -1
        self._answers = -1

    def __enter__(self) -> BoundedCalls:
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        run = os.getpid()
        try:
            self._pid = fork(lambda: self._serve(run, requests, answers))
        except OSError as error:
            os.close(self._requests)
            os.close(self._answers)
            raise _stopped(f"could not be started: {error.strerror}") from error
        finally:
            os.close(requests)
            os.close(answers)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._requests)
        os.close(self._answers)
        self._end()

    def limit(self, limit_s: float, check: Callable[[], None] = _continue) -> None:
        """Let all calls from now on end within `limit_s` seconds from now, together.

        `check` is called 10 times a second during a call; an exception of it ends the wait.
        """
        self._limit_s = limit_s
        self._until = time.monotonic() + limit_s
        self._check = check

    def call(self, name: str, *args: Any) -> Any:
        """Make a call and return its result.

        Raise its `SettingsError`, and `CallFailedError` if it does not return in time. No further
        call is possible after that.
        """
        try:
            self._send(pickle.dumps((name, args)))
            kind, value = pickle.loads(self._receive(name))
        except (BrokenPipeError, EOFError):
            raise _stopped(f"was killed while it was {name}") from None
        if kind == _REFUSED:
            raise SettingsError(value)
        if kind == _DEFECT:
            raise CallDefectError(value)
        return value

    def _send(self, request: bytes) -> None:
        os.write(self._requests, len(request).to_bytes(8, "big") + request)

    def _receive(self, name: str) -> bytes:
        size = int.from_bytes(self._read(name, 8), "big")
        return self._read(name, size)

    def _read(self, name: str, size: int) -> bytes:
        data = bytearray()
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        while len(data) < size:
            self._check()
            left_s = self._until - time.monotonic()
            if left_s <= 0:
                raise self._too_late(name)
            if poll.poll(min(left_s, _CHECK_INTERVAL_S) * 1000):
                piece = os.read(self._answers, size - len(data))
                if not piece:
                    raise EOFError
                data += piece
        return bytes(data)

    def _too_late(self, name: str) -> CallFailedError:
        ended = self._end()
        state = (
            "It was killed."
            if ended
            else f"It is process {self._pid}, which cannot be killed before the storage answers. "
            "It holds nothing of the run, not even its lock."
        )
        return CallFailedError(
            Failure(
                "ValidationTimeout",
                f"The run was stopped because its check of this machine exceeded "
                f"{self._limit_s:g} s. Its process was {name}. {state}",
                "Search for storage that does not answer (a hung NFS or FUSE mount, a lost disk), "
                "repair or unmount it, and run the task again.",
            )
        )

    def _end(self) -> bool:
        """Kill the process; return False if it hangs in the kernel."""
        if not self._pid:
            return True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        until = time.monotonic() + _END_LIMIT_S
        while time.monotonic() < until:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(self._pid, os.WNOHANG)[0] != self._pid:
                    time.sleep(0.001)
                    continue
            self._pid = 0
            return True
        return False

    def _serve(self, run: int, requests: int, answers: int) -> None:
        """Answer requests until the run closes the pipe; the main function of the process."""
        daemonize(_NAME, {requests, answers})
        syscalls.end_with_parent()
        with os.fdopen(requests, "rb") as reader, os.fdopen(answers, "wb") as writer:
            # If the run ended before `end_with_parent`, the kernel sends no signal.
            while os.getppid() == run:
                head = reader.read(8)
                if len(head) < 8:
                    return
                name, args = pickle.loads(reader.read(int.from_bytes(head, "big")))
                answer = pickle.dumps(_answer(self._calls, name, args))
                writer.write(len(answer).to_bytes(8, "big") + answer)
                writer.flush()


def _stopped(how: str) -> CallFailedError:
    return CallFailedError(
        Failure(
            "ValidationStopped",
            f"The process that checks this machine for the run {how}.",
            "Find out why (in the kernel's log and the service manager's), and run the task again.",
        )
    )


def _answer(
    calls: dict[str, Callable[..., Any]], name: str, args: tuple[Any, ...]
) -> tuple[str, Any]:
    try:
        return _VALUE, calls[name](*args)
    except QuiesceError as error:
        return _REFUSED, error.failure
    except Exception:  # the run reports it
        return _DEFECT, traceback.format_exc()
