# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Protected items: the transitions of their state, and what is refused."""

from __future__ import annotations

from typing import Any, Dict

import pytest

from tests.lab.recovery_services import discovery, jobs, protection
from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.bodies import container_body, item_body
from tests.lab.recovery_services.clock import VirtualClock
from tests.lab.recovery_services.errors import AzureError
from tests.lab.recovery_services.estate import Estate
from tests.lab.recovery_services.growth import add_item, grow
from tests.lab.recovery_services.plans import Plan
from tests.unit.lab.recovery_services.helpers import (
    KEY,
    only_job,
    pass_time,
    protect,
    put,
    the_vault,
)


def test_a_vm_is_protected_by_a_job(estate: Estate) -> None:
    operation = put(estate)
    vault = the_vault(estate)
    assert jobs.state_of(operation, estate.now()) == "InProgress"
    assert KEY not in vault.items
    pass_time(estate, 70)
    assert jobs.state_of(operation, estate.now()) == "Succeeded"
    assert only_job(estate, "ConfigureBackup").status == "Completed"
    shown = item_body(vault, vault.items[KEY], estate.now())["properties"]
    assert shown["protectionState"] == "IRPending"
    assert shown["policyName"] == "DefaultPolicy"
    assert shown["lastBackupTime"] == "2001-01-01T00:00:00Z"
    assert shown["softDeleteRetentionPeriod"] == 0
    assert "lastRecoveryPoint" not in shown


def test_every_put_makes_a_job_even_if_nothing_changes(estate: Estate) -> None:
    protect(estate)
    put(estate)
    assert len(the_vault(estate).jobs) == 2


def test_a_job_takes_as_long_for_the_same_vm_and_seed() -> None:
    def takes(vm: str) -> float:
        job = put(grow(seeds.default(), VirtualClock(0.0)), vm).job
        assert job is not None
        return job.takes

    assert takes("db01") == takes("db01")
    assert 1 <= takes("db02") <= 61
    assert takes("db01") != takes("db02")


def test_another_policy(estate: Estate) -> None:
    item = protect(estate)
    put(estate, policy="enhancedPOLICY")
    pass_time(estate, 5)
    assert (item.policy, item.policy_type) == ("EnhancedPolicy", "V2")


def test_there_is_no_way_back_from_an_enhanced_policy(estate: Estate) -> None:
    protect(estate, policy="EnhancedPolicy")
    with pytest.raises(AzureError, match="BMSUserErrorInvalidConfigureProtectionRequest"):
        put(estate, policy="DefaultPolicy")


def test_stop_and_resume(estate: Estate) -> None:
    item = protect(estate)
    put(estate, policy="", protectionState="ProtectionStopped")
    pass_time(estate, 5)
    assert (item.state, item.policy) == ("ProtectionStopped", "")
    assert only_job(estate, "DisableBackup").status == "Completed"
    put(estate)
    pass_time(estate, 5)
    assert (item.state, item.policy) == ("IRPending", "DefaultPolicy")


def test_disks(estate: Estate) -> None:
    item = protect(estate)
    chosen = {"diskLunList": [0], "isInclusionList": False}
    put(estate, extendedProperties={"diskExclusionProperties": chosen})
    pass_time(estate, 5)
    vault = the_vault(estate)
    shown = item_body(vault, item, estate.now())["properties"]["extendedProperties"]
    assert shown == {"diskExclusionProperties": chosen}
    put(estate)
    pass_time(estate, 5)
    assert item.disks == chosen
    put(estate, extendedProperties={})
    pass_time(estate, 5)
    assert item.disks is None


@pytest.mark.parametrize(
    "disks",
    [{"diskLunList": "0"}, {"diskLunList": [-1]}, {"diskLunList": [0], "isInclusionList": 1}],
)
def test_disks_that_are_none(estate: Estate, disks: Dict[str, Any]) -> None:
    with pytest.raises(AzureError, match="list of disks"):
        put(estate, extendedProperties={"diskExclusionProperties": disks})


def test_deleted_is_soft_deleted_and_gone_after_its_days(estate: Estate) -> None:
    item = protect(estate)
    vault = the_vault(estate)
    protection.delete(estate, vault, KEY)
    pass_time(estate, 120)
    shown = item_body(vault, item, estate.now())["properties"]
    assert shown["isScheduledForDeferredDelete"] is True
    assert shown["protectionState"] == "ProtectionStopped"
    assert shown["deferredDeleteTimeRemaining"].startswith("13.23:5")
    assert container_body(vault, item)["properties"]["registrationStatus"] == "SoftDeleted"
    assert discovery.containers(vault, deleted=True) == [item]
    pass_time(estate, 13 * 86400)
    upcoming = item_body(vault, item, estate.now())["properties"]
    assert upcoming["isDeferredDeleteScheduleUpcoming"] is True
    pass_time(estate, 86400)
    assert vault.items == {}


def test_without_soft_delete_it_is_gone_at_once(estate: Estate) -> None:
    protect(estate)
    vault = the_vault(estate)
    vault.soft_delete = "Disabled"
    protection.delete(estate, vault, KEY)
    pass_time(estate, 120)
    assert vault.items == {}


def test_secure_by_default_soft_deletes_all_the_same(estate: Estate) -> None:
    item = protect(estate)
    vault = the_vault(estate)
    vault.soft_delete, vault.secure_by_default = "Disabled", True
    protection.delete(estate, vault, KEY)
    pass_time(estate, 120)
    assert item.deleted is not None


def test_a_soft_deleted_item_takes_nothing_but_undelete(estate: Estate) -> None:
    item = protect(estate)
    vault = the_vault(estate)
    protection.delete(estate, vault, KEY)
    pass_time(estate, 120)
    with pytest.raises(AzureError, match="BMSUserErrorDataSourceInDeferredDeleteState"):
        put(estate)
    deleted = item.deleted
    assert protection.delete(estate, vault, KEY) is not None
    pass_time(estate, 120)
    assert item.deleted == deleted
    put(estate, policy="", isRehydrate=True)
    pass_time(estate, 15)
    assert only_job(estate, "Undelete").status == "Completed"
    assert (item.deleted, item.state) == (None, "ProtectionStopped")
    pass_time(estate, 20 * 86400)
    assert KEY in vault.items


def test_an_item_that_was_deleted_before_the_beginning_goes_too(estate: Estate) -> None:
    vault = the_vault(estate)
    add_item(estate, vault, {"vm": "db01", "deleted_s": 13 * 86400})
    pass_time(estate, 86400 - 60)
    assert KEY in vault.items
    pass_time(estate, 120)
    assert vault.items == {}


def test_an_item_of_another_vm_is_refused(estate: Estate) -> None:
    protect(estate)
    with pytest.raises(AzureError, match="named after"):
        put(estate, sourceResourceId=estate.vm_named("db02").id)


def test_deleting_nothing_is_nothing(estate: Estate) -> None:
    assert protection.delete(estate, the_vault(estate), KEY) is None


def test_while_one_change_runs_another_is_refused(estate: Estate) -> None:
    put(estate)
    with pytest.raises(AzureError) as refused:
        put(estate)
    assert refused.value.status == 409
    assert refused.value.code == "BMSUserErrorConflictingProtectionOperation"


@pytest.mark.parametrize(
    ("vm", "changes", "said"),
    [
        ("far01", {}, "region"),
        ("db01", {"policy": "Nowhere"}, "not found in this vault"),
        ("db01", {"policy": ""}, "names no backup policy"),
        ("db01", {"policy": "HourlyLogBackup"}, "not one for virtual machines"),
    ],
)
def test_what_cannot_be_protected(
    estate: Estate, vm: str, changes: Dict[str, str], said: str
) -> None:
    with pytest.raises(AzureError, match=said) as refused:
        put(estate, vm, **changes)
    assert refused.value.code == "BMSUserErrorInvalidConfigureProtectionRequest"
    assert the_vault(estate).jobs == {}


def test_a_vm_of_another_vault(estate: Estate) -> None:
    add_item(estate, the_vault(estate, "vault2"), {"vm": "db01"})
    with pytest.raises(AzureError, match="already protected in the vault 'vault2'"):
        put(estate)


def test_too_many_disks(estate: Estate) -> None:
    estate.vm_named("db01").luns = list(range(33))
    with pytest.raises(AzureError, match="33 data disks"):
        put(estate)


def test_the_type_of_another_sdk_is_refused(estate: Estate) -> None:
    with pytest.raises(AzureError, match="BMSUserErrorInvalidInput"):
        put(estate, protectedItemType="AzureIaaSVMProtectedItem")


def test_a_vm_that_goes_meanwhile_fails_in_its_job(estate: Estate) -> None:
    vm = estate.vm_named("db01")
    operation = put(estate)
    estate.remove_vm(vm)
    pass_time(estate, 70)
    assert jobs.state_of(operation, estate.now()) == "Failed"
    error = jobs.error_of(operation)
    assert error is not None
    assert error["code"] == "UserErrorVmNotFoundV2"
    assert the_vault(estate).items == {}


def test_a_vm_that_never_was_fails_in_its_job(estate: Estate) -> None:
    vault = the_vault(estate)
    source = estate.vm_named("db01").id.replace("db01", "nix01")
    wishes = {
        "protectedItemType": "Microsoft.Compute/virtualMachines",
        "sourceResourceId": source,
        "policyId": f"{vault.id}/backupPolicies/DefaultPolicy",
    }
    protection.put(estate, vault, "app-rg;nix01", wishes)
    pass_time(estate, 10)
    assert only_job(estate, "ConfigureBackup").errors[0]["errorCode"] == 400136


def test_a_job_that_is_planned_to_fail(estate: Estate) -> None:
    estate.plans.add("app-rg/DB01", "ConfigureBackup", Plan("failed", "SomeCode", "Some words."))
    operation = put(estate)
    pass_time(estate, 70)
    assert jobs.error_of(operation) == {"code": "SomeCode", "message": "Some words."}
    put(estate)
    pass_time(estate, 70)
    assert KEY in the_vault(estate).items


def test_a_job_that_never_ends(estate: Estate) -> None:
    estate.hang = True
    operation = put(estate)
    estate.hang = False
    pass_time(estate, 10**6)
    assert jobs.state_of(operation, estate.now()) == "InProgress"


def test_only_a_refresh_finds_vms(estate: Estate) -> None:
    vault = the_vault(estate)
    assert discovery.protectable(estate, vault) == []
    discovery.refresh(estate, vault)
    pass_time(estate, 14)
    assert discovery.protectable(estate, vault) == []
    pass_time(estate, 2)
    found = {vm.name for vm in discovery.protectable(estate, vault)}
    assert found == {"db01", "db02", "web01"}
    put(estate)
    assert {vm.name for vm in discovery.protectable(estate, vault)} == {"db02", "web01"}
