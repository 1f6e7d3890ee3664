# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module `vm_extension_info`, from options to result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._arm.connection import map_concurrently
from .._arm.errors import VaultError
from .._arm.ids import VmId
from .._arm.options import chosen_vms, named_vms
from .._errors import Failure
from .._vault.connection import VaultConnection, connect
from .._vault.resources.virtual_machines import response_body
from .._vault.resources.vm_extensions import machine_of, names_only
from .._vault.vm_failures import VmFailuresError
from .argument_spec import ArgumentSpec
from .base import TaskContext
from .vault_base import AUTH, VMS

VM_EXTENSION_INFO = AUTH.merge(
    ArgumentSpec({"vault": {"type": "str"}, "resource_group": {"type": "str"}}), VMS
)
# Errors that concern one VM, while the next VM may be readable.
_OF_ONE_VM = ("not_found", "resource_group", "subscription", "authorization")


def list_extensions(context: TaskContext) -> dict[str, Any]:
    """Return the agent and the extensions of the VMs.

    The subscription defaults to the one of the first VM that is given by its resource ID.
    """
    params = dict(context.params)
    if not params.get("subscription_id") and not params.get("vault"):
        ids = [text for text in named_vms(params) if "/subscriptions/" in text.lower()]
        if ids:
            params["subscription_id"] = VmId.from_resource_id(ids[0]).subscription_id
    return _result(connect(params), params)


def _result(connection: VaultConnection, params: Mapping[str, Any]) -> dict[str, Any]:
    def read(vm: VmId) -> dict[str, Any] | VaultError:
        try:
            return _read(connection, vm)
        except VaultError as error:
            # Returned, not raised, because the next VM may be readable.
            if error.kind in _OF_ONE_VM:
                return error
            raise

    vms: list[dict[str, Any]] = []
    failed: list[tuple[str, Failure]] = []
    for outcome in map_concurrently(read, chosen_vms(params, connection)):
        vm = outcome.item
        found = outcome.error or outcome.value
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


def _read(connection: VaultConnection, vm: VmId) -> dict[str, Any]:
    client = connection.compute(vm.subscription_id)
    at = {"resource_group_name": vm.resource_group, "vm_name": vm.name}
    machine = connection.read(
        f"read VM {vm.name}",
        lambda: client.virtual_machines.get(**at, expand="instanceView", cls=response_body),
        vm,
    )
    extensions = None
    if names_only(machine):
        answer = connection.read(
            f"list the extensions of VM {vm.name}",
            lambda: client.virtual_machine_extensions.list(
                **at, expand="instanceView", cls=response_body
            ),
            vm,
        )
        extensions = answer.get("value") or []
    return machine_of(machine, extensions).to_result()
