# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fakes that several tests share."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import List

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.clock import Clock

#: The time of day at which a fake clock starts.
START = datetime(2026, 11, 21, 10, 0, tzinfo=timezone.utc)


class FakeClock(Clock):
    """A clock that only moves by sleeping."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: List[float] = []

    def monotonic(self) -> float:
        """Return the seconds slept so far."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Move on by these seconds."""
        self.slept.append(seconds)
        self.time += seconds

    def now(self) -> datetime:
        """Return the time of day."""
        return START + timedelta(seconds=self.time)
