# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parked threads, one a filesystem, and the thaw that does not give up.

PRIVATE: for this collection only. An ioctl on one filesystem may block without limit; with a thread
each, it keeps nothing from the others.
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
from typing import Callable, Optional, Sequence, Tuple, Union

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

#: Between two tries to thaw what does not thaw: at first, later, and when the first part ends.
_AGAIN_S = 0.02
_LATER_AGAIN_S = 1.0
_LATER_S = 10.0
#: A filesystem whose device is lost may never thaw; nobody can do more after this long.
_GIVE_UP_S = 3600.0
#: A guard that has not turned at so many looks is not relied on; at so many it is killed.
_SILENT_LOOKS = 10
_STOPPED_LOOKS = 60
_STACK_BYTES = 256 * 1024


class WorkerThread:
    """A thread that waits for work and does it piece by piece."""

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
        """Queue one piece of work; it starts when those before it are done."""
        self._jobs.put(job)

    def _serve(self) -> None:
        if not self._takes_signals:
            # A signal must not interrupt an ioctl; the main thread takes them.
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            self._jobs.get()()


class ThawWorkers:
    """One process's line of defence: its thread for each filesystem, and their thaw."""

    def __init__(
        self,
        actor: int,
        state: SharedState,
        handles: Sequence[MountHandle],
        channels: Channels,
        setting: Optional[Setting] = None,
    ) -> None:
        self._actor = actor
        self._state = state
        self._handles = handles
        self._channels = channels
        self._setting = setting
        self._ordered = False
        self.workers: Tuple[WorkerThread, ...] = tuple(
            WorkerThread(f"filesystem-{index}") for index in range(len(handles))
        )
        self._last_hand = WorkerThread("setting")

    def thaw(self) -> None:
        """Have every filesystem thawed that this run froze or may have frozen.

        To be called when the window is over. Returns at once. A thread that is freezing its
        filesystem right now thaws it when FIFREEZE returns.
        """
        if self._ordered:
            return
        self._ordered = True
        for index, worker in enumerate(self.workers):
            worker.do(functools.partial(self._thaw, index))
        self._last_hand.do(self.put_back)

    def put_back(self) -> None:
        """Put the setting back that makes FIFREEZE short, until it certainly is."""
        if self._setting is not None and not self._state.boost.resolved:
            self._insist(self._state.boost, functools.partial(self._put_back, self._setting))

    def _thaw(self, index: int) -> None:
        filesystem = self._state.filesystems[index]
        self._insist(filesystem, functools.partial(self._try, filesystem, self._handles[index]))

    def _insist(
        self, what: Union[FilesystemState, ExpediteState], attempt: Callable[[bool], None]
    ) -> None:
        """Try to undo what the guard did until it certainly is undone.

        FITHAW answers EINVAL while a FIFREEZE is at its beginning, and the freeze succeeds after
        that. So EINVAL proves something only when FIFREEZE had returned before, which the guard
        noted, or which its end shows. While the guard turns, it thaws by itself what it freezes
        late: then nobody else needs to try, and to try could thaw what a stranger froze. What is
        put back while the guard may yet set it proves as little.
        """
        heartbeat = Heartbeat(self._state.supervisors[GUARD])
        started = time.monotonic()
        while not what.resolved:
            returned = not what.freezing or self._actor == GUARD or self._channels.has_exited(GUARD)
            if returned or self._guard_is_silent(heartbeat):
                attempt(returned)
            if what.resolved:
                break
            spent = time.monotonic() - started
            if spent > _GIVE_UP_S:
                return
            time.sleep(_AGAIN_S if spent < _LATER_S else _LATER_AGAIN_S)
        # Once for all: to wake the run for each takes processor time from the others.
        if self._state.over_ns and self._state.resolved:
            self._channels.wake(RUN)

    def _guard_is_silent(self, heartbeat: Heartbeat) -> bool:
        """Whether a guard with a FIFREEZE under way has not turned for a while.

        After a longer while it is killed: it is stopped or hangs, and only its end proves that no
        FIFREEZE of it is still to come.
        """
        looks = heartbeat.missed()
        if looks > _STOPPED_LOOKS:
            kill_supervisor(self._state.supervisors[GUARD], self._channels.has_exited(GUARD))
        return looks > _SILENT_LOOKS

    def _try(self, filesystem: FilesystemState, handle: MountHandle, returned: bool) -> None:
        note = filesystem.thaws[self._actor]
        if not handle.matches_target():
            return
        note.ended_ns = 0
        note.started_ns = time.monotonic_ns()
        answer = syscalls.thaw(handle.descriptor)
        if answer == errno.EINVAL and not returned:
            note.started_ns = 0
            return
        note.errno = answer
        note.ended_ns = time.monotonic_ns()

    def _put_back(self, setting: Setting, returned: bool) -> None:
        boost = self._state.boost
        answer = setting.put_back()
        if returned and not boost.back_ns:
            boost.back_errno = answer
            boost.back_ns = time.monotonic_ns()


def kill_supervisor(note: SupervisorState, gone: bool) -> None:
    """Kill a supervisor; while it is not gone, its number certainly is its own."""
    if note.pid > 1 and not gone:
        with contextlib.suppress(OSError):
            os.kill(note.pid, signal.SIGKILL)
