# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two supervisors, as the run starts, watches and ends them."""

from __future__ import annotations

import time
from typing import Callable

from . import cgroup
from .daemon import Children
from .errors import run_taken_over, supervisor_lost
from .guard import Guard
from .shared_state import ACTORS, GUARD, MEMORY_LOCKED, RUN, SPARED_FROM_OOM, WATCHDOG
from .supervisor import SupervisorContext
from .watchdog import Watchdog

#: How long the supervisors may take to be ready, to end when dismissed, and to end when killed.
_READY_LIMIT_S = 60.0
_END_LIMIT_S = 3.0
_KILL_LIMIT_S = 3.0
#: A guard that has not ticked for this long is stopped: it ticks 4 times a second, also in a flush.
_SILENT_NS = 10_000_000_000


class SupervisorPool:
    """The guard and the watchdog of one run."""

    def __init__(self, context: SupervisorContext, freeze_timeout_s: float) -> None:
        self._context = context
        self._state = context.state
        self._channels = context.channels
        self._timeout_s = freeze_timeout_s
        self._children = Children()

    def start(self) -> None:
        """Fork both supervisors and wait until they are ready.

        Must be called while the process has one thread. Raises `FreezeError` or `OSError`.
        """
        for actor, supervisor in (
            (GUARD, Guard(self._context, self._timeout_s)),
            (WATCHDOG, Watchdog(self._context)),
        ):
            self._state.supervisors[actor].pid = self._children.fork(actor, supervisor.serve)
        self._channels.keep_only(RUN)
        states = self._state.supervisors.values()
        until = time.monotonic_ns() + int(_READY_LIMIT_S * 1e9)
        self.wait(lambda: all(state.ready for state in states) or self.is_unprotected(), until)
        if not all(state.ready for state in states):
            raise supervisor_lost("the start", "Guard and watchdog could not be started.")

    def is_unprotected(self) -> bool:
        """Return True if a supervisor has exited or has taken the run over."""
        exited = any(self._channels.has_exited(actor) for actor in self._children)
        return exited or self.is_taken_over()

    def is_taken_over(self) -> bool:
        """Return True if a supervisor has taken the run over."""
        return bool(self._state.taken_over_by)

    def guard_is_silent(self) -> bool:
        """Return True if the guard has not ticked for so long that it must have been stopped."""
        return time.monotonic_ns() - self._state.supervisors[GUARD].heartbeat_ns > _SILENT_NS

    def raise_if_unprotected(self, operation: str) -> None:
        """Raise a `FreezeError` if a supervisor has exited or has taken the run over."""
        self.raise_if_taken_over(operation)
        for actor in self._children:
            if self._channels.has_exited(actor):
                raise supervisor_lost(operation, f"The {ACTORS[actor]} of the freeze was killed.")

    def raise_if_taken_over(self, operation: str) -> None:
        """Raise a `FreezeError` if a supervisor has taken the run over."""
        if self.is_taken_over():
            raise run_taken_over(operation, ACTORS[self._state.taken_over_by])

    def wait(self, done: Callable[[], bool], until_ns: int) -> None:
        """Wait until `done` or the time is up; a supervisor wakes the run, and so does its end."""
        watched: set[int] = {
            actor for actor in self._children if not self._channels.has_exited(actor)
        }
        while not done():
            left_ns = until_ns - time.monotonic_ns()
            if left_ns <= 0:
                return
            # 50 ms at most: a supervisor that is stopped wakes no process.
            watched -= self._channels.wait(RUN, min(-(-left_ns // 1_000_000), 50), watched)

    def wait_for_thaw(self) -> None:
        """Wait for the thaw if no supervisor is left to do it.

        The threads of this process thaw then, so the process must not end before.
        """
        supervisors = self._state.supervisors
        heartbeats = {actor: state.heartbeat_ns for actor, state in supervisors.items()}
        while not self._state.resolved:
            for actor, state in supervisors.items():
                ticks = state.heartbeat_ns != heartbeats[actor]
                if ticks and not self._channels.has_exited(actor):
                    return
            time.sleep(0.02)

    @property
    def protection(self) -> dict[str, object]:
        """The supervisors, for the result."""
        supervisors: dict[str, object] = {}
        for actor, state in self._state.supervisors.items():
            supervisors[ACTORS[actor]] = {
                "running": not self._channels.has_exited(actor),
                "memory_locked": bool(state.traits & MEMORY_LOCKED),
                "spared_from_oom": bool(state.traits & SPARED_FROM_OOM),
            }
        cgroup_exit = self._state.supervisors[WATCHDOG].cgroup_exit
        return {**supervisors, "watchdog_session": cgroup.DESCRIPTIONS[cgroup_exit]}

    def end(self) -> None:
        """Wait for the end of the supervisors, and kill those that are stopped."""
        for actor in self._children:
            self._channels.wake(actor)
        done = self._children.wait(_END_LIMIT_S)
        if not done and self._state.resolved and not self._state.post_pending:
            self._children.kill()
            self._children.wait(_KILL_LIMIT_S)
