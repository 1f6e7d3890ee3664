# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module C(vm_extension_info), but for its documentation.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NoReturn, Tuple, Union

from .._arm.connection import VaultConnection, connect, map_concurrently
from .._arm.errors import VaultError
from .._arm.ids import VmId
from .._arm.options import auth_arguments, chosen_vms, named_vms, vms_arguments
from .._errors import Failure
from .._vault.resources.virtual_machines import as_it_came
from .._vault.resources.vm_extensions import machine_of, names_only
from .._vault.vm_failures import VmFailuresError
from .base import Module, run_module

# What one VM may lack and the next one have.
_OF_ONE_VM = ("not_found", "resource_group", "subscription", "authorization")


def extension_arguments() -> Dict[str, Any]:
    """The options of C(vm_extension_info)."""
    return {
        **auth_arguments(),
        "vault": {"type": "str"},
        "resource_group": {"type": "str"},
        **vms_arguments(),
    }


def run_extensions_module(module: Module) -> NoReturn:
    """Run the module; where no subscription is given, that of the first VM's id will do."""

    def act(params: Mapping[str, Any], _check_mode: bool) -> Dict[str, Any]:
        given = dict(params)
        if not given.get("subscription_id") and not given.get("vault"):
            ids = [text for text in named_vms(params) if "/subscriptions/" in text.lower()]
            if ids:
                given["subscription_id"] = VmId.from_resource_id(ids[0]).subscription_id
        return extensions_info(connect(given), given)

    run_module(module, act)


def extensions_info(connection: VaultConnection, params: Mapping[str, Any]) -> Dict[str, Any]:
    """Show the agent and the extensions of each VM; one that cannot be read leaves the others."""

    def look(vm: VmId) -> Union[Dict[str, Any], VaultError]:
        try:
            return _look(connection, vm)
        except VaultError as error:
            # Returned, not raised: the next VM may lie elsewhere.
            if error.kind in _OF_ONE_VM:
                return error
            raise

    vms: List[Dict[str, Any]] = []
    failed: List[Tuple[str, Failure]] = []
    for vm, found in map_concurrently(look, chosen_vms(params, connection)):
        failure = found.failure if isinstance(found, VaultError) else None
        seen = {} if isinstance(found, VaultError) else found
        vms.append(
            {
                "name": vm.name,
                "resource_group": vm.resource_group,
                "id": vm.id,
                **seen,
                "failure": failure.to_result() if failure else None,
            }
        )
        if failure:
            failed.append((vm.name, failure))
    result = {"changed": False, "vms": vms}
    if failed:
        raise VmFailuresError(failed, len(vms), result)
    return result


def _look(connection: VaultConnection, vm: VmId) -> Dict[str, Any]:
    client = connection.compute(vm.subscription_id)
    at = {"resource_group_name": vm.resource_group, "vm_name": vm.name}
    machine = connection.read(
        f"read VM {vm.name}",
        lambda: client.virtual_machines.get(**at, expand="instanceView", cls=as_it_came),
        vm,
    )
    extensions = None
    if names_only(machine):
        answer = connection.read(
            f"list the extensions of VM {vm.name}",
            lambda: client.virtual_machine_extensions.list(
                **at, expand="instanceView", cls=as_it_came
            ),
            vm,
        )
        extensions = answer.get("value") or []
    return machine_of(machine, extensions).to_result()
