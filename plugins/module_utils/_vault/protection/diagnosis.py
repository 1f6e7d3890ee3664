# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Diagnosis of a VM that a vault does not list as protectable.

Reads Compute's view of the VM, Azure Backup's status of the VM, and the item in another vault
that protects it. A failed read is reported, and the other reads still run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._arm.advice import recommended
from ..._arm.connection import as_dict
from ..._arm.errors import VaultError
from ..._arm.ids import FABRIC, VaultId, VmId, equals_ignoring_case
from ..._arm.times import format_utc
from ..._errors import Failure, QuiesceError
from ..connection import VaultConnection
from ..resources.protected_items import DiskSelection, read_item
from ..resources.virtual_machines import GONE, Payload, no_such_vm, read_vm

# The documented limit of data disks that are backed up.
MOST_DATA_DISKS = 32


class Diagnosis:
    """The diagnosis of one VM that the vault does not list."""

    def __init__(self, connection: VaultConnection, vm: VmId, disks: DiskSelection | None) -> None:
        self._connection = connection
        self._vm = vm
        self._disks = disks
        self._vault = connection.vault
        self._unknown: list[str] = []

    def failure(self) -> Failure:
        """Return the reason why the vault cannot protect the VM, or a general failure."""
        reason = self.reason()
        unknown = f" Could not determine {'; '.join(self._unknown)}." if self._unknown else ""
        return reason or self._fail(
            "VmNotDiscovered",
            f"Vault {self._vault.name} does not list VM {self._vm.name} as protectable. Azure may "
            f"not have discovered the VM yet.{unknown}",
            "Run the task again in a few minutes.",
        )

    def reason(self) -> Failure | None:
        """Return the reason why the vault cannot protect the VM, or None if none was found."""
        machine = self._machine()
        if isinstance(machine, Failure):
            return machine
        region = self._region(machine)
        if isinstance(region, Failure):
            return region
        return self._protection(region) or self._shape(machine)

    # --- checks ---------------------------------------------------------------------------------

    def _machine(self) -> Payload | Failure:
        """Return Compute's view of the VM, or a failure if the VM is gone; empty if unreadable."""
        vm = self._vm
        try:
            return read_vm(self._connection, vm, expand="instanceView")
        except VaultError as error:
            if error.kind in GONE:
                return no_such_vm(vm, error.failure)
            self._unknown.append(
                f"whether the VM exists and runs, and its region ({_short(error)})"
            )
        except QuiesceError as error:
            self._unknown.append(f"whether the VM exists and runs, and its region ({error})")
        return {}

    def _region(self, machine: Payload) -> str | Failure:
        """Return the VM's region, by default the vault's; a failure if they differ."""
        vm_region = _normalized(machine.get("location"))
        try:
            vault_region = _normalized(self._connection.vault_resource().get("location"))
        except VaultError as error:
            self._unknown.append(f"the vault's region ({_short(error)})")
            return vm_region
        if vm_region and vault_region and vm_region != vault_region:
            return self._fail(
                "VmInAnotherRegion",
                f"VM {self._vm.name} is in region {vm_region}, vault {self._vault.name} in "
                f"{vault_region}",
            )
        return vm_region or vault_region

    def _protection(self, region: str) -> Failure | None:
        """Return a failure if another vault protects the VM."""
        if not region:
            self._unknown.append("whether another vault protects the VM (its region is unknown)")
            return None
        request = {"resourceType": "VM", "resourceId": self._vm.id}
        try:
            answer = as_dict(
                self._connection.read(
                    f"read the backup status of VM {self._vm.name}",
                    lambda: self._connection.backup.backup_status.get(
                        azure_region=region, parameters=request
                    ),
                    self._vm,
                )
            )
        except VaultError as error:
            self._unknown.append(f"whether another vault protects the VM ({_short(error)})")
            return None
        status = str(answer.get("protectionStatus") or "")
        if not status:
            self._unknown.append("whether another vault protects the VM (Azure does not say)")
            return None
        if equals_ignoring_case(status, "NotProtected"):
            return None
        return self._elsewhere(answer)

    def _elsewhere(self, answer: Mapping[str, Any]) -> Failure:
        vm = self._vm
        try:
            other = VaultId.from_resource_id(str(answer.get("vaultId") or ""))
        except QuiesceError:
            return self._fail(
                "VmProtectedElsewhere",
                f"VM {vm.name} is already protected, but Azure does not name the vault",
                "Check the VM's backup in the Azure portal.",
            )
        if other.key == self._vault.key:
            return self._fail(
                "VmNotListed",
                f"Azure reports that vault {other.name} already protects VM {vm.name}, "
                "but the vault does not list it yet",
            )
        where = f"vault {other.name} in resource group {other.resource_group}"
        if not equals_ignoring_case(other.subscription_id, self._vault.subscription_id):
            where += f" of subscription {other.subscription_id}"
        deleted, until = self._soft_deleted_in(other)
        if deleted:
            return self._fail(
                "VmSoftDeletedInAnotherVault",
                f"VM {vm.name} is soft-deleted in {where}, until {until or 'an unknown time'}",
                "Wait until then, or undelete the VM there and delete its data permanently. Until "
                "then no other vault can protect it.",
            )
        return self._fail(
            "VmProtectedInAnotherVault",
            f"VM {vm.name} is already protected by {where}",
        )

    def _soft_deleted_in(self, other: VaultId) -> tuple[bool, str | None]:
        """Return whether the other vault has the VM soft-deleted, and until when."""
        if not equals_ignoring_case(other.subscription_id, self._vault.subscription_id):
            return False, None
        vm = self._vm
        try:
            got = self._connection.find(
                f"read VM {vm.name} in vault {other.name}",
                lambda: self._connection.backup.protected_items.get(
                    vault_name=other.name,
                    resource_group_name=other.resource_group,
                    fabric_name=FABRIC,
                    container_name=vm.container,
                    protected_item_name=vm.item,
                ),
                vm,
            )
        except VaultError:
            return False, None
        item = read_item(as_dict(got), self._connection.server_now()) if got else None
        if item is None or not item.soft_deleted:
            return False, None
        return True, format_utc(item.soft_deleted_until)

    def _shape(self, machine: Mapping[str, Any]) -> Failure | None:
        """Return a failure if Azure Backup does not accept the VM in its present state."""
        properties = machine.get("properties") or {}
        vm = self._vm
        disks = (properties.get("storageProfile") or {}).get("dataDisks") or ()
        count = _counted([disk.get("lun") for disk in disks], self._disks)
        if count > MOST_DATA_DISKS:
            return self._fail(
                "TooManyDisks",
                f"VM {vm.name} has {count} data disks to back up, and Azure Backup permits "
                f"{MOST_DATA_DISKS}",
            )
        view = properties.get("instanceView") or {}
        power = _power(view)
        if power and power != "running":
            return self._fail(
                "VmNotRunning",
                f"VM {vm.name} is not running ({power}), so Azure cannot install the backup "
                "extension",
            )
        agent = _agent(view)
        if power and agent != "ready":
            return self._fail(
                "VmAgentNotReady",
                f"The VM agent of VM {vm.name} is not ready ({agent or 'it sent no report'})",
                "Install or start the Azure Linux agent (walinuxagent) on the VM, then run the "
                "task again.",
            )
        return None

    def _fail(
        self, name: str, message: str, action: str = "", cause: Failure | None = None
    ) -> Failure:
        return Failure(
            name,
            f"{message}.",
            action or recommended(name),
            correlation_id=cause.correlation_id if cause else "",
            http_status=cause.http_status if cause else None,
            vm=self._vm.id,
        )


def _short(error: VaultError) -> str:
    return error.failure.name


def _normalized(location: Any) -> str:
    """Return a region's name for comparison: `West Europe` as `westeurope`."""
    return "".join(str(location or "").split()).lower()


def _counted(luns: list[Any], disks: DiskSelection | None) -> int:
    """Return how many data disks a backup would include."""
    if disks is None:
        return len(luns)
    return sum((lun in disks.luns) == disks.inclusive for lun in luns)


def _power(view: Mapping[str, Any]) -> str:
    for code in _codes(view):
        kind, _slash, state = code.partition("/")
        if kind == "powerstate":
            return state
    return ""


def _agent(view: Mapping[str, Any]) -> str:
    statuses = (view.get("vmAgent") or {}).get("statuses") or ()
    return str(statuses[0].get("displayStatus") or "").lower() if statuses else ""


def _codes(view: Mapping[str, Any]) -> list[str]:
    statuses: list[dict[str, Any]] = list(view.get("statuses") or ())
    return [str(status.get("code") or "").lower() for status in statuses]
