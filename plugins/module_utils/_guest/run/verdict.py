# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The consistency that a run reached, and the evidence for it.

All functions depend only on the record of the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..._consistency import APPLICATION, CRASH, FILE_SYSTEM, NONE
from ..._stores.store import SnapshotOutcome
from ..model import (
    BUSY,
    FREEZE_FAILED,
    FREEZE_LATE,
    HELD,
    HELD_BY_ANOTHER,
    NOT_FROZEN,
    NOT_THAWED,
    THAWED_EARLY,
    FilesystemRecord,
    ScriptOutcome,
)
from ..scripts.validation import ReadinessState
from .record import RunRecord

_OUTCOMES = {
    HELD: "stayed frozen until the run thawed it",
    THAWED_EARLY: "was thawed by another process while the window was open, or another process had "
    "frozen it too: FITHAW did not prove that it stayed frozen",
    HELD_BY_ANOTHER: "is also frozen by device-mapper, whose device is suspended: FITHAW did not "
    "prove that it stayed frozen",
    NOT_THAWED: "could not be thawed",
    BUSY: "had already been frozen by another process",
    FREEZE_FAILED: "could not be frozen",
    FREEZE_LATE: "was not frozen in time",
    NOT_FROZEN: "was never frozen",
}


@dataclass(frozen=True)
class Window:
    """The time during which every filesystem was frozen."""

    #: The first FIFREEZE was entered, and the last one had returned.
    opened_ns: int
    frozen_ns: int
    #: The first FITHAW was entered, and the last one had returned.
    thaw_ns: int
    closed_ns: int


@dataclass(frozen=True)
class Evidence:
    """One condition of a verdict: it holds, does not hold, or is unknown (None)."""

    holds: bool | None
    words: str

    def to_result(self) -> dict[str, Any]:
        """Return the evidence as a value of a result."""
        return {"holds": self.holds, "words": self.words}


@dataclass(frozen=True)
class Verdict:
    """The consistency of a run, and the evidence by name."""

    consistency: str
    evidence: dict[str, Evidence]


def window_of(filesystems: Sequence[FilesystemRecord]) -> Window | None:
    """Return the window; None unless every filesystem was frozen and thawed."""
    times = [
        (item.freeze_started_ns, item.frozen_ns, item.thaw_started_ns, item.thawed_ns)
        for item in filesystems
    ]
    opened = [time[0] for time in times if time[0] is not None]
    frozen = [time[1] for time in times if time[1] is not None]
    thaw = [time[2] for time in times if time[2] is not None]
    closed = [time[3] for time in times if time[3] is not None]
    if not times or min(len(opened), len(frozen), len(thaw)) < len(times):
        return None
    # A filesystem that another process thawed has a start of our FITHAW, but no end.
    return Window(min(opened), max(frozen), min(thaw), max(closed or thaw))


def in_window(outcome: SnapshotOutcome, window: Window | None) -> bool:
    """Return True if the snapshot was requested and acknowledged while all were frozen."""
    return (
        window is not None
        and outcome.snapshot is not None
        and outcome.request_ns is not None
        and outcome.acknowledged_ns is not None
        and window.frozen_ns <= outcome.request_ns
        and outcome.acknowledged_ns <= window.thaw_ns
    )


def taken_after_resume(record: RunRecord) -> list[str]:
    """Return the disks whose snapshots may show the resumed application.

    Without a freeze only the scripts make snapshots consistent. The snapshots must then have been
    acknowledged before the post-script was due, and before a supervisor could have run it.
    """
    if not record.freeze_off_by_config:
        return []
    began = {phase.name: phase.started_ns for phase in record.phases}
    limit_ns = int(record.request.freeze_timeout_s * 1e9)
    ends = [
        began[name] + more for name, more in (("window", limit_ns), ("resume", 0)) if name in began
    ]
    return [
        outcome.disk
        for outcome in record.outcomes
        if outcome.snapshot is not None
        and ends
        and (outcome.acknowledged_ns is None or outcome.acknowledged_ns > min(ends))
    ]


def is_complete(record: RunRecord) -> bool:
    """Return True if each disk has a snapshot, and none was discarded."""
    taken = {outcome.disk for outcome in record.outcomes if outcome.snapshot is not None}
    names = {disk.name for disk in record.request.disks}
    return not record.discarded and bool(names) and names <= taken


def judge(record: RunRecord) -> Verdict:
    """Return the verdict on a run, which may have ended in any phase."""
    window = window_of(record.filesystems)
    evidence = {
        "scripts_succeeded": _scripts(record),
        "freeze_off_by_config": _freeze_off(record),
        "filesystems_held": _held(record),
        "snapshots_in_window": _snapshots(record, window),
        "disks_covered": _covered(record),
    }
    evidence["window_held"] = _window_held(evidence, window)
    return Verdict(_consistency(record, evidence), evidence)


def _consistency(record: RunRecord, evidence: dict[str, Evidence]) -> str:
    if not is_complete(record):
        return NONE
    if record.crash_fallback:
        return CRASH
    scripts = evidence["scripts_succeeded"].holds is True
    if record.freeze_off_by_config:
        return APPLICATION if scripts and not taken_after_resume(record) else CRASH
    if not evidence["window_held"].holds or evidence["disks_covered"].holds is False:
        return CRASH
    return APPLICATION if scripts else FILE_SYSTEM


def _scripts(record: RunRecord) -> Evidence:
    if not record.has_scripts:
        state = record.readiness.state if record.readiness else ReadinessState.ABSENT
        if state in (ReadinessState.ABSENT, ReadinessState.READY):
            return Evidence(None, "No scripts are configured.")
        return Evidence(False, "The scripts are not trusted and did not run.")
    words = [_script_words(ran) for ran in (record.pre, record.post) if ran is not None]
    if record.pre is None or record.post is None:
        return Evidence(False, " ".join(["Not both scripts ran.", *words]))
    return Evidence(record.pre.succeeded and record.post.succeeded, " ".join(words))


def _script_words(outcome: ScriptOutcome) -> str:
    name = f"The {outcome.kind}-script"
    if outcome.succeeded:
        return f"{name} ended with exit status 0 (attempt {outcome.attempts})."
    if outcome.not_started:
        return f"{name} was not started: {outcome.not_started}."
    if outcome.timed_out:
        return f"{name} exceeded its timeout and was killed."
    if outcome.rc is None:
        return f"{name} was stopped before it ended."
    if outcome.rc < 0:
        return f"{name} was killed by signal {-outcome.rc}."
    return f"{name} ended with exit status {outcome.rc} (attempt {outcome.attempts})."


def _freeze_off(record: RunRecord) -> Evidence:
    if record.freeze_off_by_config:
        return Evidence(True, "fsFreezeEnabled is false: no freeze was planned.")
    return Evidence(False, "fsFreezeEnabled is not false.")


def _held(record: RunRecord) -> Evidence:
    if not record.will_freeze:
        return Evidence(None, "No freeze was planned.")
    if not record.filesystems:
        return Evidence(False, "The run ended before it froze anything.")
    lost = [item for item in record.filesystems if item.outcome != HELD]
    if lost:
        return Evidence(
            False,
            "; ".join(f"{item.target.mount_point} {_words_of(item.outcome)}" for item in lost)
            + ".",
        )
    known = {item.target.mount_point for item in record.filesystems}
    missing = [target.mount_point for target in record.targets if target.mount_point not in known]
    if missing:
        return Evidence(False, f"The outcome of {', '.join(missing)} is unknown.")
    return Evidence(True, "FITHAW proved that every filesystem stayed frozen until then.")


def _words_of(outcome: str) -> str:
    return _OUTCOMES.get(outcome, f"has the unknown outcome {outcome!r}")


def _snapshots(record: RunRecord, window: Window | None) -> Evidence:
    late = taken_after_resume(record)
    if late:
        words = f"Not acknowledged before the post-script was due: {', '.join(late)}."
        return Evidence(False, words)
    if not record.will_freeze:
        return Evidence(None, "There was no window: no freeze was planned.")
    outcomes = {outcome.disk: outcome for outcome in record.outcomes}
    names = [disk.name for disk in record.request.disks]
    missing = [name for name in names if name not in outcomes or outcomes[name].snapshot is None]
    if missing:
        return Evidence(False, f"No snapshot of {', '.join(missing)}.")
    outside = [name for name in names if not in_window(outcomes[name], window)]
    if outside:
        return Evidence(
            False,
            f"Not between the last FIFREEZE and the first FITHAW: {', '.join(outside)}.",
        )
    return Evidence(
        True,
        "Every snapshot was requested and acknowledged between the last FIFREEZE "
        "and the first FITHAW.",
    )


def _covered(record: RunRecord) -> Evidence:
    coverage = record.coverage
    if coverage is None:
        return Evidence(None, "Not checked.")
    if coverage.covered is None:
        words = " ".join(coverage.warnings) or "The devices of the disks are unknown."
        return Evidence(None, words)
    if coverage.covered:
        return Evidence(True, "The freeze includes every filesystem on the disks.")
    return Evidence(False, " ".join(coverage.problems))


def _window_held(evidence: dict[str, Evidence], window: Window | None) -> Evidence:
    held = evidence["filesystems_held"].holds
    taken = evidence["snapshots_in_window"].holds
    if held is None or taken is None:
        return Evidence(None, "There was no window.")
    if held and taken and window is not None:
        length = (window.thaw_ns - window.frozen_ns) / 1e6
        return Evidence(
            True, f"Everything was frozen for {length:.1f} ms, which covers all snapshots."
        )
    return Evidence(False, "Not all snapshots show frozen filesystems.")
