# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pipes between the run, the guard and the watchdog.

PRIVATE: for this collection only. One pipe for each process tells the others that it is gone: only
that process holds the writing end, and the kernel closes it when the last of its threads has ended,
also one that was blocked in a system call when the process was killed. Another pipe for each wakes
it; what is to be done then stands on the board.
"""

from __future__ import annotations

import contextlib
import os
import select
from typing import Set

from .shared_state import ACTORS


class Channels:
    """All pipes; made before the processes part."""

    def __init__(self) -> None:
        self._alive = {actor: os.pipe() for actor in ACTORS}
        self._wake = {actor: os.pipe() for actor in ACTORS}
        for ends in self._wake.values():
            for end in ends:
                os.set_blocking(end, False)
        self._open: Set[int] = {
            end for ends in (*self._alive.values(), *self._wake.values()) for end in ends
        }

    def keep_only(self, actor: int) -> None:
        """Close the ends that this process must not hold, now that it is C(actor)."""
        for other, (reader, writer) in self._alive.items():
            self._close(reader if other == actor else writer)

    def close(self) -> None:
        """Close all ends."""
        for end in tuple(self._open):
            self._close(end)

    @property
    def descriptors(self) -> Set[int]:
        """The ends that are open."""
        return set(self._open)

    def has_exited(self, actor: int) -> bool:
        """Whether another process has ended with all its threads."""
        reader = self._alive[actor][0]
        if reader not in self._open:
            return True
        poll = select.poll()
        poll.register(reader, 0)
        return bool(poll.poll(0))

    def wake(self, actor: int) -> None:
        """Wake a process; never blocks."""
        end = self._wake[actor][1]
        # A thread that was late may ring when all is over, and the number be another file's.
        if end in self._open:
            with contextlib.suppress(OSError):
                os.write(end, b".")

    def wait(self, actor: int, timeout_ms: float, watched: Set[int]) -> Set[int]:
        """Wait until C(actor) is woken, one of the C(watched) processes ends or the time is up.

        Returns those that have ended. Times run on the kernel's monotonic clock: a step of the wall
        clock changes nothing.
        """
        poll = select.poll()
        by_end = {self._alive[other][0]: other for other in watched}
        for end in by_end:
            poll.register(end, 0)
        own = self._wake[actor][0]
        poll.register(own, select.POLLIN)
        ended = set()
        for descriptor, _event in poll.poll(max(timeout_ms, 0)):
            if descriptor != own:
                ended.add(by_end[descriptor])
                continue
            with contextlib.suppress(BlockingIOError):
                os.read(descriptor, 4096)
        return ended

    def _close(self, end: int) -> None:
        if end in self._open:
            self._open.discard(end)
            os.close(end)
