# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VMs as Azure Compute describes them, and their attached data disks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..._arm.connection import map_concurrently
from ..._arm.errors import VaultError
from ..._arm.ids import VmId
from ..._errors import Failure, QuiesceError
from ..connection import VaultConnection

Payload = Mapping[str, Any]
Luns = frozenset[int]
# The kinds of errors that mean that the VM does not exist.
GONE = ("not_found", "resource_group", "subscription")


def read_vm(connection: VaultConnection, vm: VmId, expand: str | None = None) -> Payload:
    """Return Compute's description of one VM; `expand` may be `instanceView`."""
    client = connection.compute(vm.subscription_id)
    return connection.read(
        f"read VM {vm.name} in resource group {vm.resource_group}",
        lambda: client.virtual_machines.get(
            resource_group_name=vm.resource_group,
            vm_name=vm.name,
            expand=expand,
            cls=response_body,
        ),
        vm,
    )


def attached_luns(connection: VaultConnection, vms: Sequence[VmId]) -> dict[str, Luns | Failure]:
    """Return the LUNs of the data disks of each VM, or a failure, by `VmId.key`.

    One list reads several VMs of a resource group; a single VM is read by its id. If the
    credentials may not list a group, each VM is read by its id: a role on a VM permits that.
    """
    groups: dict[str, list[VmId]] = {}
    for vm in vms:
        groups.setdefault(f"{vm.subscription_id}/{vm.resource_group}".lower(), []).append(vm)
    alone = [group[0] for group in groups.values() if len(group) == 1]
    many = [group for group in groups.values() if len(group) > 1]
    found: dict[str, Luns | Failure] = {}
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


def no_such_vm(vm: VmId, cause: Failure | None = None) -> Failure:
    """Return the failure of a VM that does not exist."""
    by = f" ({cause.name})" if cause else ""
    return Failure(
        "VmNotFound",
        f"VM {vm.name} does not exist in resource group {vm.resource_group} of subscription "
        f"{vm.subscription_id}{by}.",
        "Check the VM's name, resource group and subscription. Name a VM outside the vault's "
        "resource group as GROUP/NAME or by its resource ID.",
        correlation_id=cause.correlation_id if cause else "",
        http_status=cause.http_status if cause else None,
        vm=vm.id,
    )


def response_body(answer: Any, *_more: Any) -> dict[str, Any]:
    """Return the whole body of a response, with the parts that the SDK's models lack."""
    body: dict[str, Any] = answer.http_response.json()
    return body


def _listed(connection: VaultConnection, member: VmId) -> dict[str, Payload]:
    """Return the VMs in the resource group of a member, by `VmId.key`."""
    client = connection.compute(member.subscription_id)
    listed = connection.items(
        f"list the VMs of resource group {member.resource_group}",
        lambda: client.virtual_machines.list(resource_group_name=member.resource_group),
    )
    return {
        key: payload for key, payload in ((_key(payload), payload) for payload in listed) if key
    }


def _key(payload: Payload) -> str:
    """Return `VmId.key`, or an empty string without an id: then the VM counts as missing."""
    try:
        return VmId.from_resource_id(str(payload.get("id") or "")).key
    except QuiesceError:
        return ""


def _luns(vm: VmId, payload: Payload | None) -> Luns | Failure:
    """Return the LUNs of a VM's data disks, or a failure if the description lacks them."""
    if payload is None:
        return no_such_vm(vm)
    described: Any = payload
    for name in ("properties", "storageProfile", "dataDisks"):
        described = described.get(name) if isinstance(described, Mapping) else None
    # A VM without data disks has an empty list.
    if not isinstance(described, (list, tuple)):
        return _disks_unknown(vm)
    luns = []
    for disk in described:
        lun = disk.get("lun") if isinstance(disk, Mapping) else None
        if not isinstance(lun, int) or isinstance(lun, bool):
            return _disks_unknown(vm)
        if disk.get("toBeDetached") is not True:
            luns.append(lun)
    return frozenset(luns)


def _disks_unknown(vm: VmId) -> Failure:
    return Failure(
        "DisksUnknown",
        f"Azure described VM {vm.name} without its data disks, so the LUNs cannot be checked.",
        "Run the task again. If it fails again, check the disks of the VM in the Azure portal.",
        vm=vm.id,
    )


def _unread(vm: VmId, error: VaultError) -> Failure:
    """Return the failure of a VM that could not be read."""
    failure = error.failure
    if error.kind in GONE:
        return no_such_vm(vm, failure)
    return replace(
        failure,
        message=f"The data disks of VM {vm.name} are unknown, so the LUNs cannot be checked: "
        f"{failure.message}",
        vm=vm.id,
    )
