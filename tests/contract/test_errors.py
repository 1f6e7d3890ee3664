# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's Azure refuses as Azure did: the errors of the recordings that it can bring about."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Tuple

import pytest

from tests.contract import evidence
from tests.contract.evidence import Exchange
from tests.contract.likeness import plain
from tests.contract.wire import Wire
from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.lab import RecoveryServices

pytestmark = evidence.needs_evidence

ERRORS = evidence.exchanges("errors") if evidence.PRESENT else []
VERSION = "api-version=2025-02-01"
CAUSE = "x-ms-failure-cause"

#: What the lab's Azure never says, and why.
LEFT_OUT: Dict[str, str] = {
    "LinkedAuthorizationFailed": "resource guards of other tenants",
    "BMSContainerStatusNotRegistered": "file shares",
    "BMSUserErrorContainerNotUndeleted": "file shares",
    "CloudInternalError": "cross region restore; its form is tested as a fault",
    "ServiceResourceNotEmptyWithBackendMessage": "until 2024; now the operation fails",
    "ServiceResourceNotEmptyWithContainerDetails": "until 2024; now the operation fails",
}
#: Refusals of the service that the lab gives only when a test orders them.
TO_ORDER = (
    "CloudStorageUnexpectedError",
    "GatewayTimeout",
    "InvalidGatewayHost",
    "RestApiInternalError",
    "ServerTimeout",
)
#: Refusals for which there is a cause.
WITH_CAUSE = (
    "AuthorizationFailed",
    "BMSUserErrorDataSourceInDeferredDeleteState",
    "MissingSubscriptionRegistration",
    "ResourceRequestsThrottled",
)
#: Not errors, but what jobs and items say of errors.
IN_JOBS_AND_ITEMS = (
    "320001",
    "RestoreOperationFailed",
    "UserErrorGenericResourceNotFound",
    "UserErrorJobSuccessfullyCancelled",
    "UserErrorVmNotFoundV2",
)


def code_of(exchange: Exchange) -> str:
    """Return the code that the recording is kept for."""
    return exchange.command.partition(".")[0]


def recorded(code: str) -> Exchange:
    """Return the first recording of it."""
    return next(one for one in ERRORS if code_of(one) == code)


def vault_url(azure: RecoveryServices, rest: str) -> str:
    """Return an address in the vault."""
    return (
        f"/subscriptions/{azure.subscription_id}/resourceGroups/{azure.resource_group}/providers"
        f"/Microsoft.RecoveryServices/vaults/vault1/{rest}?{VERSION}"
    )


ITEM = (
    "backupFabrics/Azure/protectionContainers/IaasVMContainer;iaasvmcontainerv2;app-rg;db01"
    "/protectedItems/VM;iaasvmcontainerv2;app-rg;db01"
)


def test_every_recorded_error_is_accounted_for(say: List[str]) -> None:
    known = {*LEFT_OUT, *TO_ORDER, *WITH_CAUSE, *IN_JOBS_AND_ITEMS}
    assert {code_of(one) for one in ERRORS} == known
    say.append(f"errors: {len(known) - len(LEFT_OUT)} of {len(known)} recorded codes compared")
    say += [f"errors: left out {code} ({why})" for code, why in LEFT_OUT.items()]


@pytest.mark.parametrize("code", TO_ORDER)
def test_a_fault_is_told_as_the_service_tells_it(code: str, azure: RecoveryServices) -> None:
    error = recorded(code)
    message = error.response["error"]["message"]
    azure.fault(path="backupJobs", status=error.status, code=code, message=message)
    ours = Wire(azure).send("GET", vault_url(azure, "backupJobs"))
    assert (ours.status, ours.response) == (error.status, error.response)
    assert ours.headers[CAUSE] == error.headers[CAUSE]


def test_the_other_form_of_an_error_can_be_ordered(azure: RecoveryServices) -> None:
    error = recorded("CloudInternalError")
    azure.fault(path="backupJobs", status=error.status, body=error.response)
    ours = Wire(azure).send("GET", vault_url(azure, "backupJobs"))
    assert (ours.status, ours.response) == (error.status, error.response)


def test_a_soft_deleted_item_is_left_alone(azure: RecoveryServices) -> None:
    error = recorded("BMSUserErrorDataSourceInDeferredDeleteState")
    seed = seeds.empty()
    vault = seeds.add_vault(seed, "vault1")
    seeds.add_vm(seed, "db01")
    seeds.add_item(vault, "db01", state="ProtectionStopped", deleted_s=3600)
    azure.reset(seed)
    request = {"properties": {"objectType": "IaasVMBackupRequest"}}
    ours = Wire(azure).send("POST", vault_url(azure, f"{ITEM}/backup"), request)
    assert (ours.status, ours.response) == (error.status, error.response)


def test_what_a_client_may_not_do_is_refused_in_azures_words(azure: RecoveryServices) -> None:
    error = recorded("AuthorizationFailed")
    azure.change(deny="*/backupJobs/read")
    ours = Wire(azure).send("GET", vault_url(azure, "backupJobs"))
    assert ours.status == error.status
    assert ours.headers[CAUSE] == error.headers[CAUSE]
    assert _quotes_aside(ours) == _quotes_aside(error)


def test_an_unregistered_subscription_is_told_as_azure_tells_it(azure: RecoveryServices) -> None:
    error = recorded("MissingSubscriptionRegistration")
    azure.change(unregister="Microsoft.RecoveryServices")
    wire = Wire(azure)
    url = vault_url(azure, "")
    ours = wire.send("PUT", url.replace("vault1/", "vault9"), {"location": "westeurope"})
    assert (ours.status, ours.response) == (error.status, error.response)
    assert ours.headers[CAUSE] == error.headers[CAUSE]


def _quotes_aside(exchange: Exchange) -> Tuple[str, str]:
    error = exchange.response["error"]
    return error["code"], re.sub(r"'[^']*'", "'...'", error["message"])


def test_too_many_requests_are_refused_in_azures_words(azure: RecoveryServices) -> None:
    error = recorded("ResourceRequestsThrottled")
    azure.reset(limits=True)
    wire = Wire(azure)
    for _number in range(1000):
        ours = wire.send("GET", vault_url(azure, "backupJobs"))
        if ours.status != 200:
            break
    assert ours.status == error.status
    assert _numbers_aside(ours) == _numbers_aside(error)
    assert ours.headers[CAUSE] == error.headers[CAUSE] == "gateway"
    assert int(ours.headers["retry-after"]) > 0


def _numbers_aside(exchange: Exchange) -> Tuple[str, str]:
    error = exchange.response["error"]
    return error["code"], re.sub(r"'\d+'", "'N'", error["message"])


def test_deleted_vm_is_reported_as_azure_reports_it(azure: RecoveryServices) -> None:
    """Check the job that fails, and the item afterwards."""
    item = recorded("UserErrorVmNotFoundV2").response["value"][0]["properties"]
    wanted = item["healthDetails"][0]
    seed = seeds.empty()
    vault = seeds.add_vault(seed, "vault1")
    seeds.add_vm(seed, "db01")
    seeds.add_item(vault, "db01")
    azure.reset(seed)
    wire = Wire(azure)
    azure.remove_vm("db01")
    request = {"properties": {"objectType": "IaasVMBackupRequest"}}
    assert wire.send("POST", vault_url(azure, f"{ITEM}/backup"), request).status == 202
    azure.advance(4 * 3600.0)

    jobs = wire.send("GET", vault_url(azure, "backupJobs")).response["value"]
    job = wire.send("GET", vault_url(azure, f"backupJobs/{jobs[0]['name']}")).response
    details = job["properties"]["errorDetails"]
    shape = recorded("UserErrorGenericResourceNotFound").response["properties"]["errorDetails"]
    assert [sorted(one) for one in details] == [sorted(one) for one in shape]
    assert details[0]["errorCode"] == wanted["code"]
    assert details[0]["errorTitle"] == wanted["title"]
    assert plain(details[0]["errorString"]) == plain(wanted["message"])

    ours = wire.send("GET", vault_url(azure, "backupProtectedItems")).response["value"][0]
    properties = ours["properties"]
    for name in ("healthStatus", "protectionStatus", "lastBackupStatus"):
        assert properties[name] == item[name], name
    found: Dict[str, Any] = properties["healthDetails"][0]
    assert sorted(found) == sorted(wanted)
    assert (found["code"], found["title"]) == (wanted["code"], wanted["title"])


def test_a_cancelled_job_is_told_as_azure_tells_it(azure: RecoveryServices) -> None:
    kpis = recorded("UserErrorJobSuccessfullyCancelled").response["value"][0]["properties"]
    wanted = kpis["kpisHealths"]["RestoreOperationStatusKPI"]["resourceHealthDetails"][0]
    seed = seeds.empty()
    vault = seeds.add_vault(seed, "vault1")
    seeds.add_vm(seed, "db01")
    seeds.add_item(vault, "db01")
    azure.reset(seed)
    wire = Wire(azure)
    request = {"properties": {"objectType": "IaasVMBackupRequest"}}
    assert wire.send("POST", vault_url(azure, f"{ITEM}/backup"), request).status == 202
    job = wire.send("GET", vault_url(azure, "backupJobs")).response["value"][0]["name"]
    assert wire.send("POST", vault_url(azure, f"backupJobs/{job}/cancel")).status == 202
    azure.advance(60.0)
    properties = wire.send("GET", vault_url(azure, f"backupJobs/{job}")).response["properties"]
    details = properties["errorDetails"][0]
    assert properties["status"] == "Cancelled"
    assert (details["errorCode"], details["errorTitle"]) == (wanted["code"], wanted["title"])
    assert details["errorString"] == wanted["message"]
