# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""M(protected_vm) in every state while something goes wrong for some of its VMs, or for all.

Each time what the vault really has is held against what the result says; then the fault is gone,
a second run does what is left, and a third has nothing to do.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from email.utils import formatdate
from typing import Any, Dict, List, NamedTuple, Optional

import pytest

from tests.integration.vault_faults import (
    ALWAYS,
    CORRELATION,
    GROUP,
    LIMIT_S,
    OTHER_SHAPE,
    add_vms,
    by_name,
    checked,
    explained,
    failed,
    item,
    jobs,
    protect,
    run,
    started,
    state_of,
    wait_for,
    writes,
)
from tests.lab.module_run import ModuleRun
from tests.lab.recovery_services.lab import RecoveryServices

ITEMS, PROTECTABLE, JOBS = "/backupProtectedItems$", "/backupProtectableItems$", "/backupJobs$"
SUPPORT = {"x-ms-correlation-request-id": CORRELATION}


class Way(NamedTuple):
    """How VMs get into a state: from which, by which requests, and where they end."""

    before: str
    method: str
    operations: List[str]
    after: str
    options: Dict[str, Any]


WAYS = {
    "protect": Way("", "PUT", ["ConfigureBackup"], "protected", {}),
    "resume": Way("stopped", "PUT", ["ConfigureBackup"], "protected", {}),
    "undelete and protect": Way(
        "soft_deleted", "PUT", ["Undelete", "ConfigureBackup"], "protected", {}
    ),
    "stop": Way("protected", "PUT", ["DisableBackup"], "stopped", {"state": "stopped"}),
    "delete": Way("protected", "DELETE", ["DeleteBackupData"], "soft_deleted", {"state": "absent"}),
    "undelete": Way("soft_deleted", "PUT", ["Undelete"], "stopped", {"state": "undeleted"}),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


def agrees(azure: RecoveryServices, done: ModuleRun) -> None:
    """What the result says of each VM is what the vault has; what changed has a job."""
    worked_on = set(jobs(azure).values())
    for name, vm in by_name(done).items():
        assert vm["state"] == state_of(azure, name), (name, vm)
        assert not vm["changed"] or name in worked_on, vm
    assert done["changed"] is any(vm["changed"] for vm in done["vms"])


def finishes(azure: RecoveryServices, way: Way, *vms: str, left: Any) -> None:
    """Without faults, a second run changes those that are left, and a third nothing."""
    azure.forget_faults()
    second = protect(azure, *vms, **way.options)
    assert not second.failed, second.stdout
    assert {vm["name"] for vm in second["vms"] if vm["changed"]} == set(left)
    assert {state_of(azure, vm) for vm in vms} == {way.after}
    agrees(azure, second)
    azure.forget_requests()
    third = protect(azure, *vms, **way.options)
    assert not third.failed and third["changed"] is False
    assert writes(azure) == []


# --- some of them --------------------------------------------------------------------------------


@every_way
def test_some_of_five_fail(recovery_services: RecoveryServices, way: Way) -> None:
    azure = recovery_services
    vms = ("one", "two", "three", "cut", "gateway")
    add_vms(azure, vms, way.before)
    azure.fault(
        method=way.method,
        path=item("two"),
        status=403,
        code="LinkedAuthorizationFailed",
        message="The client has permission, but not on the linked scope.",
        headers=SUPPORT,
        times=ALWAYS,
    )
    # Where there are two jobs, the last.
    azure.next_job(
        "three",
        way.operations[-1],
        result="failed",
        code="UserErrorGuestAgentStatusUnavailable",
        message="The agent cannot be reached.",
        error_code=400153,
    )
    # Of these the answer is lost; the second attempt meets the job of the first.
    for vm, lost in (("cut", {"kind": "reset"}), ("gateway", {"status": 504})):
        azure.next_job(vm, way.operations[0], duration_s=240)
        azure.fault(method=way.method, path=item(vm), after=True, **lost)
    done = protect(azure, *vms, **way.options)
    assert done.failed and done["changed"] is True
    for text in (done["msg"], done["failure"]["message"]):
        assert "2 of 5 VMs failed" in text and "two" in text and "three" in text
    told = by_name(done)
    assert list(failed(done)) == ["two", "three"]
    refused, broken = told["two"]["failure"], told["three"]["failure"]
    explained(refused, "LinkedAuthorizationFailed", "two", "linked scope")
    assert refused["http_status"] == 403 and refused["correlation_id"] == CORRELATION
    explained(broken, "UserErrorGuestAgentStatusUnavailable", "three", told["three"]["job_id"])
    assert broken["code"] == 400153
    for name in ("two", "three"):
        assert told[name]["failure"]["vm"].endswith(f"/virtualMachines/{name}")
    # Undeleted, and then not protected: that is something, and not what was wanted.
    halfway = len(way.operations) == 2
    assert [vm["changed"] for vm in done["vms"]] == [True, False, halfway, True, True]
    assert state_of(azure, "two") == (way.before or "not_protected")
    assert state_of(azure, "three") == ("stopped" if halfway else way.before or "not_protected")
    agrees(azure, done)
    for operation in way.operations:
        began = list(jobs(azure, operation).values())
        assert len(began) == len(set(began)), "something was done twice"
    finishes(azure, way, *vms, left=["two", "three"])


@pytest.mark.parametrize("name", ["undelete and protect", "delete"])
def test_the_job_of_one_never_ends(recovery_services: RecoveryServices, name: str) -> None:
    azure, way = recovery_services, WAYS[name]
    vms = ("one", "two", "three")
    add_vms(azure, vms, way.before)
    azure.next_job("two", way.operations[-1], never_ends=True)
    done = protect(azure, *vms, timeout=3, **way.options)
    assert failed(done) == {"two": "OperationTimedOut"}
    two = by_name(done)["two"]
    running = [job for job, vm in jobs(azure, way.operations[-1]).items() if vm == "two"]
    assert running == [two["job_id"]]
    explained(two["failure"], "OperationTimedOut", "two", two["job_id"], "InProgress")
    assert two["job_id"] in two["failure"]["recommended_action"]
    assert two["job_id"] in done["msg"]
    assert [vm["changed"] for vm in done["vms"]] == [True, True, True]
    agrees(azure, done)
    # While it runs, there is nothing to add: no second job, and no success either.
    before = jobs(azure)
    again = protect(azure, *vms, timeout=1, **way.options)
    assert again.failed and jobs(azure) == before
    assert by_name(again)["two"]["changed"] is False
    agrees(azure, again)


@pytest.mark.parametrize("name", ["protect", "stop"])
def test_one_is_deleted_meanwhile(recovery_services: RecoveryServices, name: str) -> None:
    azure, way = recovery_services, WAYS[name]
    vms = ("one", "two", "three")
    add_vms(azure, vms, way.before)
    azure.next_job("two", way.operations[0], duration_s=300)
    given = {"policy": "DefaultPolicy"} if way.after == "protected" else {}
    process = started(
        azure, "protected_vm", vms=[f"{GROUP}/{vm}" for vm in vms], **given, **way.options
    )
    wait_for(lambda: "two" in jobs(azure, way.operations[0]).values())
    azure.remove_vm("two")
    done = checked(azure, process.finish(LIMIT_S))
    agrees(azure, done)
    assert state_of(azure, "one") == state_of(azure, "three") == way.after
    if way.after == "protected":
        failure = by_name(done)["two"]["failure"]
        explained(failure, "UserErrorVmNotFoundV2", "two", by_name(done)["two"]["job_id"])
        assert failure["code"] == 400136
    else:
        # What is left of a VM that is gone can be kept, deleted and undeleted.
        assert not done.failed and state_of(azure, "two") == way.after


class Trouble(NamedTuple):
    """A fault, and what becomes of the VM that it meets: the failure's name, or none."""

    fault: Dict[str, Any]
    name: Optional[str] = None
    #: Whether the VM has a job of it all the same.
    is_done: bool = False


def stays(**fault: Any) -> Dict[str, Any]:
    """A fault that every attempt meets."""
    return {"times": ALWAYS, "headers": SUPPORT, **fault}


#: What may befall the request to protect a VM. Each VM has its own.
TROUBLES = {
    "fine": Trouble({"path": "nothing"}, None, True),
    "forbidden": Trouble(stays(status=403, code="AuthorizationFailed"), "AuthorizationFailed"),
    "refused": Trouble(
        stays(status=400, code="BMSUserErrorInvalidInput"), "BMSUserErrorInvalidInput"
    ),
    "unheard-of": Trouble(stays(status=400, code="UserErrorFresh"), "UserErrorFresh"),
    "not-found": Trouble(
        stays(status=404, code="BMSUserErrorDataSourceObjectNotFound"),
        "BMSUserErrorDataSourceObjectNotFound",
    ),
    "otherwise": Trouble(stays(status=412, code="PreconditionFailed"), "PreconditionFailed"),
    # In the way for ever, though no job is: not waited for until the task's time is over.
    "busy": Trouble(stays(status=409, code="BMSUserErrorObjectLocked"), "BMSUserErrorObjectLocked"),
    "locked": Trouble(stays(status=409, code="ScopeLocked"), "ScopeLocked"),
    "once-busy": Trouble({"status": 409, "code": "BMSUserErrorObjectLocked"}, None, True),
    "internal": Trouble(stays(status=500, code="RestApiInternalError"), "RestApiInternalError"),
    "wordless": Trouble(
        stays(status=500, code="CloudStorageUnexpectedError", message=""),
        "CloudStorageUnexpectedError",
    ),
    "other-shape": Trouble(stays(status=500, body=OTHER_SHAPE), "CloudInternalError"),
    "bad-gateway": Trouble(stays(status=502, code="InvalidGatewayHost"), "InvalidGatewayHost"),
    "web-page": Trouble(stays(status=502, body="<html><title>Bad</title></html>"), "HTTP502"),
    "too-slow": Trouble(stays(status=504, code="GatewayTimeout"), "GatewayTimeout"),
    "cut": Trouble(stays(kind="reset"), "ConnectionBroken"),
    "cut-once": Trouble({"kind": "reset"}, None, True),
    # The answer is lost, the request was carried out: it is sent again, and harms nothing.
    "cut-after": Trouble({"kind": "reset", "after": True}, None, True),
    "gateway-after": Trouble(
        {"status": 504, "code": "GatewayTimeout", "after": True, "times": 2}, None, True
    ),
    # Said to be done, in words that nobody understands: believed in neither case.
    "half-said": Trouble(stays(kind="malformed"), "MalformedAnswer"),
    "half-said-after": Trouble({"kind": "malformed", "after": True}, "MalformedAnswer", True),
    "moved": Trouble(stays(status=307, body="", headers={"Location": "https://127.0.0.1:1/"}), ""),
}


def test_each_vm_has_trouble_of_its_own(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    add_vms(azure, list(TROUBLES))
    for name, trouble in TROUBLES.items():
        azure.fault(**{"method": "PUT", "path": item(name), **trouble.fault})
    done = protect(azure, *TROUBLES)
    assert done.failed and done["changed"] is True
    wanted = {name: one.name for name, one in TROUBLES.items() if one.name is not None}
    names = {name: told if wanted.get(name) else "" for name, told in failed(done).items()}
    assert names == wanted
    began = set(jobs(azure, "ConfigureBackup").values())
    assert began == {name for name, one in TROUBLES.items() if one.is_done}
    agrees(azure, done)
    for name, vm in by_name(done).items():
        assert vm["changed"] is TROUBLES[name].is_done, vm
        if vm["failure"] is None:
            continue
        explained(vm["failure"], vm["failure"]["name"], name)
        if "headers" in TROUBLES[name].fault and "status" in TROUBLES[name].fault:
            assert vm["failure"]["http_status"] == TROUBLES[name].fault["status"]
        if TROUBLES[name].fault.get("headers") == SUPPORT and name != "cut":
            assert vm["failure"]["correlation_id"] == CORRELATION
    left = {name for name in wanted if not TROUBLES[name].is_done}
    finishes(azure, WAYS["protect"], *TROUBLES, left=left)


def test_answers_that_are_always_lost(recovery_services: RecoveryServices) -> None:
    azure, way = recovery_services, WAYS["stop"]
    vms = ("cut", "fine")
    add_vms(azure, vms, way.before)
    azure.fault(method="PUT", path=item("cut"), kind="reset", after=True, times=ALWAYS)
    done = protect(azure, *vms, timeout=4, **way.options)
    assert failed(done) == {"cut": "ConnectionBroken"}
    failure = by_name(done)["cut"]["failure"]
    explained(failure, "ConnectionBroken", "cut")
    assert "may have been done" in failure["recommended_action"]
    # It was done, and the list says so.
    assert [vm["changed"] for vm in done["vms"]] == [True, True]
    agrees(azure, done)
    finishes(azure, way, *vms, left=[])


# --- all of them ---------------------------------------------------------------------------------


def test_rights_that_end_in_the_middle(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    vms = [f"vm{number:02d}" for number in range(20)]
    add_vms(azure, vms, "stopped")
    azure.fault(
        method="PUT",
        path="/protectedItems/",
        status=401,
        code="InvalidAuthenticationToken",
        message="The access token is invalid.",
        skip=4,
        times=ALWAYS,
    )
    done = protect(azure, *vms)
    assert done.failed and done["changed"] is True
    assert set(failed(done).values()) == {"InvalidAuthenticationToken"}
    agrees(azure, done)
    resumed = [name for name, vm in by_name(done).items() if vm["changed"]]
    assert len(resumed) == 4 == len(set(jobs(azure).values()))
    # Who was let in nowhere does not try for each: at most those that were under way, twice each.
    assert len(writes(azure)) <= 4 + 2 * 8
    finishes(azure, WAYS["resume"], *vms, left=set(vms) - set(resumed))


def test_a_token_that_expires_again_and_again(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    vms = ("one", "two", "three")
    add_vms(azure, vms)
    for path in (PROTECTABLE, "/refreshContainers$", item("two"), JOBS, ITEMS):
        azure.fault(path=path, kind="expired_token")
    done = protect(azure, *vms)
    assert not done.failed, done.stdout
    assert azure.faults() == []
    assert sorted(jobs(azure).values()) == sorted(vms)


def test_a_pause_longer_than_there_is_time(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    vms = ("one", "two", "three")
    add_vms(azure, vms, "stopped")
    azure.fault(
        method="PUT",
        path="/protectedItems/",
        status=429,
        code="ResourceRequestsThrottled",
        message="Please try again after '1800' seconds.",
        headers=SUPPORT,
        skip=1,
        times=ALWAYS,
    )
    begin = time.monotonic()
    done = protect(azure, *vms, timeout=600)
    assert time.monotonic() - begin < 60, "it has waited for what would come too late"
    assert done.failed and done["changed"] is True and len(failed(done)) == 2
    agrees(azure, done)
    for vm in done["vms"]:
        if vm["failure"]:
            explained(vm["failure"], "ResourceRequestsThrottled", vm["name"], "timeout", "UTC")
            assert vm["failure"]["correlation_id"] == CORRELATION
            assert vm["failure"]["http_status"] == 429
    # Nobody hammers on: each VM was tried at most once.
    assert len(writes(azure)) <= 3
    finishes(azure, WAYS["resume"], *vms, left=failed(done))


@pytest.mark.parametrize("form", ["date", "words", "none"])
def test_a_pause_that_is_kept(recovery_services: RecoveryServices, form: str) -> None:
    azure = recovery_services
    azure.run_at(1.0)
    add_vms(azure, ["one"], "protected")
    azure.next_job("one", "DisableBackup", duration_s=0.1)
    fault: Dict[str, Any] = {"status": 429, "code": "ResourceRequestsThrottled"}
    if form == "date":
        fault["headers"] = {"Retry-After": formatdate(time.time() + 3, usegmt=True)}
    if form == "words":
        fault["message"] = "The limit was exceeded. Please try again after '2' seconds."
    azure.fault(method="PUT", path=item("one"), **fault)
    done = protect(azure, "one", state="stopped")
    assert not done.failed, done.stdout
    first, second = [datetime.fromisoformat(one.at[:19]) for one in writes(azure)]
    assert second - first >= timedelta(seconds=1)
    assert list(jobs(azure).values()) == ["one"]


# --- what Azure knows late -----------------------------------------------------------------------


def test_jobs_that_the_list_has_late(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    vms = ("one", "two", "three")
    add_vms(azure, vms)
    run(azure, "protectable_vm_info")
    azure.fault(method="GET", path=JOBS, status=200, body={"value": []}, times=3)
    done = protect(azure, *vms)
    assert not done.failed and azure.faults() == []
    agrees(azure, done)
    assert {vm["job_id"] for vm in done["vms"]} == set(jobs(azure))
    assert len(writes(azure)) == 4


@pytest.mark.parametrize("wait", [True, False])
def test_jobs_that_the_list_never_has(recovery_services: RecoveryServices, wait: bool) -> None:
    azure = recovery_services
    vms = ("one", "two", "three")
    add_vms(azure, vms, "stopped")
    azure.fault(method="GET", path=JOBS, status=200, body={"value": []}, times=ALWAYS)
    done = protect(azure, *vms, wait=wait)
    assert not done.failed, done.stdout
    assert {vm["job_id"] for vm in done["vms"]} == set(jobs(azure))
    assert len(writes(azure)) == 3
    if wait:
        agrees(azure, done)


def test_jobs_that_may_not_be_read(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    vms = ("one", "two", "three")
    add_vms(azure, vms, "stopped")
    azure.fault(
        method="GET",
        path="/backupJobs",
        status=403,
        code="AuthorizationFailed",
        headers=SUPPORT,
        times=ALWAYS,
    )
    done = protect(azure, *vms)
    assert done.failed and done["changed"] is True
    assert set(failed(done).values()) == {"AuthorizationFailed"}
    for vm in done["vms"]:
        explained(vm["failure"], "AuthorizationFailed", "vault1", "accepted")
        assert vm["failure"]["correlation_id"] == CORRELATION and vm["changed"] is True
    assert sorted(jobs(azure).values()) == sorted(vms)
    finishes(azure, WAYS["resume"], *vms, left=[])


# --- discovery -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ({"status": 403, "code": "AuthorizationFailed"}, "AuthorizationFailed"),
        ({"kind": "reset"}, "ConnectionBroken"),
    ],
)
def test_a_refresh_that_fails(
    recovery_services: RecoveryServices, fault: Dict[str, Any], name: str
) -> None:
    azure = recovery_services
    add_vms(azure, ["known"], "stopped")
    add_vms(azure, ["new"])
    azure.fault(method="POST", path="/refreshContainers$", **stays(**fault))
    done = protect(azure, "new", "known")
    assert failed(done) == {"new": name}
    explained(by_name(done)["new"]["failure"], name, "vault1")
    agrees(azure, done)
    told = run(azure, "protectable_vm_info")
    assert told.failed and "vms" not in told.result
    explained(told["failure"], name, "vault1")
    finishes(azure, WAYS["protect"], "new", "known", left=["new"])


def test_another_discovery_that_does_not_end(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    add_vms(azure, ["known"], "stopped")
    add_vms(azure, ["new"])
    code = "BMSUserErrorConflictingDiscovery"
    azure.fault(method="POST", path="/refreshContainers$", **stays(status=409, code=code))
    done = protect(azure, "new", "known", timeout=3)
    explained(by_name(done)["new"]["failure"], code, "vault1")
    told = run(azure, "protectable_vm_info", timeout=1)
    assert told.failed
    explained(told["failure"], code, "vault1")
    # Little time was left for the other, which was sent all the same.
    known = by_name(done)["known"]
    assert known["changed"] is True and list(jobs(azure).values()) == ["known"]
    assert known["failure"] is None or known["failure"]["name"] == "OperationTimedOut"
    wait_for(lambda: state_of(azure, "known") == "protected")
    finishes(azure, WAYS["protect"], "new", "known", left=["new"])
