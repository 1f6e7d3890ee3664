# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, Optional

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.protected_items import (
    ALL_DISKS,
    DiskSelection,
    chosen_disks,
    read_item,
)

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=timezone.utc)
VM = "/subscriptions/s/resourceGroups/APP-RG/providers/Microsoft.Compute/virtualMachines/db01"
VAULT = "/subscriptions/s/resourceGroups/b/providers/Microsoft.RecoveryServices/vaults/v"


def resource(**properties: Any) -> Dict[str, Any]:
    container = "IaasVMContainer;iaasvmcontainerv2;app-rg;db01"
    fabric = f"{VAULT}/backupFabrics/Azure"
    return {
        "id": f"{fabric}/protectionContainers/{container}/protectedItems/VM;iaas;app-rg;db01",
        "properties": {
            "virtualMachineId": VM,
            "protectionState": "Protected",
            "policyId": f"{VAULT}/backupPolicies/Gold",
            "policyName": "Gold",
            "policyType": "V2",
            **properties,
        },
    }


def test_an_item_has_the_names_that_the_vault_uses() -> None:
    item = read_item(resource(), NOW)
    assert item is not None
    assert item.vm.key == VM.lower()
    assert item.container == "IaasVMContainer;iaasvmcontainerv2;app-rg;db01"
    assert item.item == "VM;iaas;app-rg;db01"
    assert item.to_result()["policy_type"] == "enhanced"


def test_what_has_never_happened_has_no_time() -> None:
    item = read_item(resource(lastBackupStatus="", lastBackupTime="2001-01-01T00:00:00Z"), NOW)
    assert item is not None
    told = item.to_result()
    assert told["last_backup_status"] is None
    assert told["last_backup_time"] is None
    assert told["last_recovery_point"] is None


def test_times_have_seven_digits_after_the_point() -> None:
    item = read_item(resource(lastRecoveryPoint="2026-11-20T18:31:12.7036186Z"), NOW)
    assert item is not None
    assert item.to_result()["last_recovery_point"] == "2026-11-20T18:31:12Z"


@pytest.mark.parametrize(
    ("state", "deleted", "told"),
    [
        ("Protected", None, "protected"),
        ("IRPending", False, "protected"),
        ("ProtectionError", None, "protected"),
        ("ProtectionStopped", None, "stopped"),
        ("protectionstopped", None, "stopped"),
        ("BackupsSuspended", None, "stopped"),
        ("ProtectionStopped", True, "soft_deleted"),
    ],
)
def test_states(state: str, deleted: Optional[bool], told: str) -> None:
    item = read_item(resource(protectionState=state, isScheduledForDeferredDelete=deleted), NOW)
    assert item is not None and item.state == told


@pytest.mark.parametrize(
    ("said", "until"),
    [
        (
            {
                "deferredDeleteTimeInUTC": "2026-11-20T10:32:11.0390921Z",
                "softDeleteRetentionPeriod": 14,
                "deferredDeleteTimeRemaining": "12.22:32:11.9",
            },
            "2026-12-04T10:32:11Z",
        ),
        (
            {
                # Deleted a moment ago, by a clock that is ahead of ours.
                "deferredDeleteTimeInUTC": "2026-11-21T12:00:03.0390921Z",
                "softDeleteRetentionPeriod": 14,
            },
            "2026-12-05T12:00:03Z",
        ),
        ({"deferredDeleteTimeRemaining": "13.23:31:57.6296707"}, "2026-12-05T11:31:57Z"),
        ({"deferredDeleteTimeRemaining": "23:31:57"}, "2026-11-22T11:31:57Z"),
        ({"deferredDeleteTimeInUTC": "2026-12-04T10:32:11Z"}, "2026-12-04T10:32:11Z"),
        ({}, None),
        ({"deferredDeleteTimeRemaining": "soon"}, None),
    ],
)
def test_until_when_soft_deleted_data_is_kept(said: Dict[str, Any], until: Optional[str]) -> None:
    item = read_item(resource(isScheduledForDeferredDelete=True, **said), NOW)
    assert item is not None
    told = item.to_result()
    assert told["soft_deleted"] is True
    assert told["soft_deleted_until"] == until


@pytest.mark.parametrize(
    ("extended", "disks"),
    [
        (None, ALL_DISKS),
        ({}, ALL_DISKS),
        ({"diskExclusionProperties": None}, ALL_DISKS),
        ({"diskExclusionProperties": {"diskLunList": [], "isInclusionList": False}}, ALL_DISKS),
        (
            {"diskExclusionProperties": {"diskLunList": [], "isInclusionList": True}},
            DiskSelection((), True),
        ),
        (
            {"diskExclusionProperties": {"diskLunList": [2, 0, 2], "isInclusionList": False}},
            DiskSelection((0, 2), False),
        ),
    ],
)
def test_disks(extended: Any, disks: DiskSelection) -> None:
    item = read_item(resource(extendedProperties=extended), NOW)
    assert item is not None and item.disks == disks
    again = read_item(resource(extendedProperties=item.disks.to_azure()), NOW)
    assert again is not None and again.disks == disks
    told = item.to_result()
    assert told["include_disk_luns"] == (list(disks.luns) if disks.inclusive else None)
    assert told["exclude_disk_luns"] == (None if disks.inclusive else list(disks.luns))


def test_chosen_disks_are_compared_in_any_order() -> None:
    assert chosen_disks([3, 1, 3], True) == chosen_disks([1, 3], True)


def test_what_is_no_vm_of_resource_manager_is_left_out() -> None:
    classic = VM.replace("Microsoft.Compute", "Microsoft.ClassicCompute")
    assert read_item(resource(virtualMachineId=classic), NOW) is None
    assert read_item({"id": "x", "properties": None}, NOW) is None


def test_only_one_of_the_two_ids_is_needed() -> None:
    item = read_item(resource(virtualMachineId=None, sourceResourceId=VM), NOW)
    assert item is not None and item.vm.name == "db01"
