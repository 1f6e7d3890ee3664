# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Progress lines of running jobs: one for each change, and one a minute without a change."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import datetime
from typing import Callable, Optional

from ..._arm.clock import Clock
from ..._arm.times import format_duration
from ..resources.jobs import Job

#: A VM's name, the operation, its job if known, and whether the job is over.
Seen = tuple[str, str, Optional[Job], bool]
# With more VMs than this, one line counts the changes.
_EACH_ON_ITS_OWN = 8
_AGAIN_AFTER_S = 60.0


class ProgressReporter:
    """The progress lines of one task."""

    def __init__(self, say: Callable[[str], None], clock: Clock, count: int) -> None:
        self._say = say
        self._clock = clock
        self._counts_only = count > _EACH_ON_ITS_OWN
        self._began = clock.monotonic()
        self._reported: dict[str, tuple[Hashable, float]] = {}

    def report(self, seen: Sequence[Seen], now: datetime) -> None:
        """Write a line for each change; `now` is the service's time."""
        for name, operation, job, is_settled in seen:
            if not self._counts_only:
                line = f"{name}: {_line(operation, job, now)}"
                self._write(f"{operation} {name}", _state(job), line, is_settled)
            elif is_settled and job and job.is_over and not job.succeeded:
                self._write(
                    f"{operation} {name}",
                    _state(job),
                    f"{name}: {_line(operation, job, now)}",
                    True,
                )
        if self._counts_only:
            self._count(seen)

    def _count(self, seen: Sequence[Seen]) -> None:
        over = [job for _name, _operation, job, is_settled in seen if is_settled]
        failed = sum(1 for job in over if job and job.is_over and not job.succeeded)
        running = sum(1 for _name, _operation, job, is_settled in seen if job and not is_settled)
        parts = [f"{len(over)} of {len(seen)} over", f"{running} in progress"]
        if failed:
            parts.insert(1, f"{failed} failed")
        parts.append(format_duration(self._clock.monotonic() - self._began))
        operations = sorted({operation for _name, operation, _job, _is_settled in seen})
        line = f"{', '.join(operations)}: {', '.join(parts)}"
        self._write("", (len(over), failed, running), line, len(over) == len(seen))

    def _write(self, key: str, state: Hashable, line: str, is_last: bool) -> None:
        """Write the line if the state has changed, or was reported a minute ago."""
        now = self._clock.monotonic()
        before = self._reported.get(key)
        is_old = before is not None and now - before[1] >= _AGAIN_AFTER_S and not is_last
        if before is None or before[0] != state or is_old:
            self._reported[key] = (state, now)
            self._say(line)


def _state(job: Job | None) -> Hashable:
    if job is None:
        return None
    return (job.status, job.task, int(job.percent or 0) // 10)


def _line(operation: str, job: Job | None, now: datetime) -> str:
    if job is None:
        return f"{operation}: accepted, its job is not listed yet"
    parts = [f"{operation} {job.status}"]
    if job.task and not job.is_over:
        parts.append(job.task)
    if job.percent and not job.is_over:
        parts.append(f"{job.percent:.0f} %")
    end = job.end_time if job.is_over and job.end_time else now
    if job.start_time and end >= job.start_time:
        parts.append(format_duration((end - job.start_time).total_seconds()))
    return ", ".join(parts)
