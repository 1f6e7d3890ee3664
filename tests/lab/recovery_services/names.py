# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resource ids and the names of containers and items."""

from __future__ import annotations

import re
from typing import Tuple

from tests.lab.recovery_services.errors import invalid_input

_VM_ID = re.compile(
    r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/"
    r"Microsoft\.(?:Classic)?Compute/virtualMachines/([^/]+)/?$",
    re.IGNORECASE,
)
_CONTAINER = re.compile(r"(?:IaasVMContainer;)?iaasvmcontainerv2;([^;]+);(.+)$", re.IGNORECASE)
_ITEM = re.compile(r"VM;iaasvmcontainerv2;([^;]+);(.+)$", re.IGNORECASE)


def vm_id(subscription: str, resource_group: str, name: str) -> str:
    """Return a VM's resource id."""
    return (
        f"/subscriptions/{subscription}/resourceGroups/{resource_group}"
        f"/providers/Microsoft.Compute/virtualMachines/{name}"
    )


def parse_vm_id(text: str) -> Tuple[str, str, str]:
    """Subscription, resource group and name, as written."""
    found = _VM_ID.match(text)
    if not found:
        raise invalid_input(f"'{text}' is not the id of a virtual machine.")
    return found[1], found[2], found[3]


def vm_key(resource_group: str, name: str) -> str:
    """Return what a VM, its container and its item have in common."""
    return f"{resource_group};{name}".lower()


def key_of_container(name: str) -> str:
    """Return the same, from a container's name."""
    found = _CONTAINER.match(name)
    if not found:
        raise invalid_input(f"'{name}' is not the name of a container.")
    return vm_key(found[1], found[2])


def key_of_item(container: str, item: str) -> str:
    """Return the same, from an item's name, which must belong to the container."""
    found = _ITEM.match(item)
    if not found or vm_key(found[1], found[2]) != key_of_container(container):
        raise invalid_input(f"'{item}' is not the name of an item in container '{container}'.")
    return vm_key(found[1], found[2])
