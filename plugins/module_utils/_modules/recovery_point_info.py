# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell of the recovery points of VMs.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from .._arm.connection import VaultConnection, map_concurrently
from .._arm.errors import VaultError
from .._arm.ids import VmId
from .._arm.options import chosen_vms, vault_arguments, vms_arguments
from .._arm.times import parse_time_option
from .._errors import Failure
from .._vault.resources.protected_items import NOT_PROTECTED, ProtectedItem, list_items
from .._vault.resources.recovery_points import RecoveryPoint, list_points
from .._vault.vm_failures import VmFailuresError

RECOVERY_POINT_INFO_ARGUMENTS: Dict[str, Any] = {
    **vault_arguments(),
    **vms_arguments(),
    "started_after": {"type": "str"},
    "started_before": {"type": "str"},
}


def list_recovery_points(
    connection: VaultConnection, params: Mapping[str, Any], check_mode: bool
) -> Dict[str, Any]:
    """The recovery points of the VMs, newest first; fails in the end if a VM has no place here."""
    del check_mode
    after = parse_time_option("started_after", params["started_after"])
    before = parse_time_option("started_before", params["started_before"], end_of_day=True)
    vms = chosen_vms(params, connection)
    items = list_items(connection) if vms else {}
    known = [items[vm.key] for vm in vms if vm.key in items]

    def look(item: ProtectedItem) -> List[RecoveryPoint]:
        return list_points(connection, item, after, before)

    found = {item.vm.key: answer for item, answer in map_concurrently(look, known)}
    rows, failed = [], []
    for vm in vms:
        answer = found.get(vm.key, _not_protected(vm, connection.vault.name))
        failure = answer.failure if isinstance(answer, VaultError) else None
        points = [] if isinstance(answer, VaultError) else answer
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
    result: Dict[str, Any] = {"changed": False, "vms": rows}
    if failed:
        raise VmFailuresError(failed, len(vms), result)
    return result


def _not_protected(vm: VmId, vault: str) -> VaultError:
    return VaultError(
        Failure(
            "VmNotProtected",
            f"Vault {vault}: VM {vm.name} is not protected by it, and it keeps no data of it.",
            "Check the VM's name and resource group, and the vault. "
            "quiesce.azure_backup.protected_vm_info lists what the vault protects.",
            vm=vm.id,
        ),
        "not_found",
    )
