# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The run's own line of defence: it thaws when both supervisors fail.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from typing import Optional, Sequence

from .channels import Channels
from .mount_handles import MountHandle
from .rcu_expedited import Setting
from .shared_state import GUARD, RUN, WATCHDOG, SharedState
from .thaw import ThawWorkers

#: How long the supervisors may act first: after the deadline, and when the window is over.
_AFTER_DEADLINE_NS = 100_000_000
_AFTER_END_NS = 300_000_000
_LOOK_NS = 100_000_000


class FallbackThaw:
    """Threads of the run, parked before the window; the run itself may be waiting for a store."""

    def __init__(
        self,
        state: SharedState,
        handles: Sequence[MountHandle],
        channels: Channels,
        setting: Optional[Setting] = None,
    ) -> None:
        self._state = state
        self._channels = channels
        self._line = ThawWorkers(RUN, state, handles, channels, setting)
        self._nudged, self._nudge = os.pipe()
        self._closing = False
        self._thread = threading.Thread(target=self._stand_by, name="stand-by", daemon=True)
        self._thread.start()

    def nudge(self) -> None:
        """Have it look at once."""
        with contextlib.suppress(OSError):
            os.write(self._nudge, b".")

    def close(self) -> bool:
        """End the thread; says whether nothing of this line is at work any more."""
        if self._nudge >= 0:
            self._closing = True
            self.nudge()
            self._thread.join(5.0)
            if not self._thread.is_alive():
                os.close(self._nudged)
                os.close(self._nudge)
                self._nudge = -1
        return self._nudge < 0 and self._state.resolved

    def _stand_by(self) -> None:
        poll = select.poll()
        poll.register(self._nudged, select.POLLIN)
        state = self._state
        while not self._closing:
            now = time.monotonic_ns()
            due = self._due_ns()
            if due and now >= due:
                state.end_window()
                self._line.thaw()
                return
            until = min(due or now + _LOOK_NS, now + _LOOK_NS)
            if poll.poll(max(0, -(-(until - now) // 1_000_000))):
                os.read(self._nudged, 4096)

    def _due_ns(self) -> int:
        """When this line must thaw if it is not done by then; 0 while that is not known."""
        state = self._state
        if not state.freeze_ns:
            return 0
        if self._channels.has_exited(GUARD) and self._channels.has_exited(WATCHDOG):
            return 1
        due = state.deadline_ns + _AFTER_DEADLINE_NS
        # That the run itself ended the window at the deadline gives nobody more time.
        return min(due, state.over_ns + _AFTER_END_NS) if state.over_ns else due
