# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The floor of a window: FIFREEZE of all at once, one warm request for a snapshot, FITHAW of all.

A program of its own that does this and nothing else, with its threads parked and its connection
warm. Its arguments are the address of the blob (by the environment, it holds a secret) and the
mount points; it prints the milliseconds from the first FIFREEZE to the end of the last FITHAW.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import http.client
import os
import sys
import threading
import time
from typing import Callable, List, Sequence
from urllib.parse import urlsplit

FIFREEZE = 0xC0045877
FITHAW = 0xC0045878


class Hands:
    """A parked thread for each filesystem; all do the same ioctl at once."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self._request = 0
        self._descriptors = descriptors
        self._begin = threading.Barrier(len(descriptors) + 1)
        self._end = threading.Barrier(len(descriptors) + 1)
        for descriptor in descriptors:
            threading.Thread(target=self._serve, args=(descriptor,), daemon=True).start()

    def all(self, request: int) -> None:
        """Do it on every filesystem and wait until all are done."""
        self._request = request
        self._begin.wait()
        self._end.wait()

    def _serve(self, descriptor: int) -> None:
        while True:
            self._begin.wait()
            with contextlib.suppress(OSError):
                fcntl.ioctl(descriptor, self._request, 0)
            self._end.wait()


def warm_request(url: str) -> Callable[[], None]:
    """A function that asks for a snapshot on a connection that is open and has been used."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    target = f"{parts.path}?{parts.query}"
    connection.request("HEAD", target)
    connection.getresponse().read()

    def ask() -> None:
        connection.request("PUT", f"{target}&comp=snapshot", b"", {"x-ms-meta-set": "floor"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 201:
            raise RuntimeError(f"The store answered {answer.status}.")

    return ask


def main(mounts: List[str]) -> None:
    """Measure once."""
    ask = warm_request(os.environ["QUIESCE_FLOOR_URL"])
    descriptors = [os.open(mount, os.O_RDONLY | os.O_DIRECTORY) for mount in mounts]
    hands = Hands(descriptors)
    libc = ctypes.CDLL(None)
    for descriptor in descriptors:
        libc.syncfs(descriptor)
    gc.disable()
    began = time.monotonic_ns()
    try:
        hands.all(FIFREEZE)
        ask()
    finally:
        hands.all(FITHAW)
    print((time.monotonic_ns() - began) / 1e6)


if __name__ == "__main__":
    main(sys.argv[1:])
