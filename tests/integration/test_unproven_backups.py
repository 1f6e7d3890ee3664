# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test backups that Azure reports as done, but without a job, a recovery point or a disk.

The lab's clock moves only while the module waits.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.clock import Clock
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import QuiesceError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import TaskContext
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vm_backup import back_up
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.connection import connect
from tests.lab.recovery_services.lab import RecoveryServices

_OPERATION = "/backupOperations/"
_NO_JOBS = {"method": "GET", "path": "/backupJobs$", "status": 200, "body": {"value": []}}


class Stepped(Clock):
    """A clock that takes the lab's with it: a wait ends at once, and that much later in Azure."""

    def __init__(self, azure: RecoveryServices) -> None:
        self._azure = azure
        self._slept = 0.0

    def monotonic(self) -> float:
        return self._slept

    def sleep(self, seconds: float) -> None:
        self._slept += seconds
        self._azure.advance(seconds)


@pytest.fixture(name="azure")
def _azure(recovery_services: RecoveryServices) -> RecoveryServices:
    recovery_services.run_at(0)
    recovery_services.change(add_item={"vault": "vault1", "vm": "db01"})
    recovery_services.change(add_item={"vault": "vault1", "vm": "db02"})
    return recovery_services


def run(azure: RecoveryServices, *vms: str, **options: Any) -> Dict[str, Any]:
    """Return the result of vm_backup, also of a task that fails; its name is under `failed`."""
    params = {
        **azure.options(),
        "vms": list(vms or ("app-rg/db01",)),
        "vm": None,
        "vm_resource_group": None,
        "retain_until": None,
        "require_consistency": None,
        "wait": True,
        "timeout": 28800,
        "poll_interval": 5.0,
        **options,
    }
    try:
        return {
            **back_up(connect(params, clock=Stepped(azure)), TaskContext(params)),
            "failed": None,
        }
    except QuiesceError as error:
        result: Dict[str, Any] = getattr(error, "result", {})
        return {**result, "failed": error.failure.name, "msg": str(error)}


def operation(azure: RecoveryServices, **of: Any) -> None:
    """Have the list show no jobs, and the operation answer with this."""
    azure.fault(**_NO_JOBS, times=9999)
    body = {"id": "x", "name": "x", "status": "Succeeded", **of}
    azure.fault(method="GET", path=_OPERATION, status=200, body=body, times=9999)


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize(
    ("of", "name"),
    [
        ({}, "OperationNamesNoJob"),
        ({"properties": None}, "OperationNamesNoJob"),
        ({"properties": {"objectType": "OperationStatusJobExtendedInfo"}}, "OperationNamesNoJob"),
        ({"properties": {"jobId": ""}}, "OperationNamesNoJob"),
        ({"properties": {"jobIds": [], "failedJobsError": {}}}, "OperationNamesNoJob"),
        ({"properties": {"jobIds": [], "failedJobsError": {"j": "UserErrorX"}}}, "UserErrorX"),
        ({"status": None}, "OperationTimedOut"),
        ({"status": "Invalid"}, "OperationTimedOut"),
        ({"status": "Canceled"}, "OperationFailed"),
    ],
)
def test_an_operation_that_names_no_job_is_no_backup(
    azure: RecoveryServices, of: Dict[str, Any], name: str, wait: bool
) -> None:
    operation(azure, **of)
    done = run(azure, wait=wait, timeout=600)
    assert done["failed"] == name
    (row,) = done["vms"]
    # The request was accepted, so something may have changed.
    assert row["changed"] is True and row["job_id"] is None and row["recovery_point"] is None
    assert "db01" in done["msg"] and row["failure"]["recommended_action"]
    assert done["consistency"] is None


@pytest.mark.parametrize("wait", [True, False])
def test_the_job_is_found_by_the_plural_form_too(azure: RecoveryServices, wait: bool) -> None:
    azure.next_backup("db01", "application", duration_s=300)
    first = run(azure, "app-rg/db02", wait=False)["vms"][0]["job_id"]
    azure.fault(**_NO_JOBS, times=9999)
    connection_ids: List[str] = []

    class Late(Stepped):
        def sleep(self, seconds: float) -> None:
            if not connection_ids:
                jobs = azure.state()["vaults"]["vault1"]["jobs"]
                connection_ids.extend(job["name"] for job in jobs)
                more = {"jobIds": [first, *(one for one in connection_ids if one != first)]}
                body = {"status": "Succeeded", "properties": more}
                azure.fault(method="GET", path=_OPERATION, status=200, body=body, times=9999)
            super().sleep(seconds)

    params = {
        **azure.options(),
        "vms": ["app-rg/db01"],
        "retain_until": None,
        "require_consistency": "application" if wait else None,
        "wait": wait,
        "timeout": 3600,
        "poll_interval": 5.0,
    }
    done = back_up(connect(params, clock=Late(azure)), TaskContext(params))
    (row,) = done["vms"]
    assert row["failure"] is None and row["job_id"] in connection_ids and row["job_id"] != first
    assert done["consistency"] == ("application" if wait else None)


def test_jobs_of_other_vms_only_are_no_backup(azure: RecoveryServices) -> None:
    other = run(azure, "app-rg/db02", wait=False)["vms"][0]["job_id"]
    operation(azure, properties={"jobId": other})
    done = run(azure)
    assert done["failed"] == "OperationNamesNoJob" and other in done["msg"]


@pytest.mark.parametrize("tiers", [None, [], [{}], [{"type": "InstantRP", "status": "Deleted"}]])
def test_a_point_that_no_tier_holds_is_no_backup(azure: RecoveryServices, tiers: Any) -> None:
    azure.next_backup("db01", "application", duration_s=300)
    time = azure.now()
    of = {"recoveryPointType": "AppConsistent", "recoveryPointTime": time}
    point = {"name": "77", "properties": {**of, "recoveryPointTierDetails": tiers}}
    azure.fault(
        method="GET", path="/recoveryPoints$", status=200, body={"value": [point]}, times=9999
    )
    done = run(azure, require_consistency="application")
    assert done["failed"] == "RecoveryPointNotValid" and "77" in done["msg"]


def test_no_vm_is_no_proof(azure: RecoveryServices) -> None:
    azure.forget_requests()
    assert run(azure, vms=[], require_consistency="crash")["failed"] == "MissingVms"
    assert not azure.requests()
    done = run(azure, vms=[])
    assert done["failed"] is None and "no VM was backed up" in done["warnings"][0]


# --- disks ----------------------------------------------------------------------------------------

_CHOICE = {"diskLunList": [0], "isInclusionList": True}


def _partial(azure: RecoveryServices, disks: Optional[Dict[str, Any]]) -> None:
    azure.change(add_vm={"name": "db03", "luns": [0, 1, 2]})
    azure.change(add_item={"vault": "vault1", "vm": "db03", "disks": disks})
    azure.next_backup("db03", "application", duration_s=300)


def _reads(azure: RecoveryServices) -> int:
    return sum("/recoveryPoints/" in one.path for one in azure.requests())


def test_a_partial_backup_says_which_disks_it_lacks(azure: RecoveryServices) -> None:
    _partial(azure, _CHOICE)
    done = run(azure, "app-rg/db03", require_consistency="application")
    assert done["failed"] is None
    point = done["vms"][0]["recovery_point"]
    assert (point["included_disk_count"], point["attached_disk_count"]) == (2, 4)
    assert [disk["lun"] for disk in point["included_disks"]] == [-1, 0]
    assert [disk["lun"] for disk in point["excluded_disks"]] == [1, 2]
    (warning,) = done["warnings"]
    assert "2 of the 4 disks" in warning and "db03-data-2 (LUN 2)" in warning
    assert point["recovery_point_id"] in warning and done["vms"][0]["warnings"] == [warning]
    assert _reads(azure) == 1


def test_a_whole_backup_warns_of_nothing(azure: RecoveryServices) -> None:
    _partial(azure, {"diskLunList": [], "isInclusionList": False})
    done = run(azure, "app-rg/db03")
    point = done["vms"][0]["recovery_point"]
    assert point["included_disk_count"] == point["attached_disk_count"] == 4
    # The counts of the list are enough: a read by the id would count against the hourly limit.
    assert done["warnings"] == [] and _reads(azure) == 0
    done = run(azure)
    assert done["vms"][0]["recovery_point"]["attached_disk_count"] is None
    assert done["warnings"] == [] and _reads(azure) == 1


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (None, "only data disks of LUN 0"),
        ({}, "only data disks of LUN 0"),
        ({"numberOfDisksIncludedInBackup": 2}, "only data disks of LUN 0"),
        (
            {
                "numberOfDisksIncludedInBackup": 2,
                "numberOfDisksAttachedToVm": 4,
                "excludedDiskList": [],
            },
            "2 of the 4 disks of the VM; Azure does not name the others",
        ),
        ({"excludedDiskList": [{"lun": 1, "name": "logs"}]}, "logs (LUN 1)"),
    ],
)
def test_what_azure_leaves_out_of_its_disks_is_said(
    azure: RecoveryServices, told: Any, words: str
) -> None:
    _partial(azure, _CHOICE)
    of = {"recoveryPointType": "AppConsistent", "recoveryPointTime": azure.now()}
    tiers = [{"type": "InstantRP", "status": "Valid"}]
    of = {**of, "recoveryPointTierDetails": tiers, "recoveryPointDiskConfiguration": told}
    body = {"name": "77", "properties": of}
    azure.fault(
        method="GET", path="/recoveryPoints$", status=200, body={"value": [body]}, times=9999
    )
    azure.fault(method="GET", path="/recoveryPoints/77$", status=200, body=body, times=9999)
    done = run(azure, "app-rg/db03")
    assert done["failed"] is None and words in done["warnings"][0]


def test_disks_that_cannot_be_read_are_said(azure: RecoveryServices) -> None:
    _partial(azure, _CHOICE)
    error = {"status": 403, "code": "AuthorizationFailed", "message": "Not permitted"}
    azure.fault(method="GET", path="/recoveryPoints/", times=9999, **error)
    done = run(azure, "app-rg/db03")
    assert done["failed"] is None
    assert (
        "2 of the 4 disks" in done["warnings"][0] and "AuthorizationFailed" in done["warnings"][0]
    )
