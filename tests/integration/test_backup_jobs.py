# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""backup_job, backup_job_info and recovery_point_info against the lab's control plane."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Dict, List

import pytest

from tests.lab.module_run import ModuleRun, run_module
from tests.lab.recovery_services.lab import RecoveryServices

pytestmark = pytest.mark.quick


@pytest.fixture(name="azure")
def _azure(recovery_services: RecoveryServices) -> RecoveryServices:
    """A vault that protects two VMs."""
    recovery_services.change(add_item={"vault": "vault1", "vm": "db01"})
    recovery_services.change(add_item={"vault": "vault1", "vm": "db02"})
    return recovery_services


def run(azure: RecoveryServices, name: str, *, check: bool = False, **options: Any) -> ModuleRun:
    return run_module(name, {**azure.options(), **options}, check=check)


def job(azure: RecoveryServices, state: str, **options: Any) -> ModuleRun:
    return run(azure, "backup_job", **{"state": state, "poll_interval": 0.1, **options})


def started(azure: RecoveryServices, vm: str = "db01", **plan: Any) -> str:
    """Return the id of a backup's job that runs."""
    azure.next_backup(vm, **plan)
    done = run(azure, "vm_backup", vm=f"app-rg/{vm}", wait=False)
    assert not done.failed, done.result
    azure.forget_requests()
    job_id: str = done["vms"][0]["job_id"]
    return job_id


def cancels(azure: RecoveryServices) -> List[str]:
    return [one.path for one in azure.requests() if one.path.endswith("/cancel")]


def test_a_job_is_cancelled_once(azure: RecoveryServices) -> None:
    job_id = started(azure, never_ends=True)
    planned = job(azure, "cancelled", job_id=job_id, check=True)
    assert planned["changed"] is True and planned["job"]["status"] == "InProgress"
    assert azure.writes() == []

    done = job(azure, "cancelled", job_id=job_id)
    assert not done.failed, done.result
    assert done["changed"] is True and done["job"]["status"] == "Cancelled"
    assert done["job"]["cancellable"] is False
    assert len(cancels(azure)) == 1

    again = job(azure, "cancelled", job_id=job_id)
    assert again["changed"] is False and again["job"]["status"] == "Cancelled"
    assert len(cancels(azure)) == 1


def test_a_job_is_cancelled_without_waiting(azure: RecoveryServices) -> None:
    azure.run_at(1)
    job_id = started(azure, never_ends=True)
    done = job(azure, "cancelled", job_id=job_id, wait=False)
    assert done["changed"] is True and done["job"]["status"] == "Cancelling"
    again = job(azure, "cancelled", job_id=job_id, wait=False)
    assert again["changed"] is False and again["job"]["status"] == "Cancelling"
    assert len(cancels(azure)) == 1
    azure.run_at(200)
    last = job(azure, "cancelled", job_id=job_id)
    assert last["changed"] is False and last["job"]["status"] == "Cancelled"


def test_a_job_that_has_ended_is_not_cancelled(azure: RecoveryServices) -> None:
    job_id = started(azure, duration_s=30)
    assert not job(azure, "finished", job_id=job_id).failed
    done = job(azure, "cancelled", job_id=job_id)
    assert not done.failed and done["changed"] is False
    assert done["job"]["status"] == "Completed"
    assert cancels(azure) == []


def test_a_job_that_ends_before_it_is_cancelled_is_no_failure(azure: RecoveryServices) -> None:
    job_id = started(azure, duration_s=300)
    refusal = {"code": "BMSUserErrorInvalidInput", "message": "It is Completed."}
    azure.fault(method="POST", path="/cancel$", status=400, delay_s=2.0, **refusal)
    done = job(azure, "cancelled", job_id=job_id)
    assert not done.failed, done.result
    assert done["changed"] is False and done["job"]["status"] == "Completed"


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_cancellation_that_cannot_be_read_is_a_change(
    azure: RecoveryServices, is_lost: bool
) -> None:
    job_id = started(azure, never_ends=True)
    if is_lost:
        azure.fault(method="POST", path="/cancel$", kind="reset", after=True)
    denied = {"status": 403, "code": "AuthorizationFailed", "skip": 1, "times": 99}
    azure.fault(method="GET", path="/backupJobs/", **denied)
    done = job(azure, "cancelled", job_id=job_id, wait=False)
    assert done.failed and done["changed"] is True
    assert done["failure"]["name"] == ("ConnectionBroken" if is_lost else "AuthorizationFailed")


def test_a_job_that_cannot_be_cancelled_is_explained(azure: RecoveryServices) -> None:
    azure.next_job("web01", "ConfigureBackup", never_ends=True)
    begun = run(
        azure,
        "protected_vm",
        vm="app-rg/web01",
        policy="DefaultPolicy",
        wait=False,
        poll_interval=0.1,
    )
    job_id = begun["vms"][0]["job_id"]
    done = job(azure, "cancelled", job_id=job_id)
    assert done.failed and done["failure"]["name"] == "JobNotCancellable"
    assert job_id in done["failure"]["message"] and "state=finished" in done["msg"]
    assert done["job"]["operation"] == "ConfigureBackup"
    assert cancels(azure) == []


def test_waiting_for_a_job(azure: RecoveryServices) -> None:
    azure.run_at(1)
    job_id = started(azure, duration_s=400)
    looked = job(azure, "finished", job_id=job_id, check=True)
    assert not looked.failed and looked["job"]["status"] == "InProgress"
    refused = job(azure, "finished", job_id=job_id, wait=False)
    assert refused.failed and refused["failure"]["name"] == "ContradictoryOptions"
    azure.run_at(400)
    done = job(azure, "finished", job_id=job_id)
    assert not done.failed and done["changed"] is False
    assert done["job"]["status"] == "Completed" and done["job"]["job_id"] == job_id
    assert done["job"]["duration_s"] == pytest.approx(400, abs=1)
    assert done["job"]["properties"]["Backup Size"]
    assert {task["status"] for task in done["job"]["tasks"]} == {"Completed"}
    assert azure.writes() == []


def test_waiting_for_failed_or_cancelled_job_fails(azure: RecoveryServices) -> None:
    failing = started(azure, result="failed", duration_s=60)
    done = job(azure, "finished", job_id=failing)
    assert done.failed and done["job"]["status"] == "Failed"
    failure = done["failure"]
    assert failure["name"] == "UserErrorGuestAgentStatusUnavailable" and failure["code"]
    assert failing in failure["message"] and failure["recommended_action"]

    stopped = started(azure, never_ends=True)
    job(azure, "cancelled", job_id=stopped)
    done = job(azure, "finished", job_id=stopped)
    assert done.failed and done["job"]["status"] == "Cancelled"
    assert done["failure"]["code"] == 400158


def test_waiting_ends_with_the_timeout(azure: RecoveryServices) -> None:
    job_id = started(azure, never_ends=True)
    done = job(azure, "finished", job_id=job_id, timeout=1)
    assert done.failed and done["failure"]["name"] == "OperationTimedOut"
    assert job_id in done["failure"]["message"] and done["job"]["status"] == "InProgress"


def test_throttling_beyond_timeout_ends_the_wait(
    azure: RecoveryServices,
) -> None:
    job_id = started(azure, never_ends=True)
    azure.fault(method="GET", path="/backupJobs/", status=429, retry_after=3600, skip=1, times=99)
    done = job(azure, "finished", job_id=job_id, timeout=60)
    assert done.failed and done["failure"]["http_status"] == 429
    assert job_id in done["failure"]["message"] and "continues" in done["failure"]["message"]
    assert done["job"]["status"] == "InProgress"


@pytest.mark.parametrize("name", ["backup_job", "backup_job_info"])
def test_a_job_that_there_is_not(azure: RecoveryServices, name: str) -> None:
    options = {"state": "finished"} if name == "backup_job" else {}
    done = run(azure, name, job_id="00000000-0000-4000-8000-000000000000", **options)
    assert done.failed and done["failure"]["http_status"] == 404
    assert "00000000-0000-4000-8000-000000000000" in done["msg"]


def test_jobs_are_filtered_and_counted(azure: RecoveryServices) -> None:
    yesterday = started(azure, "db01", duration_s=60)
    azure.advance(30 * 3600)
    failed = started(azure, "db01", result="failed", duration_s=60)
    azure.advance(600)
    warned = started(azure, "db02", result="warning", duration_s=60)
    azure.advance(600)
    running = started(azure, "db01", never_ends=True)

    done = run(azure, "backup_job_info")
    assert [one["job_id"] for one in done["jobs"]] == [running, warned, failed]
    assert done["changed"] is False and azure.writes() == []
    assert len([one for one in azure.requests() if one.path.endswith("/backupJobs")]) == 1
    counts = {
        "Completed": 0,
        "CompletedWithWarnings": 1,
        "Failed": 1,
        "InProgress": 1,
        "Cancelling": 0,
        "Cancelled": 0,
    }
    assert done["counts"] == counts

    def ids(**options: Any) -> List[str]:
        found = run(azure, "backup_job_info", **options)
        assert not found.failed, found.result
        assert found["counts"] == counts
        return [one["job_id"] for one in found["jobs"]]

    assert ids(status="Failed") == [failed]
    assert ids(vm="APP-RG/Db02") == [warned]
    assert ids(vm="db02", vm_resource_group="app-rg") == [warned]
    assert ids(operation="ConfigureBackup") == []
    assert ids(operation="Backup", status="InProgress", vm="app-rg/db01") == [running]

    now = datetime.fromisoformat(azure.now()[:19])
    long_ago, a_day_ago = (
        (now - timedelta(days=45)).isoformat(),
        (now - timedelta(days=1)).isoformat(),
    )
    everything = [running, warned, failed, yesterday]
    assert ids(started_after=long_ago) == everything
    assert ids(started_after=long_ago, started_before=a_day_ago) == [yesterday]
    assert ids(started_before=a_day_ago) == [yesterday]
    assert ids(started_after=long_ago, vm="app-rg/db01", status="Completed") == [yesterday]
    assert ids(started_after=(now + timedelta(days=2)).isoformat() + "Z") == []


def test_details_are_told_of_jobs_by_their_ids(azure: RecoveryServices) -> None:
    first = started(azure, "db01", duration_s=300)
    second = started(azure, "db02", result="failed", duration_s=100)
    done = run(azure, "backup_job_info", job_ids=[second, first, second])
    assert [one["job_id"] for one in done["jobs"]] == [second, first]
    assert all(one["tasks"] for one in done["jobs"])

    done = run(
        azure, "backup_job_info", job_id=first, job_ids=[second], wait=True, poll_interval=0.1
    )
    assert not done.failed
    assert [(one["job_id"], one["status"]) for one in done["jobs"]] == [
        (first, "Completed"),
        (second, "Failed"),
    ]
    assert done["jobs"][0]["properties"]["Backup Size"]
    assert done["jobs"][1]["error"]["name"] == "UserErrorGuestAgentStatusUnavailable"
    assert done["counts"]["Failed"] == 1


def test_waiting_for_jobs_ends_with_the_timeout(azure: RecoveryServices) -> None:
    job_id = started(azure, never_ends=True)
    done = run(azure, "backup_job_info", job_id=job_id, wait=True, timeout=1, poll_interval=0.1)
    assert done.failed and done["failure"]["name"] == "OperationTimedOut"
    assert job_id in done["failure"]["message"]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"wait": True}, "MissingJobIds"),
        ({"job_id": ""}, "InvalidJobId"),
        ({"job_ids": [" / "]}, "InvalidJobId"),
        ({"started_after": "yesterday"}, "InvalidTime"),
        ({"started_after": "2020-01-01"}, "InvalidTime"),
        ({"vm": "not//a/vm"}, "InvalidVmName"),
        ({"vm": ""}, "InvalidVmName"),
    ],
)
def test_filters_that_make_no_sense_are_refused(
    azure: RecoveryServices, options: Dict[str, Any], name: str
) -> None:
    done = run(azure, "backup_job_info", **options)
    assert done.failed and done["failure"]["name"] == name
    assert azure.requests() == []


def test_recovery_points_are_told_newest_first(azure: RecoveryServices) -> None:
    days = [{"age_s": 86400 * age, "consistency": "AppConsistent"} for age in (3, 1, 2)]
    azure.change(add_item={"vault": "vault1", "vm": "web01", "points": days})
    azure.next_backup("web01", "crash", duration_s=60)
    backup = run(azure, "vm_backup", vm="app-rg/web01", poll_interval=0.1)
    azure.forget_requests()
    done = run(azure, "recovery_point_info", vms=["app-rg/WEB01", "app-rg/db01"])
    assert not done.failed and done["changed"] is False
    web, database = done["vms"]
    assert database["recovery_points"] == [] and database["state"] == "protected"
    points = web["recovery_points"]
    assert points[0] == backup["vms"][0]["recovery_point"]
    assert [one["consistency"] for one in points] == ["crash"] + ["application"] * 3
    times = [one["time"] for one in points]
    assert times == sorted(times, reverse=True)
    assert all(one["os_type"] == "Linux" and one["encrypted"] is False for one in points)
    assert all(one["tiers"] for one in points)
    assert azure.writes() == []

    after = (datetime.fromisoformat(times[3][:19]) + timedelta(hours=1)).isoformat()
    before = (datetime.fromisoformat(times[1][:19]) - timedelta(hours=1)).isoformat()
    done = run(
        azure,
        "recovery_point_info",
        vm="app-rg/web01",
        started_after=after,
        started_before=before,
        check=True,
    )
    assert [one["time"] for one in done["vms"][0]["recovery_points"]] == [times[2]]


def test_a_vm_without_recovery_points_in_this_vault_is_explained(azure: RecoveryServices) -> None:
    azure.change(
        add_item={"vault": "vault1", "vm": "web01", "deleted_s": 60, "points": [{"age_s": 600}]}
    )
    done = run(azure, "recovery_point_info", vms=["app-rg/far01", "app-rg/web01"])
    assert done.failed
    far, web = done["vms"]
    assert far["failure"]["name"] == "VmNotProtected" and far["state"] == "not_protected"
    assert web["failure"] is None and web["state"] == "soft_deleted"
    assert len(web["recovery_points"]) == 1
    assert "far01" in done["msg"] and done["failure"]["recommended_action"]
