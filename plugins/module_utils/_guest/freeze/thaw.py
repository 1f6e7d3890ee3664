# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One worker thread per filesystem, which retries the thaw until it is proved.

An ioctl on one filesystem may block without limit. With a thread each, it does not delay the
others.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import queue
import signal
import threading
import time
from collections.abc import Sequence
from typing import Callable

from .. import syscalls
from .channels import Channels
from .mount_handles import MountHandle
from .rcu_expedited import Setting
from .shared_state import (
    GUARD,
    RUN,
    ExpediteState,
    FilesystemState,
    Heartbeat,
    SharedState,
    SupervisorState,
)

#: The pause between two attempts to thaw: at first, later, and the time after which it is later.
_RETRY_S = 0.02
_LATER_RETRY_S = 1.0
_LATER_S = 10.0
#: A filesystem whose device is lost may never thaw; the attempts end after this long.
_GIVE_UP_S = 3600.0
#: A guard that misses more polls than this is not relied on; at the higher number it is killed.
_SILENT_POLLS = 10
_STOPPED_POLLS = 60
_STACK_BYTES = 256 * 1024


class WorkerThread:
    """A thread that waits for jobs and runs them in order."""

    def __init__(self, name: str, *, takes_signals: bool = False) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._takes_signals = takes_signals
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        threading.stack_size(_STACK_BYTES)
        try:
            self._thread.start()
        finally:
            threading.stack_size(0)

    def do(self, job: Callable[[], None]) -> None:
        """Queue a job; it starts when those before it are done."""
        self._jobs.put(job)

    def _serve(self) -> None:
        if not self._takes_signals:
            # A signal must not interrupt an ioctl; the main thread takes the signals.
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            self._jobs.get()()


class ThawWorkers:
    """The threads of one process, one per filesystem, and the thaw that they carry out."""

    def __init__(
        self,
        actor: int,
        state: SharedState,
        handles: Sequence[MountHandle],
        channels: Channels,
        setting: Setting | None = None,
    ) -> None:
        self._actor = actor
        self._state = state
        self._handles = handles
        self._channels = channels
        self._setting = setting
        self._requested = False
        self.workers: tuple[WorkerThread, ...] = tuple(
            WorkerThread(f"filesystem-{index}") for index in range(len(handles))
        )
        self._setting_worker = WorkerThread("setting")

    def thaw(self) -> None:
        """Thaw, in the threads, each filesystem that this run froze or may have frozen.

        Must be called after the end of the window. Returns at once. A thread that is freezing its
        filesystem thaws it when FIFREEZE returns.
        """
        if self._requested:
            return
        self._requested = True
        for index, worker in enumerate(self.workers):
            worker.do(functools.partial(self._thaw, index))
        self._setting_worker.do(self.restore_setting)

    def restore_setting(self) -> None:
        """Retry to restore the setting that makes FIFREEZE short until that is proved."""
        if self._setting is not None and not self._state.expedite.resolved:
            restore = functools.partial(self._restore_once, self._setting)
            self._retry_until_resolved(self._state.expedite, restore)

    def _thaw(self, index: int) -> None:
        filesystem = self._state.filesystems[index]
        thaw = functools.partial(self._thaw_once, filesystem, self._handles[index])
        self._retry_until_resolved(filesystem, thaw)

    def _retry_until_resolved(
        self, target: FilesystemState | ExpediteState, attempt: Callable[[bool], None]
    ) -> None:
        """Repeat an attempt to undo what the guard did until it certainly is undone.

        FITHAW returns EINVAL while a FIFREEZE is at its beginning, and the freeze succeeds after
        that. So EINVAL is proof only if FIFREEZE had returned before. Proof of that is the guard's
        entry in the shared state, or the guard's end.

        While the guard ticks, it thaws by itself what it freezes late. Other processes do not try
        then, because an attempt could thaw the freeze of another program. In the same way, to
        restore the setting proves nothing while the guard may still turn it on.
        """
        heartbeat = Heartbeat(self._state.supervisors[GUARD])
        started = time.monotonic()
        while not target.resolved:
            returned = (
                not target.freezing or self._actor == GUARD or self._channels.has_exited(GUARD)
            )
            if returned or self._guard_is_silent(heartbeat):
                attempt(returned)
            if target.resolved:
                break
            spent = time.monotonic() - started
            if spent > _GIVE_UP_S:
                return
            time.sleep(_RETRY_S if spent < _LATER_S else _LATER_RETRY_S)
        # Wake the run once: a wake for each filesystem takes processor time from other threads.
        if self._state.over_ns and self._state.resolved:
            self._channels.wake(RUN)

    def _guard_is_silent(self, heartbeat: Heartbeat) -> bool:
        """Return True if a guard with a FIFREEZE in progress misses its heartbeat.

        Kill the guard if it misses more: it is stopped or hangs, and only its end proves that it
        will not call FIFREEZE any more.
        """
        missed = heartbeat.missed()
        if missed > _STOPPED_POLLS:
            kill_supervisor(self._state.supervisors[GUARD], self._channels.has_exited(GUARD))
        return missed > _SILENT_POLLS

    def _thaw_once(self, filesystem: FilesystemState, handle: MountHandle, returned: bool) -> None:
        thaw = filesystem.thaws[self._actor]
        if not handle.matches_target():
            return
        thaw.ended_ns = 0
        thaw.started_ns = time.monotonic_ns()
        result = syscalls.thaw(handle.descriptor)
        if result == errno.EINVAL and not returned:
            thaw.started_ns = 0
            return
        thaw.errno = result
        thaw.ended_ns = time.monotonic_ns()

    def _restore_once(self, setting: Setting, returned: bool) -> None:
        expedite = self._state.expedite
        result = setting.restore()
        if returned and not expedite.restored_ns:
            expedite.restore_errno = result
            expedite.restored_ns = time.monotonic_ns()


def kill_supervisor(supervisor: SupervisorState, has_exited: bool) -> None:
    """Kill a supervisor unless it has exited: until then no other process has its number."""
    if supervisor.pid > 1 and not has_exited:
        with contextlib.suppress(OSError):
            os.kill(supervisor.pid, signal.SIGKILL)
