# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module's result, from records of runs with chosen times."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._disks import Disk
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import Failure
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.model import (
    HELD,
    THAWED_EARLY,
    FilesystemRecord,
    ScriptOutcome,
    Target,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.record import (
    Phase,
    RunRecord,
    RunRequest,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.result import build
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.freeze_plan import (
    FreezePlan,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.store import (
    SnapshotOutcome,
)

START = 5_000_000_000
TARGET = Target("/srv/a", "/dev/sdc1", "xfs", 1)
REFUSED = Failure("Refused", "No.", "Try later.")


def at(milliseconds: float) -> int:
    return START + int(milliseconds * 1e6)


def record(**fields: Any) -> RunRecord:
    """Return a run of two disks that froze one filesystem from 10 to 50 ms after its start."""
    disks = (Disk("d0", "https://store.invalid/0", 0), Disk("d1", "https://store.invalid/1", 1))
    request = RunRequest(disks, "the-set", "/x.json", freeze_timeout_s=7.0, task_id="the-task")
    held = FilesystemRecord(
        TARGET, HELD, at(10), at(20.5), at(40), at(50.25), 0, 0, thawed_by="guard"
    )
    outcomes = (
        SnapshotOutcome("d0", "s0", "uri0", at(21), at(39)),
        SnapshotOutcome("d1", "s1", "uri1", at(22), at(41)),
    )
    given: Dict[str, Any] = {
        "plan": FreezePlan((TARGET,)),
        "filesystems": (held,),
        "outcomes": outcomes,
        **fields,
    }
    return RunRecord(request, START, **given)


def test_freeze_times_are_milliseconds_of_the_run() -> None:
    freeze = build(record(expedited={"used": True}))["freeze"]
    assert freeze == {
        "window_ms": 40.25,
        "frozen_ms": 19.5,
        "timeout_s": 7.0,
        "expedited": {"used": True},
        "filesystems": [
            {
                "mount_point": "/srv/a",
                "device": "/dev/sdc1",
                "type": "xfs",
                "outcome": "held",
                "freeze_ms": 10.5,
                "thaw_ms": 10.25,
                "frozen_at_ms": 20.5,
                "thawed_at_ms": 50.25,
                "thawed_by": "guard",
            }
        ],
    }


@pytest.mark.parametrize("missing", ["freeze_started_ns", "frozen_ns"])
def test_freeze_without_a_time_has_no_duration(missing: str) -> None:
    run = record()
    run.filesystems = (replace(run.filesystems[0], outcome=THAWED_EARLY, **{missing: None}),)
    (shown,) = build(run)["freeze"]["filesystems"]
    assert shown["freeze_ms"] is None and shown["thaw_ms"] == 10.25


def test_planned_filesystem_is_shown_as_not_frozen() -> None:
    freeze = build(record(filesystems=(), outcomes=()))["freeze"]
    assert freeze["window_ms"] is None and freeze["frozen_ms"] is None
    (shown,) = freeze["filesystems"]
    assert shown["outcome"] == "not_frozen" and shown["mount_point"] == "/srv/a"
    times = ("freeze_ms", "thaw_ms", "frozen_at_ms", "thawed_at_ms", "thawed_by")
    assert [shown[name] for name in times] == [None] * 5


def test_disks_show_their_snapshots_and_the_window() -> None:
    first, second = build(record())["disks"]
    assert first == {
        "name": "d0",
        "lun": 0,
        "snapshot": "s0",
        "uri": "uri0",
        "requested_ms": 21.0,
        "acknowledged_ms": 39.0,
        "in_window": True,
        "unknown": False,
        "failure": None,
    }
    assert second["in_window"] is False and second["lun"] == 1


def test_disk_without_outcome_shows_nothing() -> None:
    run = record()
    run.outcomes = run.outcomes[:1]
    shown = build(run)["disks"][1]
    assert shown["name"] == "d1" and shown["unknown"] is False
    names = ("snapshot", "uri", "requested_ms", "acknowledged_ms", "in_window", "failure")
    assert [shown[name] for name in names] == [None] * 6


def test_failed_and_unknown_disks_are_told_apart() -> None:
    outcomes = (
        SnapshotOutcome("d0", request_ns=at(21), failure=REFUSED),
        SnapshotOutcome("d1", request_ns=at(22), unknown=True),
    )
    result = build(record(outcomes=outcomes))
    failed, unknown = result["disks"]
    assert failed["failure"]["name"] == "Refused" and failed["unknown"] is False
    assert unknown["failure"] is None and unknown["unknown"] is True
    assert failed["requested_ms"] == 21.0 and failed["acknowledged_ms"] is None
    assert result["snapshot_set"]["complete"] is False


def test_disk_of_a_run_without_freeze_has_no_window() -> None:
    (first, _second) = build(record(filesystems=(), plan=FreezePlan(())))["disks"]
    assert first["in_window"] is None and first["snapshot"] == "s0"


def test_snapshot_set_has_ids_and_labels() -> None:
    run = record(labels={"team": "blue"}, not_discarded={"d1": "It is locked."})
    found = build(run)["snapshot_set"]
    assert found["id"] == "the-set" and found["task_id"] == "the-task"
    assert found["complete"] is True and found["labels"] == {"team": "blue"}
    assert found["not_discarded"] == {"d1": "It is locked."}


def test_discarded_snapshots_are_not_shown() -> None:
    run = record(discarded=True, not_discarded={"d1": "It is locked."})
    result = build(run)
    assert [disk["snapshot"] for disk in result["disks"]] == [None, "s1"]
    assert [disk["uri"] for disk in result["disks"]] == [None, "uri1"]
    assert list(result["snapshot_set"]["left_behind"]) == ["d1"]


@pytest.mark.parametrize(
    ("failure", "degraded", "shown"),
    [(None, None, None), (REFUSED, None, "Refused"), (None, REFUSED, "Refused")],
)
def test_failure_goes_before_what_degraded(failure: Any, degraded: Any, shown: Any) -> None:
    found = build(record(failure=failure, degraded_by=degraded))["failure"]
    assert (found and found["name"]) == shown
    both = build(record(failure=REFUSED, degraded_by=Failure("Other", "x")))["failure"]
    assert both["name"] == "Refused"


def test_scripts_phases_and_protection_are_passed_on() -> None:
    post = ScriptOutcome("post", 2, 3, 12.34567, "tail", True, "", "guard")
    phases = [Phase("freeze", at(10), at(50))]
    run = record(post=post, phases=phases, protection={"guard": {}}, warnings=["Careful."])
    result = build(run)
    assert result["scripts"]["pre"] is None
    assert result["scripts"]["post"] == {
        "succeeded": False,
        "attempts": 2,
        "rc": 3,
        "duration_ms": 12.346,
        "timed_out": True,
        "not_started": "",
        "tail": "tail",
        "run_by": "guard",
    }
    assert result["phases"] == [{"name": "freeze", "start_ms": 10.0, "duration_ms": 40.0}]
    assert result["protection"] == {"guard": {}} and result["warnings"] == ["Careful."]
    assert result["started_ns"] == START and set(result["evidence"])
