# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo's proof can fail: each line of it does when what it looks at is otherwise."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List

import pytest

from tests.lab.blob_disk import Write
from tests.lab.demo.proof import Seen, lines
from tests.lab.demo.timeline import timeline, verdict
from tests.lab.demo.vault import Vault, shown
from tests.lab.workload import History

_MS = 10**6
_START = 5 * 10**9


def _at(ms: float) -> int:
    return _START + int(ms * _MS)


@dataclass
class _Disk:
    mount_point: str
    fstype: str
    log: List[Write]

    def writes(self) -> List[Write]:
        return self.log


def _filesystem(point: str, fstype: str) -> Dict[str, Any]:
    return {
        "mount_point": point,
        "type": fstype,
        "outcome": "held",
        "frozen_at_ms": 100.0,
        "freeze_ms": 5.0,
        "thawed_at_ms": 201.0,
        "thaw_ms": 1.0,
        "thawed_by": "run",
    }


def _snapshot() -> Dict[str, Any]:
    disk = {"in_window": True, "requested_ms": 120.0, "acknowledged_ms": 125.0}
    return {
        "consistency": "application",
        "started_ns": _START,
        "evidence": {"window_held": {"holds": True, "words": "It held."}},
        "freeze": {
            "window_ms": 106.0,
            "filesystems": [_filesystem("/a", "ext4"), _filesystem("/b", "xfs")],
        },
        "disks": [{"name": "data", **disk}, {"name": "log", **disk}],
        "phases": [
            {"name": "lock", "start_ms": 0.0, "duration_ms": 1.0},
            {"name": "window", "start_ms": 95.0, "duration_ms": 106.0},
            {"name": "settle", "start_ms": 201.0, "duration_ms": 10.0},
        ],
    }


def _vault() -> Vault:
    point = {"recovery_point_id": "7", "time": "now", "tiers": []}
    protected = {"name": "demo01", "state": "protected", "policy": "DefaultPolicy"}
    backup = {"job_id": "j", "status": "Completed", "consistency": "application"}
    return Vault(
        reported={
            "protected": {"changed": True, "vms": [protected]},
            "backup": {"changed": True, "vms": [{**backup, "recovery_point": point}]},
            "again": {"changed": False},
        },
        item={"protectionState": "Protected", "policyName": "DefaultPolicy"},
        job={
            "name": "j",
            "status": "Completed",
            "extendedInfo": {"tasksList": [{"taskId": "Take Snapshot", "status": "Completed"}]},
        },
        points=["AppConsistent"],
        writes=[
            "x/refreshContainers/action",
            "x/protectedItems/write",
            "x/protectedItems/backup/action",
        ],
        secret="hidden",
    )


def _seen() -> Seen:
    """Return a good run: three records before the freeze, one during it, two after."""
    times = [10.0, 20.0, 30.0, 99.0, 210.0, 220.0]
    ends = [11.0, 21.0, 31.0, 202.0, 211.0, 221.0]
    steady = History([_at(one) for one in times], [_at(one) for one in ends])
    ledger_times = [10.0, 20.0, 220.0]
    ledger = History([_at(one) for one in ledger_times], [_at(one) + _MS for one in ledger_times])
    log = [Write(_at(one), 0, 4096, "write") for one in (30.0, 99.0, 200.5)]
    disks: List[Any] = [_Disk("/a", "ext4", list(log)), _Disk("/b", "xfs", list(log))]
    look = {"at_rest": True, "words": "quiet", "ledger": 2, "steady": 3}
    control = {"at_rest": False, "words": "needs_recovery set", "ledger": "", "steady": ""}
    return Seen(
        disks=disks,
        snapshot=_snapshot(),
        control={"consistency": "crash"},
        looks=[{**look, "fstype": "ext4"}, {**look, "fstype": "xfs"}, control],
        history={"ledger": ledger, "steady /a": steady, "steady /b": steady},
        had_to_thaw=0,
        signatures=["s3cret"],
        texts={"output": "nothing", "result": "nothing"},
        vault=_vault(),
    )


def _failing(seen: Seen) -> List[str]:
    return [line.subject for line in lines(seen) if not line.holds]


def test_a_good_run_holds() -> None:
    assert _failing(_seen()) == []
    text = [str(line) for line in lines(_seen())]
    assert text[0] == "OK    ext4 at rest   quiet"
    assert text[1] == "OK    XFS at rest    quiet"


def _set(path: str, value: Any) -> Callable[[Seen], Seen]:
    """Change one thing deep in what was seen."""

    def change(seen: Seen) -> Seen:
        name, *keys = [int(one) if one.isdigit() else one for one in path.split(".")]
        whole = copy.deepcopy(getattr(seen, str(name)))
        inner = whole
        if isinstance(whole, Vault):
            inner = vars(whole)
        for key in keys[:-1]:
            inner = inner[key]
        if keys:
            inner[keys[-1]] = value
        else:
            whole = value
        return replace(seen, **{str(name): whole})

    return change


def _write_inside(seen: Seen) -> Seen:
    seen.disks[1].writes().append(Write(_at(150.0), 0, 512, "write"))
    return seen


def _silent_log(seen: Seen) -> Seen:
    for disk in seen.disks:
        disk.writes().clear()
    return seen


@pytest.mark.parametrize(
    ("change", "subject"),
    [
        (_set("looks.0.at_rest", False), "ext4 at rest"),
        (_set("looks.1.at_rest", False), "XFS at rest"),
        (_set("looks.0.steady", 2), "ext4 records"),
        (_set("looks.1.steady", 5), "XFS records"),
        (_set("looks.1.steady", "damaged"), "XFS records"),
        (_set("looks.1.ledger", 1), "ledger"),
        (_set("looks.0.ledger", 3), "ledger"),
        (_set("looks.0.ledger", "missing"), "ledger"),
        (_write_inside, "write log"),
        (_silent_log, "write log"),
        (_set("snapshot.freeze.filesystems.0.outcome", "thawed_early"), "window"),
        (_set("snapshot.disks.1.in_window", False), "window"),
        (_set("had_to_thaw", 1), "thawed"),
        (_set("history.ledger", History([_at(1)] * 2, [_at(2)] * 2)), "resumed"),
        (_set("texts.result", "here: s3cret"), "no signature"),
        (_set("signatures", []), "no signature"),
        (_set("looks.2.words", "needs_recovery absent"), "control"),
        (_set("control.consistency", "application"), "control"),
        (_set("vault.reported.protected.vms.0.state", "stopped"), "protected"),
        (_set("vault.reported.protected.changed", False), "protected"),
        (_set("vault.item.protectionState", "IRPending"), "protected"),
        (_set("vault.item", {}), "protected"),
        (_set("vault.job.status", "Failed"), "backup job"),
        (_set("vault.job.name", "another"), "backup job"),
        (_set("vault.job.extendedInfo.tasksList.0.status", "InProgress"), "backup job"),
        (_set("vault.job", {}), "backup job"),
        (_set("vault.points", ["FileSystemConsistent"]), "recovery point"),
        (_set("vault.points", []), "recovery point"),
        (_set("vault.reported.backup.vms.0.consistency", "file-system"), "recovery point"),
        (_set("vault.reported.backup.vms.0.recovery_point", None), "recovery point"),
        (_set("vault.reported.again.changed", True), "second run"),
        (_set("vault.writes", ["x/protectedItems/write"]), "second run"),
        (_set("texts.result", "here: hidden"), "no secret"),
        (_set("texts.result", "Bearer eyJhbGciOiJSUzI1NiJ9.x.y"), "no secret"),
        (_set("vault.secret", ""), "no secret"),
    ],
)
def test_each_line_can_fail(change: Callable[[Seen], Seen], subject: str) -> None:
    assert _failing(change(_seen())) == [subject]


def test_a_verdict_that_is_not_that_of_the_backup_fails_both() -> None:
    assert _failing(_set("snapshot.consistency", "file-system")(_seen())) == [
        "verdict",
        "recovery point",
    ]


def test_the_vault_is_shown_with_job_and_recovery_point() -> None:
    assert shown(_vault())[1:3] == [
        "  job             j: Completed",
        "                  Take Snapshot: Completed",
    ]
    assert "application-consistent" in shown(_vault())[3]


def test_without_a_window_nothing_that_needs_one_holds() -> None:
    seen = _seen()
    for one in seen.snapshot["freeze"]["filesystems"]:
        one.update(frozen_at_ms=None, thawed_at_ms=None, outcome="not_frozen")
    assert {"ext4 records", "XFS records", "write log", "window"} <= set(_failing(seen))


def test_the_picture_marks_the_window() -> None:
    drawn = timeline(_snapshot())
    (marked,) = [line for line in drawn if "frozen" in line and "window" in line]
    assert "####" in marked and "<==" in marked
    assert any("snapshot of data acknowledged in 5.0 ms" in line for line in drawn)
    assert verdict(_snapshot()) == ["  application-consistent", "  + It held."]
