# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The result of a run, as the module returns it.

Times in the result are milliseconds. A moment is counted from the start of the run.
"""

from __future__ import annotations

from typing import Any

from ..model import NOT_FROZEN, FilesystemRecord, ScriptOutcome, Target
from .cleanup import left_behind
from .record import RunRecord
from .verdict import in_window, is_complete, judge, window_of


def build(record: RunRecord) -> dict[str, Any]:
    """Return the result; a failed run has the same keys, as far as they are known."""
    verdict = judge(record)
    return {
        "consistency": verdict.consistency,
        "evidence": {name: item.to_result() for name, item in verdict.evidence.items()},
        "snapshot_set": _snapshot_set(record),
        "started_ns": record.started_ns,
        "disks": _disks(record),
        "freeze": _freeze(record),
        "scripts": {
            "pre": _script(record.pre),
            "post": _script(record.post),
        },
        "phases": [
            {
                "name": phase.name,
                "start_ms": _ms(phase.started_ns - record.started_ns),
                "duration_ms": _ms(phase.ended_ns - phase.started_ns),
            }
            for phase in record.phases
        ],
        "protection": record.protection,
        "warnings": list(record.warnings),
        "failure": _failure(record),
    }


def _ms(nanoseconds: int) -> float:
    return round(nanoseconds / 1e6, 3)


def _moment(record: RunRecord, moment_ns: int | None) -> float | None:
    return None if moment_ns is None else _ms(moment_ns - record.started_ns)


def _span(start_ns: int | None, end_ns: int | None) -> float | None:
    return None if start_ns is None or end_ns is None else _ms(end_ns - start_ns)


def _failure(record: RunRecord) -> dict[str, Any] | None:
    failure = record.failure or record.degraded_by
    return failure.to_result() if failure else None


def _snapshot_set(record: RunRecord) -> dict[str, Any]:
    return {
        "id": record.request.set_id,
        "task_id": record.request.task_id,
        "complete": is_complete(record),
        "labels": dict(record.labels),
        "left_behind": left_behind(record),
        "not_discarded": dict(record.not_discarded),
    }


def _disks(record: RunRecord) -> Any:
    outcomes = {outcome.disk: outcome for outcome in record.outcomes}
    window = window_of(record.filesystems)
    existing = set(left_behind(record))
    disks = []
    for disk in record.request.disks:
        outcome = outcomes.get(disk.name)
        disks.append(
            {
                "name": disk.name,
                "lun": disk.lun,
                "snapshot": outcome.snapshot if outcome and disk.name in existing else None,
                "uri": outcome.uri if outcome and disk.name in existing else None,
                "requested_ms": _moment(record, outcome.request_ns) if outcome else None,
                "acknowledged_ms": _moment(record, outcome.acknowledged_ns) if outcome else None,
                "in_window": in_window(outcome, window) if outcome and record.will_freeze else None,
                "unknown": bool(outcome and outcome.unknown),
                "failure": outcome.failure.to_result() if outcome and outcome.failure else None,
            }
        )
    return disks


def _freeze(record: RunRecord) -> dict[str, Any]:
    window = window_of(record.filesystems)
    if record.filesystems:
        filesystems = [_filesystem(record, frozen) for frozen in record.filesystems]
    else:
        filesystems = [_planned(target) for target in record.targets]
    return {
        "window_ms": _ms(window.closed_ns - window.opened_ns) if window else None,
        "frozen_ms": _ms(window.thaw_ns - window.frozen_ns) if window else None,
        "timeout_s": record.request.freeze_timeout_s,
        "expedited": dict(record.expedited),
        "filesystems": filesystems,
    }


def _filesystem(record: RunRecord, frozen: FilesystemRecord) -> dict[str, Any]:
    return {
        **_planned(frozen.target),
        "outcome": frozen.outcome,
        "freeze_ms": _span(frozen.freeze_started_ns, frozen.frozen_ns),
        "thaw_ms": _span(frozen.thaw_started_ns, frozen.thawed_ns),
        "frozen_at_ms": _moment(record, frozen.frozen_ns),
        "thawed_at_ms": _moment(record, frozen.thawed_ns),
        "thawed_by": frozen.thawed_by,
    }


def _planned(target: Target) -> dict[str, Any]:
    return {
        "mount_point": target.mount_point,
        "device": target.device,
        "type": target.fstype,
        "outcome": NOT_FROZEN,
        "freeze_ms": None,
        "thaw_ms": None,
        "frozen_at_ms": None,
        "thawed_at_ms": None,
        "thawed_by": None,
    }


def _script(outcome: ScriptOutcome | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    return {
        "succeeded": outcome.succeeded,
        "attempts": outcome.attempts,
        "rc": outcome.rc,
        "duration_ms": round(outcome.duration_ms, 3),
        "timed_out": outcome.timed_out,
        "not_started": outcome.not_started,
        "tail": outcome.tail,
        "run_by": outcome.run_by,
    }
