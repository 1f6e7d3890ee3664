# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Vaults: how they are made, configured and deleted."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any, Mapping, Tuple

from tests.lab.recovery_services import policies
from tests.lab.recovery_services.errors import gateway, invalid_input, section, service
from tests.lab.recovery_services.estate import Estate
from tests.lab.recovery_services.model import Operation, Vault, new_id

#: Regions where deleted items become soft-deleted, independent of a vault's configuration.
SECURE_BY_DEFAULT = ("centraluseuap", "eastus2euap", "westcentralus")
_MADE_S = 20.0
_DELETED_S = 5.0


def new(estate: Estate, subscription: str, group: str, name: str, location: str) -> Vault:
    """Return a vault as it is when it has just been made."""
    vault = Vault(subscription, group, name, location)
    vault.changed = estate.now()
    vault.policies = policies.of_a_new_vault(vault.changed)
    vault.secure_by_default = location.lower() in SECURE_BY_DEFAULT
    return vault


def put(
    estate: Estate, subscription: str, group: str, name: str, body: Mapping[str, Any]
) -> Tuple[Vault, Operation]:
    """Make or change a vault."""
    group = estate.group(subscription, group)[0]
    location = str(body.get("location") or "")
    if not location:
        raise gateway(400, "LocationRequired", "The location property is required.")
    known = estate.vaults.get((subscription.lower(), group.lower(), name.lower()))
    if known is not None and known.location.lower() != location.lower().replace(" ", ""):
        raise gateway(
            409,
            "InvalidResourceLocation",
            f"The resource '{name}' already exists in location '{known.location}' in resource "
            f"group '{group}'.",
        )
    vault = known or new(estate, subscription, group, name, location.lower().replace(" ", ""))
    operation = _operation(estate, vault, "2047")
    if known is None:
        vault.provisioned = False
        estate.add_vault(vault)
    _take(vault, body)

    def done(_moment: datetime) -> None:
        vault.provisioned = True

    if not estate.hang:
        operation.ends = estate.after(_MADE_S, done)
    return vault, operation


def patch(estate: Estate, vault: Vault, body: Mapping[str, Any]) -> Vault:
    """Change some of a vault."""
    vault.changed = estate.now()
    _take(vault, body)
    return vault


def _take(vault: Vault, body: Mapping[str, Any]) -> None:
    if isinstance(body.get("tags"), dict):
        vault.tags = dict(body["tags"])
    if isinstance(body.get("identity"), dict):
        vault.identity = dict(body["identity"])
    if isinstance(body.get("sku"), dict):
        vault.sku = dict(body["sku"])
    properties = section(body, "properties")
    vault.public_network = properties.get("publicNetworkAccess") or vault.public_network
    vault.monitoring = properties.get("monitoringSettings") or vault.monitoring
    redundancy = section(properties, "redundancySettings")
    vault.redundancy = redundancy.get("standardTierStorageRedundancy") or vault.redundancy
    security = section(properties, "securitySettings")
    immutability = section(security, "immutabilitySettings")
    vault.immutability = immutability.get("state") or vault.immutability
    soft = section(security, "softDeleteSettings")
    vault.soft_delete_of_vault = vault.soft_delete_of_vault or bool(soft)
    vault.soft_delete = soft.get("softDeleteState") or vault.soft_delete
    vault.soft_delete_days = soft.get("softDeleteRetentionPeriodInDays") or vault.soft_delete_days


def _operation(estate: Estate, vault: Vault, kind: str) -> Operation:
    name = base64.b64encode(f"{kind};{new_id()}".encode()).decode()
    operation = Operation(name, estate.now())
    vault.operations[name.lower()] = operation
    return operation


def delete(estate: Estate, vault: Vault) -> Operation:
    """Delete a vault; that fails in the end when there are items in it."""
    operation = _operation(estate, vault, "1023")
    if vault.items:
        held = ",".join(item.vm.name for item in vault.items.values())
        soft = any(item.deleted is not None for item in vault.items.values())
        message = (
            "Recovery Services vault cannot be deleted as there are backup items still present "
            "in soft delete state. Visit the following link for the steps to permanently delete "
            "soft deleted items: https://aka.ms/undeletesoftdeleteditems.  "
            if soft
            else "Recovery Services vault cannot be deleted as there are existing resources "
            "within the vault. "
        )
        operation.error = ("BMSUserErrorVaultDeletionNotPermitted", f"{message}: {held}")

    def done(_moment: datetime) -> None:
        if operation.error is None:
            estate.remove_vault(vault)

    if not estate.hang:
        operation.ends = estate.after(_DELETED_S, done)
    return operation


def configure(estate: Estate, vault: Vault, body: Mapping[str, Any]) -> None:
    """Change the backup configuration: soft delete and its days."""
    given = body.get("properties")
    if not isinstance(given, Mapping):
        raise invalid_input("The request has no properties.")
    state = given.get("softDeleteFeatureState", vault.soft_delete)
    days = given.get("softDeleteRetentionPeriodInDays", vault.soft_delete_days)
    named = {"softDeleteFeatureState", "softDeleteRetentionPeriodInDays"} & set(given)
    if vault.soft_delete_of_vault and named:
        raise service(
            400,
            "BMSUserErrorSoftDeleteUseVaultApi",
            "Soft delete of this vault is configured by the vault's own properties.",
        )
    if state not in ("Enabled", "Disabled", "AlwaysON", "Invalid"):
        raise invalid_input(f"The soft delete state '{state}' is not known.")
    if vault.soft_delete == "AlwaysON" and state != "AlwaysON":
        raise service(
            400,
            "BMSUserErrorDisablingSoftDeleteStateNotAllowed",
            "Soft delete that is always on cannot be disabled.",
        )
    if not isinstance(days, int) or not (14 <= days <= 180 or days == 0):
        raise invalid_input(f"Soft-deleted items are kept from 14 to 180 days, not {days}.")
    vault.soft_delete, vault.soft_delete_days = str(state), days or 14
    vault.enhanced_security = given.get("enhancedSecurityState") or vault.enhanced_security
    vault.changed = estate.now()
