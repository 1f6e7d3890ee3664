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
from .supervisor import Keeper, Shared

#: Until a flush pass counts as short: this part of the deadline, at least so much.
_SHORT_PART = 20
_SHORT_AT_LEAST_NS = 100_000_000


def short_pass_ns(freeze_timeout_s: float) -> int:
    """How short a pass of syncfs must be: a freeze begins with one more, inside the window."""
    return max(int(freeze_timeout_s * 1e9) // _SHORT_PART, _SHORT_AT_LEAST_NS)


class Guard(Keeper):
    """The process that makes the calls."""

    ACTOR = GUARD
    NAME = "quiesce-guard"
    GRACE_NS = 2_000_000_000

    def __init__(self, shared: Shared, freeze_timeout_s: float) -> None:
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
        board = self.board
        return bool(self._lost_since_ns) or bool(board.freeze_ns and now >= board.deadline_ns)

    def may_thaw(self, now: int) -> bool:
        """At once."""
        return True

    def may_take_over(self, now: int, lost_since_ns: int) -> bool:
        """At once."""
        return True

    def due_ns(self) -> int:
        """The deadline."""
        return self.board.deadline_ns

    def act(self, now: int) -> None:
        """Begin what the run asked for."""
        board = self.board
        if self._flush_round != board.flush_round:
            self._flush_round = board.flush_round
            for index, hand in enumerate(self.line.hands):
                hand.do(functools.partial(self._flush, index, self._flush_round))
        if board.freeze_ns and not self._begun and self._waiting and board.may_freeze:
            self._begun = True
            self._expedite()
            self._freeze_next_rank()

    def _expedite(self) -> None:
        board, setting = self.board, self.setting
        if setting is None or setting.reason:
            return
        # First say so, then look, as for a freeze.
        board.boost.called_ns = time.monotonic_ns()
        if board.may_freeze:
            board.boost.answer = setting.turn_on()
        board.boost.returned_ns = time.monotonic_ns()

    def _freeze_next_rank(self) -> None:
        rank = self._waiting.pop(0)
        self._under_way = len(rank)
        for index in rank:
            self.line.hands[index].do(functools.partial(self._freeze, index))

    def _freeze(self, index: int) -> None:
        board, slot, handle = self.board, self.board.slots[index], self.handles[index]
        # First say that it may be frozen, then look whether the window is open: whoever ends the
        # window does it the other way round, so at least one of the two sees the other.
        slot.called_ns = time.monotonic_ns()
        if not handle.is_planned():
            answer = errno.ESTALE
        elif not board.may_freeze:
            answer = errno.ECANCELED
        else:
            slot.called_ns = time.monotonic_ns()
            answer = syscalls.freeze(handle.descriptor)
        slot.returned_ns = time.monotonic_ns()
        slot.freeze_errno = answer
        if answer:
            board.end_window()
        with self._counting:
            self._under_way -= 1
            last = not self._under_way
        if board.over_ns:
            self.wires.ring(GUARD)
            self.wires.ring(RUN)
        elif last and self._waiting:
            self._freeze_next_rank()
        elif last:
            self.wires.ring(RUN)
            # Nothing is left to be made short: neither the snapshots nor FITHAW wait for RCU.
            self.line.put_back()

    def _flush(self, index: int, number: int) -> None:
        """Flush one filesystem again and again until that takes short."""
        board, slot = self.board, self.board.slots[index]
        while number == board.flush_round and not board.over_ns:
            started = time.monotonic_ns()
            slot.flush_errno = syscalls.flush(self.handles[index].descriptor)
            slot.flush_ns = time.monotonic_ns() - started
            if slot.flush_errno or slot.flush_ns < self._short_ns:
                break
            if time.monotonic_ns() > board.flush_until_ns:
                return
        slot.flush_round = number
        self.wires.ring(RUN)
