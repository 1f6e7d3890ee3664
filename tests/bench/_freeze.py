# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure how long everything is frozen, beside the floors and the plain way."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.rcu_expedited import (
    ON,
    Setting,
)
from tests.bench import _floor, _plain
from tests.lab.azurite import Azurite
from tests.lab.disk import MIB, LoopDisk
from tests.lab.frozen import Guarded
from tests.lab.module_run import run_module
from tests.lab.own_lock import own_lock
from tests.lab.proxy import FaultProxy
from tests.lab.stall import StallWriter, overlap_ns

#: The plain way is measured for these numbers of disks, without latency.
_PLAIN = (1, 4, 16)
_BLOB_SIZE = MIB


class Bench:
    """Disks, blobs and a writer, on which the same work is done in three ways."""

    def __init__(self, azurite: Azurite, disks: int, latency_ms: int) -> None:
        self.azurite, self.latency_ms, self.size = azurite, latency_ms, disks
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Bench:
        with contextlib.ExitStack() as stack:
            self.disks = [
                stack.enter_context(LoopDisk(16 * MIB, "ext4")) for _disk in range(self.size)
            ]
            self.mounts = [disk.mount_point for disk in self.disks]
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/var/lib")))
            self._blobs(stack)
            # One writer: more of them would only measure each other.
            self.writer = stack.enter_context(StallWriter(self.mounts[:1]))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _blobs(self, stack: contextlib.ExitStack) -> None:
        container = f"bench-{time.monotonic_ns()}"
        signed = [
            self.azurite.sas(self.azurite.page_blob(f"disk{index}", _BLOB_SIZE, container))
            for index in range(self.size)
        ]
        if self.latency_ms:
            latency_s = self.latency_ms / 1000
            proxy = stack.enter_context(FaultProxy(self.azurite.account_url, latency_s))
            signed = [proxy.url(url) for url in signed]
        self.urls = signed

    @contextlib.contextmanager
    def longest(self) -> Iterator[List[float]]:
        """Yield a list that gets the longest pause of the writer, in milliseconds.

        Pauses of the writer on a filesystem that is never frozen come from the machine.
        """
        found: List[float] = []
        began = time.monotonic_ns()
        yield found
        machine = self.writer.machine_pauses()
        pauses = [
            end - begin - overlap_ns((begin, end), machine)
            for begin, end in self.writer.pauses(self.mounts[0])
            if end > began
        ]
        found.append(max(pauses, default=0) / 1e6)

    def ours(self, expedite: bool) -> Tuple[float, float, float]:
        """Run `vm_snapshot`; return the window, its frozen part and the writer's pause in ms."""
        disks = [
            {"name": f"disk{index}", "blob_uri": url, "device": str(self.disks[index].device)}
            for index, url in enumerate(self.urls)
        ]
        options: Dict[str, Any] = {
            "disks": disks,
            "freeze": self.mounts,
            "config_path": str(self.folder / "none.json"),
            "freeze_timeout": 30,
            "expedite": "yes" if expedite else "no",
        }
        with Guarded(self.mounts, 120), self.longest() as pause:
            done = run_module("vm_snapshot", options, prefix=own_lock(self.folder / "locks"))
        if done.failed:
            raise RuntimeError(f"vm_snapshot failed: {done.result.get('msg')} {done.stderr}")
        if done["consistency"] != "file-system":
            raise RuntimeError(f"vm_snapshot reached only {done['consistency']}")
        if done["freeze"]["expedited"]["used"] is not expedite:
            raise RuntimeError(f"expedite: {done['freeze']['expedited']['words']}")
        return done["freeze"]["window_ms"], done["freeze"]["frozen_ms"], pause[0]

    def floor(self, expedite: bool, requests: int = 1) -> float:
        """Run the floor once with `requests` requests to the store; return its ms."""
        with Guarded(self.mounts, 120), expedited(expedite):
            done = subprocess.run(
                [sys.executable, "-I", "-S", _floor.__file__, *self.mounts],
                env={**os.environ, "QUIESCE_FLOOR_URLS": json.dumps(self.urls[:requests])},
                check=True,
                capture_output=True,
                text=True,
                timeout=300,
            )
        return float(done.stdout)

    def plain(self) -> float:
        """Once by a playbook of plain tasks: what the writer on the first filesystem saw, in ms."""
        with Guarded(self.mounts, 300), self.longest() as pause:
            _plain.run(self.folder, self.mounts, self.urls)
        return pause[0]


@contextlib.contextmanager
def expedited(wanted: bool) -> Iterator[None]:
    """Within it the kernel expedites grace periods of RCU, if that is wanted."""
    setting = Setting("yes" if wanted else "no")
    try:
        if wanted and setting.turn_on() != ON:
            raise RuntimeError("rcu_expedited is not free to be used")
        yield
    finally:
        setting.restore()
        setting.close()


def measure(
    azurite: Azurite, disks: int, latency_ms: int, runs: int, plain: bool
) -> Dict[str, Any]:
    """Return one case: the JSON object of its line. All times in milliseconds."""
    with Bench(azurite, disks, latency_ms) as bench:
        sides = {False: _Side(), True: _Side()}
        for run in range(runs + 1):
            # In turns, so that what else the machine does meets all; the first one warms up.
            for expedite, side in sides.items():
                found = (
                    *bench.ours(expedite),
                    bench.floor(expedite),
                    bench.floor(expedite, disks),
                )
                if run:
                    side.add(*found)
        line: Dict[str, Any] = {
            "disks": disks,
            "latency_ms": latency_ms,
            "runs": runs,
            "normal": sides[False].line(),
            "expedited": sides[True].line(),
        }
        if plain or (disks in _PLAIN and not latency_ms):
            line["plain_ms"] = round(bench.plain(), 1)
    return line


class _Side:
    """The measurements with the setting, or without it."""

    def __init__(self) -> None:
        self._windows: List[float] = []
        self._frozen: List[float] = []
        self._pauses: List[float] = []
        self._floors: List[float] = []
        self._stores: List[float] = []

    def add(self, window: float, frozen: float, pause: float, floor: float, store: float) -> None:
        """Add a run of each."""
        self._windows.append(window)
        self._frozen.append(frozen)
        self._pauses.append(pause)
        self._floors.append(floor)
        self._stores.append(store)

    def line(self) -> Dict[str, Any]:
        """Return the medians, and how far the windows and the pauses were apart."""
        window, floor, store = (
            statistics.median(values) for values in (self._windows, self._floors, self._stores)
        )
        return {
            "window_ms": _three(self._windows),
            "floor_ms": round(floor, 2),
            # With a request for every disk, all at once: what this store needs for that.
            "floor_all_ms": round(store, 2),
            "ratio": round(window / floor, 2),
            "ratio_all": round(window / store, 2),
            "frozen_ms": round(statistics.median(self._frozen), 2),
            "stall_ms": _three(self._pauses),
        }


def _three(values: Sequence[float]) -> Dict[str, float]:
    return {
        "median": round(statistics.median(values), 2),
        "min": round(min(values), 2),
        "max": round(max(values), 2),
    }
