# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads of VMs from Azure Compute, and which data disks are attached to them.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence, Union

from ..._arm.connection import map_concurrently
from ..._arm.errors import VaultError
from ..._arm.ids import VmId
from ..._errors import Failure, QuiesceError
from ..connection import VaultConnection

Wire = Mapping[str, Any]
Luns = FrozenSet[int]
# The kinds of errors that mean that there is no such VM.
GONE = ("not_found", "resource_group", "subscription")


def read_vm(connection: VaultConnection, vm: VmId, expand: Optional[str] = None) -> Wire:
    """Return Compute's description of one VM; C(expand) may be C(instanceView)."""
    client = connection.compute(vm.subscription_id)
    return connection.read(
        f"read VM {vm.name} in resource group {vm.resource_group}",
        lambda: client.virtual_machines.get(
            resource_group_name=vm.resource_group,
            vm_name=vm.name,
            expand=expand,
            cls=as_it_came,
        ),
        vm,
    )


def attached_luns(
    connection: VaultConnection, vms: Sequence[VmId]
) -> Dict[str, Union[Luns, Failure]]:
    """Return the LUNs of the data disks of each VM, or why they are not known, by C(VmId.key).

    The VMs of a resource group are read with one list, a single one by itself. So are those of a
    group that the credentials may not list, because a role on a VM does not permit that.
    """
    groups: Dict[str, List[VmId]] = {}
    for vm in vms:
        groups.setdefault(f"{vm.subscription_id}/{vm.resource_group}".lower(), []).append(vm)
    alone = [group[0] for group in groups.values() if len(group) == 1]
    many = [group for group in groups.values() if len(group) > 1]
    found: Dict[str, Union[Luns, Failure]] = {}
    for listed in map_concurrently(lambda group: _listed(connection, group[0]), many):
        error = listed.error
        if error and error.kind == "authorization":
            alone += listed.item
            continue
        for vm in listed.item:
            found[vm.key] = _unread(vm, error) if error else _luns(vm, listed.value.get(vm.key))
    for read in map_concurrently(lambda vm: read_vm(connection, vm), alone):
        vm, error = read.item, read.error
        found[vm.key] = _unread(vm, error) if error else _luns(vm, read.value)
    return found


def no_such_vm(vm: VmId, cause: Optional[Failure] = None) -> Failure:
    """Return the failure of a VM that Compute does not have."""
    by = f" ({cause.name})" if cause else ""
    return Failure(
        "VmNotFound",
        f"There is no VM {vm.name} in resource group {vm.resource_group} of subscription "
        f"{vm.subscription_id}{by}.",
        "Check the VM's name, resource group and subscription; a VM in another resource group than "
        "the vault's is given as GROUP/NAME, or by its id.",
        correlation_id=cause.correlation_id if cause else "",
        http_status=cause.http_status if cause else None,
        vm=vm.id,
    )


def as_it_came(answer: Any, *_more: Any) -> Dict[str, Any]:
    """Return the body of an answer: what the SDK's models do not know is in it too."""
    body: Dict[str, Any] = answer.http_response.json()
    return body


def _listed(connection: VaultConnection, one: VmId) -> Dict[str, Wire]:
    """Return the VMs of the resource group of one of them, by C(VmId.key)."""
    client = connection.compute(one.subscription_id)
    listed = connection.items(
        f"list the VMs of resource group {one.resource_group}",
        lambda: client.virtual_machines.list(resource_group_name=one.resource_group),
    )
    return {key: wire for key, wire in ((_key(wire), wire) for wire in listed) if key}


def _key(wire: Wire) -> str:
    """Return C(VmId.key); empty for what has no id, so that the VM that it may be is missing."""
    try:
        return VmId.from_resource_id(str(wire.get("id") or "")).key
    except QuiesceError:
        return ""


def _luns(vm: VmId, wire: Optional[Wire]) -> Union[Luns, Failure]:
    """Return the LUNs of a VM's data disks; a failure where the description does not say them."""
    if wire is None:
        return no_such_vm(vm)
    described: Any = wire
    for name in ("properties", "storageProfile", "dataDisks"):
        described = described.get(name) if isinstance(described, Mapping) else None
    # A VM without data disks has an empty list.
    if not isinstance(described, (list, tuple)):
        return _unsaid(vm)
    luns = []
    for disk in described:
        lun = disk.get("lun") if isinstance(disk, Mapping) else None
        if not isinstance(lun, int) or isinstance(lun, bool):
            return _unsaid(vm)
        if disk.get("toBeDetached") is not True:
            luns.append(lun)
    return frozenset(luns)


def _unsaid(vm: VmId) -> Failure:
    return Failure(
        "DisksUnknown",
        f"Azure described VM {vm.name} without its data disks, so LUNs cannot be checked.",
        "Run the task again. If the failure stays, look at the disks of the VM in the portal.",
        vm=vm.id,
    )


def _unread(vm: VmId, error: VaultError) -> Failure:
    """Return the failure of a VM that could not be read."""
    of = error.failure
    if error.kind in GONE:
        return no_such_vm(vm, of)
    return Failure(
        of.name,
        f"The data disks of VM {vm.name} are not known, so LUNs cannot be checked: {of.message}",
        of.recommended_action,
        code=of.code,
        correlation_id=of.correlation_id,
        http_status=of.http_status,
        vm=vm.id,
    )
