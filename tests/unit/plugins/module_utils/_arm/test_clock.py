# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of deadlines and of the pauses between polls."""

from __future__ import annotations

from typing import List

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.clock import (
    Backoff,
    Clock,
    Deadline,
)


class FakeClock(Clock):
    """A clock that only moves by sleeping."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.pauses: List[float] = []

    def monotonic(self) -> float:
        """Return the seconds slept so far, and 1000."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Move on by these seconds."""
        self.pauses.append(seconds)
        self.time += seconds


def test_deadline_sleep_ends_at_deadline() -> None:
    clock = FakeClock()
    deadline = Deadline(clock, 5)
    deadline.sleep(3)
    assert deadline.left() == 2 and not deadline.passed
    deadline.sleep(3)
    assert clock.pauses == [3, 2] and deadline.passed and deadline.left() == 0


def test_backoff_grows_to_a_tenth_within_bounds() -> None:
    clock = FakeClock()
    backoff = Backoff(clock, Deadline(clock, 1e6), 5, 60)
    assert backoff.sleep()
    clock.time = 1100.0
    assert backoff.sleep()
    clock.time = 1000.0 + 10_000
    assert backoff.sleep()
    assert clock.pauses == [5, 10, 60]


def test_backoff_factor_multiplies_the_pause() -> None:
    clock = FakeClock()
    assert Backoff(clock, Deadline(clock, 100), 5).sleep(3)
    assert clock.pauses == [15]


def test_backoff_after_deadline_returns_false() -> None:
    clock = FakeClock()
    backoff = Backoff(clock, Deadline(clock, 8), 5)
    assert [backoff.sleep(), backoff.sleep(), backoff.sleep()] == [True, True, False]
    assert clock.pauses == [5, 3]
