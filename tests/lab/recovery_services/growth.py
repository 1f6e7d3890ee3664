# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a seed to an estate."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import Any, Mapping

from tests.lab.recovery_services import vaults
from tests.lab.recovery_services.clock import VirtualClock
from tests.lab.recovery_services.estate import Estate
from tests.lab.recovery_services.model import Item, RecoveryPoint, Vault
from tests.lab.recovery_services.protection import purge_later

_VAULT_FIELDS = {field.name for field in dataclasses.fields(Vault)} - {"policies", "items"}


def grow(seed: Mapping[str, Any], clock: VirtualClock) -> Estate:
    """Return the estate that a seed describes."""
    estate = Estate(clock, str(seed.get("chance", "lab")))
    estate.tenant = str(seed["tenant"])
    for one in seed["subscriptions"]:
        tenant = str(one.get("tenant", seed["tenant"]))
        estate.subscriptions[one["id"].lower()] = {**one, "tenant": tenant}
    for group in seed.get("resource_groups", ()):
        estate.add_group(group["subscription"], group["name"], group["location"])
    for vm in seed["vms"]:
        estate.add_vm(vm)
    for description in seed["vaults"]:
        add_vault(estate, description)
    return estate


def add_vault(estate: Estate, description: Mapping[str, Any]) -> Vault:
    """Put in a vault with its policies and items."""
    vault = vaults.new(
        estate,
        description["subscription"],
        description["resource_group"],
        description["name"],
        description["location"],
    )
    for name, value in description.items():
        if name == "discovered":
            vault.discovered = {estate.vm_named(vm).id.lower() for vm in value}
        elif name in _VAULT_FIELDS:
            setattr(vault, name, value)
        elif name not in ("policies", "items"):
            raise ValueError(f"A vault has no {name}")
    for name, properties in description.get("policies", {}).items():
        vault.policies[name.lower()] = (name, dict(properties))
    estate.add_vault(vault)
    for item in description.get("items", ()):
        add_item(estate, vault, item)
    return vault


def add_item(estate: Estate, vault: Vault, description: Mapping[str, Any]) -> Item:
    """Protect a VM from the beginning."""
    now = estate.now()
    vm = estate.vm_named(description["vm"])
    policy = str(description.get("policy", "DefaultPolicy") or "")
    known = vault.policies.get(policy.lower())
    kind = str(known[1].get("policyType", "V1")) if known else "V1"
    item = Item(vm.key, vm, policy, kind, created=now)
    item.state = str(description.get("state", "Protected"))
    item.data_id = str(estate.number("item", vault.id, vm.key))
    if description.get("disks") is not None:
        item.extended, item.disks = True, dict(description["disks"])
    for point in description.get("points", ()):
        item.points.append(_point(estate, item, point, now))
    item.points.sort(key=lambda point: point.time, reverse=True)
    if item.points:
        item.backed_up = True
        item.last_backup, item.last_backup_status = item.points[0].time, "Completed"
    if description.get("deleted_s") is not None:
        item.deleted = now - timedelta(seconds=description["deleted_s"])
        item.state, item.policy = "ProtectionStopped", ""
        purge_later(estate, vault, item)
    vault.items[item.key] = item
    vault.discovered.add(vm.id.lower())
    return item


def _point(
    estate: Estate, item: Item, description: Mapping[str, Any], now: datetime
) -> RecoveryPoint:
    time = now - timedelta(seconds=description.get("age_s", 3600))
    return RecoveryPoint(
        str(description.get("name") or estate.number("point", item.vm.id, time)),
        time,
        str(description.get("consistency", "FileSystemConsistent")),
        None,
        dict(description.get("tiers", {"InstantRP": "Valid", "HardenedRP": "Valid"})),
        item.vm.size,
        item.vm.os_type,
        item.disks_of_point(),
    )
