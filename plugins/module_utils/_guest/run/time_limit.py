# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls with a time limit, made in a process of their own.

PRIVATE: for this collection only. A look at storage that does not answer may never return, and no
signal ends it. A thread in it keeps its whole process from ending. So the looks of a run are made
in a process that the run can leave behind: it holds no lock, none of the run's output and nothing
that is frozen, and the kernel ends it with the run.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import time
import traceback
from types import TracebackType
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, Type

from ..._errors import Failure, QuiesceError, SettingsError
from .. import syscalls
from ..freeze.daemon import daemonize, fork

_NAME = "quiesce-look"
#: How often a signal to the run is looked for while a call lasts.
_TURN_S = 0.1
#: How long a process that was killed may take to end; one that hangs in the kernel takes longer.
_END_LIMIT_S = 2.0
_VALUE, _REFUSED, _MISTAKE = "value", "refused", "mistake"


class CallFailedError(QuiesceError):
    """A call that did not end in time, or whose process was killed."""


class CallDefectError(Exception):
    """An error of our own in a call; its text is the traceback."""


def _nothing() -> None:
    """Stop for nothing."""


class BoundedCalls:
    """The process that makes the calls; it starts when the context is entered.

    C(calls): what it can call, by a name that completes "stopped while it was ...". Arguments and
    results are copied between the processes. To be entered while the process has one thread.
    """

    def __init__(self, calls: Mapping[str, Callable[..., Any]]) -> None:
        self._calls = dict(calls)
        self._until = 0.0
        self._limit_s = 0.0
        self._check: Callable[[], None] = _nothing
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
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        os.close(self._requests)
        os.close(self._answers)
        self._end()

    def limit(self, limit_s: float, check: Callable[[], None] = _nothing) -> None:
        """Let all calls from now on end within so many seconds from now.

        C(check) is called several times a second while a call lasts; what it raises ends the wait.
        """
        self._limit_s = limit_s
        self._until = time.monotonic() + limit_s
        self._check = check

    def call(self, name: str, *args: Any) -> Any:
        """Make a call. Raises what it refuses, and C(CallFailedError) when it does not return in time.

        After that no further call is possible.
        """
        try:
            self._send(pickle.dumps((name, args)))
            kind, value = pickle.loads(self._receive(name))
        except (BrokenPipeError, EOFError):
            raise _stopped(f"was killed while it was {name}") from None
        if kind == _REFUSED:
            raise SettingsError(value)
        if kind == _MISTAKE:
            raise CallDefectError(value)
        return value

    def _send(self, request: bytes) -> None:
        os.write(self._requests, len(request).to_bytes(8, "big") + request)

    def _receive(self, name: str) -> bytes:
        size = int.from_bytes(self._read(name, 8), "big")
        return self._read(name, size)

    def _read(self, name: str, size: int) -> bytes:
        found = bytearray()
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        while len(found) < size:
            self._check()
            left_s = self._until - time.monotonic()
            if left_s <= 0:
                raise self._too_late(name)
            if poll.poll(min(left_s, _TURN_S) * 1000):
                piece = os.read(self._answers, size - len(found))
                if not piece:
                    raise EOFError
                found += piece
        return bytes(found)

    def _too_late(self, name: str) -> CallFailedError:
        ended = self._end()
        rest = (
            "It was killed."
            if ended
            else f"It is process {self._pid}, which cannot be killed before the storage answers; "
            "it holds nothing of the run, also not its lock."
        )
        return CallFailedError(
            Failure(
                "ValidationTimeout",
                f"The run was stopped because its look at this machine did not end within "
                f"{self._limit_s:g} s: it was {name}. {rest}",
                "Look for storage that does not answer (a hung NFS or FUSE mount, a lost disk), "
                "mend or unmount it, and run again.",
            )
        )

    def _end(self) -> bool:
        """Kill the process; returns False while it hangs in the kernel."""
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
        """The life of the process: answer requests until there are none."""
        daemonize(_NAME, {requests, answers})
        syscalls.end_with_parent()
        with os.fdopen(requests, "rb") as reader, os.fdopen(answers, "wb") as writer:
            # A parent that ended before it was asked for will never end again.
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
            f"The process that looks at this machine for the run {how}.",
            "Find out why (the kernel's log, the service manager's), and run again.",
        )
    )


def _answer(
    calls: Dict[str, Callable[..., Any]], name: str, args: Tuple[Any, ...]
) -> Tuple[str, Any]:
    try:
        return _VALUE, calls[name](*args)
    except QuiesceError as error:
        return _REFUSED, error.failure
    except Exception:  # whatever it is, the run says it
        return _MISTAKE, traceback.format_exc()
