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
from .channels import Channels
from .daemon import daemonize, kill_process_group
from .mount_handles import MountHandle, close_all
from .post_script import PostScript, SharedDescriptors
from .rcu_expedited import Setting, expedited
from .shared_state import GUARD, MEMORY_LOCKED, RUN, SPARED_FROM_OOM, WATCHDOG, SharedState
from .thaw import ThawWorkers, WorkerThread, kill_supervisor

#: How long a supervisor waits at most before it looks around, and when there is something to thaw.
_TURN_NS = 250_000_000
_BUSY_TURN_NS = 20_000_000
#: The post-script may write to what was frozen, so it waits for the thaw; not for ever.
_THAW_BEFORE_POST_NS = 5_000_000_000
#: A supervisor that has not turned for this long is stopped or hangs.
_STOPPED_NS = 2_000_000_000


@dataclass(frozen=True)
class SupervisorContext:
    """What the three processes have in common, made before they part."""

    state: SharedState
    channels: Channels
    handles: Sequence[MountHandle]
    post: Optional[ScriptSpec]
    #: What those need who may have to pay the post-script.
    common: SharedDescriptors
    #: Further descriptors that the supervisors hold open as long as they live.
    keep_open: Tuple[int, ...] = ()
    #: What makes FIFREEZE short; None where nothing is to be frozen.
    setting: Optional[Setting] = None

    def expedited(self) -> Dict[str, object]:
        """Return whether FIFREEZE was made short, for the result."""
        return expedited(self.setting, self.state.boost)

    def close(self) -> None:
        """Close what was opened for the freeze."""
        close_all(self.handles)
        if self.setting is not None:
            self.setting.close()

    def post_script(self, actor: int) -> Optional[PostScript]:
        """The debt as C(actor) sees it; None without a post-script."""
        if self.post is None:
            return None
        return PostScript(actor, self.state, self.post, self.common, self.channels.has_exited)


class Supervisor:
    """One of the two; a subclass says when it acts."""

    ACTOR: int
    NAME: str
    #: How long after its stage's limit a silent run is taken over.
    GRACE_NS: int

    def __init__(self, shared: SupervisorContext) -> None:
        self.state = shared.state
        self.channels = shared.channels
        self.handles = shared.handles
        self.setting = shared.setting
        self.note = shared.state.supervisors[self.ACTOR]
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
        """Whether it is this supervisor's turn to say that the window is over."""
        raise NotImplementedError

    def may_thaw(self, now: int) -> bool:
        """Whether, in a window that is over, it is this supervisor's turn to thaw."""
        raise NotImplementedError

    def may_take_over(self, now: int, lost_since_ns: int) -> bool:
        """Whether it is this supervisor's turn to care for a run that is lost."""
        raise NotImplementedError

    def act(self, now: int) -> None:
        """What else it does at each turn."""

    def due_ns(self) -> int:
        """When it must look around, at the latest."""
        raise NotImplementedError

    def _prepare(self) -> None:
        self.channels.keep_only(self.ACTOR)
        keep = {*self._shared.common, *self._shared.keep_open, *self.channels.descriptors}
        keep |= set(self.setting.descriptors if self.setting else ())
        daemonize(self.NAME, keep | {handle.descriptor for handle in self.handles})
        self.note.pid = os.getpid()
        traits = SPARED_FROM_OOM if syscalls.spare_from_oom() else 0
        self.prepare_place()
        self.workers = ThawWorkers(
            self.ACTOR, self.state, self.handles, self.channels, self.setting
        )
        self._carer = WorkerThread("carer", takes_signals=True)
        traits |= MEMORY_LOCKED if syscalls.lock_memory() else 0
        self.note.traits = traits
        self.note.heartbeat_ns = time.monotonic_ns()
        self.note.ready = 1
        self.channels.wake(RUN)

    def prepare_place(self) -> None:
        """Where the process is to live."""

    def _turn_or_thaw(self) -> None:
        try:
            self._turn()
        except Exception:  # whatever it is: what is frozen must thaw, and this must go on
            self.state.end_window()
            self.workers.thaw()
            time.sleep(_BUSY_TURN_NS / 1e9)

    def _turn(self) -> None:
        now = time.monotonic_ns()
        self.note.heartbeat_ns = now
        if self.state.over_ns and self.may_thaw(now):
            self.workers.thaw()  # before all else: somebody waits for it
        self._others -= {other for other in self._others if self.channels.has_exited(other)}
        lost = self._run_is_lost(now)
        if lost and not self._lost_since_ns:
            self._lost_since_ns = now
        if self.window_must_end(now):
            self.state.end_window()
        if self.state.over_ns and self.may_thaw(now):
            self.workers.thaw()
        if lost and not self._caring and self.may_take_over(now, self._lost_since_ns):
            self._caring = True
            if not self.state.taken_over:
                self.state.taken_over = self.ACTOR
            self.state.end_window()
            self._carer.do(self._settle)
        self.act(now)
        if not self._finished():
            self._wait()

    def _wait(self) -> None:
        now = time.monotonic_ns()
        busy = self.state.over_ns and not self.state.resolved
        until = now + (_BUSY_TURN_NS if busy else _TURN_NS)
        due = self.due_ns()
        if now < due < until:
            until = due
        self.channels.wait(self.ACTOR, -(-(until - now) // 1_000_000), self._others)

    def _run_is_lost(self, now: int) -> bool:
        """Whether the run is gone, or silent for longer than its stage may last."""
        if self.state.quit:
            return False
        if self.state.taken_over or RUN not in self._others:
            return True
        return bool(self.state.stage_ends_ns) and now > self.state.stage_ends_ns + self.GRACE_NS

    def _settle(self) -> None:
        """Do what the run would have done: end its script, wait for the thaw, pay."""
        with contextlib.suppress(Exception):  # the process must not outlive its work
            state = self.state
            if state.script_pid:
                kill_process_group(state.script_pid, state.script_born)
            until = time.monotonic_ns() + _THAW_BEFORE_POST_NS
            while not state.resolved and time.monotonic_ns() < until:
                time.sleep(_BUSY_TURN_NS / 1e9)
            if self._post is not None:
                self._post.run_once()
        self._settled = True

    def _finished(self) -> bool:
        if not self.state.resolved or (self._lost_since_ns and not self._settled):
            return False
        return bool(self.state.quit) or self._settled

    def _end_other(self) -> None:
        """Kill the other supervisor if it is stopped: there is nothing left for it to do.

        The run does so too, but it may be killed at any time. Of two that both have ended, the
        guard leaves first, and the watchdog sees that it does.
        """
        self.note.ended = 1
        other = WATCHDOG if self.ACTOR == GUARD else GUARD
        note = self.state.supervisors[other]
        until = time.monotonic_ns() + 2 * _STOPPED_NS
        while not self.channels.has_exited(other) and not (self.ACTOR == GUARD and note.ended):
            now = time.monotonic_ns()
            self.note.heartbeat_ns = now
            if now - note.heartbeat_ns > _STOPPED_NS:
                kill_supervisor(note, self.channels.has_exited(other))
            if now > until:
                return
            time.sleep(_BUSY_TURN_NS / 1e9)
