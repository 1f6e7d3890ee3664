# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A workload that never stops on its own: it appends numbered records and syncs each to the disk.

On every disk a `steady` writer appends to a file of its own and is never paused. The `ledger`
stands for an application: it appends each record to its file on every disk, one disk after the
other, and a script can pause it. What was acknowledged is kept in memory, with the times at which
each record was begun and acknowledged, on the system's monotonic clock. Run as a program, this is
the workload's process; `ask` speaks to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import socketserver
import sys
import threading
import time
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Sequence

_RECORD = b"%015d\n"
_SIZE = 16
STEADY, LEDGER = "steady", "ledger"


@dataclass(frozen=True)
class History:
    """The records of one writer; the last one may be begun and not acknowledged."""

    begun_ns: List[int]
    acknowledged_ns: List[int]

    def acknowledged_before(self, ns: int) -> int:
        """Return how many records were acknowledged before this moment."""
        return sum(1 for one in self.acknowledged_ns if one < ns)

    def begun_before(self, ns: int) -> int:
        """Return how many records were begun before this moment."""
        return sum(1 for one in self.begun_ns if one < ns)


def records(file: Path) -> int:
    """Return the number of records in the file; raises `ValueError` if a record is damaged."""
    data = file.read_bytes()
    count = len(data) // _SIZE
    if data != b"".join(_RECORD % number for number in range(count)):
        raise ValueError(f"{file} holds something else than the records 0 to {count - 1}.")
    return count


def ask(address: str, question: str) -> Dict[str, Any]:
    """Ask the workload's process: `pause`, `resume`, `count`, `history` or `stop`."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        sock.connect(address)
        sock.sendall(question.encode() + b"\n")
        with sock.makefile("rb") as answer:
            found: Dict[str, Any] = json.loads(answer.readline())
            return found


class Workload:
    """The workload in a process of its own, on these folders; a context manager.

    `folder` holds its socket and its log, on a filesystem that is never frozen.
    """

    def __init__(self, disks: Sequence[Path], folder: Path) -> None:
        self.disks = [str(disk) for disk in disks]
        self.address = str(folder / "workload.socket")
        self._log = folder / "workload.log"

    def __enter__(self) -> Workload:
        from tests.lab._process import start, stop, wait_until

        argv = [sys.executable, "-I", "-S", __file__, self.address, *self.disks]
        self.process = start(argv, self._log)
        try:
            wait_until("the workload writes", self._writes, process=self.process, log=self._log)
        except BaseException:
            stop(self.process)
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        from tests.lab._process import stop

        stop(self.process, limit_s=60)

    def _writes(self) -> bool:
        with contextlib.suppress(OSError):
            return all(count >= 3 for count in self.counts().values())
        return False

    def counts(self) -> Dict[str, int]:
        """Return how many records each writer has acknowledged."""
        return ask(self.address, "count")

    def pause(self) -> int:
        """Pause the ledger; how many records it has, the same on all disks."""
        return int(ask(self.address, "pause")["count"])

    def resume(self) -> None:
        """Let the ledger go on."""
        ask(self.address, "resume")

    def history(self) -> Dict[str, History]:
        """Return all records, by writer: `ledger`, and `steady` and the folder for each disk.

        Raises `RuntimeError` when a writer failed.
        """
        found = ask(self.address, "history")
        if found["errors"]:
            raise RuntimeError(f"The workload failed: {found['errors']}")
        return {name: History(*times) for name, times in found["writers"].items()}


class _Writer:
    """One writer: a thread that appends the next record to each of its files, and syncs it."""

    def __init__(self, name: str, files: Sequence[str]) -> None:
        self.name = name
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fds = [os.open(file, flags, 0o600) for file in files]
        for file in files:
            fd = os.open(Path(file).parent, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
        self.begun, self.acknowledged = array("q"), array("q")
        self.error = ""
        self.stopping = False
        self._may_write = threading.Event()
        self._may_write.set()
        self._idle = threading.Condition()
        self._busy = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            while not self.stopping:
                if not self._may_write.wait(0.2):
                    continue
                with self._idle:
                    self._busy = self._may_write.is_set()
                if self._busy:
                    self._append()
                with self._idle:
                    self._busy = False
                    self._idle.notify_all()
        except OSError as exc:
            self.error = f"{self.name}: {exc}"

    def _append(self) -> None:
        record = _RECORD % len(self.begun)
        self.begun.append(time.monotonic_ns())
        for fd in self._fds:
            os.write(fd, record)
            os.fdatasync(fd)
        self.acknowledged.append(time.monotonic_ns())

    def pause(self) -> None:
        """Return when no record is under way and none will be begun."""
        self._may_write.clear()
        with self._idle:
            self._idle.wait_for(lambda: not self._busy)

    def resume(self) -> None:
        self._may_write.set()


class _Process:
    """Code of the workload's process."""

    def __init__(self, disks: Sequence[str]) -> None:
        self._ledger = _Writer(LEDGER, [f"{disk}/{LEDGER}" for disk in disks])
        self._writers = [self._ledger]
        self._writers += [_Writer(f"{STEADY} {disk}", [f"{disk}/{STEADY}"]) for disk in disks]

    def answer(self, question: str) -> Dict[str, Any]:
        if question == "pause":
            self._ledger.pause()
            return {"count": len(self._ledger.acknowledged)}
        if question == "resume":
            self._ledger.resume()
            return {"count": len(self._ledger.acknowledged)}
        if question == "count":
            return {one.name: len(one.acknowledged) for one in self._writers}
        if question == "history":
            return {
                "errors": [one.error for one in self._writers if one.error],
                # The acknowledgements first: none of them may lack its beginning.
                "writers": {
                    one.name: list(reversed([one.acknowledged.tolist(), one.begun.tolist()]))
                    for one in self._writers
                },
            }
        return {"error": f"unknown question: {question}"}

    def stop(self) -> None:
        for one in self._writers:
            one.stopping = True
        for one in self._writers:
            one.thread.join(55)


def _main(address: str, *disks: str) -> None:
    work = _Process(disks)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            question = self.rfile.readline().decode().strip()
            self.wfile.write(json.dumps(work.answer(question)).encode() + b"\n")

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Server(address, Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        while not stop.wait(0.5):
            pass
    work.stop()
    os._exit(0)


if __name__ == "__main__":
    _main(*sys.argv[1:])
