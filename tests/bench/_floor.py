# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The floor of a window: FIFREEZE of all at once, one warm request for a snapshot, FITHAW of all.

A separate program that does only this, with its threads parked and its connections warm. Its
arguments are the mount points; the addresses of the blobs are in the environment, because they hold
secrets. With several addresses all requests are sent at once: that is not the floor, but the time
that the store needs for them. It prints the milliseconds from the first FIFREEZE to the end of the
last FITHAW.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import gc
import http.client
import json
import os
import sys
import threading
import time
from typing import Callable, List, Sequence
from urllib.parse import urlsplit

FIFREEZE = 0xC0045877
FITHAW = 0xC0045878


class Hands:
    """A parked thread for each piece of work; all do theirs at once."""

    def __init__(self, works: Sequence[Callable[[], object]]) -> None:
        self._begin = threading.Barrier(len(works) + 1)
        self._end = threading.Barrier(len(works) + 1)
        self._failed = False
        for work in works:
            threading.Thread(target=self._serve, args=(work,), daemon=True).start()

    def all(self) -> None:
        """Have all of it done and wait; raises when some of it failed."""
        self._begin.wait()
        self._end.wait()
        if self._failed:
            raise RuntimeError("A piece of the work failed.")

    def _serve(self, work: Callable[[], object]) -> None:
        while True:
            self._begin.wait()
            try:
                work()
            except (OSError, RuntimeError, http.client.HTTPException):
                self._failed = True
            self._end.wait()


def warm_request(url: str) -> Callable[[], None]:
    """Return a function that asks for a snapshot on a connection that is open and has been used."""
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
    asks = [warm_request(url) for url in json.loads(os.environ["QUIESCE_FLOOR_URLS"])]
    descriptors = [os.open(mount, os.O_RDONLY | os.O_DIRECTORY) for mount in mounts]
    freeze, thaw = (
        Hands(
            [functools.partial(fcntl.ioctl, descriptor, request, 0) for descriptor in descriptors]
        )
        for request in (FIFREEZE, FITHAW)
    )
    ask = asks[0] if len(asks) == 1 else Hands(asks).all
    libc = ctypes.CDLL(None)
    for descriptor in descriptors:
        libc.syncfs(descriptor)
    gc.disable()
    began = time.monotonic_ns()
    try:
        freeze.all()
        ask()
    finally:
        thaw.all()
    print((time.monotonic_ns() - began) / 1e6)


if __name__ == "__main__":
    main(sys.argv[1:])
