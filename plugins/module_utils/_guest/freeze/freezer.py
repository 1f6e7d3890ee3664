# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The run's side of the thaw guarantee.

Three processes hold the descriptors of the filesystems: the run, the guard, which makes the calls,
and the watchdog. Each of them thaws at the deadline, or as soon as it notices that the processes
before it have exited. Any two may be killed or stopped.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from types import TracebackType

from ..._errors import Failure, SettingsError
from .. import syscalls
from ..model import FilesystemRecord, ScriptOutcome, ScriptSpec, Target
from .channels import Channels
from .errors import flush_error, freeze_error, supervisor_lost
from .fallback import FallbackThaw
from .guard import short_pass_ns
from .mount_handles import check_mounted, close_all, open_all
from .post_script import SharedDescriptors
from .rcu_expedited import Setting
from .shared_state import GUARD, RUN, SharedState
from .supervisor import SupervisorContext
from .supervisor_pool import SupervisorPool

#: How long `thaw` waits for a FIFREEZE that does not return, for a FITHAW, and for further results.
_LATE_FREEZE_NS = 1_000_000_000
_LATE_THAW_NS = 10_000_000_000
_LAST_RESULTS_NS = 1_000_000_000


class Freezer:
    """The run's handle of a freeze: start, freeze, thaw, stop. For use in the main thread only."""

    def __init__(self, context: SupervisorContext, freeze_timeout_s: float) -> None:
        self._context = context
        self._state = context.state
        self._channels = context.channels
        self._targets: tuple[Target, ...] = tuple(handle.target for handle in context.handles)
        self._timeout_s = freeze_timeout_s
        self._post = context.post_script(RUN)
        self._fallback: FallbackThaw | None = None
        self._pool = SupervisorPool(context, freeze_timeout_s)
        self._stopped = False

    @classmethod
    def start(
        cls,
        targets: Sequence[Target],
        freeze_timeout_s: float,
        post: ScriptSpec | None,
        keep_open: Sequence[int] = (),
        setting: Setting | None = None,
    ) -> Freezer:
        """Open the filesystems and start guard and watchdog.

        Must be called while the process has one thread. `freeze_timeout_s`: the longest time from
        the first FIFREEZE to the thaw, in seconds. `keep_open`: descriptors, such as that of the
        run's lock, that the supervisors hold open as long as they live. `setting` makes FIFREEZE
        short.

        Raises `SettingsError` if a target is not the planned mount, `FreezeError` if a supervisor
        cannot be started; then nothing is left running.
        """
        if freeze_timeout_s <= 0:
            raise SettingsError(
                Failure(
                    "FreezeTimeoutInvalid",
                    "freeze_timeout must be more than 0 seconds.",
                    "Set freeze_timeout to 1 second or more.",
                )
            )
        try:
            context = _make_context(targets, post, keep_open, setting)
            freezer = cls(context, freeze_timeout_s)
            try:
                freezer._pool.start()
            except BaseException:
                freezer._state.quit = 1
                freezer._end()
                raise
        except OSError as error:
            message = f"Guard and watchdog could not be started: {error.strerror}."
            raise supervisor_lost("the start", message) from error
        return freezer

    def __enter__(self) -> Freezer:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stage(self, name: str, limit_s: float) -> None:
        """Begin a stage of the run, which may last `limit_s` seconds.

        A supervisor takes over a run that is silent for 2 seconds longer: it kills the run's
        script, thaws everything and runs the post-script. Raises `FreezeError` after that. `freeze`
        and `thaw` extend the stage by themselves.
        """
        self._state.stage_ends_ns = time.monotonic_ns() + int(limit_s * 1e9)
        self._pool.raise_if_taken_over(f"the stage '{name}'")

    def before_script(self) -> None:
        """Record the process group of the run's script, for a supervisor that takes over.

        Must be called in the script's own process right before it becomes the script, so that a
        script that runs is always recorded. Raises `FreezeError` if the run was taken over.
        """
        self._state.script_start_time = syscalls.start_time(os.getpid()) or 0
        self._state.script_pid = os.getpid()
        self._pool.raise_if_taken_over("a script's start")

    def script_ended(self) -> None:
        """Record that the run's script and its process group have ended."""
        self._state.script_pid = 0

    def mark_post_script_due(self) -> None:
        """Make sure that the post-script runs from now on, even if the run dies.

        Raises `FreezeError` if the run was taken over.
        """
        self._state.post_due = int(self._post is not None)
        self._pool.raise_if_taken_over("the pre-script")

    def verify(self) -> None:
        """Check that each descriptor still is the planned mount; raises `FreezeError`."""
        check_mounted(self._context.handles)

    def flush(self, limit_s: float) -> float:
        """Flush all filesystems until a pass is short; return the longest last pass in seconds.

        A freeze begins with such a pass while writers wait, so there must be little to write by
        then. Raises `FreezeError` if no pass is short within `limit_s` seconds.
        """
        state, pool = self._state, self._pool
        state.flush_until_ns = time.monotonic_ns() + int(limit_s * 1e9)
        state.flush_round += 1
        self._channels.wake(GUARD)

        def done() -> bool:
            return all(
                filesystem.flush_round == state.flush_round for filesystem in state.filesystems
            )

        pool.wait(
            lambda: done() or pool.is_unprotected() or pool.guard_is_silent(), state.flush_until_ns
        )
        if not done() and pool.guard_is_silent():
            raise supervisor_lost("the flush", "The guard of the freeze was stopped.")
        if (
            pool.is_unprotected()
            or not done()
            or any(filesystem.flush_errno for filesystem in state.filesystems)
        ):
            pool.raise_if_unprotected("the flush")
            short_s = short_pass_ns(self._timeout_s) / 1e9
            raise flush_error(state, self._targets, limit_s, short_s)
        return max((filesystem.flush_ns / 1e9 for filesystem in state.filesystems), default=0.0)

    def freeze(self) -> None:
        """Freeze all filesystems; returns when they are frozen.

        On failure everything that this run froze is thawed, at the latest when its FIFREEZE
        returns. The `FreezeError` then names the filesystem that caused it. May be called once.
        """
        self._pool.raise_if_unprotected("the freeze")
        state, context = self._state, self._context
        if state.over_ns or state.freeze_ns:
            raise supervisor_lost("the freeze", "The window was over before it began.")
        self._fallback = FallbackThaw(state, context.handles, self._channels, context.setting)
        try:
            now = time.monotonic_ns()
            state.deadline_ns = now + int(self._timeout_s * 1e9)
            self._extend_stage(state.deadline_ns)
            state.freeze_ns = now
            self._channels.wake(GUARD)
            self._pool.wait(lambda: self._is_frozen() or self.is_window_over(), state.deadline_ns)
            if self._is_frozen() and not self.is_window_over():
                return
        except BaseException:
            self.thaw()
            raise
        in_time = time.monotonic_ns() < state.deadline_ns
        self.thaw()
        self._pool.raise_if_unprotected("the freeze")
        raise freeze_error(self.records(), self._timeout_s, in_time=in_time)

    @property
    def deadline_ns(self) -> int:
        """The time at which everything is thawed at the latest (monotonic); 0 before the freeze."""
        return self._state.deadline_ns

    def is_window_over(self) -> bool:
        """Return True if a filesystem may not be frozen any more; makes one cheap system call."""
        state = self._state
        return (
            bool(state.over_ns)
            or bool(state.taken_over_by)
            or time.monotonic_ns() >= state.deadline_ns
            or self._channels.has_exited(GUARD)
        )

    def thaw(self) -> tuple[FilesystemRecord, ...]:
        """Thaw all filesystems that this run froze; return the record of each.

        Waits until all are thawed, 10 seconds at most. The supervisors thaw a filesystem whose
        FIFREEZE blocks when that returns. May be called at any time, and repeatedly.
        """
        state = self._state
        state.end_window()
        if self._fallback is None:
            return self.records()
        self._channels.wake(GUARD)
        if self._channels.has_exited(GUARD):
            self._fallback.wake()
        start = time.monotonic_ns()
        self._extend_stage(start + 2 * _LATE_THAW_NS)

        def done() -> bool:
            if state.resolved:
                return True
            late = [filesystem for filesystem in state.filesystems if not filesystem.resolved]
            spent = time.monotonic_ns() - start
            return spent > _LATE_FREEZE_NS and all(filesystem.freezing for filesystem in late)

        self._pool.wait(done, start + _LATE_THAW_NS)
        # A process that was a moment slower may have the result that counts.
        until = time.monotonic_ns() + _LAST_RESULTS_NS
        self._pool.wait(lambda: not self._thaw_in_progress(), until)
        if state.resolved:
            self._fallback.close()
        return self.records()

    def records(self) -> tuple[FilesystemRecord, ...]:
        """Return what has happened to each filesystem so far."""
        return self._state.records(self._targets)

    def run_post_script(self) -> ScriptOutcome | None:
        """Run the post-script once if it is due; return its outcome, or None if it is not due.

        If a supervisor has started the script, wait for its end.
        """
        if self._post is None or not self._state.post_due:
            return None
        self._post.run_once()
        return self._post.outcome()

    def is_taken_over(self) -> bool:
        """Return True if a supervisor has taken over the run because it was silent."""
        return self._pool.is_taken_over()

    @property
    def protection(self) -> dict[str, object]:
        """The number of filesystems and their supervisors, for the result."""
        return {"filesystems": len(self._targets), **self._pool.protection}

    @property
    def expedited(self) -> dict[str, object]:
        """The setting that makes FIFREEZE short, for the result."""
        return self._context.expedited()

    def stop(self) -> None:
        """Thaw, run the post-script if it is due, then end both supervisors. Never raises.

        A supervisor that still has to thaw is left running.
        """
        if self._stopped:
            return
        self._stopped = True
        with contextlib.suppress(Exception):
            with contextlib.suppress(Exception):
                self.thaw()
            with contextlib.suppress(Exception):
                self.run_post_script()
            self._pool.wait_for_thaw()
            self._state.quit = 1
            self._end()

    def _extend_stage(self, until_ns: int) -> None:
        if self._state.stage_ends_ns:
            self._state.stage_ends_ns = max(self._state.stage_ends_ns, until_ns)

    def _is_frozen(self) -> bool:
        return all(filesystem.freeze_errno == 0 for filesystem in self._state.filesystems)

    def _thaw_in_progress(self) -> bool:
        return any(
            thaw.in_progress
            for filesystem in self._state.filesystems
            for actor, thaw in filesystem.thaws.items()
            if filesystem.freeze_errno == 0
            and (actor == RUN or not self._channels.has_exited(actor))
        )

    def _end(self) -> None:
        self._pool.end()
        if self._fallback is None or self._fallback.close():
            self._context.close()
        self._context.script_descriptors.close()
        self._channels.close()


def _make_context(
    targets: Sequence[Target],
    post: ScriptSpec | None,
    keep_open: Sequence[int],
    setting: Setting | None,
) -> SupervisorContext:
    """Open the filesystems and make what the processes share; close all of it on failure."""
    with contextlib.ExitStack() as opened:
        handles = open_all(targets)
        opened.callback(close_all, handles)
        descriptors = SharedDescriptors.make()
        opened.callback(descriptors.close)
        kept = (descriptors, tuple(keep_open), setting)
        context = SupervisorContext(SharedState(len(handles)), Channels(), handles, post, *kept)
        opened.pop_all()
    return context
