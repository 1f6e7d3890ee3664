# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pauses between two looks at something that takes its time.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from .clock import Clock, Deadline


class Backoff:
    """Pauses that begin short, grow to a tenth of the time that has passed, and have an end."""

    def __init__(
        self, clock: Clock, deadline: Deadline, shortest_s: float, longest_s: float = 60.0
    ) -> None:
        self._clock = clock
        self._deadline = deadline
        self._shortest_s = shortest_s
        self._longest_s = longest_s
        self._began = clock.monotonic()

    def sleep(self) -> bool:
        """Wait once; whether there was time for it."""
        if self._deadline.passed:
            return False
        elapsed = self._clock.monotonic() - self._began
        self._deadline.sleep(max(self._shortest_s, min(elapsed / 10, self._longest_s)))
        return True
