# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The service's time: it runs, or is stepped by the clients that wait, and never goes back."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Callable


class VirtualClock:
    """A clock that begins at the real time; it gains `speed` virtual seconds in a client's second.

    A `stepped` clock stands while no client waits: a client's second passes when a client reports
    that it waits for a second. For any other clock, a client's second is a second of real time.
    """

    def __init__(
        self,
        speed: float = 1.0,
        start: datetime | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        stepped: bool = False,
    ) -> None:
        self._monotonic = monotonic
        self._since = monotonic()
        self._base = start or datetime.now(timezone.utc)
        self._speed = speed
        self._stepped = stepped

    @property
    def speed(self) -> float:
        """Virtual seconds that pass in one of the clients'."""
        return self._speed

    @property
    def stepped(self) -> bool:
        """True if it moves only by the clients' waiting."""
        return self._stepped

    def now(self) -> datetime:
        """Return the service's time, in UTC."""
        if self._stepped:
            return self._base
        return self._base + timedelta(seconds=(self._monotonic() - self._since) * self._speed)

    def advance(self, seconds: float) -> None:
        """Let this much time pass at once."""
        if seconds < 0:
            raise ValueError("The clock never goes back.")
        self._base += timedelta(seconds=seconds)

    def wait(self, seconds: float) -> float:
        """Let a client wait for this long; returns what it has to wait in real seconds."""
        if not self._stepped:
            return seconds
        self.advance(seconds * self._speed)
        return 0.0

    def run_at(self, speed: float, stepped: bool | None = None) -> None:
        """Go on from now at this speed, and stepped or not; 0 stops the clock."""
        if speed < 0:
            raise ValueError("The clock never goes back.")
        self._base = self.now()
        self._since = self._monotonic()
        self._speed = speed
        self._stepped = self._stepped if stepped is None else stepped

    def real_seconds(self, seconds: float) -> int:
        """Return what a client must wait for so much virtual time: whole seconds, at least one."""
        return max(1, -(-int(seconds) // max(1, int(self._speed))))
