# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resolve unknown snapshots after the thaw, and discard or keep partial and late sets."""

from __future__ import annotations

from dataclasses import replace

from ..._consistency import NONE, reaches
from ..._errors import Failure
from ..._stores.store import SnapshotOutcome, Store
from .record import DISCARD, RunRecord
from .verdict import in_window, is_complete, judge, taken_after_resume, window_of


def resolve_unknown(record: RunRecord, store: Store | None, limit_s: float) -> None:
    """Resolve unknown snapshots, discard or keep a partial or late set, then require."""
    if store is not None and record.outcomes:
        if any(outcome.unknown for outcome in record.outcomes):
            try:
                record.outcomes = tuple(store.resolve_unknown(record.outcomes, limit_s))
            except Exception as error:  # the cleanup that follows must still happen
                record.warn(f"The store could not resolve the unknown requests: {error}")
        failure = _set_failure(record)
        if failure is not None:
            _discard_or_keep(record, store, failure)
    _require(record)


def _set_failure(record: RunRecord) -> Failure | None:
    """Return the failure of a partial or late set; None for a whole set taken in time."""
    failed = [outcome for outcome in record.outcomes if outcome.snapshot is None]
    if failed:
        first = next((outcome.failure for outcome in failed if outcome.failure is not None), None)
        first = first or Failure("SnapshotFailed", "", "Read the store's own log.")
        details = " ".join(_details(outcome) for outcome in failed)
        count = f"{len(failed)} of {len(record.request.disks)}"
        return replace(first, message=f"{count} snapshots were not taken. {details}")
    late = taken_after_resume(record) if record.has_scripts and not record.crash_fallback else []
    if late:
        return Failure(
            "SnapshotTooLate",
            f"Snapshots were acknowledged only when the post-script was due, too late to show the "
            f"paused application: {', '.join(late)}.",
            "Find out what slows the store or the network, or increase freeze_timeout.",
        )
    window = window_of(record.filesystems)
    if not record.will_freeze or window is None:
        return None
    late = [outcome.disk for outcome in record.outcomes if not in_window(outcome, window)]
    if late:
        return Failure(
            "SnapshotTooLate",
            f"Snapshots were acknowledged only after the thaw, too late to show frozen "
            f"filesystems: {', '.join(late)}.",
            "Find out what slows the store or the network, or increase freeze_timeout.",
        )
    return None


def _details(outcome: SnapshotOutcome) -> str:
    details = outcome.failure.message if outcome.failure else "no snapshot exists."
    if outcome.unknown:
        details += " A snapshot may exist or still appear. Search for it by its labels."
    return f"{outcome.disk}: {details}"


def _discard_or_keep(record: RunRecord, store: Store, failure: Failure) -> None:
    """Discard a partial or late set and fail the run, or keep and report it."""
    existing = [outcome for outcome in record.outcomes if outcome.snapshot is not None]
    if record.request.on_partial == DISCARD:
        if existing:
            try:
                record.not_discarded = dict(store.discard(existing))
            except Exception as error:
                record.not_discarded = {outcome.disk: str(error) for outcome in existing}
        record.discarded = True
        record.fail(failure)
    elif is_complete(record):
        record.degrade(failure)
    else:
        record.fail(failure)


def left_behind(record: RunRecord) -> list[str]:
    """Return the names of the disks whose snapshots exist in the store."""
    return [
        outcome.disk
        for outcome in record.outcomes
        if outcome.snapshot is not None
        and (not record.discarded or outcome.disk in record.not_discarded)
    ]


def _require(record: RunRecord) -> None:
    """Fail a run that reached less than is required; each run must take a whole set."""
    reached = judge(record).consistency
    required = record.request.require_consistency
    if record.failure is not None:
        return
    if reached == NONE:
        action = "Read evidence and warnings in this result."
        record.fail(Failure("NoSnapshot", "No snapshot was taken.", action))
    elif required and not reaches(reached, required):
        cause = record.degraded_by
        record.fail(
            Failure(
                "ConsistencyTooLow",
                f"The snapshots are {reached}-consistent, and {required} is required."
                + (f" {cause.message}" if cause else "")
                + " They were kept; snapshot_set of this result lists them.",
                cause.recommended_action if cause else "Read evidence in this result.",
            )
        )
