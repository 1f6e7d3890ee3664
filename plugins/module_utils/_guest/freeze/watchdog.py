# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The watchdog: thaws when the guard does not.

The watchdog has its own session and leaves the control group of the login session. It gives the
guard 50 to 1000 ms to act, and acts at once if the guard has exited.
"""

from __future__ import annotations

from .cgroup import leave_login_cgroup
from .shared_state import GUARD, WATCHDOG
from .supervisor import Supervisor

#: How long the guard may act first: after the deadline, after the end of the window, after the run
#: became unresponsive, and before the takeover.
_AFTER_DEADLINE_NS = 50_000_000
_AFTER_END_NS = 200_000_000
_AFTER_UNRESPONSIVE_NS = 200_000_000
_BEFORE_TAKEOVER_NS = 1_000_000_000


class Watchdog(Supervisor):
    """The process that watches the guard."""

    ACTOR = WATCHDOG
    NAME = "quiesce-watch"
    GRACE_NS = 3_000_000_000

    def leave_cgroup(self) -> None:
        """Leave the control group of the login session."""
        self.own_state.cgroup_exit = leave_login_cgroup()

    def window_must_end(self, now: int) -> bool:
        """Return True if the guard has exited, or had its time to end the window."""
        state = self.state
        if GUARD not in self._others:
            return bool(state.freeze_ns)
        unresponsive_since_ns = self._unresponsive_since_ns
        if unresponsive_since_ns and now >= unresponsive_since_ns + _AFTER_UNRESPONSIVE_NS:
            return True
        return bool(state.freeze_ns) and now >= state.deadline_ns + _AFTER_DEADLINE_NS

    def may_thaw(self, now: int) -> bool:
        """Return True if the guard has exited, or had its time to thaw."""
        state = self.state
        if GUARD not in self._others or now >= state.over_ns + _AFTER_END_NS:
            return True
        return bool(state.deadline_ns) and now >= state.deadline_ns + _AFTER_DEADLINE_NS

    def may_take_over(self, now: int) -> bool:
        """Return True if the guard has exited, or had its time to take over."""
        return GUARD not in self._others or now >= self._unresponsive_since_ns + _BEFORE_TAKEOVER_NS

    def due_ns(self) -> int:
        """Return the time at which the watchdog acts if the guard has not."""
        state = self.state
        if state.over_ns:
            return state.over_ns + _AFTER_END_NS
        return state.deadline_ns + _AFTER_DEADLINE_NS if state.deadline_ns else 0
