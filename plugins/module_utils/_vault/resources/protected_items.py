# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Protected items: the VMs that a vault protects or keeps data of.

Reads plain mappings, because the SDK's models lack the type of a VM's item.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ..._arm.connection import AcceptedOperation
from ..._arm.ids import FABRIC, VmId, equals_ignoring_case, last_segment
from ..._arm.times import format_utc, parse_time
from ..._errors import QuiesceError
from ..connection import VaultConnection
from ..filters import OF_VMS

#: The states of a result. `UNKNOWN` is for a state that is missing or new.
PROTECTED, STOPPED, SOFT_DELETED, NOT_PROTECTED, UNKNOWN = (
    "protected",
    "stopped",
    "soft_deleted",
    "not_protected",
    "unknown",
)
ITEM_TYPE = "Microsoft.Compute/virtualMachines"
_CHOICE = "diskExclusionProperties"
_FILTER = f"{OF_VMS} and itemType eq 'VM'"
# The names of the policy types in the policy modules.
_POLICY_TYPES = {"V1": "standard", "V2": "enhanced"}
# Azure makes no more backups, and keeps the data forever or as long as the policy says.
_STOPPED = ("protectionstopped", "backupssuspended")
# Azure makes backups, tries to, or failed to configure them.
_PROTECTED = ("protected", "irpending", "protectionpaused", "protectionerror", "invalid")
_CLOCKS_DIFFER = timedelta(minutes=10)
_SUBSCRIPTION = re.compile(r"/subscriptions/([^/]+)/", re.IGNORECASE)
_REMAINING = re.compile(r"^(?:(?P<d>\d+)\.)?(?P<h>\d{1,2}):(?P<m>\d{2}):(?P<s>\d{2})(?:\.\d+)?$")


@dataclass(frozen=True)
class DiskSelection:
    """The data disks to back up: those of `luns`, or all others if not `inclusive`."""

    luns: tuple[int, ...]
    inclusive: bool

    @property
    def is_everything(self) -> bool:
        """Return True if the backup includes every disk."""
        return not self.inclusive and not self.luns

    def to_azure(self) -> dict[str, Any]:
        """Return the `extendedProperties` of an item, empty if the backup includes every disk."""
        if self.is_everything:
            return {}
        chosen = {"diskLunList": list(self.luns), "isInclusionList": self.inclusive}
        return {_CHOICE: chosen}


ALL_DISKS = DiskSelection((), False)


@dataclass(frozen=True)
class ProtectedItem:
    """One VM in the vault's list."""

    vm: VmId
    #: The vault's own names of the item.
    container: str
    item: str
    protection_state: str = ""
    policy_id: str = ""
    policy_name: str = ""
    policy_type: str = ""
    disks: DiskSelection = ALL_DISKS
    soft_deleted: bool = False
    soft_deleted_until: datetime | None = None
    properties: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def state(self) -> str:
        """Return the state of a result, such as `protected`."""
        if self.soft_deleted:
            return SOFT_DELETED
        state = self.protection_state.lower()
        if state in _STOPPED:
            return STOPPED
        return PROTECTED if state in _PROTECTED else UNKNOWN

    @property
    def extended(self) -> dict[str, Any]:
        """Return the `extendedProperties` without the selection of disks."""
        properties = self.properties.get("extendedProperties") or {}
        return {key: value for key, value in properties.items() if value and key != _CHOICE}

    def to_result(self) -> dict[str, Any]:
        """Return the item as part of a result."""
        properties = self.properties
        health = [_health(detail) for detail in properties.get("healthDetails") or ()]
        return {
            **not_protected(self.vm),
            "state": self.state,
            "protection_state": self.protection_state or None,
            "policy": self.policy_name or None,
            "policy_id": self.policy_id or None,
            "policy_type": _POLICY_TYPES.get(self.policy_type.upper()),
            "soft_deleted": self.soft_deleted,
            "soft_deleted_until": format_utc(self.soft_deleted_until),
            "include_disk_luns": list(self.disks.luns) if self.disks.inclusive else None,
            "exclude_disk_luns": None if self.disks.inclusive else list(self.disks.luns),
            "health_status": properties.get("healthStatus") or None,
            "health_details": health,
            "last_backup_status": properties.get("lastBackupStatus") or None,
            "last_backup_time": _happened(properties.get("lastBackupTime")),
            "last_recovery_point": _happened(properties.get("lastRecoveryPoint")),
        }


def not_protected(vm: VmId) -> dict[str, Any]:
    """Return the result of a VM that the vault does not list."""
    return {
        "name": vm.name,
        "id": vm.id,
        "resource_group": vm.resource_group,
        "state": NOT_PROTECTED,
        "protection_state": None,
        "policy": None,
        "policy_id": None,
        "policy_type": None,
        "soft_deleted": False,
        "soft_deleted_until": None,
        "include_disk_luns": None,
        "exclude_disk_luns": None,
        "health_status": None,
        "health_details": [],
        "last_backup_status": None,
        "last_backup_time": None,
        "last_recovery_point": None,
    }


def list_items(connection: VaultConnection) -> dict[str, ProtectedItem]:
    """Return all VMs of the vault, by `VmId.key`, from one list."""
    listed = connection.items(
        f"list the protected items of vault {connection.vault.name}",
        lambda: connection.backup.backup_protected_items.list(
            **connection.vault_keywords, filter=_FILTER
        ),
    )
    now = connection.server_now()
    items = (read_item(resource, now) for resource in listed)
    return {item.vm.key: item for item in items if item}


def read_item(resource: Mapping[str, Any], now: datetime) -> ProtectedItem | None:
    """Read one element of the list; return None unless it is a VM of Resource Manager."""
    properties = resource.get("properties") or {}
    item_id = str(resource.get("id") or "")
    container, item = _names(item_id)
    vm = _vm(properties, item_id, item)
    if vm is None:
        return None
    deleted = bool(properties.get("isScheduledForDeferredDelete"))
    policy_id = str(properties.get("policyId") or "")
    return ProtectedItem(
        vm=vm,
        container=container or vm.container,
        item=item or vm.item,
        protection_state=str(properties.get("protectionState") or ""),
        policy_id=policy_id,
        policy_name=str(properties.get("policyName") or "") or last_segment(policy_id),
        policy_type=str(properties.get("policyType") or ""),
        disks=_disks(properties),
        soft_deleted=deleted,
        soft_deleted_until=_deleted_until(properties, now) if deleted else None,
        properties=properties,
    )


def namesakes(vm: VmId, items: Mapping[str, ProtectedItem]) -> str:
    """Return a hint at the VMs of that name in other resource groups, or an empty string.

    A name alone may mean a VM in another resource group than the default.
    """
    others = sorted(
        item.vm.id for item in items.values() if equals_ignoring_case(item.vm.name, vm.name)
    )
    if not others or vm.key in items:
        return ""
    return (
        f"VM {vm.name} was looked up in resource group {vm.resource_group}; the vault has "
        f"{' and '.join(others)}. Name the VM as GROUP/NAME or by its resource ID."
    )


def put_item(
    connection: VaultConnection,
    operation: str,
    vm: VmId,
    item: ProtectedItem | None,
    properties: Mapping[str, Any],
) -> AcceptedOperation:
    """Send properties of a VM's item. Azure starts a job even if nothing changes."""
    body = {
        "properties": {
            "protectedItemType": ITEM_TYPE,
            "sourceResourceId": item.vm.id if item else vm.id,
            **properties,
        }
    }
    items = connection.backup.protected_items
    return connection.start(
        operation,
        lambda **options: items.begin_create_or_update(
            **connection.vault_keywords,
            **_address(vm, item),
            parameters=body,
            polling=False,
            **options,
        ),
        vm,
    )


def delete_item(
    connection: VaultConnection, operation: str, vm: VmId, item: ProtectedItem | None
) -> AcceptedOperation:
    """Delete a VM's item and its data."""
    items = connection.backup.protected_items
    return connection.start(
        operation,
        lambda **options: items.delete(
            **connection.vault_keywords, **_address(vm, item), **options
        ),
        vm,
    )


def _address(vm: VmId, item: ProtectedItem | None) -> dict[str, str]:
    return {
        "fabric_name": FABRIC,
        "container_name": item.container if item else vm.container,
        "protected_item_name": item.item if item else vm.item,
    }


def _vm(properties: Mapping[str, Any], item_id: str, item: str) -> VmId | None:
    """Return the VM of an item, by the item's name if the item has no VM id.

    A skipped item would look like a VM that the vault does not list.
    """
    given = str(properties.get("virtualMachineId") or properties.get("sourceResourceId") or "")
    kind, version, *rest = [*item.split(";"), "", ""]
    subscription = _SUBSCRIPTION.match(item_id)
    if (
        not given
        and subscription
        and equals_ignoring_case(kind, "vm")
        and equals_ignoring_case(version, "iaasvmcontainerv2")
    ):
        group, name = rest[0], rest[1]
        return VmId(subscription[1], group, name) if group and name else None
    try:
        return VmId.from_resource_id(given)
    except QuiesceError:
        return None


def _names(item_id: str) -> tuple[str, str]:
    """Return the names of container and item in the item's id, empty if missing."""
    parts = item_id.split("/")
    lower = [part.lower() for part in parts]
    found: list[str] = []
    for kind in ("protectioncontainers", "protecteditems"):
        where = lower.index(kind) + 1 if kind in lower else len(parts)
        found.append(parts[where] if where < len(parts) else "")
    return found[0], found[1]


def _disks(properties: Mapping[str, Any]) -> DiskSelection:
    extended = properties.get("extendedProperties") or {}
    chosen = extended.get(_CHOICE)
    if not isinstance(chosen, Mapping):
        return ALL_DISKS
    return chosen_disks(chosen.get("diskLunList") or (), bool(chosen.get("isInclusionList")))


def chosen_disks(luns: Sequence[Any], inclusive: bool) -> DiskSelection:
    """Return a selection of disks with sorted LUNs, so that selections compare equal."""
    return DiskSelection(tuple(sorted({int(lun) for lun in luns})), inclusive)


def _deleted_until(properties: Mapping[str, Any], now: datetime) -> datetime | None:
    """Return the time at which Azure removes the data of a soft-deleted item.

    Azure reports the time of deletion and the days of retention, or the time left. A time that
    is barely in the future is the time of deletion, because the clocks differ.
    """
    at = parse_time(properties.get("deferredDeleteTimeInUTC"))
    days = properties.get("softDeleteRetentionPeriod") or properties.get(
        "softDeleteRetentionPeriodInDays"
    )
    if at and at > now + (_CLOCKS_DIFFER if days else timedelta()):
        return at
    if at and days:
        return at + timedelta(days=int(days))
    left = _REMAINING.match(str(properties.get("deferredDeleteTimeRemaining") or ""))
    if not left:
        return None
    return now + timedelta(
        days=int(left["d"] or 0),
        hours=int(left["h"]),
        minutes=int(left["m"]),
        seconds=int(left["s"]),
    )


def _happened(text: Any) -> str | None:
    """Return a time, or None: Azure reports 2001 for an event that never happened."""
    time = parse_time(text)
    return format_utc(time) if time and time.year > 2001 else None


def _health(detail: Any) -> dict[str, Any]:
    values: Mapping[str, Any] = detail if isinstance(detail, Mapping) else {}
    return {
        "code": values.get("code"),
        "title": values.get("title") or None,
        "message": values.get("message") or None,
        "recommendations": list(values.get("recommendations") or ()),
    }
