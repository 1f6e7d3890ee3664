# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Protected items: what a vault says of each VM that it protects or keeps data of.

They are read as plain mappings: the SDK's models do not know the type of a VM's item.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..._arm.connection import AcceptedOperation
from ..._arm.ids import FABRIC, VmId, equals_ignoring_case, last_segment
from ..._arm.times import format_utc, parse_time
from ..._errors import QuiesceError
from ..connection import VaultConnection

#: The states of a result. C(UNKNOWN) is that of an item whose state is missing or new to us.
PROTECTED, STOPPED, SOFT_DELETED, NOT_PROTECTED, UNKNOWN = (
    "protected",
    "stopped",
    "soft_deleted",
    "not_protected",
    "unknown",
)
ITEM_TYPE = "Microsoft.Compute/virtualMachines"
_CHOICE = "diskExclusionProperties"
_FILTER = "backupManagementType eq 'AzureIaasVM' and itemType eq 'VM'"
# As the modules for policies call them.
_POLICY_TYPES = {"V1": "standard", "V2": "enhanced"}
# Backups that are not made any more: the data is kept for ever, or as long as the policy says.
_STOPPED = ("protectionstopped", "backupssuspended")
# Those in which Azure makes backups, or tries to, or could not be configured to.
_PROTECTED = ("protected", "irpending", "protectionpaused", "protectionerror", "invalid")
_CLOCKS_DIFFER = timedelta(minutes=10)
_SUBSCRIPTION = re.compile(r"/subscriptions/([^/]+)/", re.IGNORECASE)
_REMAINING = re.compile(r"^(?:(?P<d>\d+)\.)?(?P<h>\d{1,2}):(?P<m>\d{2}):(?P<s>\d{2})(?:\.\d+)?$")


@dataclass(frozen=True)
class DiskSelection:
    """Which data disks are backed up: those of C(luns), or, when not C(inclusive), all others."""

    luns: Tuple[int, ...]
    inclusive: bool

    @property
    def is_everything(self) -> bool:
        """Whether no disk is left out."""
        return not self.inclusive and not self.luns

    def to_azure(self) -> Dict[str, Any]:
        """The C(extendedProperties) of an item: no disk left out is said by leaving it out."""
        if self.is_everything:
            return {}
        chosen = {"diskLunList": list(self.luns), "isInclusionList": self.inclusive}
        return {_CHOICE: chosen}


ALL_DISKS = DiskSelection((), False)


@dataclass(frozen=True)
class ProtectedItem:
    """One VM in the vault's list."""

    vm: VmId
    #: The names under which the vault has it.
    container: str
    item: str
    protection_state: str = ""
    policy_id: str = ""
    policy_name: str = ""
    policy_type: str = ""
    disks: DiskSelection = ALL_DISKS
    soft_deleted: bool = False
    soft_deleted_until: Optional[datetime] = None
    properties: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def state(self) -> str:
        """The state in the words of a result."""
        if self.soft_deleted:
            return SOFT_DELETED
        state = self.protection_state.lower()
        if state in _STOPPED:
            return STOPPED
        return PROTECTED if state in _PROTECTED else UNKNOWN

    @property
    def extended(self) -> Dict[str, Any]:
        """What its C(extendedProperties) say beside the choice of disks."""
        of = self.properties.get("extendedProperties") or {}
        return {key: value for key, value in of.items() if value and key != _CHOICE}

    def to_result(self) -> Dict[str, Any]:
        """What a module returns of it."""
        of = self.properties
        health = [_health(one) for one in of.get("healthDetails") or ()]
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
            "health_status": of.get("healthStatus") or None,
            "health_details": health,
            "last_backup_status": of.get("lastBackupStatus") or None,
            "last_backup_time": _happened(of.get("lastBackupTime")),
            "last_recovery_point": _happened(of.get("lastRecoveryPoint")),
        }


def not_protected(vm: VmId) -> Dict[str, Any]:
    """What a module returns of a VM that the vault does not have."""
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


def list_items(connection: VaultConnection) -> Dict[str, ProtectedItem]:
    """All VMs of the vault, by C(VmId.key), from one list."""
    listed = connection.items(
        f"list the protected items of vault {connection.vault.name}",
        lambda: connection.backup.backup_protected_items.list(
            **connection.vault_keywords, filter=_FILTER
        ),
    )
    now = connection.server_now()
    return {item.vm.key: item for item in (read_item(one, now) for one in listed) if item}


def read_item(resource: Mapping[str, Any], now: datetime) -> Optional[ProtectedItem]:
    """One element of the list; nothing when it is no VM that Resource Manager knows."""
    of = resource.get("properties") or {}
    item_id = str(resource.get("id") or "")
    container, item = _names(item_id)
    vm = _vm(of, item_id, item)
    if vm is None:
        return None
    deleted = bool(of.get("isScheduledForDeferredDelete"))
    policy_id = str(of.get("policyId") or "")
    return ProtectedItem(
        vm=vm,
        container=container or vm.container,
        item=item or vm.item,
        protection_state=str(of.get("protectionState") or ""),
        policy_id=policy_id,
        policy_name=str(of.get("policyName") or "") or last_segment(policy_id),
        policy_type=str(of.get("policyType") or ""),
        disks=_disks(of),
        soft_deleted=deleted,
        soft_deleted_until=_deleted_until(of, now) if deleted else None,
        properties=of,
    )


def namesakes(vm: VmId, items: Mapping[str, ProtectedItem]) -> str:
    """Words on the VMs of that name that the vault has elsewhere; empty when it has none.

    Who gives a name alone may have another resource group in mind than the one that it is taken of.
    """
    others = sorted(
        item.vm.id for item in items.values() if equals_ignoring_case(item.vm.name, vm.name)
    )
    if not others or vm.key in items:
        return ""
    return (
        f"VM {vm.name} was looked for in resource group {vm.resource_group}; the vault has "
        f"{' and '.join(others)}. Give GROUP/NAME or the resource id."
    )


def put_item(
    connection: VaultConnection,
    what: str,
    vm: VmId,
    item: Optional[ProtectedItem],
    properties: Mapping[str, Any],
) -> AcceptedOperation:
    """Send the new properties of a VM's item. The service starts a job, even for the old ones."""
    body = {
        "properties": {
            "protectedItemType": ITEM_TYPE,
            "sourceResourceId": item.vm.id if item else vm.id,
            **properties,
        }
    }
    items = connection.backup.protected_items
    return connection.start(
        what,
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
    connection: VaultConnection, what: str, vm: VmId, item: Optional[ProtectedItem]
) -> AcceptedOperation:
    """Delete a VM's item and its data."""
    items = connection.backup.protected_items
    return connection.start(
        what,
        lambda **options: items.delete(
            **connection.vault_keywords, **_address(vm, item), **options
        ),
        vm,
    )


def _address(vm: VmId, item: Optional[ProtectedItem]) -> Dict[str, str]:
    return {
        "fabric_name": FABRIC,
        "container_name": item.container if item else vm.container,
        "protected_item_name": item.item if item else vm.item,
    }


def _vm(of: Mapping[str, Any], item_id: str, item: str) -> Optional[VmId]:
    """Return the VM of an item; by the item's name where the item has no id of a VM.

    An item that is passed over would look like a VM that the vault does not have.
    """
    given = str(of.get("virtualMachineId") or of.get("sourceResourceId") or "")
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


def _names(item_id: str) -> Tuple[str, str]:
    """The names of container and item in the item's id; empty when it has none."""
    parts = item_id.split("/")
    lower = [part.lower() for part in parts]
    found: List[str] = []
    for kind in ("protectioncontainers", "protecteditems"):
        where = lower.index(kind) + 1 if kind in lower else len(parts)
        found.append(parts[where] if where < len(parts) else "")
    return found[0], found[1]


def _disks(of: Mapping[str, Any]) -> DiskSelection:
    extended = of.get("extendedProperties") or {}
    chosen = extended.get(_CHOICE)
    if not isinstance(chosen, Mapping):
        return ALL_DISKS
    return chosen_disks(chosen.get("diskLunList") or (), bool(chosen.get("isInclusionList")))


def chosen_disks(luns: Sequence[Any], inclusive: bool) -> DiskSelection:
    """DiskSelection by their LUNs, in the order in which they can be compared."""
    return DiskSelection(tuple(sorted({int(lun) for lun in luns})), inclusive)


def _deleted_until(of: Mapping[str, Any], now: datetime) -> Optional[datetime]:
    """When the data of a soft-deleted item will be gone.

    The service says when it was deleted, and for how many days it keeps it; or how long is left. A
    time that has only just come, by a clock that is not the service's own, is that of the deletion.
    """
    at = parse_time(of.get("deferredDeleteTimeInUTC"))
    days = of.get("softDeleteRetentionPeriod") or of.get("softDeleteRetentionPeriodInDays")
    if at and at > now + (_CLOCKS_DIFFER if days else timedelta()):
        return at
    if at and days:
        return at + timedelta(days=int(days))
    left = _REMAINING.match(str(of.get("deferredDeleteTimeRemaining") or ""))
    if not left:
        return None
    return now + timedelta(
        days=int(left["d"] or 0),
        hours=int(left["h"]),
        minutes=int(left["m"]),
        seconds=int(left["s"]),
    )


def _happened(text: Any) -> Optional[str]:
    """The time of something, or nothing: the service says 2001 for what has never happened."""
    time = parse_time(text)
    return format_utc(time) if time and time.year > 2001 else None


def _health(detail: Any) -> Dict[str, Any]:
    of: Mapping[str, Any] = detail if isinstance(detail, Mapping) else {}
    return {
        "code": of.get("code"),
        "title": of.get("title") or None,
        "message": of.get("message") or None,
        "recommendations": list(of.get("recommendations") or ()),
    }
