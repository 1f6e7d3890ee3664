# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a vault does not offer a VM to be protected: looked for one VM at a time, and only then.

Reads only: Compute's view of the VM, what the service says of its protection, and, when that is
in another vault, the item there. What may not be read is said, and the rest is still looked at.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..._arm.advice import recommended
from ..._arm.connection import as_dict
from ..._arm.errors import VaultError
from ..._arm.ids import FABRIC, VaultId, VmId, equals_ignoring_case
from ..._arm.times import format_utc
from ..._errors import Failure, QuiesceError
from ..connection import VaultConnection
from ..resources.protected_items import DiskSelection, read_item
from ..resources.virtual_machines import GONE, no_such_vm, read_vm

# The documented limit of data disks that are backed up.
MOST_DATA_DISKS = 32


class Diagnosis:
    """One VM that the vault does not list; M(failure) says why."""

    def __init__(
        self, connection: VaultConnection, vm: VmId, disks: Optional[DiskSelection]
    ) -> None:
        self._connection = connection
        self._vm = vm
        self._disks = disks
        self._vault = connection.vault
        self._unknown: List[str] = []

    def failure(self) -> Failure:
        """Why the VM cannot be protected, as far as it can be seen."""
        return self.reason() or self._fail(
            "VmNotDiscovered",
            f"VM {self._vm.name} is not among those that vault {self._vault.name} can protect",
            "Azure may not have discovered it yet: run the task again in some minutes."
            + (f" It could not be found out: {'; '.join(self._unknown)}." if self._unknown else ""),
        )

    def reason(self) -> Optional[Failure]:
        """Why the VM cannot be protected; nothing when no reason can be seen."""
        machine = self._machine()
        if isinstance(machine, Failure):
            return machine
        region = self._region(machine)
        if isinstance(region, Failure):
            return region
        return self._protection(region) or self._shape(machine)

    # --- what is looked at ----------------------------------------------------------------------

    def _machine(self) -> Any:
        """Compute's view of the VM; a failure when it has none; empty when it may not be read."""
        vm = self._vm
        try:
            return read_vm(self._connection, vm, expand="instanceView")
        except VaultError as error:
            if error.kind in GONE:
                return no_such_vm(vm, error.failure)
            self._cannot_see(f"whether the VM exists and runs, and its region ({_short(error)})")
        except QuiesceError as error:
            self._cannot_see(f"whether the VM exists and runs, and its region ({error})")
        return {}

    def _region(self, machine: Mapping[str, Any]) -> Any:
        """The VM's region; a failure when it is not the vault's; the vault's when unknown."""
        mine = _place(machine.get("location"))
        try:
            theirs = _place(self._connection.vault_resource().get("location"))
        except VaultError as error:
            self._cannot_see(f"the vault's region ({_short(error)})")
            return mine
        if mine and theirs and mine != theirs:
            return self._fail(
                "VmInAnotherRegion",
                f"VM {self._vm.name} is in region {mine}, vault {self._vault.name} in {theirs}",
            )
        return mine or theirs

    def _protection(self, region: str) -> Optional[Failure]:
        """A failure when another vault, or something else, protects the VM."""
        if not region:
            self._cannot_see("whether another vault protects the VM (its region is not known)")
            return None
        request = {"resourceType": "VM", "resourceId": self._vm.id}
        try:
            said = as_dict(
                self._connection.read(
                    f"read the backup status of VM {self._vm.name}",
                    lambda: self._connection.backup.backup_status.get(
                        azure_region=region, parameters=request
                    ),
                    self._vm,
                )
            )
        except VaultError as error:
            self._cannot_see(f"whether another vault protects the VM ({_short(error)})")
            return None
        status = str(said.get("protectionStatus") or "")
        if not status:
            self._cannot_see("whether another vault protects the VM (Azure does not say)")
            return None
        if equals_ignoring_case(status, "NotProtected"):
            return None
        return self._elsewhere(said)

    def _elsewhere(self, said: Mapping[str, Any]) -> Failure:
        vm = self._vm
        try:
            other = VaultId.from_resource_id(str(said.get("vaultId") or ""))
        except QuiesceError:
            return self._fail(
                "VmProtectedElsewhere",
                f"VM {vm.name} is already protected, and Azure does not say by which vault",
                "Look at the VM's backup in the portal.",
            )
        if other.key == self._vault.key:
            return self._fail(
                "VmNotListed",
                f"Azure says that vault {other.name} protects VM {vm.name} already, "
                "but the vault does not list it yet",
            )
        where = f"vault {other.name} in resource group {other.resource_group}"
        if not equals_ignoring_case(other.subscription_id, self._vault.subscription_id):
            where += f" of subscription {other.subscription_id}"
        deleted, until = self._soft_deleted_in(other)
        if deleted:
            return self._fail(
                "VmSoftDeletedInAnotherVault",
                f"VM {vm.name} is soft-deleted in {where}, until {until or 'a time not known'}",
                "Until then no other vault can protect it. Undelete it there and delete it for "
                "good, or wait.",
            )
        return self._fail(
            "VmProtectedInAnotherVault",
            f"VM {vm.name} is already protected by {where}",
        )

    def _soft_deleted_in(self, other: VaultId) -> Tuple[bool, Optional[str]]:
        """Whether the VM's item in the other vault is soft-deleted, and until when."""
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

    def _shape(self, machine: Mapping[str, Any]) -> Optional[Failure]:
        """A failure when the VM itself is such that the service does not take it."""
        of = machine.get("properties") or {}
        vm = self._vm
        disks = (of.get("storageProfile") or {}).get("dataDisks") or ()
        count = _counted([disk.get("lun") for disk in disks], self._disks)
        if count > MOST_DATA_DISKS:
            return self._fail(
                "TooManyDisks",
                f"VM {vm.name} has {count} data disks to back up, and a policy permits "
                f"{MOST_DATA_DISKS}",
            )
        view = of.get("instanceView") or {}
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
                f"The VM agent of VM {vm.name} is not ready ({agent or 'it has not reported'})",
                "Install or start the Azure Linux agent (walinuxagent) on the VM, then run the "
                "task again.",
            )
        return None

    # --- words ----------------------------------------------------------------------------------

    def _cannot_see(self, what: str) -> None:
        self._unknown.append(what)

    def _fail(
        self, name: str, message: str, action: str = "", cause: Optional[Failure] = None
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


def _place(location: Any) -> str:
    """A region's name for comparing: C(West Europe) is C(westeurope)."""
    return "".join(str(location or "").split()).lower()


def _counted(luns: List[Any], disks: Optional[DiskSelection]) -> int:
    """How many data disks would be backed up."""
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


def _codes(view: Mapping[str, Any]) -> List[str]:
    statuses: List[Dict[str, Any]] = list(view.get("statuses") or ())
    return [str(status.get("code") or "").lower() for status in statuses]
