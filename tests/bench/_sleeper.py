# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program that sleeps for a millisecond at a time on one CPU, and says how late it woke up.

Its arguments are the CPU and for how many seconds; it prints a JSON list of microseconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import List

_STEP_NS = 1_000_000


def sleep(cpu: int, seconds: float) -> List[float]:
    """Sleep on this CPU for so long, a millisecond at a time; how late each waking was, in us."""
    os.sched_setaffinity(0, {cpu})
    priority = os.sched_get_priority_max(os.SCHED_FIFO)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    late = []
    end = time.monotonic_ns() + int(seconds * 1e9)
    while (now := time.monotonic_ns()) < end:
        due = now + _STEP_NS
        time.sleep(_STEP_NS / 1e9)
        late.append((time.monotonic_ns() - due) / 1e3)
    return late


if __name__ == "__main__":
    print(json.dumps(sleep(int(sys.argv[1]), float(sys.argv[2]))))
