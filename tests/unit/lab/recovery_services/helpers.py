# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Helpers of the tests of the lab's Azure."""

from __future__ import annotations

from typing import Any, Dict

from tests.lab.recovery_services import protection
from tests.lab.recovery_services.estate import Estate
from tests.lab.recovery_services.model import Item, Job, Operation, Vault
from tests.lab.recovery_services.seed import SUBSCRIPTION

KEY = "app-rg;db01"


def the_vault(estate: Estate, name: str = "vault1") -> Vault:
    """Return a vault of the default seed."""
    return estate.vault(SUBSCRIPTION, "backup-rg", name)


def wish(
    estate: Estate, vm: str = "db01", policy: str = "DefaultPolicy", **more: Any
) -> Dict[str, Any]:
    """Return the properties by which clients protect a VM."""
    vault = the_vault(estate)
    return {
        "protectedItemType": "Microsoft.Compute/virtualMachines",
        "sourceResourceId": estate.vm_named(vm).id,
        "policyId": f"{vault.id}/backupPolicies/{policy}" if policy else "",
        **more,
    }


def put(estate: Estate, vm: str = "db01", policy: str = "DefaultPolicy", **more: Any) -> Operation:
    """Ask for a change."""
    key = estate.vm_named(vm).key
    return protection.put(estate, the_vault(estate), key, wish(estate, vm, policy, **more))


def pass_time(estate: Estate, seconds: float) -> None:
    """Let it pass, and what is due happen."""
    estate.clock.advance(seconds)
    estate.now()


def protect(estate: Estate, vm: str = "db01", policy: str = "DefaultPolicy") -> Item:
    """Protect a VM, to the end."""
    put(estate, vm, policy)
    pass_time(estate, 70)
    return the_vault(estate).items[estate.vm_named(vm).key]


def only_job(estate: Estate, operation: str) -> Job:
    """Return the one job of this operation."""
    (found,) = (job for job in the_vault(estate).jobs.values() if job.operation == operation)
    return found
