# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard: the process that freezes and thaws.

The guard thaws at the first of these events: the run asks for it, the run exits or overruns its
limit, a freeze fails, or the deadline passes.
"""

from __future__ import annotations

import errno
import functools
import threading
import time

from .. import syscalls
from .shared_state import GUARD, RUN
from .supervisor import Supervisor, SupervisorContext

#: A flush pass is short if it takes at most this fraction of the deadline, or this minimum.
_SHORT_PART = 20
_SHORT_AT_LEAST_NS = 100_000_000


def short_pass_ns(freeze_timeout_s: float) -> int:
    """Return the longest short pass of syncfs: a freeze begins with one more, in the window."""
    return max(int(freeze_timeout_s * 1e9) // _SHORT_PART, _SHORT_AT_LEAST_NS)


class Guard(Supervisor):
    """The process that calls FIFREEZE."""

    ACTOR = GUARD
    NAME = "quiesce-guard"
    GRACE_NS = 2_000_000_000

    def __init__(self, context: SupervisorContext, freeze_timeout_s: float) -> None:
        super().__init__(context)
        self._short_ns = short_pass_ns(freeze_timeout_s)
        ranks: dict[int, list[int]] = {}
        for index, handle in enumerate(self.handles):
            ranks.setdefault(handle.target.rank, []).append(index)
        self._remaining_ranks = [ranks[rank] for rank in sorted(ranks)]
        self._count_lock = threading.Lock()
        self._in_progress = 0
        self._freeze_begun = False
        self._flush_round = 0

    def window_must_end(self, now: int) -> bool:
        """Return True at the deadline, or if the run is unresponsive."""
        state = self.state
        return bool(self._unresponsive_since_ns) or bool(
            state.freeze_ns and now >= state.deadline_ns
        )

    def may_thaw(self, now: int) -> bool:
        """Return True: the guard thaws at once."""
        return True

    def may_take_over(self, now: int) -> bool:
        """Return True: the guard takes over at once."""
        return True

    def due_ns(self) -> int:
        """Return the deadline."""
        return self.state.deadline_ns

    def act(self, now: int) -> None:
        """Begin the flush or the freeze that the run requested."""
        state = self.state
        if self._flush_round != state.flush_round:
            self._flush_round = state.flush_round
            for index, worker in enumerate(self.workers.workers):
                worker.do(functools.partial(self._flush, index, self._flush_round))
        if (
            state.freeze_ns
            and not self._freeze_begun
            and self._remaining_ranks
            and state.may_freeze
        ):
            self._freeze_begun = True
            self._expedite()
            self._freeze_next_rank()

    def _expedite(self) -> None:
        state, setting = self.state, self.setting
        if setting is None or setting.reason:
            return
        # First announce the call, then check the window, as for a freeze.
        state.expedite.called_ns = time.monotonic_ns()
        if state.may_freeze:
            state.expedite.answer = setting.turn_on()
        state.expedite.returned_ns = time.monotonic_ns()

    def _freeze_next_rank(self) -> None:
        rank = self._remaining_ranks.pop(0)
        self._in_progress = len(rank)
        for index in rank:
            self.workers.workers[index].do(functools.partial(self._freeze, index))

    def _freeze(self, index: int) -> None:
        state, filesystem, handle = self.state, self.state.filesystems[index], self.handles[index]
        # First announce that it may be frozen, then check that the window is open. A process that
        # ends the window ends it first and reads the announcement then, so at least one of the two
        # sees the other.
        filesystem.called_ns = time.monotonic_ns()
        if not handle.matches_target():
            answer = errno.ESTALE
        elif not state.may_freeze:
            answer = errno.ECANCELED
        else:
            filesystem.called_ns = time.monotonic_ns()
            answer = syscalls.freeze(handle.descriptor)
        filesystem.returned_ns = time.monotonic_ns()
        filesystem.freeze_errno = answer
        if answer:
            state.end_window()
        with self._count_lock:
            self._in_progress -= 1
            last = not self._in_progress
        if state.over_ns:
            self.channels.wake(GUARD)
            self.channels.wake(RUN)
        elif last and self._remaining_ranks:
            self._freeze_next_rank()
        elif last:
            self.channels.wake(RUN)
            # No FIFREEZE is left to be made short; neither the snapshots nor FITHAW wait for RCU.
            self.workers.restore_setting()

    def _flush(self, index: int, number: int) -> None:
        """Flush one filesystem repeatedly until a pass is short."""
        state, filesystem = self.state, self.state.filesystems[index]
        while number == state.flush_round and not state.over_ns:
            started = time.monotonic_ns()
            filesystem.flush_errno = syscalls.flush(self.handles[index].descriptor)
            filesystem.flush_ns = time.monotonic_ns() - started
            if filesystem.flush_errno or filesystem.flush_ns < self._short_ns:
                break
            if time.monotonic_ns() > state.flush_until_ns:
                return
        filesystem.flush_round = number
        self.channels.wake(RUN)
