# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The run's own thaw, the last of three: it acts when both supervisors fail."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Sequence

from .channels import Channels
from .mount_handles import MountHandle
from .rcu_expedited import Setting
from .shared_state import GUARD, RUN, WATCHDOG, SharedState
from .thaw import ThawWorkers

#: How long the supervisors may act first: after the deadline, and after the end of the window.
_AFTER_DEADLINE_NS = 100_000_000
_AFTER_END_NS = 300_000_000
_POLL_NS = 100_000_000


class FallbackThaw:
    """Threads of the run, started before the window: the run itself may be waiting for a store."""

    def __init__(
        self,
        state: SharedState,
        handles: Sequence[MountHandle],
        channels: Channels,
        setting: Setting | None = None,
    ) -> None:
        self._state = state
        self._channels = channels
        self._workers = ThawWorkers(RUN, state, handles, channels, setting)
        self._wake_read, self._wake_write = os.pipe()
        self._closing = False
        self._thread = threading.Thread(target=self._stand_by, name="fallback", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Make the thread poll at once."""
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b".")

    def close(self) -> bool:
        """End the thread; return True if it has ended and everything is thawed."""
        if self._wake_write >= 0:
            self._closing = True
            self.wake()
            self._thread.join(5.0)
            if not self._thread.is_alive():
                os.close(self._wake_read)
                os.close(self._wake_write)
                self._wake_write = -1
        return self._wake_write < 0 and self._state.resolved

    def _stand_by(self) -> None:
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        state = self._state
        while not self._closing:
            now = time.monotonic_ns()
            due = self._due_ns()
            if due and now >= due:
                state.end_window()
                self._workers.thaw()
                return
            until = min(due or now + _POLL_NS, now + _POLL_NS)
            if poll.poll(max(0, -(-(until - now) // 1_000_000))):
                os.read(self._wake_read, 4096)

    def _due_ns(self) -> int:
        """Return the time at which the run must thaw by itself; 0 while it is unknown."""
        state = self._state
        if not state.freeze_ns:
            return 0
        if self._channels.has_exited(GUARD) and self._channels.has_exited(WATCHDOG):
            return 1
        due = state.deadline_ns + _AFTER_DEADLINE_NS
        # A window that the run itself ends at the deadline gives the supervisors no more time.
        return min(due, state.over_ns + _AFTER_END_NS) if state.over_ns else due
