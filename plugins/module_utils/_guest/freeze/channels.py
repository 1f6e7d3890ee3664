# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pipes between the run, the guard and the watchdog.

One pipe for each process shows the others that it has exited. Only that process holds the write
end, and the kernel closes it when the last thread of the process has ended. That includes a thread
that was blocked in a system call when the process was killed.

Another pipe for each process wakes it; the shared state holds what it must do then.
"""

from __future__ import annotations

import contextlib
import os
import select

from .shared_state import ACTORS


class Channels:
    """All pipes, made before the processes are forked."""

    def __init__(self) -> None:
        self._alive = {actor: os.pipe() for actor in ACTORS}
        self._wake = {actor: os.pipe() for actor in ACTORS}
        for ends in self._wake.values():
            for end in ends:
                os.set_blocking(end, False)
        self._open: set[int] = {
            end for ends in (*self._alive.values(), *self._wake.values()) for end in ends
        }

    def keep_only(self, actor: int) -> None:
        """Close the ends that the process `actor`, which calls this, must not hold."""
        for other, (reader, writer) in self._alive.items():
            self._close(reader if other == actor else writer)

    def close(self) -> None:
        """Close all ends."""
        for end in tuple(self._open):
            self._close(end)

    @property
    def descriptors(self) -> set[int]:
        """The open ends."""
        return set(self._open)

    def has_exited(self, actor: int) -> bool:
        """Return True if another process has ended with all its threads."""
        reader = self._alive[actor][0]
        if reader not in self._open:
            return True
        poll = select.poll()
        poll.register(reader, 0)
        return bool(poll.poll(0))

    def wake(self, actor: int) -> None:
        """Wake a process; never blocks."""
        end = self._wake[actor][1]
        # A late thread may call this after `close`; the number may then belong to another file.
        if end in self._open:
            with contextlib.suppress(OSError):
                os.write(end, b".")

    def wait(self, actor: int, timeout_ms: float, watched: set[int]) -> set[int]:
        """Wait until `actor` is woken, one of the `watched` processes ends or the time is up.

        Return the processes that have ended. The timeout runs on the monotonic clock, so a step of
        the wall clock has no effect.
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
