# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An empty value, an absent key and an unknown word are never success, wherever one is judged.

Each place is given the one value that is good, to see that it can be, and all of the others. What
takes a vault to see is in tests/integration/test_unproven_backups.py and test_backup_policy.py.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils import _consistency
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm import pipeline
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.ids import VmId
from ansible_collections.quiesce.azure_backup.plugins.module_utils._disks import Disk
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.extension import status
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.model import (
    HELD,
    FilesystemRecord,
    ScriptOutcome,
    Target,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run import verdict
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.record import (
    RunRecord,
    RunRequest,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._http.exchange import (
    Exchange,
    HttpConnection,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.page_blob import store
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.store import (
    SnapshotOutcome,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.backup import proof
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.jobs import operations
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.jobs.poller import (
    PendingJob,
    matching,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.protection import (
    diagnosis,
    plan,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources import (
    jobs,
    protected_items,
    recovery_points,
    vm_extensions,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.policies import (
    StoredPolicy,
)
from tests.unit.plugins.module_utils.disks import make_disk

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
VM = VmId("sub", "rg", "db01")
ITEM_ID = (
    "/subscriptions/sub/resourceGroups/v/providers/Microsoft.RecoveryServices/vaults/v"
    f"/backupFabrics/Azure/protectionContainers/{VM.container}/protectedItems/{VM.item}"
)
#: A key that is not there.
ABSENT: Any = object()
_STRANGE = "SomethingNew"
WORDS = ("", None, ABSENT, _STRANGE)
LISTS = ([], None, ABSENT)


def of(mapping: Mapping[str, Any], key: str, value: Any) -> Dict[str, Any]:
    """Return the mapping with this value, or without the key."""
    found = {name: one for name, one in mapping.items() if name != key}
    return found if value is ABSENT else {**found, key: value}


class Place(NamedTuple):
    """A place where something is judged: whether it takes a value for success."""

    accepts: Callable[[Any], bool]
    good: Any
    bad: Sequence[Any]


# --- the vault ------------------------------------------------------------------------------------

_START, _END = "2026-11-21T11:00:00Z", "2026-11-21T12:00:00Z"
_JOB = {
    "operation": "Backup",
    "status": "Completed",
    "startTime": _START,
    "endTime": _END,
    "containerName": "iaasvmcontainerv2;rg;db01",
}
_POINT = {
    "recoveryPointType": "AppConsistent",
    "recoveryPointTime": "2026-11-21T11:10:00Z",
    "recoveryPointTierDetails": [{"type": "InstantRP", "status": "Valid"}],
}
_COUNTS = {"numberOfDisksIncludedInBackup": 2, "numberOfDisksAttachedToVm": 2}


def job(key: str, value: Any) -> jobs.Job:
    return jobs.read_job({"name": "j", "properties": of(_JOB, key, value)})


def point(key: str = "", value: Any = ABSENT) -> recovery_points.RecoveryPoint:
    return recovery_points.read_point({"name": "7", "properties": of(_POINT, key, value)})


def is_certain(value: Any) -> bool:
    certain, _possible = matching(PendingJob(VM, "Backup", NOW), [job("startTime", value)])
    return bool(certain)


def has_point(key: str) -> Callable[[Any], bool]:
    return lambda value: recovery_points.point_of_job([point()], job(key, value)) is not None


def all_disks(key: str) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        return not point("recoveryPointDiskConfiguration", of(_COUNTS, key, value)).may_lack_disks

    return accepts


def backed_up(**other: Any) -> bool:
    given: Dict[str, Any] = {"job": job("", ABSENT), "point": point(), "wait": True, **other}
    return proof.unproven(VM, **given) is None


def item(value: Any) -> Optional[protected_items.ProtectedItem]:
    known = {"virtualMachineId": VM.id, "policyId": "/p/gold", "protectionState": "Protected"}
    properties = of(known, "protectionState", value)
    return protected_items.read_item({"id": ITEM_ID, "properties": properties}, NOW)


def is_protected(value: Any) -> bool:
    found = item(value)
    return found is not None and found.state == protected_items.PROTECTED


def needs_nothing(state: str) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        made = plan.plan(plan.DesiredState(state), item(value))
        return not made.steps and made.failure is None

    return accepts


def is_gone(properties: Any) -> bool:
    """Return True if an item without the id of its VM is passed over, as if it were not there."""
    return protected_items.read_item({"id": ITEM_ID, "properties": properties}, NOW) is None


def is_a_list(path: str) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        answer = SimpleNamespace(
            status_code=200,
            text=lambda: _text(of({"nextLink": None}, "value", value)),
            request=SimpleNamespace(method="GET", url=f"https://arm/vaults/v/{path}?api-version=1"),
        )
        return not pipeline._is_malformed(answer)

    return accepts


def _text(value: Any) -> str:
    return json.dumps(value)


_STATUS = {"code": "ProvisioningState/succeeded", "displayStatus": "Ready", "level": "Info"}
_RUNNING = {"code": "PowerState/running", "displayStatus": "VM running"}
_SNAPSHOT = {
    "name": "VMSnapshotLinux",
    "properties": {"type": "VMSnapshotLinux", "provisioningState": "Succeeded"},
}


def machine(
    agent: Any = ABSENT, state: Any = "Succeeded", power: Any = ABSENT, extension: Any = ABSENT
) -> vm_extensions.Machine:
    statuses = [_RUNNING] if power is ABSENT else power
    view = {"vmAgent": {"statuses": [_STATUS]} if agent is ABSENT else agent, "statuses": statuses}
    properties = of({"instanceView": view}, "provisioningState", state)
    resources = [_SNAPSHOT if extension is ABSENT else extension]
    return vm_extensions.machine_of({"name": "db01", "properties": properties}, resources)


def finds_nothing(**of_machine: Any) -> bool:
    return not vm_extensions.findings(machine(**of_machine))


def extension(value: Any) -> Dict[str, Any]:
    known: Any = _SNAPSHOT["properties"]
    properties = of(known, "provisioningState", value)
    return {"name": "VMSnapshotLinux", "properties": properties}


def is_free(value: Any) -> bool:
    """Return True if a VM is held to be protected by no vault."""
    said = of({}, "protectionStatus", value)
    connection: Any = SimpleNamespace(
        vault=SimpleNamespace(name="v"),
        read=lambda _what, _send, _vm: said,
    )
    found = diagnosis.Diagnosis(connection, VM, None)
    return found._protection("westeurope") is None and not found._unknown


def operation(key: str, value: Any) -> operations.OperationStatus:
    body = {"status": "Succeeded", "properties": {"jobIds": ["j1"]}}
    return operations.read_operation(of(body, key, value))


VAULT: Dict[str, Place] = {
    "the status of a job": Place(
        lambda value: job("status", value).succeeded, "Completed", (*WORDS, "InProgress")
    ),
    "the end of a job": Place(lambda value: job("status", value).is_over, "Failed", WORDS),
    "the start of a job that is ours": Place(is_certain, "2026-11-21T12:00:01Z", WORDS),
    "the status of an operation": Place(
        lambda value: operation("status", value).has_succeeded, "Succeeded", (*WORDS, "Invalid")
    ),
    "the jobs of an operation": Place(
        lambda value: bool(operation("properties", value).job_ids),
        {"jobId": "j1"},
        ({}, None, ABSENT, {"jobId": ""}, {"jobId": None}, {"jobIds": []}, {"jobIds": None}),
    ),
    "the jobs of an operation, in the plural": Place(
        lambda value: operation("properties", of({}, "jobIds", value)).job_ids == ("j1",),
        ["j1"],
        (*LISTS, [""], [None]),
    ),
    "the start of a job that made a point": Place(has_point("startTime"), _START, WORDS),
    "the end of a job that made a point": Place(has_point("endTime"), _END, WORDS),
    "the kind of a recovery point": Place(
        lambda value: _consistency.reaches(point("recoveryPointType", value).consistency, "crash"),
        "CrashConsistent",
        WORDS,
    ),
    "the tiers of a recovery point": Place(
        lambda value: point("recoveryPointTierDetails", value).is_restorable,
        [{"type": "HardenedRP", "status": "Valid"}],
        (*LISTS, [{}], *([{"type": "InstantRP", "status": one}] for one in ("", _STRANGE))),
    ),
    "the time of a recovery point": Place(
        lambda value: (
            recovery_points.point_of_job([point("recoveryPointTime", value)], job("", ABSENT))
            is not None
        ),
        _START,
        WORDS,
    ),
    "the disks in a recovery point": Place(
        all_disks("numberOfDisksIncludedInBackup"), 2, (*WORDS, True, 1)
    ),
    "the disks of a VM": Place(all_disks("numberOfDisksAttachedToVm"), 2, (*WORDS, True)),
    "the least of several consistencies": Place(
        lambda value: recovery_points.least(value) is not None,
        ["crash"],
        ([], [None], ["crash", None]),
    ),
    "the job of a backup": Place(lambda value: backed_up(job=value), job("", ABSENT), (None,)),
    "the job of a backup that is not waited for": Place(
        lambda value: backed_up(job=value, point=None, wait=False), job("", ABSENT), (None,)
    ),
    "how the job of a backup ended": Place(
        lambda value: backed_up(job=job("status", value)), "CompletedWithWarnings", WORDS
    ),
    "the point of a backup": Place(
        lambda value: backed_up(point=value),
        point(),
        (None, point("recoveryPointTierDetails", []), point("recoveryPointTierDetails", ABSENT)),
    ),
    "the required consistency": Place(
        lambda value: backed_up(point=point("recoveryPointType", value), required="crash"),
        "CrashConsistent",
        WORDS,
    ),
    "the state of a protected item": Place(is_protected, "IRPending", WORDS),
    "a VM that is to be protected": Place(needs_nothing("protected"), "Protected", WORDS),
    "a VM that is to be stopped": Place(needs_nothing("stopped"), "ProtectionStopped", WORDS),
    "an item that is of no VM": Place(
        is_gone,
        {"virtualMachineId": VM.id.replace("Microsoft.Compute", "Microsoft.ClassicCompute")},
        (None, {}, {"virtualMachineId": ""}, {"virtualMachineId": None}),
    ),
    "a policy without VMs": Place(
        lambda value: StoredPolicy("i", "n", of({}, "protectedItemsCount", value)).has_no_vms,
        0,
        (*WORDS, 3),
    ),
    "a VM that no vault protects": Place(is_free, "NotProtected", ("", None, ABSENT, _STRANGE)),
    "the VM agent": Place(
        lambda value: finds_nothing(agent=value),
        {"statuses": [_STATUS]},
        (None, {}, {"statuses": []}, {"statuses": [{}]}, {"statuses": [_STATUS, {}]}),
    ),
    "the power state of a VM": Place(
        lambda value: finds_nothing(power=value), [_RUNNING], (None, [], [{}], [{"code": _STRANGE}])
    ),
    "the provisioning of a VM": Place(
        lambda value: finds_nothing(state=value), "Succeeded", (*WORDS, "Failed")
    ),
    "the provisioning of the extension": Place(
        lambda value: finds_nothing(extension=extension(value)), "Succeeded", WORDS
    ),
    **{
        f"the list {path}": Place(is_a_list(path), [], (None, ABSENT, {}, ""))
        for path in (
            "backupJobs",
            "backupPolicies",
            "backupProtectableItems",
            "backupProtectedItems",
            "backupFabrics/Azure/protectionContainers/c/protectedItems/i/recoveryPoints",
            "virtualMachines/db01/extensions",
        )
    },
}


# --- the guest ------------------------------------------------------------------------------------

_DISK = make_disk("data", "https://blob/data/disk")
_OUTCOME = SnapshotOutcome("data", "2026-11-21T12:00:00.0Z", "https://blob/data", 30, 60)


def record(
    disks: Sequence[Disk] = (_DISK,),
    snapshots: Sequence[SnapshotOutcome] = (_OUTCOME,),
    outcomes: Sequence[str] = (HELD,),
    targets: Sequence[str] = ("/srv/0",),
    scripts: Any = "none",
) -> RunRecord:
    found = RunRecord(
        RunRequest(tuple(disks), "set", "/etc/azure/conf"), 0, outcomes=tuple(snapshots)
    )
    frozen = [Target(f"/srv/{number}", "/dev/sdc1", "xfs", 1) for number in range(len(outcomes))]
    found.filesystems = tuple(
        FilesystemRecord(target, outcome, 10, 20, 70, 80)
        for target, outcome in zip(frozen, outcomes)
    )
    plan: Any = SimpleNamespace(
        targets=tuple(Target(place, "/dev/sdc1", "xfs", 1) for place in targets)
    )
    found.plan = plan
    if scripts != "none":
        config = SimpleNamespace(fs_freeze_enabled=True)
        readiness: Any = SimpleNamespace(pre="a script", config=config, state="ready")
        found.readiness, found.pre, found.post = (
            readiness,
            scripts,
            ScriptOutcome("post", 1, 0, 1.0),
        )
    return found


def reaches(least: str, **changes: Any) -> bool:
    return _consistency.reaches(verdict.judge(record(**changes)).consistency, least)


def took(status: Any, **headers: str) -> bool:
    blob: Any = SimpleNamespace(disk=_DISK, address=_DISK.address)
    call = Exchange(HttpConnection("127.0.0.1", 9, None), b"PUT")
    call.sent, call.request_ns, call.answered_ns = True, 1, 2
    call.answer.status, call.answer.headers = status, headers
    return store._outcome(blob, call).snapshot is not None


def reports(consistency: str) -> bool:
    given = status.StatusInput("task", 0, consistency=consistency)
    document = status.status_document(given)
    return b'"status": "success"' in document or status.status_code(given) in (0, 1)


GUEST: Dict[str, Place] = {
    "the disks of a set": Place(lambda value: reaches("crash", disks=value), [_DISK], ([],)),
    "the snapshots of a set": Place(
        lambda value: reaches("crash", snapshots=value),
        [_OUTCOME],
        ([], [SnapshotOutcome("data")], [SnapshotOutcome("other")]),
    ),
    "the times of a snapshot": Place(
        lambda value: reaches("file-system", snapshots=[value]),
        _OUTCOME,
        (SnapshotOutcome("data", "s", "u", None, 60), SnapshotOutcome("data", "s", "u", 30, None)),
    ),
    "what became of a filesystem": Place(
        lambda value: reaches("file-system", outcomes=value), [HELD], ([], [""], [_STRANGE])
    ),
    "a filesystem of the plan": Place(
        lambda value: reaches("file-system", targets=value), ["/srv/0"], (["/srv/0", "/srv/9"],)
    ),
    "what became of the pre-script": Place(
        lambda value: reaches("application", scripts=value),
        ScriptOutcome("pre", 1, 0, 1.0),
        (
            None,
            ScriptOutcome("pre", 1, None, 1.0),
            ScriptOutcome("pre", 0, 0, 0.0, not_started="it changed"),
            ScriptOutcome("pre", 1, 0, 1.0, timed_out=True),
        ),
    ),
    "the status of an answer to a snapshot": Place(
        lambda value: took(value, **{"x-ms-snapshot": "2026"}), 201, (None, 200, 202, 204, 206, 404)
    ),
    "the name of a snapshot": Place(
        lambda value: took(201, **of({}, "x-ms-snapshot", value)), "2026", ("", ABSENT, "\x01", "é")
    ),
    "the consistency in a status document": Place(reports, "crash", ("none", "", _STRANGE)),
}

PLACES = {**VAULT, **GUEST}


def cases() -> List[Any]:
    return [
        pytest.param(place, bad, id=f"{name}: {'absent' if bad is ABSENT else repr(bad)[:40]}")
        for name, place in PLACES.items()
        for bad in place.bad
    ]


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_what_is_good_is_taken_for_it(place: Place) -> None:
    assert place.accepts(place.good)


@pytest.mark.parametrize(("place", "bad"), cases())
def test_what_is_not_known_is_not(place: Place, bad: Any) -> None:
    assert not place.accepts(bad)


def test_a_job_begins_before_it_is_ours() -> None:
    old = jobs.read_job({"name": "j", "properties": of(_JOB, "startTime", ABSENT)})
    certain, possible = matching(PendingJob(VM, "Backup", NOW + timedelta(days=9)), [old])
    assert (certain, possible) == ([], [old])
