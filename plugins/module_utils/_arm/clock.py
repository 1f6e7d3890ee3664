# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Time for waiting: the clock that is asked, and the moment when waiting ends.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone


class Clock:
    """The real time. Tests have one of their own."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Do nothing for this long."""
        if seconds > 0:
            time.sleep(seconds)

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(timezone.utc)


class Deadline:
    """The moment, a number of seconds from now, after which nothing is waited for."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock.monotonic() + seconds

    def left(self) -> float:
        """Seconds until it passes, never less than 0."""
        return max(0.0, self._end - self._clock.monotonic())

    @property
    def passed(self) -> bool:
        """Whether there is no time left."""
        return self.left() <= 0

    def sleep(self, seconds: float) -> None:
        """Sleep for this long, or for what is left where that is shorter."""
        self._clock.sleep(min(seconds, self.left()))
