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


def test_read_item_keeps_the_vaults_names() -> None:
    item = read_item(resource(), NOW)
    assert item is not None
    assert item.vm.key == VM.lower()
    assert item.container == "IaasVMContainer;iaasvmcontainerv2;app-rg;db01"
    assert item.item == "VM;iaas;app-rg;db01"
    assert item.to_result()["policy_type"] == "enhanced"


def test_read_item_year_2001_is_no_time() -> None:
    item = read_item(resource(lastBackupStatus="", lastBackupTime="2001-01-01T00:00:00Z"), NOW)
    assert item is not None
    result = item.to_result()
    assert result["last_backup_status"] is None
    assert result["last_backup_time"] is None
    assert result["last_recovery_point"] is None


def test_read_item_times_with_seven_digits() -> None:
    item = read_item(resource(lastRecoveryPoint="2026-11-20T18:31:12.7036186Z"), NOW)
    assert item is not None
    assert item.to_result()["last_recovery_point"] == "2026-11-20T18:31:12Z"


@pytest.mark.parametrize(
    ("state", "deleted", "expected"),
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
def test_item_states(state: str, deleted: Optional[bool], expected: str) -> None:
    item = read_item(resource(protectionState=state, isScheduledForDeferredDelete=deleted), NOW)
    assert item is not None and item.state == expected


@pytest.mark.parametrize(
    ("properties", "until"),
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
                # Deleted a moment ago, by a clock ahead of ours.
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
def test_item_end_of_soft_delete(properties: Dict[str, Any], until: Optional[str]) -> None:
    item = read_item(resource(isScheduledForDeferredDelete=True, **properties), NOW)
    assert item is not None
    result = item.to_result()
    assert result["soft_deleted"] is True
    assert result["soft_deleted_until"] == until


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
def test_item_disks(extended: Any, disks: DiskSelection) -> None:
    item = read_item(resource(extendedProperties=extended), NOW)
    assert item is not None and item.disks == disks
    again = read_item(resource(extendedProperties=item.disks.to_azure()), NOW)
    assert again is not None and again.disks == disks
    result = item.to_result()
    assert result["include_disk_luns"] == (list(disks.luns) if disks.inclusive else None)
    assert result["exclude_disk_luns"] == (None if disks.inclusive else list(disks.luns))


def test_chosen_disks_equal_in_any_order() -> None:
    assert chosen_disks([3, 1, 3], True) == chosen_disks([1, 3], True)


def test_read_item_of_another_kind_is_none() -> None:
    classic = VM.replace("Microsoft.Compute", "Microsoft.ClassicCompute")
    assert read_item(resource(virtualMachineId=classic), NOW) is None
    assert read_item({"id": "x", "properties": None}, NOW) is None


def test_read_item_with_either_vm_id() -> None:
    item = read_item(resource(virtualMachineId=None, sourceResourceId=VM), NOW)
    assert item is not None and item.vm.name == "db01"
