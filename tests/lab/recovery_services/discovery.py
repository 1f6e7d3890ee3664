# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Discovery of VMs: the refresh of a vault's containers."""

from __future__ import annotations

from datetime import datetime
from typing import List

from tests.lab.recovery_services.estate import Estate
from tests.lab.recovery_services.model import Item, Operation, Vault, Vm, new_id

#: How long a refresh takes.
REFRESH_S = 15.0


def refresh(estate: Estate, vault: Vault) -> Operation:
    """Look for the VMs of the vault's subscription and region."""
    operation = Operation(new_id(), estate.now())
    vault.operations[operation.id] = operation

    def done(_moment: datetime) -> None:
        vault.discovered = {
            vm.id.lower() for vm in estate.vms_of(vault.subscription) if _near(vault, vm)
        }

    if not estate.hang:
        operation.ends = estate.after(REFRESH_S, done)
    return operation


def _near(vault: Vault, vm: Vm) -> bool:
    return vm.location.lower() == vault.location.lower()


def protectable(estate: Estate, vault: Vault) -> List[Vm]:
    """Return the VMs that the vault knows and that no vault protects."""
    busy = {
        job.key
        for job in vault.jobs.values()
        if not job.over and job.operation == "ConfigureBackup"
    }
    known = (estate.vms[key] for key in sorted(vault.discovered) if key in estate.vms)
    return [vm for vm in known if vm.key not in busy and estate.protection_of(vm) is None]


def containers(vault: Vault, deleted: bool = False) -> List[Item]:
    """Return the items whose containers are registered, or only those that are soft-deleted."""
    return [item for item in vault.items.values() if not deleted or item.deleted is not None]
