# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module `recovery_point_info`, from options to result."""

from __future__ import annotations

from typing import Any

from .._arm.connection import map_concurrently
from .._arm.errors import VaultError
from .._arm.ids import VmId
from .._arm.options import chosen_vms
from .._arm.times import parse_time_option
from .._errors import Failure
from .._vault.connection import VaultConnection
from .._vault.resources.protected_items import NOT_PROTECTED, ProtectedItem, list_items
from .._vault.resources.recovery_points import RecoveryPoint, list_points
from .._vault.vm_failures import VmFailuresError
from .argument_spec import ArgumentSpec
from .base import TaskContext
from .vault_base import VAULT, VMS

RECOVERY_POINT_INFO = VAULT.merge(
    VMS,
    ArgumentSpec({"started_after": {"type": "str"}, "started_before": {"type": "str"}}),
)


def list_recovery_points(connection: VaultConnection, context: TaskContext) -> dict[str, Any]:
    """Return the recovery points of the VMs, newest first.

    Raises `VmFailuresError` after all VMs were read, if the vault holds no data for a VM.
    """
    params = context.params
    after = parse_time_option("started_after", params["started_after"])
    before = parse_time_option("started_before", params["started_before"], end_of_day=True)
    vms = chosen_vms(params, connection)
    items = list_items(connection) if vms else {}
    known = [items[vm.key] for vm in vms if vm.key in items]

    def read(item: ProtectedItem) -> list[RecoveryPoint]:
        return list_points(connection, item, after, before)

    outcomes = {outcome.item.vm.key: outcome for outcome in map_concurrently(read, known)}
    rows, failed = [], []
    for vm in vms:
        outcome = outcomes.get(vm.key)
        error = outcome.error if outcome else _not_protected(vm, connection.vault.name)
        failure = error.failure if error else None
        points = outcome.value if outcome and not error else []
        item = items.get(vm.key)
        rows.append(
            {
                "name": vm.name,
                "id": vm.id,
                "state": item.state if item else NOT_PROTECTED,
                "recovery_points": [point.to_result() for point in points],
                "failure": failure.to_result() if failure else None,
            }
        )
        if failure:
            failed.append((vm.name, failure))
    result: dict[str, Any] = {"changed": False, "vms": rows}
    if failed:
        raise VmFailuresError(failed, len(vms), result)
    return result


def _not_protected(vm: VmId, vault: str) -> VaultError:
    return VaultError(
        Failure(
            "VmNotProtected",
            f"Vault {vault} does not protect VM {vm.name} and holds no data for it.",
            "Check the name and the resource group of the VM, and the vault. "
            "quiesce.azure_backup.protected_vm_info lists the VMs of the vault.",
            vm=vm.id,
        ),
        "not_found",
    )
