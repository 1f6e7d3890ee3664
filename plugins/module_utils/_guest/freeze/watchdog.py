# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The watchdog: thaws when the guard does not.

PRIVATE: for this collection only. It is in no session with the run, nor in its login session's
control group. It leaves the guard a little time for what the guard does at once, and acts without
delay when the guard is gone.
"""

from __future__ import annotations

from .cgroup import leave_login_cgroup
from .shared_state import GUARD, WATCHDOG
from .supervisor import Supervisor

#: How long after the deadline, after the window's end and after the run's loss the guard may act.
_AFTER_DEADLINE_NS = 50_000_000
_AFTER_END_NS = 200_000_000
_AFTER_LOSS_NS = 200_000_000
_BEFORE_CARE_NS = 1_000_000_000


class Watchdog(Supervisor):
    """The process that watches the guard."""

    ACTOR = WATCHDOG
    NAME = "quiesce-watch"
    GRACE_NS = 3_000_000_000

    def prepare_place(self) -> None:
        """Leave the login session."""
        self.note.left_session = leave_login_cgroup()

    def window_must_end(self, now: int) -> bool:
        """A little after the guard; at once without it."""
        state = self.state
        if GUARD not in self._others:
            return bool(state.freeze_ns)
        if self._lost_since_ns and now >= self._lost_since_ns + _AFTER_LOSS_NS:
            return True
        return bool(state.freeze_ns) and now >= state.deadline_ns + _AFTER_DEADLINE_NS

    def may_thaw(self, now: int) -> bool:
        """A little after the guard; at once without it."""
        state = self.state
        if GUARD not in self._others or now >= state.over_ns + _AFTER_END_NS:
            return True
        return bool(state.deadline_ns) and now >= state.deadline_ns + _AFTER_DEADLINE_NS

    def may_take_over(self, now: int, lost_since_ns: int) -> bool:
        """A second after the guard; at once without it."""
        return GUARD not in self._others or now >= lost_since_ns + _BEFORE_CARE_NS

    def due_ns(self) -> int:
        """When it acts if the guard has not."""
        state = self.state
        if state.over_ns:
            return state.over_ns + _AFTER_END_NS
        return state.deadline_ns + _AFTER_DEADLINE_NS if state.deadline_ns else 0
