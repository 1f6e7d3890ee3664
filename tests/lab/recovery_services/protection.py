# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Protected items: every change of their state that the service knows."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Mapping, Optional

from tests.lab.recovery_services import jobs
from tests.lab.recovery_services.errors import (
    busy,
    gateway,
    invalid_input,
    invalid_protection,
    not_protected,
    section,
    service,
    soft_deleted,
)
from tests.lab.recovery_services.estate import Estate
from tests.lab.recovery_services.model import Item, Job, Operation, Vault, Vm
from tests.lab.recovery_services.names import parse_vm_id, vm_id, vm_key
from tests.lab.recovery_services.plans import Plan

_TYPES = ("microsoft.compute/virtualmachines", "microsoft.classiccompute/virtualmachines")
#: Jobs during which the service changes nothing else of an item.
CHANGES = ("ConfigureBackup", "DisableBackup", "DeleteBackupData", "Undelete")
#: More disks than the service backs up.
MOST_DISKS = 32


def item_of(vault: Vault, key: str, name: str) -> Item:
    """Return an item of the vault."""
    item = vault.items.get(key)
    if item is None:
        raise not_protected(name)
    return item


def put(estate: Estate, vault: Vault, key: str, properties: Mapping[str, Any]) -> Operation:
    """Protect a VM, or change, stop, resume or undelete its protection. Always a new job."""
    now = estate.now()
    kind = str(properties.get("protectedItemType") or "")
    if kind.lower() not in _TYPES:
        raise invalid_input(f"The protected item type '{kind}' is not known.")
    _check_disks(properties)
    source = str(properties.get("sourceResourceId") or "")
    if source and vm_key(*parse_vm_id(source)[1:]) != key:
        raise invalid_input("The source resource is not the one that the item is named after.")
    item = vault.items.get(key)
    running = jobs.running(vault, key, *CHANGES)
    if running:
        raise busy(running.operation)
    if item is not None and item.deleted is not None:
        if properties.get("isRehydrate") is not True:
            raise soft_deleted()
        return _undelete(estate, vault, item)
    if properties.get("isRehydrate") is True:
        raise invalid_input("Only a soft deleted backup item can be undeleted.")
    wanted = str(properties.get("protectionState") or "")
    if wanted in ("ProtectionStopped", "BackupsSuspended"):
        if item is None:
            raise not_protected(key.replace(";", "/"))
        return _stop(estate, vault, item, wanted)
    if item is None:
        return _protect(estate, vault, key, properties, now)
    return _change(estate, vault, item, properties)


def _protect(
    estate: Estate, vault: Vault, key: str, properties: Mapping[str, Any], now: datetime
) -> Operation:
    subscription, group, name = parse_vm_id(str(properties.get("sourceResourceId") or ""))
    policy, policy_type = _policy(vault, properties, None)
    vm = estate.vms.get(vm_id(subscription, group, name).lower())
    plan = estate.plans.take(str(properties["sourceResourceId"]), "ConfigureBackup") or Plan()
    bag = {"Policy Name": policy}
    if vm is None:
        ghost = Vm(subscription, group, name, vault.location)
        job = jobs.begin(estate, vault, "ConfigureBackup", ghost, bag, first=False, plan=plan)
        jobs.end_after(estate, job, Plan("failed", *jobs.VM_GONE[:2]), lambda _when: None)
        return jobs.follow(estate, vault, job)
    _may_protect(estate, vault, vm)
    job = jobs.begin(estate, vault, "ConfigureBackup", vm, bag, plan=plan)

    def done(moment: datetime) -> None:
        item = Item(key, vm, policy, policy_type, created=moment)
        item.data_id = str(estate.number("item", vault.id, key))
        _set_disks(item, properties)
        vault.items[key] = item

    _end(estate, job, plan, done, vm)
    return jobs.follow(estate, vault, job)


def _end(estate: Estate, job: Job, plan: Plan, done: Any, vm: Vm) -> None:
    """End the job; it fails if its VM no longer exists."""

    def unless_gone(moment: datetime) -> None:
        if vm.id.lower() in estate.vms:
            done(moment)
        else:
            jobs.fail(job, moment, Plan().error(*jobs.VM_GONE))

    jobs.end_after(estate, job, plan, unless_gone)


def _may_protect(estate: Estate, vault: Vault, vm: Vm) -> None:
    """Refuse what this vault cannot protect."""
    if vm.location.lower() != vault.location.lower():
        raise invalid_protection(
            f"The virtual machine '{vm.name}' is in region '{vm.location}' and the vault in "
            f"'{vault.location}'. A vault protects virtual machines of its own region only."
        )
    elsewhere = estate.protection_of(vm)
    if elsewhere is not None:
        raise invalid_protection(
            f"The virtual machine '{vm.name}' is already protected in the vault "
            f"'{elsewhere[0].name}'."
        )
    if len(vm.luns) > MOST_DISKS:
        raise invalid_protection(
            f"The virtual machine '{vm.name}' has {len(vm.luns)} data disks; at most "
            f"{MOST_DISKS} are supported."
        )


def _policy(vault: Vault, properties: Mapping[str, Any], item: Optional[Item]) -> Any:
    """Name and type of the policy that the request names."""
    wanted = str(properties.get("policyId") or "")
    if not wanted:
        raise invalid_protection("The request names no backup policy.")
    parts = wanted.lower().split("/backuppolicies/")
    if len(parts) != 2 or parts[0] != vault.id.lower() or parts[1] not in vault.policies:
        raise invalid_protection(
            f"The backup policy '{wanted.rsplit('/', 1)[-1]}' was not found in this vault."
        )
    name, body = vault.policies[parts[1]]
    if body.get("backupManagementType") != "AzureIaasVM":
        raise invalid_protection(f"The backup policy '{name}' is not one for virtual machines.")
    kind = str(body.get("policyType") or "V1")
    if item is not None and item.policy_type == "V2" and kind == "V1":
        raise invalid_protection(
            "An item under an Enhanced policy cannot be moved to a Standard policy."
        )
    return name, kind


def _check_disks(properties: Mapping[str, Any]) -> None:
    """Refuse an invalid selection of disks."""
    disks = section(section(properties, "extendedProperties"), "diskExclusionProperties")
    luns, included = disks.get("diskLunList", []), disks.get("isInclusionList", False)
    # The command line of Azure sends them as text.
    whole = isinstance(luns, list) and all(
        type(lun) in (int, str) and str(lun).isascii() and str(lun).isdigit() for lun in luns
    )
    if not whole or not isinstance(included, bool):
        raise invalid_protection("The list of disks is not in proper format.")


def _set_disks(item: Item, properties: Mapping[str, Any]) -> None:
    if properties.get("extendedProperties") is not None:
        extended = section(properties, "extendedProperties")
        item.extended = True
        disks = section(extended, "diskExclusionProperties")
        item.disks = dict(disks) if disks else None
        if item.disks and "diskLunList" in item.disks:
            item.disks["diskLunList"] = [int(lun) for lun in item.disks["diskLunList"]]


def _change(estate: Estate, vault: Vault, item: Item, properties: Mapping[str, Any]) -> Operation:
    """Return another policy, other disks, or protection again after it was stopped."""
    policy, policy_type = _policy(vault, properties, item)
    plan = estate.plans.take(item.vm.id, "ConfigureBackup") or Plan()
    bag = {"Policy Name": policy}
    job = jobs.begin(estate, vault, "ConfigureBackup", item.vm, bag, first=False, plan=plan)

    def done(_moment: datetime) -> None:
        item.policy, item.policy_type = policy, policy_type
        item.state = "Protected" if item.backed_up else "IRPending"
        _set_disks(item, properties)

    _end(estate, job, plan, done, item.vm)
    return jobs.follow(estate, vault, job)


def _stop(estate: Estate, vault: Vault, item: Item, wanted: str) -> Operation:
    if wanted == "BackupsSuspended" and vault.immutability == "Disabled":
        raise service(
            400,
            "UserErrorOperationDeniedOnImmutableItem",
            "Operation is denied as the item is protected by an immutable vault.",
        )
    plan = estate.plans.take(item.vm.id, "DisableBackup") or Plan()
    job = jobs.begin(estate, vault, "DisableBackup", item.vm, {"Policy Name": ""}, plan=plan)

    def done(_moment: datetime) -> None:
        item.state = wanted
        if wanted == "ProtectionStopped":
            item.policy = ""

    jobs.end_after(estate, job, plan, done)
    return jobs.follow(estate, vault, job)


def _undelete(estate: Estate, vault: Vault, item: Item) -> Operation:
    plan = estate.plans.take(item.vm.id, "Undelete") or Plan()
    bag = {"Undelete flag": "True"}
    job = jobs.begin(estate, vault, "Undelete", item.vm, bag, plan=plan)

    def done(_moment: datetime) -> None:
        item.deleted = None
        item.generation += 1
        item.state = "ProtectionStopped"
        item.policy = ""

    jobs.end_after(estate, job, plan, done)
    return jobs.follow(estate, vault, job)


def delete(estate: Estate, vault: Vault, key: str) -> Optional[Operation]:
    """Delete an item with its data: to soft-deleted, or for good; None if there is nothing."""
    now = estate.now()
    running = jobs.running(vault, key, *CHANGES, "Backup", "Restore")
    if running:
        raise busy(running.operation)
    item = vault.items.get(key)
    if item is None:
        return None
    if vault.immutability == "Locked":
        raise service(
            400,
            "UserErrorOperationDeniedOnImmutableItem",
            "Operation is denied as the item is protected by an immutable vault.",
        )
    plan = estate.plans.take(item.vm.id, "DeleteBackupData") or Plan()
    bag = {"Number of Recovery Points": str(len(item.points))}
    job = jobs.begin(estate, vault, "DeleteBackupData", item.vm, bag, plan=plan)
    softly = vault.soft_delete != "Disabled" or vault.secure_by_default or item.deleted is not None
    jobs.end_after(estate, job, plan, lambda _when: _deleted(estate, vault, item, now, softly))
    return jobs.follow(estate, vault, job)


def _deleted(estate: Estate, vault: Vault, item: Item, asked: datetime, softly: bool) -> None:
    if not softly:
        vault.items.pop(item.key, None)
        return
    item.state = "ProtectionStopped"
    item.policy = ""
    if item.deleted is None:
        item.deleted = asked
        purge_later(estate, vault, item)


def purge_later(estate: Estate, vault: Vault, item: Item) -> None:
    """Let a soft-deleted item go for good when its days are over, unless it is undeleted."""
    item.generation += 1
    generation = item.generation

    def purge(_moment: datetime) -> None:
        if item.deleted is not None and item.generation == generation:
            vault.items.pop(item.key, None)

    estate.after(vault.soft_delete_days * 86400, purge, item.deleted)


def operation(vault: Vault, operation_id: str) -> Operation:
    """Return an operation of the vault, by its id."""
    found = vault.operations.get(operation_id.lower())
    if found is None:
        raise gateway(404, "OperationNotFound", f"The operation '{operation_id}' was not found.")
    return found
