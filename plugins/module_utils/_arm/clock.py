# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clock, the deadline of a task, and the pauses between two polls."""

from __future__ import annotations

import time
from datetime import datetime, timezone


class Clock:
    """The real time. Tests replace it."""

    def monotonic(self) -> float:
        """Return seconds since a fixed moment; they never decrease."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Sleep for this long."""
        if seconds > 0:
            time.sleep(seconds)

    def now(self) -> datetime:
        """Return the time of day in UTC."""
        return datetime.now(timezone.utc)


class Deadline:
    """The moment, a number of seconds from now, at which all waiting ends."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds until it passes, never less than 0."""
        return max(0.0, self._end - self._clock.monotonic())

    @property
    def passed(self) -> bool:
        """True if no time is left."""
        return self.left() <= 0

    def sleep(self, seconds: float) -> None:
        """Sleep for this long, or until the deadline if that is sooner."""
        self._clock.sleep(min(seconds, self.left()))


class Backoff:
    """Pauses between polls: a tenth of the time since the first, within bounds, to a deadline."""

    def __init__(
        self, clock: Clock, deadline: Deadline, shortest_s: float, longest_s: float = 60.0
    ) -> None:
        self._clock = clock
        self._deadline = deadline
        self._shortest_s = shortest_s
        self._longest_s = longest_s
        self._began = clock.monotonic()

    def sleep(self, factor: int = 1) -> bool:
        """Sleep once; return False, without a pause, if the deadline has passed.

        Give as `factor` how many requests one poll takes: the pause grows with it.
        """
        if self._deadline.passed:
            return False
        elapsed = self._clock.monotonic() - self._began
        pause_s = max(self._shortest_s, min(elapsed / 10, self._longest_s))
        self._deadline.sleep(pause_s * factor)
        return True
