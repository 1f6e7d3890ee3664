# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure how long writers wait: a separate process writes to each file at 1 kHz.

Its first file is a control on a filesystem that is never frozen. A pause of the control too comes
from the machine (scheduler, other load), not from the freeze. The pauses are in memory that both
processes share, so they can be read while a writer is stuck. Run as a program, this is the writer.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Callable, List, Sequence, Tuple

_PERIOD_S = 0.001
#: Gaps between two writes that are longer than this are kept.
_NOTABLE_NS = 5_000_000
_ROOM = 8192
_HEAD = struct.Struct(
    "qqqq"
)  # writes done, end of the last one, begin of the one under way, pauses
_PAUSE = struct.Struct("qq")
_SLOT = _HEAD.size + _ROOM * _PAUSE.size

Pause = Tuple[int, int]


def _do_nothing() -> None:
    """Do nothing."""


def overlap_ns(pause: Pause, others: Sequence[Pause]) -> int:
    """Return how much of the pause the others (which do not overlap each other) cover."""
    return sum(max(0, min(pause[1], end) - max(pause[0], begin)) for begin, end in others)


class StallWriter:
    """Writers to a file in each of these folders, in a process of their own; a context manager.

    `control` is a folder on a filesystem that no one freezes, such as `/dev/shm`.
    """

    def __init__(self, folders: Sequence[str], control: str = "/dev/shm") -> None:
        self.folders = list(folders)
        handle, self._control = tempfile.mkstemp(prefix="stall-", dir=control)
        os.close(handle)
        handle, self._board_file = tempfile.mkstemp(prefix="stall-board-", dir=control)
        os.ftruncate(handle, _SLOT * (len(self.folders) + 1))
        self._board = mmap.mmap(handle, 0)
        os.close(handle)
        files = [self._control, *(str(Path(folder) / ".stall") for folder in self.folders)]
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, self._board_file, *files],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self) -> StallWriter:
        limit = time.monotonic() + 60
        while any(self._head(slot)[0] < 3 for slot in range(len(self.folders) + 1)):
            if time.monotonic() > limit or self.process.poll() is not None:
                self.stop()
                raise RuntimeError("The writers did not begin to write.")
            time.sleep(0.01)
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self, limit_s: float = 60.0) -> None:
        """End the writers. Raises `RuntimeError` when one is still stuck after that time."""
        self.process.terminate()
        try:
            self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise RuntimeError("A writer is still stuck in a write.") from None
        finally:
            for path in (self._control, self._board_file):
                with contextlib.suppress(FileNotFoundError):
                    Path(path).unlink()

    def writes(self, folder: str) -> int:
        """Return how many writes to that folder's file are done."""
        return int(self._head(self._slot(folder))[0])

    def pauses(self, folder: str) -> List[Pause]:
        """Return the notable gaps between two writes, the one that lasts still included."""
        return self._pauses(self._slot(folder))

    def machine_pauses(self) -> List[Pause]:
        """Return the same of the control."""
        return self._pauses(0)

    def longest_ms(self, folder: str) -> float:
        """Return the longest pause that the folder's writer saw, as it saw it."""
        return max((end - begin for begin, end in self.pauses(folder)), default=0) / 1e6

    def longest_judged_ms(self, folder: str) -> float:
        """Return the longest pause less what of it the control saw too."""
        machine = self.machine_pauses()
        judged = (
            end - begin - overlap_ns((begin, end), machine) for begin, end in self.pauses(folder)
        )
        return max(judged, default=0) / 1e6

    def first_write_after(
        self,
        folder: str,
        limit_s: float,
        slow_s: float = math.inf,
        when_slow: Callable[[], None] = _do_nothing,
    ) -> float:
        """Return the seconds until a write that begins now is done, less the machine's own pauses.

        The result is infinite if no write ends within `limit_s`. `when_slow` is called once, if the
        write is not done after `slow_s`.
        """
        begin = time.monotonic_ns()
        # The write under way may have begun before; the second from now has begun after.
        wanted = self.writes(folder) + 2
        while self.writes(folder) < wanted:
            spent_s = (time.monotonic_ns() - begin) / 1e9
            if spent_s > limit_s:
                return math.inf
            if spent_s > slow_s:
                slow_s = math.inf
                when_slow()
            time.sleep(0.002)
        took = (begin, time.monotonic_ns())
        return (took[1] - took[0] - overlap_ns(took, self.machine_pauses())) / 1e9

    def _slot(self, folder: str) -> int:
        return self.folders.index(folder) + 1

    def _head(self, slot: int) -> Tuple[int, ...]:
        return _HEAD.unpack_from(self._board, slot * _SLOT)

    def _pauses(self, slot: int) -> List[Pause]:
        _current, last, busy_since, count = self._head(slot)
        base = slot * _SLOT + _HEAD.size
        found = [
            _PAUSE.unpack_from(self._board, base + index * _PAUSE.size)
            for index in range(min(count, _ROOM))
        ]
        now = time.monotonic_ns()
        if busy_since and last and now - last > _NOTABLE_NS:
            found.append((last, now))
        return [(int(begin), int(end)) for begin, end in found]


def _write(board: mmap.mmap, slot: int, path: str, stop: threading.Event) -> None:
    base = slot * _SLOT
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    done, pauses, last = 0, 0, 0
    while not stop.is_set():
        _HEAD.pack_into(board, base, done, last, time.monotonic_ns(), pauses)
        os.pwrite(handle, b"%08d" % done, 0)
        now = time.monotonic_ns()
        if last and now - last > _NOTABLE_NS:
            place = base + _HEAD.size + min(pauses, _ROOM - 1) * _PAUSE.size
            _PAUSE.pack_into(board, place, last, now)
            pauses = min(pauses + 1, _ROOM)
        last, done = now, done + 1
        _HEAD.pack_into(board, base, done, last, 0, pauses)
        time.sleep(_PERIOD_S)


def _main(board_file: str, *files: str) -> None:
    with Path(board_file).open("r+b") as opened:
        board = mmap.mmap(opened.fileno(), 0)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    for slot, path in enumerate(files):
        threading.Thread(target=_write, args=(board, slot, path, stop), daemon=True).start()
    parent = os.getppid()
    # Ends also when the test that started it is gone.
    while not stop.wait(0.2) and os.getppid() == parent:
        pass
    os._exit(0)


if __name__ == "__main__":
    _main(*sys.argv[1:])
