# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard: the process that freezes and thaws.

PRIVATE: for this collection only. It thaws when the run says so, when the run is gone or overruns
its limit, when a freeze fails and when the deadline passes, whichever is first.
"""

from __future__ import annotations

import errno
import functools
import threading
import time
from typing import Dict, List

from .. import syscalls
from .shared_state import GUARD, RUN
from .supervisor import Supervisor, SupervisorContext

#: Until a flush pass counts as short: this part of the deadline, at least so much.
_SHORT_PART = 20
_SHORT_AT_LEAST_NS = 100_000_000


def short_pass_ns(freeze_timeout_s: float) -> int:
    """How short a pass of syncfs must be: a freeze begins with one more, inside the window."""
    return max(int(freeze_timeout_s * 1e9) // _SHORT_PART, _SHORT_AT_LEAST_NS)


class Guard(Supervisor):
    """The process that makes the calls."""

    ACTOR = GUARD
    NAME = "quiesce-guard"
    GRACE_NS = 2_000_000_000

    def __init__(self, shared: SupervisorContext, freeze_timeout_s: float) -> None:
        super().__init__(shared)
        self._short_ns = short_pass_ns(freeze_timeout_s)
        ranks: Dict[int, List[int]] = {}
        for index, handle in enumerate(self.handles):
            ranks.setdefault(handle.target.rank, []).append(index)
        self._waiting = [ranks[rank] for rank in sorted(ranks)]
        self._counting = threading.Lock()
        self._under_way = 0
        self._begun = False
        self._flush_round = 0

    def window_must_end(self, now: int) -> bool:
        """At the deadline, or without a run."""
        state = self.state
        return bool(self._lost_since_ns) or bool(state.freeze_ns and now >= state.deadline_ns)

    def may_thaw(self, now: int) -> bool:
        """At once."""
        return True

    def may_take_over(self, now: int, lost_since_ns: int) -> bool:
        """At once."""
        return True

    def due_ns(self) -> int:
        """The deadline."""
        return self.state.deadline_ns

    def act(self, now: int) -> None:
        """Begin what the run asked for."""
        state = self.state
        if self._flush_round != state.flush_round:
            self._flush_round = state.flush_round
            for index, worker in enumerate(self.workers.workers):
                worker.do(functools.partial(self._flush, index, self._flush_round))
        if state.freeze_ns and not self._begun and self._waiting and state.may_freeze:
            self._begun = True
            self._expedite()
            self._freeze_next_rank()

    def _expedite(self) -> None:
        state, setting = self.state, self.setting
        if setting is None or setting.reason:
            return
        # First say so, then look, as for a freeze.
        state.boost.called_ns = time.monotonic_ns()
        if state.may_freeze:
            state.boost.answer = setting.turn_on()
        state.boost.returned_ns = time.monotonic_ns()

    def _freeze_next_rank(self) -> None:
        rank = self._waiting.pop(0)
        self._under_way = len(rank)
        for index in rank:
            self.workers.workers[index].do(functools.partial(self._freeze, index))

    def _freeze(self, index: int) -> None:
        state, filesystem, handle = self.state, self.state.filesystems[index], self.handles[index]
        # First say that it may be frozen, then look whether the window is open: whoever ends the
        # window does it the other way round, so at least one of the two sees the other.
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
        with self._counting:
            self._under_way -= 1
            last = not self._under_way
        if state.over_ns:
            self.channels.wake(GUARD)
            self.channels.wake(RUN)
        elif last and self._waiting:
            self._freeze_next_rank()
        elif last:
            self.channels.wake(RUN)
            # Nothing is left to be made short: neither the snapshots nor FITHAW wait for RCU.
            self.workers.put_back()

    def _flush(self, index: int, number: int) -> None:
        """Flush one filesystem again and again until that takes short."""
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
