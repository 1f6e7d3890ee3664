# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""M(vm_backup), M(backup_job) and long lists while something goes wrong.

A backup is never asked for twice: each time the jobs that there really are are counted.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional

import pytest

from tests.integration.vault_faults import (
    ALWAYS,
    CORRELATION,
    GROUP,
    LIMIT_S,
    OTHER_SHAPE,
    SUPPORT,
    add_vms,
    back_up,
    by_name,
    checked,
    explained,
    failed,
    jobs,
    protect,
    run,
    started,
    wait_for,
    writes,
)
from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.lab import RecoveryServices

JOBS, POINTS = "/backupJobs$", "/recoveryPoints$"


def trigger(vm: str) -> Dict[str, Any]:
    """Return the request that asks for the backup of a VM."""
    return {"method": "POST", "path": f";{GROUP};{vm}/backup$"}


class Trouble(NamedTuple):
    """A fault of the request for a backup, the failure's name, and whether there is a backup."""

    fault: Dict[str, Any]
    name: Optional[str] = None
    is_done: bool = False


TROUBLES = {
    "fine": Trouble({"path": "nothing"}, None, True),
    "forbidden": Trouble({"status": 403, "code": "LinkedAuthorizationFailed"}, "LinkedAuth"),
    "not-found": Trouble({"status": 404, "code": "BMSUserErrorDataSourceObjectNotFound"}, "BMS"),
    "locked": Trouble({"status": 409, "code": "BMSUserErrorObjectLocked"}, "BMSUserErrorObject"),
    "otherwise": Trouble({"status": 412, "code": "PreconditionFailed"}, "PreconditionFailed"),
    "internal": Trouble({"status": 500, "code": "RestApiInternalError"}, "RestApiInternal"),
    "internal-after": Trouble({"status": 500, "code": "Internal", "after": True}, None, True),
    "other-shape": Trouble({"status": 500, "body": OTHER_SHAPE}, "CloudInternalError"),
    "bad-gateway": Trouble({"status": 502, "code": "InvalidGatewayHost"}, "InvalidGatewayHost"),
    "too-busy": Trouble({"status": 503, "code": "ServerTimeout"}, "ServerTimeout"),
    "paused": Trouble({"status": 503, "code": "ServerTimeout", "retry_after": 1}, None, True),
    "too-slow": Trouble({"status": 504, "code": "GatewayTimeout"}, "GatewayTimeout"),
    "slow-after": Trouble({"status": 504, "code": "GatewayTimeout", "after": True}, None, True),
    "cut": Trouble({"kind": "reset"}, "ConnectionBroken"),
    "cut-after": Trouble({"kind": "reset", "after": True}, None, True),
}


def test_each_backup_has_trouble_of_its_own(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    add_vms(azure, list(TROUBLES), "protected")
    for name, trouble in TROUBLES.items():
        azure.next_backup(name, duration_s=1200)
        azure.fault(**{**trigger(name), "headers": SUPPORT, **trouble.fault})
    done = back_up(azure, *TROUBLES)
    assert done.failed and done["changed"] is True
    names = failed(done)
    assert set(names) == {name for name, one in TROUBLES.items() if one.name}, done.stdout
    began = list(jobs(azure, "Backup").values())
    assert sorted(began) == sorted(name for name, one in TROUBLES.items() if one.is_done)
    for name, vm in by_name(done).items():
        trouble = TROUBLES[name]
        assert vm["changed"] is trouble.is_done, vm
        assert (vm["recovery_point"] is not None) is trouble.is_done
        assert (vm["job_id"] in jobs(azure)) is trouble.is_done
        if trouble.name is None:
            continue
        assert names[name].startswith(trouble.name)
        explained(vm["failure"], names[name], name, "back up")
        doubtful = "kind" in trouble.fault or trouble.fault["status"] >= 500
        assert ("may still have started" in vm["failure"]["message"]) is doubtful
        assert ("backup_job_info" in vm["failure"]["recommended_action"]) is doubtful
        if "status" in trouble.fault:
            assert vm["failure"]["correlation_id"] == CORRELATION
            assert vm["failure"]["http_status"] == trouble.fault["status"]
    assert done["consistency"] is None
    assert f"{len(names)} of {len(TROUBLES)} VMs failed" in done["msg"]


def test_a_pause_longer_than_there_is_time(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    add_vms(azure, ["one", "two"], "protected")
    azure.next_backup("one", duration_s=60)
    azure.fault(
        **trigger("two"),
        status=429,
        code="ResourceRequestsThrottled",
        message="Please try again after '1800' seconds.",
        headers=SUPPORT,
        times=ALWAYS,
    )
    done = back_up(azure, "one", "two", timeout=900)
    assert done.failed
    assert list(jobs(azure).values()) in (["one"], [])
    changed = [name for name, vm in by_name(done).items() if vm["changed"]]
    assert changed == list(jobs(azure).values())
    failure = by_name(done)["two"]["failure"]
    explained(failure, "ResourceRequestsThrottled", "two", "timeout")
    assert failure["correlation_id"] == CORRELATION


@pytest.mark.parametrize("wait", [True, False])
def test_jobs_that_the_list_has_late(recovery_services: RecoveryServices, wait: bool) -> None:
    azure = recovery_services
    vms = ("one", "two", "three")
    add_vms(azure, vms, "protected")
    for vm in vms:
        azure.next_backup(vm, duration_s=300)
    azure.fault(method="GET", path=JOBS, status=200, body={"value": []}, times=6)
    done = back_up(azure, *vms, wait=wait)
    assert not done.failed, done.stdout
    assert {vm["job_id"] for vm in done["vms"]} == set(jobs(azure))
    assert sorted(jobs(azure).values()) == sorted(vms)
    if wait:
        assert all(vm["recovery_point"] for vm in done["vms"])


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ({"status": 403, "code": "AuthorizationFailed"}, "AuthorizationFailed"),
        ({"status": 429, "code": "Throttled", "retry_after": 9000}, "Throttled"),
        ({"status": 404, "code": "ResourceNotFound"}, "ResourceNotFound"),
    ],
)
def test_jobs_that_cannot_be_looked_at_any_more(
    recovery_services: RecoveryServices, fault: Dict[str, Any], name: str
) -> None:
    azure = recovery_services
    add_vms(azure, ["one", "two"], "protected")
    for vm in ("one", "two"):
        azure.next_backup(vm, duration_s=90_000)
    azure.fault(method="GET", path="/backupJobs", skip=1, times=ALWAYS, headers=SUPPORT, **fault)
    done = back_up(azure, "one", "two", timeout=600)
    assert done.failed and done["changed"] is True
    assert failed(done) == {"one": name, "two": name}
    for vm in done["vms"]:
        assert vm["changed"] is True and vm["job_id"] in jobs(azure)
        explained(vm["failure"], name, vm["job_id"], "continues in Azure")
        assert vm["failure"]["correlation_id"] == CORRELATION
    assert len(jobs(azure)) == 2


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ({"status": 403, "code": "AuthorizationFailed"}, "AuthorizationFailed"),
        ({"status": 404, "code": "BMSUserErrorDataSourceObjectNotFound"}, "BMSUserErrorDataSource"),
        ({"kind": "malformed"}, "MalformedAnswer"),
    ],
)
def test_recovery_points_that_cannot_be_read(
    recovery_services: RecoveryServices, fault: Dict[str, Any], name: str
) -> None:
    azure = recovery_services
    add_vms(azure, ["one", "two"], "protected")
    for vm in ("one", "two"):
        azure.next_backup(vm, duration_s=60)
    azure.fault(method="GET", path=f";one{POINTS}", times=ALWAYS, headers=SUPPORT, **fault)
    done = back_up(azure, "one", "two", timeout=5)
    assert done.failed and done["changed"] is True
    one, two = done["vms"]
    assert two["failure"] is None and two["recovery_point"]
    assert one["changed"] is True and one["status"] == "Completed" and one["consistency"] is None
    assert one["failure"]["name"].startswith(name)
    explained(one["failure"], one["failure"]["name"], "one", one["job_id"])
    assert done["consistency"] is None


def test_a_backup_that_somebody_cancels(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    add_vms(azure, ["one", "two"], "protected")
    azure.next_backup("one", never_ends=True)
    azure.next_backup("two", duration_s=60)
    # Three modules wait at the same time. The job ends when it is cancelled, and not before.
    azure.run_freely(200)
    process = started(azure, "vm_backup", vms=[f"{GROUP}/one", f"{GROUP}/two"])
    wait_for(lambda: "one" in jobs(azure, "Backup").values())
    (job,) = [job for job, vm in jobs(azure, "Backup").items() if vm == "one"]
    # Two at a time: one cancels it, and for neither it is an error.
    others = [started(azure, "backup_job", job_id=job, state="cancelled") for _one in range(2)]
    cancelled = [checked(azure, other.finish(LIMIT_S)) for other in others]
    done = checked(azure, process.finish(LIMIT_S))
    assert done.failed and done["changed"] is True
    one, two = done["vms"]
    assert one["status"] == "Cancelled" and one["job_id"] == job and one["changed"] is True
    explained(one["failure"], "UserErrorJobSuccessfullyCancelled", "one", job, "cancelled")
    assert two["failure"] is None
    assert [one["job"]["status"] for one in cancelled] == ["Cancelled"] * 2
    assert any(one["changed"] for one in cancelled) and not any(one.failed for one in cancelled)
    again = run(azure, "backup_job", job_id=job, state="cancelled")
    assert not again.failed and again["changed"] is False
    finished = run(azure, "backup_job", job_id=job, state="finished")
    assert finished.failed and job in finished["msg"]


def test_a_vm_that_is_deleted_while_it_is_backed_up(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    add_vms(azure, ["one", "two"], "protected")
    azure.next_backup("one", duration_s=800)
    azure.next_backup("two", duration_s=60)
    # As soon as Azure has accepted what the job is for.
    azure.fault(**trigger("one"), change={"remove_vm": "one"}, after=True)
    done = back_up(azure, "one", "two")
    assert azure.faults() == []
    assert failed(done) == {"one": "UserErrorVmNotFoundV2"}
    one = by_name(done)["one"]
    explained(one["failure"], "UserErrorVmNotFoundV2", "one", one["job_id"])
    assert one["failure"]["code"] == 400136 and one["changed"] is True
    assert azure.state()["vaults"]["vault1"]["points"]["one"] == []


def test_all_ends_that_a_backup_can_have(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    ends = ("application", "file-system", "crash", "warning", "failed")
    add_vms(azure, ends, "protected")
    for end in ends:
        azure.next_backup(end, end, duration_s=60)
    done = back_up(azure, *ends, require_consistency="file-system")
    assert failed(done) == {
        "crash": "ConsistencyNotReached",
        "warning": "ConsistencyNotReached",
        "failed": "UserErrorGuestAgentStatusUnavailable",
    }
    told = by_name(done)
    assert all(vm["changed"] for vm in done["vms"]) and len(jobs(azure)) == len(ends)
    explained(told["warning"]["failure"], "ConsistencyNotReached", "warning", "400446")
    assert told["warning"]["status"] == "CompletedWithWarnings"
    points = azure.state()["vaults"]["vault1"]["points"]
    for end in ends:
        point = told[end]["recovery_point"]
        assert points[end] == ([point["type"]] if point else [])
    assert told["failed"]["recovery_point"] is None


# --- jobs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "changed", "name"),
    [
        ({"kind": "reset"}, False, "ConnectionBroken"),
        ({"kind": "reset", "after": True}, True, None),
        ({"status": 500, "code": "Internal", "after": True}, True, None),
        ({"status": 409, "code": "Conflict"}, False, "Conflict"),
        ({"kind": "expired_token"}, True, None),
    ],
)
def test_a_cancellation_in_trouble(
    recovery_services: RecoveryServices, fault: Dict[str, Any], changed: bool, name: Optional[str]
) -> None:
    azure = recovery_services
    add_vms(azure, ["one"], "protected")
    azure.next_backup("one", duration_s=90_000)
    job = back_up(azure, "one", wait=False)["vms"][0]["job_id"]
    azure.fault(method="POST", path="/cancel$", **fault)
    done = run(azure, "backup_job", job_id=job, state="cancelled")
    (has,) = azure.state()["vaults"]["vault1"]["jobs"]
    assert done["job"]["status"] == has["properties"]["status"]
    assert has["properties"]["status"] == ("Cancelled" if changed else "InProgress")
    assert done["changed"] is changed
    assert done.failed is bool(name)
    if name:
        explained(done["failure"], name, job, "cancel")


# --- lists of more than one page -----------------------------------------------------------------


def test_the_second_page_in_trouble(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.reset(seed=seeds.fleet(201))
    names = [f"vm{number:04d}" for number in range(1, 202)]
    lists = {
        "protectable_vm_info": ("/backupProtectableItems$", "vms", 201),
        "protected_vm_info": ("/backupProtectedItems$", "vms", 201),
        "backup_job_info": (JOBS, "jobs", 201),
        "recovery_point_info": (POINTS, "vms", 201),
    }
    protectable = "protectable_vm_info"
    half_a_list_is_none(azure, protectable, *lists.pop(protectable))
    for path in ("/backupProtectableItems$", "/backupProtectedItems$", JOBS):
        azure.fault(method="GET", path=path, status=502, code="InvalidGatewayHost", skip=1)
    done = protect(azure, *names)
    assert not done.failed, done["msg"]
    assert sorted(jobs(azure).values()) == names
    assert azure.faults() == []
    azure.change(add_vm={"name": "old"})
    points = [{"age_s": 3600 * age} for age in range(1, 202)]
    azure.change(add_item={"vault": "vault2", "vm": "old", "points": points})
    for module, (path, key, count) in lists.items():
        more = {"vm": f"{GROUP}/old", "vault": "vault2"} if module == "recovery_point_info" else {}
        half_a_list_is_none(azure, module, path, key, count, **more)
    azure.fault(method="GET", path="/backupProtectedItems$", skip=1, **LASTING)
    azure.forget_requests()
    # Half a list would make VMs look unprotected.
    unsure = protect(azure, *names, policy="EnhancedPolicy")
    assert unsure.failed and writes(azure) == []
    explained(unsure["failure"], "AuthorizationFailed", "vault1")


LASTING = {"status": 403, "code": "AuthorizationFailed", "times": ALWAYS}


def half_a_list_is_none(
    azure: RecoveryServices, module: str, path: str, key: str, count: int, **options: Any
) -> None:
    """Check that a refused second page fails the task, and that a late one does not."""
    azure.fault(method="GET", path=path, skip=1, **LASTING)
    refused = run(azure, module, **options)
    assert refused.failed, module
    assert not any("recovery_points" not in one for one in refused.result.get(key) or ())
    assert not any(one["recovery_points"] for one in refused.result.get(key) or ())
    explained(refused["failure"], "AuthorizationFailed")
    azure.forget_faults()
    azure.fault(method="GET", path=path, kind="malformed", skip=1)
    done = run(azure, module, **options)
    assert not done.failed, done["msg"]
    found: List[Any] = done[key]
    if module == "recovery_point_info":
        found = found[0]["recovery_points"]
    assert len(found) == count and azure.faults() == []
