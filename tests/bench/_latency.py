# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure on every CPU how late a program wakes up from a millisecond of sleep, during freezes.

It measures what the setting that makes FIFREEZE short does to the rest of the machine. Each CPU has
a program of its own, pinned to it and of the highest real-time priority, as `cyclictest` has.
At the same time filesystems are frozen and thawed repeatedly, much more often than by backups.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from typing import Any, Dict, Iterator

from tests.bench import _sleeper
from tests.bench._freeze import expedited
from tests.lab.disk import MIB, LoopDisk
from tests.lab.frozen import Guarded

_SECONDS = 15.0
_DISKS = 4
_PAUSE_S = 0.02


def measure() -> Iterator[Dict[str, Any]]:
    """Yield the JSON object of each case, all times in microseconds."""
    with contextlib.ExitStack() as stack:
        mounts = [
            stack.enter_context(LoopDisk(16 * MIB, "ext4")).mount_point for _disk in range(_DISKS)
        ]
        guarded = stack.enter_context(Guarded(mounts, 600))
        for work in ("nothing", "setting on", "freezes", "freezes, expedited"):
            with expedited(work in ("setting on", "freezes, expedited")):
                yield {"work": work, **_sleepers(guarded, work.startswith("freezes"))}


def _sleepers(guarded: Guarded, freezing: bool) -> Dict[str, Any]:
    cpus = sorted(os.sched_getaffinity(0))
    program = (sys.executable, "-I", "-S", _sleeper.__file__)
    running = [
        subprocess.Popen([*program, str(cpu), str(_SECONDS)], stdout=subprocess.PIPE)
        for cpu in cpus
    ]
    freezes, end = 0, time.monotonic() + _SECONDS
    while freezing and time.monotonic() < end:
        _freeze_once(guarded)
        freezes += 1
        time.sleep(_PAUSE_S)
    late = [number for one in running for number in json.loads(one.communicate()[0])]
    late.sort()
    at = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    found: Dict[str, Any] = {name: round(late[int(len(late) * part)]) for name, part in at.items()}
    return {**found, "max": round(late[-1]), "wakeups": len(late), "freezes": freezes}


def _freeze_once(guarded: Guarded) -> None:
    """Freeze all at once, as the guard does; then thaw them."""
    threads = [
        threading.Thread(target=guarded.freeze, args=(mount,)) for mount in guarded.mount_points
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mount in guarded.mount_points:
        guarded.thaw(mount)
