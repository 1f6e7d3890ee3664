# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signals that ask the run to end: it ends at the next safe place.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Dict, Optional, Type

from ..._errors import Failure, QuiesceError

_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class RunInterruptedError(QuiesceError):
    """Somebody asked the run to end."""


class DeferredSignals:
    """While entered, SIGTERM, SIGHUP and SIGINT are noted and nothing more.

    The run looks for them between its steps: an exception in the middle of a step could lose the
    answer of a snapshot's request. They are handled, not ignored, so that scripts that the run
    starts find the default dispositions. To be used in the main thread.
    """

    def __init__(self) -> None:
        self._came: Optional[int] = None
        self._previous: Dict[int, Any] = {}

    def __enter__(self) -> DeferredSignals:
        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        for number, previous in self._previous.items():
            # None stands for a handler that was not set from Python.
            signal.signal(number, signal.SIG_DFL if previous is None else previous)

    def _note(self, number: int, _frame: Optional[FrameType]) -> None:
        if self._came is None:
            self._came = number

    def received(self) -> bool:
        """Whether a signal came."""
        return self._came is not None

    def failure(self) -> Optional[Failure]:
        """What a signal that came makes of the run."""
        if self._came is None:
            return None
        return Failure(
            "Interrupted",
            f"The run was asked to end by {signal.Signals(self._came).name}. It thawed what it "
            "had frozen, and ran the post-script if that was owed.",
            "Find out who sent the signal (a service manager, a cut connection, a time limit), "
            "and run it again.",
        )

    def check(self) -> None:
        """Raises C(RunInterruptedError) when a signal came."""
        failure = self.failure()
        if failure is not None:
            raise RunInterruptedError(failure)
