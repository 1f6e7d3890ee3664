# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vm_backup against the lab's control plane: what it asks for, waits for, finds and says."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List

import pytest

from tests.lab.module_run import ModuleRun, run_module
from tests.lab.recovery_services.lab import RecoveryServices, Request

pytestmark = pytest.mark.quick


@pytest.fixture(name="azure")
def _azure(recovery_services: RecoveryServices) -> RecoveryServices:
    """A vault that protects two VMs; one of them has been backed up before."""
    old = [{"age_s": 7200, "consistency": "AppConsistent"}]
    recovery_services.change(add_item={"vault": "vault1", "vm": "db01", "points": old})
    recovery_services.change(add_item={"vault": "vault1", "vm": "db02"})
    return recovery_services


def back_up(
    azure: RecoveryServices, *, check: bool = False, vms: Any = ("app-rg/db01",), **options: Any
) -> ModuleRun:
    given = {**azure.options(), "vms": list(vms), "poll_interval": 0.1, **options}
    return run_module("vm_backup", given, check=check)


def triggers(azure: RecoveryServices) -> List[Request]:
    return [
        one for one in azure.requests() if one.method == "POST" and one.path.endswith("/backup")
    ]


def by_name(done: ModuleRun) -> Dict[str, Any]:
    return {one["name"]: one for one in done["vms"]}


@pytest.mark.parametrize("vm", ["", None])
def test_an_empty_name_is_not_taken_for_nothing_to_back_up(
    azure: RecoveryServices, vm: Any
) -> None:
    done = run_module("vm_backup", {**azure.options(), "vm": vm})
    assert done.failed and done["failure"]["name"] in ("InvalidVmName", "MissingVms")
    assert not azure.requests()


def test_a_name_taken_of_the_wrong_group_is_told(azure: RecoveryServices) -> None:
    given = {**azure.options(), "vm": "DB01"}
    done = run_module("vm_backup", given)
    assert done["failure"]["name"] == "VmNotProtected"
    action = done["failure"]["recommended_action"]
    assert "resource group backup-rg" in action and "/resourceGroups/app-rg/" in action
    other = run_module("vm_backup", {**given, "vm": "other"})["failure"]["recommended_action"]
    assert other.startswith("Protect it")
    gone = run_module("protected_vm", {**given, "state": "absent"})
    assert gone["failure"]["name"] == "NotProtected"
    assert "/resourceGroups/app-rg/" in gone["failure"]["recommended_action"]


def test_the_recovery_point_of_this_very_job_is_found(azure: RecoveryServices) -> None:
    azure.next_backup("db01", "file-system", duration_s=600)
    done = back_up(azure)
    assert not done.failed, done.result
    assert done["changed"] is True and done["consistency"] == "file-system"
    (row,) = done["vms"]
    assert row["status"] == "Completed" and row["failure"] is None
    point = row["recovery_point"]
    assert point["consistency"] == "file-system" and point["type"] == "FileSystemConsistent"
    assert {"type": "InstantRP", "status": "Valid"} in point["tiers"]
    job = azure.state()["vaults"]["vault1"]["jobs"][-1]
    assert row["job_id"] == job["name"]
    assert job["properties"]["startTime"][:19] <= point["time"]
    assert point["time"] <= job["properties"]["endTime"][:19] + "Z"
    (request,) = triggers(azure)
    assert request.body == {"properties": {"objectType": "IaasVMBackupRequest"}}


def test_a_backup_a_run(azure: RecoveryServices) -> None:
    points = []
    for _run in range(2):
        azure.next_backup("db01", duration_s=100)
        done = back_up(azure)
        assert done["changed"] is True
        points.append(done["vms"][0]["recovery_point"]["recovery_point_id"])
    assert len(set(points)) == 2


@pytest.mark.parametrize(
    ("made", "required", "reached"),
    [
        ("application", "application", True),
        ("application", "crash", True),
        ("file-system", "file-system", True),
        ("file-system", "application", False),
        ("crash", "application", False),
        ("crash", "file-system", False),
        ("warning", "file-system", False),
    ],
)
def test_less_than_the_required_consistency_fails(
    azure: RecoveryServices, made: str, required: str, reached: bool
) -> None:
    azure.next_backup("db01", made, duration_s=60)
    done = back_up(azure, require_consistency=required)
    (row,) = done["vms"]
    consistency = {"warning": "crash"}.get(made, made)
    assert row["consistency"] == done["consistency"] == consistency
    assert done["changed"] is True and row["recovery_point"]["recovery_point_id"]
    assert done.failed is not reached
    if reached:
        assert row["failure"] is None
        return
    failure = done["failure"]
    assert failure["name"] == "ConsistencyNotReached"
    assert consistency in failure["message"] and required in failure["message"]
    assert row["job_id"] in failure["message"] and failure["vm"].endswith("/db01")
    scripts = "snapshot_scripts_info" in failure["recommended_action"]
    assert scripts is (required == "application")
    assert ("vm_extension_info" in failure["recommended_action"]) is (consistency == "crash")
    if made == "warning":
        assert failure["code"] == 400446 and "400446" in failure["message"]


def test_a_warning_alone_is_no_failure(azure: RecoveryServices) -> None:
    azure.next_backup("db01", "warning", duration_s=60)
    done = back_up(azure)
    assert not done.failed
    (row,) = done["vms"]
    assert row["status"] == "CompletedWithWarnings" and row["consistency"] == "crash"
    assert "400446" in row["warnings"][0]
    # Ansible makes more of them than text.
    assert "400446" in str(done["warnings"])


def test_vms_that_cannot_be_backed_up_leave_the_others_alone(azure: RecoveryServices) -> None:
    azure.change(
        add_vm={"name": "gone01"}, add_item={"vault": "vault1", "vm": "gone01", "deleted_s": 60}
    )
    azure.change(add_vm={"name": "idle01"})
    azure.change(add_item={"vault": "vault1", "vm": "idle01", "state": "ProtectionStopped"})
    azure.next_backup("db01", duration_s=60)
    names = ("web01", "gone01", "idle01", "db01", "nosuch")
    done = back_up(azure, vms=[f"app-rg/{name}" for name in names])
    assert done.failed and done["changed"] is True
    assert [one["name"] for one in done["vms"]] == list(names)
    rows = by_name(done)
    failures = {name: row["failure"] and row["failure"]["name"] for name, row in rows.items()}
    assert failures == {
        "web01": "VmNotProtected",
        "gone01": "VmSoftDeleted",
        "idle01": "VmProtectionStopped",
        "db01": None,
        "nosuch": "VmNotProtected",
    }
    assert rows["db01"]["recovery_point"] is not None
    assert "4 of 5 VMs failed" in done["msg"] and "idle01" in done["msg"]
    assert [one.path.rsplit(";", 1)[1] for one in triggers(azure)] == ["db01/backup"]
    assert all(rows[name]["failure"]["recommended_action"] for name in names if name != "db01")


def test_check_mode_sends_no_write(azure: RecoveryServices) -> None:
    done = back_up(azure, check=True, vms=["app-rg/db01", "app-rg/DB02"], retain_until="2099-01-01")
    assert not done.failed
    assert done["changed"] is True and [one["changed"] for one in done["vms"]] == [True, True]
    assert azure.writes() == []
    done = back_up(azure, check=True, vms=["app-rg/db01", "app-rg/web01"])
    assert done.failed and by_name(done)["web01"]["changed"] is False
    assert azure.writes() == []


def test_without_waiting_there_are_job_ids(azure: RecoveryServices) -> None:
    done = back_up(azure, wait=False, vms=["app-rg/db01", "app-rg/db02"])
    assert not done.failed and done["changed"] is True
    jobs = azure.state()["vaults"]["vault1"]["jobs"]
    assert {one["job_id"] for one in done["vms"]} == {job["name"] for job in jobs}
    assert {one["status"] for one in done["vms"]} == {"InProgress"}
    assert done["consistency"] is None


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"wait": False, "require_consistency": "crash"}, "ContradictoryOptions"),
        ({"retain_until": "2020-01-01"}, "InvalidRetainUntil"),
        ({"retain_until": "2300-01-01"}, "InvalidRetainUntil"),
        ({"retain_until": "next year"}, "InvalidTime"),
        ({"retain_until": "2027-02-30"}, "InvalidTime"),
        ({"timeout": 0}, "InvalidTimeout"),
        ({"poll_interval": 0.01}, "InvalidPollInterval"),
    ],
)
def test_contradictory_options_send_no_request(
    azure: RecoveryServices, options: Dict[str, Any], name: str
) -> None:
    done = back_up(azure, **options)
    assert done.failed and done["failure"]["name"] == name
    assert azure.requests() == []


def test_a_date_means_the_end_of_that_day(azure: RecoveryServices) -> None:
    day = (datetime.now(timezone.utc) + timedelta(days=400)).strftime("%Y-%m-%d")
    azure.next_backup("db01", duration_s=60)
    done = back_up(azure, retain_until=day)
    assert not done.failed, done.result
    azure.next_backup("db01", duration_s=60)
    done = back_up(azure, retain_until=f"{day}T10:00:00+02:00")
    assert not done.failed, done.result
    sent = [one.body["properties"]["recoveryPointExpiryTimeInUTC"] for one in triggers(azure)]
    assert sent == [f"{day}T23:59:59.000Z", f"{day}T08:00:00.000Z"]


def test_running_backup_is_reported_and_not_repeated(azure: RecoveryServices) -> None:
    running = back_up(azure, wait=False)["vms"][0]["job_id"]
    azure.forget_requests()
    azure.next_backup("db02", duration_s=60)
    done = back_up(azure, vms=["app-rg/db01", "app-rg/db02"])
    assert done.failed
    rows = by_name(done)
    assert rows["db01"]["changed"] is False and rows["db02"]["recovery_point"]
    failure = rows["db01"]["failure"]
    assert running in failure["message"] and running in failure["recommended_action"]
    assert failure["http_status"] == 409 and failure["correlation_id"]
    assert len(triggers(azure)) == 2
    assert len(azure.state()["vaults"]["vault1"]["jobs"]) == 2


def test_a_lost_answer_does_not_lead_to_a_second_backup(azure: RecoveryServices) -> None:
    azure.next_backup("db01", duration_s=600)
    azure.fault(method="POST", path="/backup$", kind="reset", after=True)
    done = back_up(azure)
    assert not done.failed, done.result
    (row,) = done["vms"]
    assert row["changed"] is True and row["recovery_point"]
    assert row["job_id"] in row["warnings"][0]
    assert len(triggers(azure)) == 1


def test_a_lost_answer_of_a_backup_that_has_ended_already(azure: RecoveryServices) -> None:
    azure.next_backup("db01", "application", duration_s=1)
    azure.fault(method="POST", path="/backup$", kind="reset", after=True)
    azure.fault(method="GET", path="/backupJobs$", delay_s=0.5)
    done = back_up(azure)
    assert not done.failed, done.result
    (row,) = done["vms"]
    (job,) = azure.state()["vaults"]["vault1"]["jobs"]
    assert row["job_id"] == job["name"] and row["job_id"] in row["warnings"][0]
    assert done["changed"] is True and done["consistency"] == "application"
    assert len(triggers(azure)) == 1


def test_a_first_attempt_that_was_carried_out_is_the_backup(azure: RecoveryServices) -> None:
    azure.next_backup("db01", "application", duration_s=600)
    azure.fault(method="POST", path="/backup$", status=503, retry_after=1, after=True)
    done = back_up(azure)
    assert not done.failed, done.result
    assert len(triggers(azure)) == 2 and done["changed"] is True
    assert len(azure.state()["vaults"]["vault1"]["jobs"]) == 1
    assert done["consistency"] == "application"


def test_a_lost_request_is_no_backup(azure: RecoveryServices) -> None:
    azure.fault(method="POST", path="/backup$", kind="reset")
    done = back_up(azure)
    assert done.failed and done["changed"] is False
    assert "may still have" in done["failure"]["message"]
    assert len(triggers(azure)) == 1
    azure.next_backup("db01", duration_s=60)
    assert not back_up(azure).failed


def test_a_job_that_fails_has_its_code_and_the_others_go_on(azure: RecoveryServices) -> None:
    azure.next_backup("db01", "failed", duration_s=60)
    azure.next_backup("db02", "application", duration_s=120)
    done = back_up(azure, vms=["app-rg/db01", "app-rg/db02"])
    assert done.failed
    rows = by_name(done)
    failure = rows["db01"]["failure"]
    assert rows["db01"]["status"] == "Failed" and rows["db01"]["recovery_point"] is None
    assert failure["name"] == "UserErrorGuestAgentStatusUnavailable" and failure["code"]
    assert rows["db01"]["job_id"] in failure["message"] and failure["recommended_action"]
    assert rows["db02"]["consistency"] == "application" and rows["db02"]["failure"] is None
    assert done["consistency"] is None


def test_a_vm_that_is_deleted_meanwhile(azure: RecoveryServices) -> None:
    azure.next_backup("db01", duration_s=60)
    azure.remove_vm("db01")
    done = back_up(azure)
    assert done.failed
    assert done["failure"]["name"] == "UserErrorVmNotFoundV2" and done["failure"]["code"] == 400136


def test_a_job_that_never_ends_is_given_up_at_the_deadline(azure: RecoveryServices) -> None:
    azure.next_backup("db01", never_ends=True)
    done = back_up(azure, timeout=2)
    assert done.failed and done["changed"] is True
    failure = done["failure"]
    assert failure["name"] == "OperationTimedOut"
    job = azure.state()["vaults"]["vault1"]["jobs"][-1]["name"]
    assert job in failure["message"] and job in failure["recommended_action"]
    assert done["vms"][0]["job_id"] == job and done["vms"][0]["status"] == "InProgress"


def test_a_list_of_recovery_points_that_lags_is_read_again(azure: RecoveryServices) -> None:
    azure.next_backup("db01", duration_s=60)
    azure.fault(method="GET", path="/recoveryPoints$", status=200, body={"value": []}, times=2)
    done = back_up(azure)
    assert not done.failed, done.result
    lists = [one for one in azure.requests() if one.path.endswith("/recoveryPoints")]
    assert len(lists) == 3


def test_a_recovery_point_that_is_not_found_is_a_failure(azure: RecoveryServices) -> None:
    azure.next_backup("db01", duration_s=60)
    azure.fault(method="GET", path="/recoveryPoints$", status=200, body={"value": []}, times=99)
    done = back_up(azure, timeout=30)
    assert done.failed and done["failure"]["name"] == "RecoveryPointNotFound"
    assert done["vms"][0]["job_id"] in done["failure"]["message"]
    assert done["vms"][0]["consistency"] is None


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429, "retry_after": 1},
        {"status": 500, "code": "RestApiInternalError", "times": 2},
        {"status": 504, "code": "GatewayTimeout", "times": 8},
        {"kind": "reset", "times": 2},
        {"kind": "malformed", "times": 2},
        {"kind": "expired_token"},
    ],
)
def test_trouble_while_the_job_runs_is_borne(
    azure: RecoveryServices, fault: Dict[str, Any]
) -> None:
    azure.next_backup("db01", duration_s=300)
    azure.fault(**{"method": "GET", "path": "/backupJobs", "skip": 1, **fault})
    done = back_up(azure)
    assert not done.failed, done.result
    assert len(triggers(azure)) == 1 and azure.faults() == []


def test_all_vms_share_the_looks_at_the_jobs(azure: RecoveryServices) -> None:
    names = [f"many{number}" for number in range(6)]
    for number, name in enumerate(names):
        azure.change(add_vm={"name": name})
        azure.change(add_item={"vault": "vault1", "vm": name})
        azure.next_backup(name, duration_s=200 + 20 * number)
    done = back_up(azure, vms=[f"app-rg/{name}" for name in names])
    assert not done.failed, done.result
    paths = [one.path for one in azure.requests()]
    assert sum(path.endswith("/backupProtectedItems") for path in paths) == 1
    assert sum(path.endswith("/recoveryPoints") for path in paths) == len(names)
    assert sum("/backupOperations/" in path for path in paths) == 0
    # Only the last one that is left is looked at by itself.
    assert len({path for path in paths if "/backupJobs/" in path}) <= 1


def test_names_in_odd_case_and_twice_are_one_vm(azure: RecoveryServices) -> None:
    azure.next_backup("db01", duration_s=60)
    done = back_up(azure, vms=["APP-RG/Db01", "app-rg/db01"])
    assert not done.failed, done.result
    assert len(done["vms"]) == 1 and len(triggers(azure)) == 1


def test_no_vms_are_no_backup(azure: RecoveryServices) -> None:
    done = back_up(azure, vms=[])
    assert not done.failed and done["changed"] is False and done["vms"] == []
    assert azure.writes() == []
