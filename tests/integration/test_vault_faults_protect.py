# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""M(protected_vm) in every state while something goes wrong for some of its VMs, or for all.

Each time what the vault really has is held against what the result says; then the fault is gone,
a second run does what is left, and a third has nothing to do.
"""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional

import pytest

from tests.integration.vault_faults import (
    ALWAYS,
    CORRELATION,
    OTHER_SHAPE,
    SUPPORT,
    WAYS,
    Way,
    add_vms,
    agrees,
    by_name,
    explained,
    failed,
    finishes,
    item,
    jobs,
    protect,
    state_of,
    stays,
)
from tests.lab.recovery_services.lab import RecoveryServices

ITEMS, PROTECTABLE, JOBS = "/backupProtectedItems$", "/backupProtectableItems$", "/backupJobs$"


every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


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
    # As soon as Azure has accepted what the job is for.
    azure.fault(method="PUT", path=item("two"), change={"remove_vm": "two"}, after=True)
    done = protect(azure, *vms, **way.options)
    assert azure.faults() == []
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
    #: True if the VM still has a job of it.
    is_done: bool = False


#: Faults of the request to protect a VM. Each VM has its own.
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
    # A success with an unreadable body: believed in neither case.
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
    assert "may have taken effect" in failure["recommended_action"]
    # It was done, and the list says so.
    assert [vm["changed"] for vm in done["vms"]] == [True, True]
    agrees(azure, done)
    finishes(azure, way, *vms, left=[])
