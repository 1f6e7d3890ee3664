# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The service's time: it runs faster than the real one, can be pushed on, and never goes back."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Callable


class VirtualClock:
    """Begins at the real time; C(speed) virtual seconds pass in a real one."""

    def __init__(
        self,
        speed: float = 1.0,
        start: datetime | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._since = monotonic()
        self._base = start or datetime.now(timezone.utc)
        self._speed = speed

    @property
    def speed(self) -> float:
        """Virtual seconds that pass in a real one."""
        return self._speed

    def now(self) -> datetime:
        """The service's time, in UTC."""
        return self._base + timedelta(seconds=(self._monotonic() - self._since) * self._speed)

    def advance(self, seconds: float) -> None:
        """Let this much time pass at once."""
        if seconds < 0:
            raise ValueError("The clock never goes back.")
        self._base += timedelta(seconds=seconds)

    def run_at(self, speed: float) -> None:
        """Go on from now at this speed; 0 stops the clock."""
        if speed < 0:
            raise ValueError("The clock never goes back.")
        self._base = self.now()
        self._since = self._monotonic()
        self._speed = speed

    def real_seconds(self, seconds: float) -> int:
        """What a client must really wait for so much virtual time: whole seconds, at least one."""
        return max(1, -(-int(seconds) // max(1, int(self._speed))))
