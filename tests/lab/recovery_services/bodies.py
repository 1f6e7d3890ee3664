# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers about vaults, policies, containers, items and recovery points, field by field."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Dict, Mapping
from urllib.parse import quote

from tests.lab.recovery_services import policies
from tests.lab.recovery_services.model import Item, RecoveryPoint, Vault, Vm
from tests.lab.recovery_services.times import stamp, time_span

_TYPE = "Microsoft.RecoveryServices/vaults"
_FABRIC = f"{_TYPE}/backupFabrics/protectionContainers"
_COMPUTE = "Microsoft.Compute/virtualMachines"
#: A soft-deleted item with at most this many days left is reported as near its end.
_UPCOMING = timedelta(days=2)


def vault_body(vault: Vault) -> Dict[str, Any]:
    """Return a vault.

    One long literal: it is read beside an answer of the service.
    """
    made = vault.provisioned
    on = "Enabled"
    monitoring = vault.monitoring or {
        "azureMonitorAlertSettings": {
            "alertsForAllJobFailures": on,
            "alertsForAllReplicationIssues": on,
            "alertsForAllFailoverIssues": on,
        },
        "classicAlertSettings": {
            "alertsForCriticalOperations": on,
            "emailNotificationsForSiteRecovery": on,
        },
    }
    security: Dict[str, Any] = {}
    if made:
        security["softDeleteSettings"] = {
            "softDeleteRetentionPeriodInDays": _soft_delete_days(vault),
            "softDeleteState": vault.soft_delete,
            "enhancedSecurityState": vault.enhanced_security,
        }
    if vault.immutability != "Disabled":
        security["immutabilitySettings"] = {"state": vault.immutability}
    security["multiUserAuthorization"] = "Disabled" if made else "Invalid"
    security["sourceScanConfiguration"] = {"state": "Disabled"}
    properties: Dict[str, Any] = {
        "provisioningState": "Succeeded" if made else "Provisioning",
        "privateEndpointStateForBackup": "None",
        "privateEndpointStateForSiteRecovery": "None",
        "monitoringSettings": monitoring,
    }
    if made:
        properties["backupStorageVersion"] = vault.storage_version if vault.items else "Unassigned"
    properties.update(
        securitySettings=security,
        redundancySettings={
            "standardTierStorageRedundancy": vault.redundancy,
            "crossRegionRestore": "Disabled",
        },
        secureScore="None",
        bcdrSecurityLevel="Poor",
        publicNetworkAccess=vault.public_network,
        restoreSettings={
            "crossSubscriptionRestoreSettings": {"crossSubscriptionRestoreState": "Enabled"}
        },
    )
    when = quote(f"datetime'{stamp(vault.changed)}'", safe="'") if vault.changed else ""
    body: Dict[str, Any] = {
        "location": vault.location,
        "name": vault.name,
        "etag": f'W/"{when}"',
        "properties": properties,
        "id": vault.id,
        "type": _TYPE,
        "sku": vault.sku,
    }
    if vault.tags:
        body["tags"] = vault.tags
    if vault.identity:
        body["identity"] = vault.identity
    return body


def config_body(vault: Vault) -> Dict[str, Any]:
    """Return a vault's backup configuration."""
    return {
        "id": f"{vault.id}/backupconfig/vaultconfig",
        "name": "vaultconfig",
        "type": f"{_TYPE}/backupconfig",
        "properties": {
            "enhancedSecurityState": vault.enhanced_security,
            "softDeleteFeatureState": vault.soft_delete,
            "softDeleteRetentionPeriodInDays": vault.soft_delete_days,
            "isSoftDeleteFeatureStateEditable": (
                vault.soft_delete != "AlwaysON" and not vault.soft_delete_of_vault
            ),
        },
    }


def encryption_body(vault: Vault) -> Dict[str, Any]:
    """Return how a vault is encrypted."""
    return {
        "id": f"{vault.id}/backupEncryptionConfigs/backupResourceEncryptionConfig",
        "name": "backupResourceEncryptionConfig",
        "type": f"{_TYPE}/backupEncryptionConfigs",
        "properties": {
            "useSystemAssignedIdentity": True,
            "encryptionAtRestType": "MicrosoftManaged",
            "lastUpdateStatus": "NotEnabled",
            "infrastructureEncryptionState": "Disabled",
        },
    }


def storage_body(vault: Vault) -> Dict[str, Any]:
    """Return how a vault's data is kept."""
    return {
        "id": f"{vault.id}/backupstorageconfig/vaultstorageconfig",
        "name": "vaultstorageconfig",
        "type": f"{_TYPE}/backupstorageconfig",
        "properties": {
            "storageModelType": vault.redundancy,
            "storageType": vault.redundancy,
            "storageTypeState": "Locked" if vault.items else "Unlocked",
            "crossRegionRestoreFlag": False,
        },
    }


def _soft_delete_days(vault: Vault) -> int:
    """Days that mean nothing are shown until the vault holds something, and as 0 from then on."""
    unused = vault.soft_delete == "Disabled" and vault.items and vault.storage_version == "V2"
    return 0 if unused else vault.soft_delete_days


def policy_body(
    vault: Vault, name: str, properties: Mapping[str, Any], *, listed: bool = False
) -> Dict[str, Any]:
    """Return a policy; `listed`: in a list, where the service never says how many items it has."""
    users = 0 if listed else policies.users(vault, name)
    return {
        "id": f"{vault.id}/backupPolicies/{name}",
        "name": name,
        "type": f"{_TYPE}/backupPolicies",
        "properties": {**properties, "protectedItemsCount": users},
    }


def protectable_body(vault: Vault, vm: Vm) -> Dict[str, Any]:
    """Return a VM that could be protected."""
    name = f"iaasvmcontainerv2;{vm.key}"
    containers = f"{vault.id}/backupFabrics/Azure/protectionContainers"
    return {
        "id": f"{containers}/IaasVMContainer;{name}/protectableItems/vm;{name}",
        "name": name,
        "type": f"{_FABRIC}/protectableItems",
        "properties": {
            "virtualMachineId": vm.shown_id,
            "virtualMachineVersion": "Compute",
            "resourceGroup": vm.resource_group,
            "backupManagementType": "AzureIaasVM",
            "protectableItemType": _COMPUTE,
            "friendlyName": vm.name,
            "protectionState": "NotProtected",
        },
    }


def container_body(vault: Vault, item: Item) -> Dict[str, Any]:
    """Return a container."""
    vm = item.vm
    return {
        "id": f"{vault.id}/backupFabrics/Azure/protectionContainers/{item.container}",
        "name": item.container,
        "type": _FABRIC,
        "properties": {
            "virtualMachineId": vm.shown_id,
            "virtualMachineVersion": "Compute",
            "resourceGroup": vm.resource_group,
            "friendlyName": vm.name,
            "backupManagementType": "AzureIaasVM",
            "registrationStatus": "SoftDeleted" if item.deleted else "Registered",
            "healthStatus": "Healthy",
            "containerType": _COMPUTE,
            "protectableObjectType": _COMPUTE,
        },
    }


def item_id(vault: Vault, item: Item) -> str:
    """Return an item's resource id."""
    return (
        f"{vault.id}/backupFabrics/Azure/protectionContainers/{item.container}"
        f"/protectedItems/{item.name}"
    )


def item_body(vault: Vault, item: Item, now: datetime, one: bool = False) -> Dict[str, Any]:
    """Return a protected item; `one`: asked for by itself and with its extended information.

    Long, because the order of the fields is the service's.
    """
    body: Dict[str, Any] = {
        "friendlyName": item.vm.name,
        "virtualMachineId": item.vm.shown_id,
        "protectionStatus": "Unhealthy" if item.health else "Healthy",
        "protectionState": item.state,
        "healthStatus": "ActionRequired" if item.health else "Passed",
    }
    if item.health or item.backed_up:
        body["healthDetails"] = [_health(item)]
    body.update(
        lastBackupStatus=item.last_backup_status,
        lastBackupTime=stamp(item.last_backup) if item.last_backup else "2001-01-01T00:00:00Z",
        protectedItemDataId=item.data_id,
    )
    if one:
        body["extendedInfo"] = _extended_info(item)
    if item.extended:
        body["extendedProperties"] = (
            {"diskExclusionProperties": item.disks}
            if item.disks is not None
            else {"linuxVmApplicationName": ""}
        )
    body.update(
        policyType=item.policy_type,
        protectedItemType=_COMPUTE,
        backupManagementType="AzureIaasVM",
        workloadType="VM",
        containerName=f"iaasvmcontainerv2;{item.key}",
        sourceResourceId=item.vm.shown_id,
        policyId=f"{vault.id}/backupPolicies/{item.policy}" if item.policy else "",
        policyName=item.policy,
    )
    if item.points:
        body["lastRecoveryPoint"] = stamp(item.points[0].time)
    body["vaultId"] = f"https://management.azure.com{vault.id}"
    kept = 0
    if item.deleted is not None:
        kept = vault.soft_delete_days
        left = item.deleted + timedelta(days=kept) - now
        body["deferredDeleteTimeInUTC"] = stamp(item.deleted)
        body["isScheduledForDeferredDelete"] = True
        body["deferredDeleteTimeRemaining"] = time_span(left)
        if left < _UPCOMING:
            body["isDeferredDeleteScheduleUpcoming"] = True
    body["isArchiveEnabled"] = False
    body["softDeleteRetentionPeriod"] = kept
    return {
        "id": item_id(vault, item),
        "name": item.name,
        "type": f"{_FABRIC}/protectedItems",
        "properties": body,
    }


def _health(item: Item) -> Dict[str, Any]:
    if item.health is None:
        return {
            "code": 400239,
            "title": "IaasVmHealthGreenDefault",
            "message": "Backup pre-check status of this virtual machine is OK.",
            "recommendations": [],
        }
    return {
        "code": item.health["errorCode"],
        "title": item.health["errorTitle"],
        "message": item.health["errorString"],
        "recommendations": item.health["recommendations"],
    }


def _extended_info(item: Item) -> Dict[str, Any]:
    info: Dict[str, Any] = {
        "recoveryPointCount": len(item.points),
        "policyInconsistent": False,
    }
    if item.points:
        info = {"oldestRecoveryPoint": stamp(item.points[-1].time), **info}
    return info


def _point_disks(point: RecoveryPoint, listed: bool) -> Dict[str, Any]:
    """Return the disks of a point as Microsoft documents them; only a single point names them."""
    held = [disk for disk in point.disks if disk[2]]
    found: Dict[str, Any] = {
        "numberOfDisksIncludedInBackup": len(held),
        "numberOfDisksAttachedToVm": len(point.disks),
    }
    if not listed:
        others = [disk for disk in point.disks if not disk[2]]
        for name, disks in (("includedDiskList", held), ("excludedDiskList", others)):
            found[name] = [{"lun": lun, "name": disk} for lun, disk, _held in disks]
    return found


def point_body(
    vault: Vault, item: Item, point: RecoveryPoint, listed: bool = False
) -> Dict[str, Any]:
    """Return a recovery point, in a list or by itself."""
    tiers = [{"type": tier, "status": status} for tier, status in point.tiers.items()]
    properties: Dict[str, Any] = {
        "objectType": "IaasVMRecoveryPoint",
        "recoveryPointType": point.consistency,
        "recoveryPointTime": stamp(point.time),
        "recoveryPointAdditionalInfo": "",
        "sourceVMStorageType": "PremiumVMOnPartialPremiumStorage",
        "isSourceVMEncrypted": False,
        "isInstantIlrSessionActive": False,
        "recoveryPointTierDetails": tiers,
        "isManagedVirtualMachine": True,
        "virtualMachineSize": point.size,
        "originalStorageAccountOption": False,
        "osType": point.os_type,
        "recoveryPointMoveReadinessInfo": {
            "ArchivedRP": {
                "isReadyForMove": False,
                "additionalInfo": "It is not known yet whether it can be moved.",
            }
        },
        "securityType": "None",
        "isPrivateAccessEnabledOnAnyDisk": False,
        "createdWithPolicyType": "V2",
    }
    # Recorded points of VMs with all their disks have no such part.
    if point.disks:
        properties["recoveryPointDiskConfiguration"] = _point_disks(point, listed)
    return {
        "id": f"{item_id(vault, item)}/recoveryPoints/{point.name}",
        "name": point.name,
        "type": f"{_FABRIC}/protectedItems/recoveryPoints",
        "properties": properties,
    }
