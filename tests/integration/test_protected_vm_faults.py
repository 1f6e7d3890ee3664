# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""M(protected_vm) when something goes wrong: at the service, with a VM, or on the way."""

from __future__ import annotations

from typing import Any, Dict

import pytest

from tests.integration.protection import (
    by_name,
    control_plane,
    done_well,
    only,
    protect,
    run,
    sent,
)
from tests.lab.recovery_services.lab import RecoveryServices

ITEM = r"/protectedItems/VM;iaasvmcontainerv2;app-rg;{}$"
LIST, PROTECTABLE = r"/backupProtectedItems$", r"/backupProtectableItems$"
WRITE = "protectedItems/write"
ALWAYS = 1000


# --- discovery -----------------------------------------------------------------------------------


def test_another_discovery_is_waited_for(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.fault(
        method="POST",
        path="/refreshContainers$",
        status=409,
        code="BMSUserErrorDiscoveryInProgress",
        message="Another discovery operation is running.",
        times=3,
    )
    assert not protect(azure, "db01").failed
    assert len(sent(azure, "refreshContainers/action")) == 4


def test_a_discovery_that_never_ends(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    done_well(azure, "web01")
    azure.fault(path="/operationResults/", status=202, body="", times=ALWAYS)
    azure.change(add_vm={"name": "new"})
    done = protect(azure, "new", "web01", policy="EnhancedPolicy", timeout=4)
    assert done.failed
    failure = by_name(done)["new"]["failure"]
    assert failure["name"] == "OperationTimedOut"
    # Half of the timeout, at most, is for the discovery.
    assert "after 2 s" in failure["message"]
    told = run(azure, "protectable_vm_info", timeout=1)
    assert told.failed and told["failure"]["name"] == "OperationTimedOut"
    azure.forget_faults()
    assert not protect(azure, "new", "web01", policy="EnhancedPolicy").failed


def test_a_discovery_that_cannot_be_followed_has_done_nothing(
    recovery_services: RecoveryServices,
) -> None:
    azure = recovery_services
    azure.fault(path="/operationResults/", kind="reset", times=ALWAYS)
    done = run(azure, "protectable_vm_info", timeout=4)
    assert done.failed and done["failure"]["name"] == "ConnectionBroken"
    assert done["failure"]["recommended_action"] == "Try again later."


def test_who_may_not_refresh(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    run(azure, "protectable_vm_info")
    azure.change(add_vm={"name": "new"})
    azure.fault(path="/refreshContainers$", status=403, code="AuthorizationFailed", times=ALWAYS)
    done = protect(azure, "new", "web01")
    assert by_name(done)["new"]["failure"]["name"] == "AuthorizationFailed"
    assert by_name(done)["web01"]["state"] == "protected"


# --- one VM among others -------------------------------------------------------------------------


def test_one_that_fails_leaves_the_others_alone(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.fault(
        method="PUT",
        path=ITEM.format("db02"),
        status=400,
        code="BMSUserErrorInvalidConfigureProtectionRequest",
        message="No.",
    )
    done = protect(azure, "db01", "db02", "web01")
    assert done.failed and done["changed"]
    assert done["msg"].startswith("1 of 3 VMs failed: ")
    told = by_name(done)
    assert told["db02"]["failure"]["name"] == "BMSUserErrorInvalidConfigureProtectionRequest"
    assert told["db02"]["failure"]["http_status"] == 400
    assert told["db02"]["failure"]["correlation_id"]
    assert not told["db02"]["changed"] and told["db02"]["state"] == "not_protected"
    assert told["db01"]["state"] == told["web01"]["state"] == "protected"
    azure.forget_requests()
    again = protect(azure, "db01", "db02", "web01")
    assert not again.failed and len(sent(azure, WRITE)) == 1
    assert [vm["changed"] for vm in again["vms"]] == [False, True, False]


def test_a_job_that_fails(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.next_job(
        "db02",
        "ConfigureBackup",
        result="failed",
        code="UserErrorGuestAgentStatusUnavailable",
        message="The agent cannot be reached.",
        error_code=400153,
        recommendations=["Look at the agent."],
    )
    done = protect(azure, "db01", "db02")
    assert done.failed
    told = by_name(done)
    failure = told["db02"]["failure"]
    assert failure["name"] == "UserErrorGuestAgentStatusUnavailable" and failure["code"] == 400153
    assert "The agent cannot be reached." in failure["message"]
    assert told["db02"]["job_id"] in failure["message"] and failure["recommended_action"]
    assert not told["db02"]["changed"] and told["db02"]["state"] == "not_protected"
    assert told["db01"]["failure"] is None and told["db01"]["state"] == "protected"
    assert not protect(azure, "db01", "db02").failed


def test_a_vm_that_is_deleted_meanwhile(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    run(azure, "protectable_vm_info")
    azure.change(remove_vm="db02")
    azure.fault(
        path=PROTECTABLE,
        status=200,
        body={"value": [offered(azure, "db01"), offered(azure, "db02")]},
    )
    done = protect(azure, "db01", "db02")
    assert done.failed
    told = by_name(done)
    assert told["db02"]["failure"]["name"] == "UserErrorVmNotFoundV2"
    assert told["db02"]["failure"]["recommended_action"]
    assert told["db02"]["state"] == "not_protected" and not told["db02"]["changed"]
    assert told["db01"]["state"] == "protected"
    assert only(protect(azure, "db02"))["failure"]["name"] == "VmNotFound"


def offered(azure: RecoveryServices, name: str) -> Dict[str, Any]:
    scope = f"/subscriptions/{azure.subscription_id}/resourceGroups/app-rg"
    return {
        "name": f"iaasvmcontainerv2;app-rg;{name}",
        "properties": {
            "virtualMachineId": f"{scope}/providers/Microsoft.Compute/virtualMachines/{name}",
            "backupManagementType": "AzureIaasVM",
            "protectableItemType": "Microsoft.Compute/virtualMachines",
            "friendlyName": name,
            "protectionState": "NotProtected",
        },
    }


def test_an_undelete_that_fails_is_not_followed_by_protecting(
    recovery_services: RecoveryServices,
) -> None:
    azure = recovery_services
    done_well(azure, "db01")
    done_well(azure, "db01", state="absent")
    azure.next_job("db01", "Undelete", result="failed", message="It cannot be undeleted.")
    done = protect(azure, "db01")
    assert done.failed and only(done)["state"] == "soft_deleted" and not only(done)["changed"]
    assert only(done)["actions"] == ["undelete"] and len(sent(azure, WRITE)) == 1
    again = protect(azure, "db01")
    assert not again.failed and only(again)["state"] == "protected"


def test_no_way_back_to_a_standard_policy(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    done_well(azure, "db01", policy="EnhancedPolicy")
    done = protect(azure, "db01", policy="DefaultPolicy")
    assert done.failed and not done["changed"]
    assert "choose an Enhanced policy" in done["msg"]
    assert only(done)["policy"] == "EnhancedPolicy"


def test_an_item_that_is_gone_when_it_is_to_be_deleted(
    recovery_services: RecoveryServices,
) -> None:
    azure = recovery_services
    done_well(azure, "db01")
    azure.fault(
        method="DELETE",
        path=ITEM.format("db01"),
        status=404,
        code="BMSUserErrorDataSourceObjectNotFound",
    )
    # The list still has it, so it is tried again.
    assert only(protect(azure, "db01", state="absent"))["state"] == "soft_deleted"


@pytest.mark.parametrize(
    ("code", "message", "hint"),
    [
        (
            "BMSUserErrorInvalidInput",
            "ResourceGuard Operation requestid is either null or empty",
            "Resource Guard",
        ),
        ("UserErrorOperationDeniedOnImmutableItem", "Operation is denied.", "state=stopped"),
    ],
)
def test_a_vault_that_is_guarded(
    recovery_services: RecoveryServices, code: str, message: str, hint: str
) -> None:
    azure = recovery_services
    done_well(azure, "db01")
    azure.fault(method="DELETE", path=ITEM.format("db01"), status=400, code=code, message=message)
    done = protect(azure, "db01", state="absent")
    assert done.failed and not done["changed"]
    assert only(done)["failure"]["name"] == code
    assert hint in only(done)["failure"]["recommended_action"]
    assert only(done)["state"] == "protected"


# --- another operation ---------------------------------------------------------------------------


def test_another_operation_is_waited_for(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    done_well(azure, "db01", "web01")
    azure.next_job("db01", "DisableBackup", duration_s=200)
    assert not protect(azure, "db01", state="stopped", wait=False).failed
    azure.forget_requests()
    hasty = protect(azure, "db01", wait=False, policy="EnhancedPolicy")
    # Not yet stopped, so it is not resumed but changed: the service says what is in the way.
    assert hasty.failed and hasty["msg"].endswith("Set wait=true to wait for it in the task.")
    patient = protect(azure, "db01", "web01", policy="EnhancedPolicy")
    assert not patient.failed, patient.stdout
    assert by_name(patient)["db01"]["actions"] == ["resume"]
    assert by_name(patient)["web01"]["actions"] == ["change_policy"]
    assert {vm["policy"] for vm in patient["vms"]} == {"EnhancedPolicy"}


def test_another_operation_that_does_not_end(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    done_well(azure, "db01", "web01")
    azure.next_job("db01", "DisableBackup", never_ends=True)
    assert not protect(azure, "db01", state="stopped", wait=False).failed
    done = protect(azure, "db01", "web01", policy="EnhancedPolicy", timeout=3)
    told = by_name(done)
    assert told["db01"]["failure"]["name"] == "BMSUserErrorConflictingProtectionOperation"
    assert not told["db01"]["changed"]
    assert told["web01"]["policy"] == "EnhancedPolicy" and told["web01"]["failure"] is None


def test_what_is_just_being_protected_is_not_absent(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.next_job("db01", "ConfigureBackup", duration_s=400)
    assert not protect(azure, "db01", wait=False).failed
    hasty = protect(azure, "db01", "web01", state="absent", wait=False)
    assert hasty.failed
    assert by_name(hasty)["db01"]["failure"]["name"] == "OperationInProgress"
    assert by_name(hasty)["web01"]["failure"] is None
    done = protect(azure, "db01", "web01", state="absent")
    assert not done.failed
    assert {name: vm["state"] for name, vm in by_name(done).items()} == {
        "db01": "soft_deleted",
        "web01": "not_protected",
    }


def test_an_answer_that_is_lost(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    run(azure, "protectable_vm_info")
    # So that the first is still at work when the second comes.
    azure.run_at(5.0)
    azure.fault(method="PUT", path=ITEM.format("db01"), kind="reset", after=True)
    done = protect(azure, "db01")
    assert not done.failed, done.stdout
    assert only(done)["state"] == "protected"
    jobs = azure.state()["vaults"]["vault1"]["jobs"]
    assert [job["properties"]["operation"] for job in jobs] == ["ConfigureBackup"]


@pytest.mark.parametrize("wait", [True, False])
def test_a_delete_whose_answer_was_lost(recovery_services: RecoveryServices, wait: bool) -> None:
    azure = recovery_services
    done_well(azure, "db01")
    azure.next_job("db01", "DeleteBackupData", duration_s=0.1)
    azure.fault(method="DELETE", kind="reset", after=True)
    code = "BMSUserErrorDataSourceInDeferredDeleteState"
    azure.fault(method="DELETE", status=400, code=code)
    done = protect(azure, "db01", state="absent", wait=wait)
    assert not done.failed, done.stdout
    assert only(done)["state"] == "soft_deleted" and only(done)["changed"] is True
    assert azure.faults() == []


# --- the end -------------------------------------------------------------------------------------


def test_a_job_that_never_ends(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.next_job("db01", "ConfigureBackup", never_ends=True)
    done = protect(azure, "db01", "web01", timeout=3)
    assert done.failed and done["changed"]
    vm = by_name(done)["db01"]
    assert vm["failure"]["name"] == "OperationTimedOut"
    assert vm["job_id"] and vm["job_id"] in vm["failure"]["message"]
    assert vm["state"] == "not_protected" and vm["changed"]
    assert by_name(done)["web01"]["state"] == "protected"


def test_only_the_list_makes_a_vm_done(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.fault(path=LIST, status=200, body={"value": []}, skip=1, times=ALWAYS)
    done = protect(azure, "db01")
    assert done.failed and only(done)["failure"]["name"] == "NotConfirmed"
    assert only(done)["state"] == "not_protected" and only(done)["job_id"]
    azure.forget_faults()
    again = protect(azure, "db01")
    assert not again.failed and not again["changed"]


def test_a_list_that_lags_is_looked_at_again(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.fault(path=LIST, status=200, body={"value": []}, skip=1, times=2)
    done = protect(azure, "db01")
    assert not done.failed and only(done)["state"] == "protected"


def test_an_end_that_cannot_be_looked_at(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.fault(path=LIST, status=403, code="AuthorizationFailed", skip=1, times=ALWAYS)
    done = protect(azure, "db01")
    assert done.failed and done["changed"]
    failure = only(done)["failure"]
    assert (
        failure["name"] == "AuthorizationFailed" and "could not be confirmed" in failure["message"]
    )
    assert only(done)["job_id"]


def test_a_lost_answer_without_a_list_may_be_a_change(
    recovery_services: RecoveryServices,
) -> None:
    azure = recovery_services
    run(azure, "protectable_vm_info")
    azure.fault(method="PUT", path=ITEM.format("db01"), kind="reset", after=True, times=ALWAYS)
    azure.fault(path=LIST, status=403, code="AuthorizationFailed", skip=1, times=ALWAYS)
    done = protect(azure, "db01", timeout=4)
    assert done.failed and only(done)["failure"]
    assert done["changed"] is True and only(done)["changed"] is True


# --- the way -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429, "code": "ResourceRequestsThrottled", "retry_after": 1},
        {"status": 503, "code": "ServerTimeout", "retry_after": 1},
        {"status": 500, "code": "RestApiInternalError"},
        {"status": 502, "code": "InvalidGatewayHost"},
        {"status": 504, "code": "GatewayTimeout"},
        {"kind": "reset"},
        {"kind": "expired_token"},
    ],
)
@pytest.mark.parametrize(
    "where",
    [
        {"method": "GET", "path": LIST},
        {"method": "GET", "path": PROTECTABLE},
        {"method": "PUT", "path": ITEM.format("db01")},
        {"method": "GET", "path": "/backupJobs$"},
    ],
)
def test_trouble_that_passes(
    recovery_services: RecoveryServices, fault: Dict[str, Any], where: Dict[str, Any]
) -> None:
    azure = recovery_services
    azure.fault(**where, **fault)
    done = protect(azure, "db01")
    assert not done.failed, done.stdout
    assert only(done)["state"] == "protected"
    assert azure.faults() == []


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ({"status": 401, "code": "InvalidAuthenticationToken"}, "InvalidAuthenticationToken"),
        ({"status": 403, "code": "AuthorizationFailed"}, "AuthorizationFailed"),
        ({"status": 412, "code": "PreconditionFailed"}, "PreconditionFailed"),
    ],
)
def test_trouble_that_stays(
    recovery_services: RecoveryServices, fault: Dict[str, Any], name: str
) -> None:
    azure = recovery_services
    azure.fault(method="PUT", path=ITEM.format(".*"), times=ALWAYS, **fault)
    done = protect(azure, "db01", "web01", timeout=4)
    assert done.failed and not done["changed"]
    assert {vm["failure"]["name"] for vm in done["vms"]} == {name}
    assert done["failure"]["name"] == name
    azure.forget_faults()
    assert not protect(azure, "db01", "web01").failed


def test_the_first_list_that_fails_ends_the_task(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.fault(path=LIST, status=403, code="AuthorizationFailed", times=ALWAYS)
    done = protect(azure, "db01", "web01")
    assert done.failed and done["failure"]["name"] == "AuthorizationFailed"
    assert "vms" not in done.result
    assert len(control_plane(azure)) == 1
