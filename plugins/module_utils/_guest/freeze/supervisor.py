# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What guard and watchdog have in common: two processes that outlive the run if they must.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Set, Tuple

from .. import syscalls
from ..model import ScriptSpec
from .channels import Wires
from .daemon import kill_group, part_from_run
from .mount_handles import Handle, close_all
from .post_script import Common, PostScript
from .rcu_expedited import Setting, expedited
from .shared_state import GUARD, MEMORY_LOCKED, RUN, SPARED_FROM_OOM, WATCHDOG, Board
from .thaw import Hand, Line, kill_keeper

#: How long a keeper waits at most before it looks around, and when there is something to thaw.
_TURN_NS = 250_000_000
_BUSY_TURN_NS = 20_000_000
#: The post-script may write to what was frozen, so it waits for the thaw; not for ever.
_THAW_BEFORE_POST_NS = 5_000_000_000
#: A keeper that has not turned for this long is stopped or hangs.
_STOPPED_NS = 2_000_000_000


@dataclass(frozen=True)
class Shared:
    """What the three processes have in common, made before they part."""

    board: Board
    wires: Wires
    handles: Sequence[Handle]
    post: Optional[ScriptSpec]
    #: What those need who may have to pay the post-script.
    common: Common
    #: Further descriptors that the keepers hold open as long as they live.
    keep_open: Tuple[int, ...] = ()
    #: What makes FIFREEZE short; None where nothing is to be frozen.
    setting: Optional[Setting] = None

    def expedited(self) -> Dict[str, object]:
        """Return whether FIFREEZE was made short, for the result."""
        return expedited(self.setting, self.board.boost)

    def close(self) -> None:
        """Close what was opened for the freeze."""
        close_all(self.handles)
        if self.setting is not None:
            self.setting.close()

    def post_script(self, actor: int) -> Optional[PostScript]:
        """The debt as C(actor) sees it; None without a post-script."""
        if self.post is None:
            return None
        return PostScript(actor, self.board, self.post, self.common, self.wires.gone)


class Keeper:
    """One of the two; a subclass says when it acts."""

    ACTOR: int
    NAME: str
    #: How long after its stage's limit a silent run is taken over.
    GRACE_NS: int

    def __init__(self, shared: Shared) -> None:
        self.board = shared.board
        self.wires = shared.wires
        self.handles = shared.handles
        self.setting = shared.setting
        self.note = shared.board.keepers[self.ACTOR]
        self._shared = shared
        self._post = shared.post_script(self.ACTOR)
        self._others: Set[int] = {RUN, GUARD, WATCHDOG} - {self.ACTOR}
        self._lost_since_ns = 0
        self._caring = False
        self._settled = False

    def serve(self) -> None:
        """The life of this process."""
        self._prepare()
        while not self._finished():
            self._turn_or_thaw()
        self._end_other()

    def window_must_end(self, now: int) -> bool:
        """Whether it is this keeper's turn to say that the window is over."""
        raise NotImplementedError

    def may_thaw(self, now: int) -> bool:
        """Whether, in a window that is over, it is this keeper's turn to thaw."""
        raise NotImplementedError

    def may_take_over(self, now: int, lost_since_ns: int) -> bool:
        """Whether it is this keeper's turn to care for a run that is lost."""
        raise NotImplementedError

    def act(self, now: int) -> None:
        """What else it does at each turn."""

    def due_ns(self) -> int:
        """When it must look around, at the latest."""
        raise NotImplementedError

    def _prepare(self) -> None:
        self.wires.belong_to(self.ACTOR)
        keep = {*self._shared.common, *self._shared.keep_open, *self.wires.descriptors}
        keep |= set(self.setting.descriptors if self.setting else ())
        part_from_run(self.NAME, keep | {handle.descriptor for handle in self.handles})
        self.note.pid = os.getpid()
        traits = SPARED_FROM_OOM if syscalls.spare_from_oom() else 0
        self.prepare_place()
        self.line = Line(self.ACTOR, self.board, self.handles, self.wires, self.setting)
        self._carer = Hand("carer", takes_signals=True)
        traits |= MEMORY_LOCKED if syscalls.lock_memory() else 0
        self.note.traits = traits
        self.note.beat_ns = time.monotonic_ns()
        self.note.ready = 1
        self.wires.ring(RUN)

    def prepare_place(self) -> None:
        """Where the process is to live."""

    def _turn_or_thaw(self) -> None:
        try:
            self._turn()
        except Exception:  # whatever it is: what is frozen must thaw, and this must go on
            self.board.end_window()
            self.line.thaw()
            time.sleep(_BUSY_TURN_NS / 1e9)

    def _turn(self) -> None:
        now = time.monotonic_ns()
        self.note.beat_ns = now
        if self.board.over_ns and self.may_thaw(now):
            self.line.thaw()  # before all else: somebody waits for it
        self._others -= {other for other in self._others if self.wires.gone(other)}
        lost = self._run_is_lost(now)
        if lost and not self._lost_since_ns:
            self._lost_since_ns = now
        if self.window_must_end(now):
            self.board.end_window()
        if self.board.over_ns and self.may_thaw(now):
            self.line.thaw()
        if lost and not self._caring and self.may_take_over(now, self._lost_since_ns):
            self._caring = True
            if not self.board.taken_over:
                self.board.taken_over = self.ACTOR
            self.board.end_window()
            self._carer.do(self._settle)
        self.act(now)
        if not self._finished():
            self._wait()

    def _wait(self) -> None:
        now = time.monotonic_ns()
        busy = self.board.over_ns and not self.board.resolved
        until = now + (_BUSY_TURN_NS if busy else _TURN_NS)
        due = self.due_ns()
        if now < due < until:
            until = due
        self.wires.wait(self.ACTOR, -(-(until - now) // 1_000_000), self._others)

    def _run_is_lost(self, now: int) -> bool:
        """Whether the run is gone, or silent for longer than its stage may last."""
        if self.board.quit:
            return False
        if self.board.taken_over or RUN not in self._others:
            return True
        return bool(self.board.stage_ends_ns) and now > self.board.stage_ends_ns + self.GRACE_NS

    def _settle(self) -> None:
        """Do what the run would have done: end its script, wait for the thaw, pay."""
        with contextlib.suppress(Exception):  # the process must not outlive its work
            board = self.board
            if board.script_pid:
                kill_group(board.script_pid, board.script_born)
            until = time.monotonic_ns() + _THAW_BEFORE_POST_NS
            while not board.resolved and time.monotonic_ns() < until:
                time.sleep(_BUSY_TURN_NS / 1e9)
            if self._post is not None:
                self._post.pay()
        self._settled = True

    def _finished(self) -> bool:
        if not self.board.resolved or (self._lost_since_ns and not self._settled):
            return False
        return bool(self.board.quit) or self._settled

    def _end_other(self) -> None:
        """Kill the other keeper if it is stopped: there is nothing left for it to do.

        The run does so too, but it may be killed at any time. Of two that both have ended, the
        guard leaves first, and the watchdog sees that it does.
        """
        self.note.ended = 1
        other = WATCHDOG if self.ACTOR == GUARD else GUARD
        note = self.board.keepers[other]
        until = time.monotonic_ns() + 2 * _STOPPED_NS
        while not self.wires.gone(other) and not (self.ACTOR == GUARD and note.ended):
            now = time.monotonic_ns()
            self.note.beat_ns = now
            if now - note.beat_ns > _STOPPED_NS:
                kill_keeper(note, self.wires.gone(other))
            if now > until:
                return
            time.sleep(_BUSY_TURN_NS / 1e9)
