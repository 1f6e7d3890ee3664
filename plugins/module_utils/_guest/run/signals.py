# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signals that ask the run to end. It ends at the next safe place."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

from ..._errors import Failure, QuiesceError

_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class RunInterruptedError(QuiesceError):
    """A signal asked the run to end."""


class DeferredSignals:
    """A context in which SIGTERM, SIGHUP and SIGINT are only recorded.

    The run checks for them between its steps: an exception in the middle of a step could lose the
    answer to a snapshot's request. They are handled, not ignored, so that scripts that the run
    starts have the default dispositions. Use it in the main thread.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> DeferredSignals:
        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, self._record)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, previous in self._previous.items():
            # None means a handler that was not set from Python.
            signal.signal(number, signal.SIG_DFL if previous is None else previous)

    def _record(self, number: int, _frame: FrameType | None) -> None:
        if self._received is None:
            self._received = number

    def received(self) -> bool:
        """Return True if a signal was received."""
        return self._received is not None

    def failure(self) -> Failure | None:
        """Return the failure of a run that received a signal, else None."""
        if self._received is None:
            return None
        return Failure(
            "Interrupted",
            f"{signal.Signals(self._received).name} asked the run to end. It thawed what it had "
            "frozen, and ran the post-script if that was due.",
            "Find out what sent the signal (a service manager, a cut connection, a time limit), "
            "and run the task again.",
        )

    def check(self) -> None:
        """Raise `RunInterruptedError` if a signal was received."""
        failure = self.failure()
        if failure is not None:
            raise RunInterruptedError(failure)
