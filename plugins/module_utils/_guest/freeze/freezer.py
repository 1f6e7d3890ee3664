# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The run's side of the thaw guarantee.

PRIVATE: for this collection only. Three processes hold the descriptors of the filesystems: the run,
the guard, which makes the calls, and the watchdog. Each of them thaws at the deadline, or as soon
as it notices that those before it are gone; any two may be killed or stopped.
"""

from __future__ import annotations

import contextlib
import os
import time
from types import TracebackType
from typing import Callable, Dict, Optional, Sequence, Set, Tuple, Type

from ..._errors import refuse
from .. import syscalls
from ..model import FilesystemRecord, ScriptOutcome, ScriptSpec, Target
from . import cgroup
from .channels import Channels
from .daemon import Children
from .errors import flush_error, freeze_error, run_taken_over, supervisor_lost
from .fallback import FallbackThaw
from .guard import Guard, short_pass_ns
from .mount_handles import check_mounted, open_all
from .post_script import SharedDescriptors
from .rcu_expedited import Setting
from .shared_state import ACTORS, GUARD, MEMORY_LOCKED, RUN, SPARED_FROM_OOM, WATCHDOG, SharedState
from .supervisor import SupervisorContext
from .watchdog import Watchdog

#: How long the supervisors may take to be ready, to end when dismissed, and to end when killed.
_READY_LIMIT_S = 60.0
_END_LIMIT_S = 3.0
_KILL_LIMIT_S = 3.0
#: How long C(thaw) waits for a FIFREEZE that does not return, and for a FITHAW.
_LATE_FREEZE_NS = 1_000_000_000
_LATE_THAW_NS = 10_000_000_000
_NOTE_NS = 1_000_000_000
#: A guard turns several times a second, also while it flushes.
_SILENT_NS = 10_000_000_000


class Freezer:
    """Guard and watchdog, and what the run asks of them. To be used in the main thread."""

    def __init__(self, shared: SupervisorContext, freeze_timeout_s: float) -> None:
        self._shared = shared
        self._state = shared.state
        self._channels = shared.channels
        self._targets: Tuple[Target, ...] = tuple(handle.target for handle in shared.handles)
        self._timeout_s = freeze_timeout_s
        self._post = shared.post_script(RUN)
        self._line: Optional[FallbackThaw] = None
        self._children = Children()
        self._stopped = False

    @classmethod
    def start(
        cls,
        targets: Sequence[Target],
        freeze_timeout_s: float,
        post: Optional[ScriptSpec],
        keep_open: Sequence[int] = (),
        setting: Optional[Setting] = None,
    ) -> Freezer:
        """Open the filesystems and start guard and watchdog.

        To be called while the process has one thread. C(freeze_timeout_s): seconds from the first
        FIFREEZE to the thaw, come what may. C(keep_open): descriptors, such as that of the run's
        lock, that the supervisors hold open as long as they live. C(setting) makes FIFREEZE short.
        Raises C(SettingsError) when a target is not the mount that was planned, C(FreezeError) when
        a supervisor cannot be started; nothing is left then.
        """
        if freeze_timeout_s <= 0:
            refuse("FreezeTimeoutInvalid", "The freeze timeout must be more than 0 seconds.")
        handles = open_all(targets)
        kept = (SharedDescriptors.make(), tuple(keep_open), setting)
        shared = SupervisorContext(SharedState(len(handles)), Channels(), handles, post, *kept)
        freezer = cls(shared, freeze_timeout_s)
        try:
            freezer._fork()
        except BaseException as error:
            freezer._state.quit = 1
            freezer._end()
            if isinstance(error, OSError):
                words = f"Guard and watchdog could not be started: {error.strerror}."
                raise supervisor_lost("the start", words) from error
            raise
        return freezer

    def __enter__(self) -> Freezer:
        return self

    def __exit__(
        self,
        _type: Optional[Type[BaseException]],
        _error: Optional[BaseException],
        _trace: Optional[TracebackType],
    ) -> None:
        self.stop()

    def stage(self, name: str, limit_s: float) -> None:
        """Say that the run is in a stage that may last C(limit_s) seconds.

        A run that is silent for some two seconds longer is taken over: its script is killed, all is
        thawed, the post-script is paid. Raises C(FreezeError) when that has happened. Freezing and
        thawing bring the time that they need themselves.
        """
        self._state.stage_ends_ns = time.monotonic_ns() + int(limit_s * 1e9)
        self._refuse_taken_over(f"the stage '{name}'")

    def before_script(self) -> None:
        """Say which process group the run's script is in, for whoever takes over.

        Called in the script's own process right before it becomes the script, so there is no moment
        in which it runs and nobody knows. Raises when the run was taken over.
        """
        self._state.script_born = syscalls.start_time(os.getpid()) or 0
        self._state.script_pid = os.getpid()
        self._refuse_taken_over("a script's start")

    def script_ended(self) -> None:
        """Say that nothing is left of the run's script."""
        self._state.script_pid = 0

    def mark_post_script_due(self) -> None:
        """Say that from now on the post-script must run, whatever happens.

        Raises C(FreezeError) when the run was taken over.
        """
        self._state.post_owed = int(self._post is not None)
        self._refuse_taken_over("the pre-script")

    def verify(self) -> None:
        """Check that each descriptor still is the mount planned; raises C(FreezeError)."""
        check_mounted(self._shared.handles)

    def flush(self, limit_s: float) -> float:
        """Flush all filesystems until a pass is short; returns the longest last pass in seconds.

        A freeze begins with such a pass while writers wait, so there must be little to write by
        then. Raises C(FreezeError) when it is not so within C(limit_s) seconds.
        """
        state = self._state
        state.flush_until_ns = time.monotonic_ns() + int(limit_s * 1e9)
        state.flush_round += 1
        self._channels.wake(GUARD)

        def done() -> bool:
            return all(
                filesystem.flush_round == state.flush_round for filesystem in state.filesystems
            )

        self._wait(lambda: done() or self._hurt() or self._silent(), state.flush_until_ns)
        if not done() and self._silent():
            raise supervisor_lost("the flush", "The guard of the freeze was stopped.")
        if (
            self._hurt()
            or not done()
            or any(filesystem.flush_errno for filesystem in state.filesystems)
        ):
            self._refuse_hurt("the flush")
            short_s = short_pass_ns(self._timeout_s) / 1e9
            raise flush_error(state, self._targets, limit_s, short_s)
        return max((filesystem.flush_ns / 1e9 for filesystem in state.filesystems), default=0.0)

    def freeze(self) -> None:
        """Freeze all filesystems; returns when they are frozen.

        Otherwise everything that this run froze is thawed, or is thawed as soon as its FIFREEZE
        returns, and C(FreezeError) says which filesystem was the cause. Works once.
        """
        self._refuse_hurt("the freeze")
        state = self._state
        if state.over_ns or state.freeze_ns:
            raise supervisor_lost("the freeze", "The window was over before it began.")
        self._line = FallbackThaw(state, self._shared.handles, self._channels, self._shared.setting)
        try:
            now = time.monotonic_ns()
            state.deadline_ns = now + int(self._timeout_s * 1e9)
            self._extend_stage(state.deadline_ns)
            state.freeze_ns = now
            self._channels.wake(GUARD)
            self._wait(lambda: self._frozen() or self.hold_lost(), state.deadline_ns)
            if self._frozen() and not self.hold_lost():
                return
        except BaseException:
            self.thaw()
            raise
        in_time = time.monotonic_ns() < state.deadline_ns
        self.thaw()
        self._refuse_hurt("the freeze")
        raise freeze_error(self.records(), self._timeout_s, in_time=in_time)

    @property
    def deadline_ns(self) -> int:
        """When all is thawed, come what may (monotonic clock); 0 before the freeze."""
        return self._state.deadline_ns

    def hold_lost(self) -> bool:
        """Whether the filesystems are not all certain to be frozen any more; cheap."""
        state = self._state
        return (
            bool(state.over_ns)
            or bool(state.taken_over)
            or time.monotonic_ns() >= state.deadline_ns
            or self._channels.has_exited(GUARD)
        )

    def thaw(self) -> Tuple[FilesystemRecord, ...]:
        """Thaw all filesystems that this run froze; returns what happened to each.

        Waits until all are thawed, but not without limit: a FIFREEZE that blocks is left to the
        supervisors, which thaw it when it returns. May be called at any time and again.
        """
        state = self._state
        state.end_window()
        if self._line is None:
            return self.records()
        self._channels.wake(GUARD)
        if self._channels.has_exited(GUARD):
            self._line.nudge()
        start = time.monotonic_ns()
        self._extend_stage(start + 2 * _LATE_THAW_NS)

        def enough() -> bool:
            if state.resolved:
                return True
            late = [filesystem for filesystem in state.filesystems if not filesystem.resolved]
            spent = time.monotonic_ns() - start
            return spent > _LATE_FREEZE_NS and all(filesystem.freezing for filesystem in late)

        self._wait(enough, start + _LATE_THAW_NS)
        # Who was a moment slower may have had the answer that counts.
        self._wait(lambda: not self._noting(), time.monotonic_ns() + _NOTE_NS)
        if state.resolved:
            self._line.close()
        return self.records()

    def records(self) -> Tuple[FilesystemRecord, ...]:
        """What happened to each filesystem so far."""
        return self._state.records(self._targets)

    def run_post_script(self) -> Optional[ScriptOutcome]:
        """Run the post-script if it is owed and nobody has; returns what it did.

        None when it is not owed. When a supervisor has started it, waits for its end.
        """
        if self._post is None or not self._state.post_owed:
            return None
        self._post.run_once()
        return self._post.outcome()

    def taken_over(self) -> bool:
        """Whether a supervisor has taken the run over, because it was silent for too long."""
        return bool(self._state.taken_over)

    @property
    def protection(self) -> Dict[str, object]:
        """What guards the window, for the result."""
        found: Dict[str, object] = {"filesystems": len(self._targets)}
        for actor, note in self._state.supervisors.items():
            found[ACTORS[actor]] = {
                "running": not self._channels.has_exited(actor),
                "memory_locked": bool(note.traits & MEMORY_LOCKED),
                "spared_from_oom": bool(note.traits & SPARED_FROM_OOM),
            }
        place = cgroup.WORDS[self._state.supervisors[WATCHDOG].left_session]
        found["watchdog_session"] = place
        return found

    @property
    def expedited(self) -> Dict[str, object]:
        """Whether FIFREEZE was made short, for the result."""
        return self._shared.expedited()

    def stop(self) -> None:
        """Thaw and pay what is left, then dismiss both supervisors and wait for their end.

        Freezer that still have to thaw are left to it. Never raises.
        """
        if self._stopped:
            return
        self._stopped = True
        with contextlib.suppress(Exception):
            with contextlib.suppress(Exception):
                self.thaw()
            with contextlib.suppress(Exception):
                self.run_post_script()
            self._stay_while_needed()
            self._state.quit = 1
            self._end()

    def _stay_while_needed(self) -> None:
        """Wait for what is still to be thawed when no supervisor is left that will do it.

        The threads of this process thaw it then; they must not end before.
        """
        freezer = self._state.supervisors
        beats = {actor: note.heartbeat_ns for actor, note in freezer.items()}
        while not self._state.resolved:
            for actor, note in freezer.items():
                if note.heartbeat_ns != beats[actor] and not self._channels.has_exited(actor):
                    return
            time.sleep(0.02)

    def _fork(self) -> None:
        for actor, supervisor in (
            (GUARD, Guard(self._shared, self._timeout_s)),
            (WATCHDOG, Watchdog(self._shared)),
        ):
            self._state.supervisors[actor].pid = self._children.fork(actor, supervisor.serve)
        self._channels.keep_only(RUN)
        notes = self._state.supervisors
        until = time.monotonic_ns() + int(_READY_LIMIT_S * 1e9)
        self._wait(lambda: all(note.ready for note in notes.values()) or self._hurt(), until)
        if not all(note.ready for note in notes.values()):
            raise supervisor_lost("the start", "Guard and watchdog could not be started.")

    def _extend_stage(self, until_ns: int) -> None:
        if self._state.stage_ends_ns:
            self._state.stage_ends_ns = max(self._state.stage_ends_ns, until_ns)

    def _frozen(self) -> bool:
        return all(filesystem.freeze_errno == 0 for filesystem in self._state.filesystems)

    def _noting(self) -> bool:
        return any(
            thaw.under_way
            for filesystem in self._state.filesystems
            for actor, thaw in filesystem.thaws.items()
            if filesystem.freeze_errno == 0
            and (actor == RUN or not self._channels.has_exited(actor))
        )

    def _hurt(self) -> bool:
        return (
            any(self._channels.has_exited(actor) for actor in self._children) or self.taken_over()
        )

    def _silent(self) -> bool:
        """Whether the guard has not turned for so long that it must have been stopped."""
        return time.monotonic_ns() - self._state.supervisors[GUARD].heartbeat_ns > _SILENT_NS

    def _refuse_hurt(self, what: str) -> None:
        self._refuse_taken_over(what)
        for actor in self._children:
            if self._channels.has_exited(actor):
                raise supervisor_lost(what, f"The {ACTORS[actor]} of the freeze was killed.")

    def _refuse_taken_over(self, what: str) -> None:
        if self.taken_over():
            raise run_taken_over(what, ACTORS[self._state.taken_over])

    def _wait(self, done: Callable[[], bool], until_ns: int) -> None:
        """Wait until it is done or the time is up; woken by the supervisors, and by their end."""
        watched: Set[int] = {
            actor for actor in self._children if not self._channels.has_exited(actor)
        }
        while not done():
            left_ns = until_ns - time.monotonic_ns()
            if left_ns <= 0:
                return
            # Not for longer at once: a supervisor that is stopped rings nobody.
            watched -= self._channels.wait(RUN, min(-(-left_ns // 1_000_000), 50), watched)

    def _end(self) -> None:
        """See the supervisors end, kill those that are stopped, and close what is open."""
        for actor in self._children:
            self._channels.wake(actor)
        done = self._children.wait(_END_LIMIT_S)
        if not done and self._state.resolved and not self._state.debt:
            self._children.kill()
            self._children.wait(_KILL_LIMIT_S)
        if self._line is None or self._line.close():
            self._shared.close()
        self._shared.common.close()
        self._channels.close()
