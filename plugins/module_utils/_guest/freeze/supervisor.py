# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The common part of guard and watchdog, two processes that can outlive the run."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .. import syscalls
from ..model import ScriptSpec
from .channels import Channels
from .daemon import daemonize, kill_process_group
from .mount_handles import MountHandle, close_all
from .post_script import PostScript, SharedDescriptors
from .rcu_expedited import Setting, expedited
from .shared_state import GUARD, MEMORY_LOCKED, RUN, SPARED_FROM_OOM, WATCHDOG, SharedState
from .thaw import ThawWorkers, WorkerThread, kill_supervisor

#: The longest pause between two ticks: usually, and while there is something to thaw.
_TICK_NS = 250_000_000
_BUSY_TICK_NS = 20_000_000
#: The post-script may write to what was frozen, so it waits for the thaw, but no longer than this.
_THAW_BEFORE_POST_NS = 5_000_000_000
#: A supervisor that has not ticked for this long is stopped or hangs.
_STOPPED_NS = 2_000_000_000


@dataclass(frozen=True)
class SupervisorContext:
    """Everything that the three processes share, made before the fork."""

    state: SharedState
    channels: Channels
    handles: Sequence[MountHandle]
    post: ScriptSpec | None
    #: Descriptors for the post-script, which any of the processes may run.
    script_descriptors: SharedDescriptors
    #: Further descriptors that the supervisors hold open as long as they live.
    keep_open: tuple[int, ...] = ()
    #: The setting that makes FIFREEZE short; None if nothing will be frozen.
    setting: Setting | None = None

    def expedited(self) -> dict[str, object]:
        """Return the part of the result about the setting that makes FIFREEZE short."""
        return expedited(self.setting, self.state.expedite)

    def close(self) -> None:
        """Close the filesystems and the setting in this process."""
        close_all(self.handles)
        if self.setting is not None:
            self.setting.close()

    def post_script(self, actor: int) -> PostScript | None:
        """Return the post-script for use by `actor`; None without a post-script."""
        if self.post is None:
            return None
        descriptors, has_exited = self.script_descriptors, self.channels.has_exited
        return PostScript(actor, self.state, self.post, descriptors, has_exited)


class Supervisor:
    """A supervisor; a subclass decides when it acts."""

    ACTOR: int
    NAME: str
    #: A silent run is taken over this long after its stage's limit.
    GRACE_NS: int

    def __init__(self, context: SupervisorContext) -> None:
        self.state = context.state
        self.channels = context.channels
        self.handles = context.handles
        self.setting = context.setting
        self.own_state = context.state.supervisors[self.ACTOR]
        self._context = context
        self._post = context.post_script(self.ACTOR)
        self._others: set[int] = {RUN, GUARD, WATCHDOG} - {self.ACTOR}
        #: When the run was first found exited or silent; 0 while it is not.
        self._unresponsive_since_ns = 0
        self._takeover_begun = False
        self._takeover_done = False

    def serve(self) -> None:
        """Supervise the run until nothing is left to do; the process ends after that."""
        self._prepare()
        while not self._has_finished():
            self._tick_or_thaw()
        self._end_other()

    def window_must_end(self, now: int) -> bool:
        """Return True if this supervisor must end the window now."""
        raise NotImplementedError

    def may_thaw(self, now: int) -> bool:
        """Return True if this supervisor may thaw now, in a window that is over."""
        raise NotImplementedError

    def may_take_over(self, now: int) -> bool:
        """Return True if this supervisor may take over an unresponsive run now."""
        raise NotImplementedError

    def act(self, now: int) -> None:
        """Do the further work of a tick."""

    def due_ns(self) -> int:
        """Return the time by which the next tick must come; 0 without such a time."""
        raise NotImplementedError

    def _prepare(self) -> None:
        self.channels.keep_only(self.ACTOR)
        context = self._context
        keep = {*context.script_descriptors, *context.keep_open, *self.channels.descriptors}
        keep |= set(self.setting.descriptors if self.setting else ())
        daemonize(self.NAME, keep | {handle.descriptor for handle in self.handles})
        self.own_state.pid = os.getpid()
        traits = SPARED_FROM_OOM if syscalls.spare_from_oom() else 0
        self.leave_cgroup()
        self.workers = ThawWorkers(
            self.ACTOR, self.state, self.handles, self.channels, self.setting
        )
        self._takeover_worker = WorkerThread("takeover", takes_signals=True)
        traits |= MEMORY_LOCKED if syscalls.lock_memory() else 0
        self.own_state.traits = traits
        self.own_state.heartbeat_ns = time.monotonic_ns()
        self.own_state.ready = 1
        self.channels.wake(RUN)

    def leave_cgroup(self) -> None:
        """Leave the control group of the run, if this supervisor must."""

    def _tick_or_thaw(self) -> None:
        try:
            self._tick()
        except Exception:  # Any error: the frozen filesystems must thaw and this loop must go on.
            self.state.end_window()
            self.workers.thaw()
            time.sleep(_BUSY_TICK_NS / 1e9)

    def _tick(self) -> None:
        now = time.monotonic_ns()
        self.own_state.heartbeat_ns = now
        if self.state.over_ns and self.may_thaw(now):
            self.workers.thaw()  # first of all: writers wait for it
        self._others -= {other for other in self._others if self.channels.has_exited(other)}
        unresponsive = self._run_is_unresponsive(now)
        if unresponsive and not self._unresponsive_since_ns:
            self._unresponsive_since_ns = now
        if self.window_must_end(now):
            self.state.end_window()
        if self.state.over_ns and self.may_thaw(now):
            self.workers.thaw()
        if unresponsive and not self._takeover_begun and self.may_take_over(now):
            self._takeover_begun = True
            if not self.state.taken_over_by:
                self.state.taken_over_by = self.ACTOR
            self.state.end_window()
            self._takeover_worker.do(self._finish_run)
        self.act(now)
        if not self._has_finished():
            self._wait()

    def _wait(self) -> None:
        now = time.monotonic_ns()
        busy = self.state.over_ns and not self.state.resolved
        until = now + (_BUSY_TICK_NS if busy else _TICK_NS)
        due = self.due_ns()
        if now < due < until:
            until = due
        self.channels.wait(self.ACTOR, -(-(until - now) // 1_000_000), self._others)

    def _run_is_unresponsive(self, now: int) -> bool:
        """Return True if the run has exited or is silent for longer than its stage may last."""
        if self.state.quit:
            return False
        if self.state.taken_over_by or RUN not in self._others:
            return True
        return bool(self.state.stage_ends_ns) and now > self.state.stage_ends_ns + self.GRACE_NS

    def _finish_run(self) -> None:
        """Finish for the run: end its script, wait for the thaw, run the post-script."""
        with contextlib.suppress(Exception):  # the process must not outlive its work
            state = self.state
            if state.script_pid:
                kill_process_group(state.script_pid, state.script_start_time)
            until = time.monotonic_ns() + _THAW_BEFORE_POST_NS
            while not state.resolved and time.monotonic_ns() < until:
                time.sleep(_BUSY_TICK_NS / 1e9)
            if self._post is not None:
                self._post.run_once()
        self._takeover_done = True

    def _has_finished(self) -> bool:
        if not self.state.resolved or (self._unresponsive_since_ns and not self._takeover_done):
            return False
        return bool(self.state.quit) or self._takeover_done

    def _end_other(self) -> None:
        """Kill the other supervisor if it is stopped: it has no work left.

        The run does so too, but the run may be killed at any time. If both supervisors have
        finished, the guard exits first and the watchdog waits for that.
        """
        self.own_state.ended = 1
        other = WATCHDOG if self.ACTOR == GUARD else GUARD
        state = self.state.supervisors[other]
        until = time.monotonic_ns() + 2 * _STOPPED_NS
        while not self.channels.has_exited(other) and not (self.ACTOR == GUARD and state.ended):
            now = time.monotonic_ns()
            self.own_state.heartbeat_ns = now
            if now - state.heartbeat_ns > _STOPPED_NS:
                kill_supervisor(state, self.channels.has_exited(other))
            if now > until:
                return
            time.sleep(_BUSY_TICK_NS / 1e9)
