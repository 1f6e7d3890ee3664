# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""After the thaw: what becomes of the snapshots that were or were not taken.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from typing import List, Optional

from ..._errors import Failure
from ..._stores.store import SnapshotOutcome, Store
from .record import DISCARD, RunRecord
from .verdict import NONE, ORDER, in_window, is_complete, judge, taken_after_resume, window_of


def resolve_unknown(record: RunRecord, store: Optional[Store], limit_s: float) -> None:
    """Clear up what is unknown, discard or keep what is partial or late, and require."""
    if store is not None and record.outcomes:
        if any(outcome.unknown for outcome in record.outcomes):
            try:
                record.outcomes = tuple(store.resolve_unknown(record.outcomes, limit_s))
            except Exception as error:  # what is to come must not be lost with it
                record.warn(f"The store could not tell what became of the requests: {error}")
        failure = _what_is_wrong(record)
        if failure is not None:
            _discard_or_keep(record, store, failure)
    _require(record)


def _what_is_wrong(record: RunRecord) -> Optional[Failure]:
    """Why the set is no whole set of snapshots that were taken in time; None when it is one."""
    failed = [outcome for outcome in record.outcomes if outcome.snapshot is None]
    if failed:
        first = next((outcome.failure for outcome in failed if outcome.failure is not None), None)
        words = " ".join(_words_of(outcome) for outcome in failed)
        return Failure(
            first.name if first else "SnapshotFailed",
            f"{len(failed)} of {len(record.request.disks)} snapshots were not taken. {words}",
            first.recommended_action if first else "Look at the store's own log.",
            first.code if first else None,
        )
    late = taken_after_resume(record) if record.has_scripts and not record.crash_fallback else []
    if late:
        return Failure(
            "SnapshotTooLate",
            f"Snapshots were acknowledged only when the post-script was due, too late to show the "
            f"application at rest: {', '.join(late)}.",
            "Find out what slows the store or the network, or raise freeze_timeout.",
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
            "Find out what slows the store or the network, or raise freeze_timeout.",
        )
    return None


def _words_of(outcome: SnapshotOutcome) -> str:
    words = outcome.failure.message if outcome.failure else "there is no snapshot."
    if outcome.unknown:
        words += " A snapshot may exist or come into being; look for it by its labels."
    return f"{outcome.disk}: {words}"


def _discard_or_keep(record: RunRecord, store: Store, failure: Failure) -> None:
    """A partial or late set: discarded and the run fails, or kept and said."""
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


def left_behind(record: RunRecord) -> List[str]:
    """The snapshots that exist in the store, by the names of their disks."""
    return [
        outcome.disk
        for outcome in record.outcomes
        if outcome.snapshot is not None
        and (not record.discarded or outcome.disk in record.not_discarded)
    ]


def _require(record: RunRecord) -> None:
    """Fail a run that reached less than it must; every run must reach a whole set."""
    reached = judge(record).consistency
    required = record.request.require_consistency
    if record.failure is not None:
        return
    if reached == NONE:
        record.fail(Failure("NoSnapshot", "No snapshot was taken."))
    elif required and ORDER.index(reached) < ORDER.index(required):
        cause = record.degraded_by
        record.fail(
            Failure(
                "ConsistencyTooLow",
                f"The snapshots are {reached}-consistent, and {required} is required."
                + (f" {cause.message}" if cause else "")
                + " They were kept; snapshot_set in this result lists them.",
                cause.recommended_action if cause else "See evidence in this result.",
            )
        )
