# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of the control plane: ids of VMs and vaults, names of containers and items.

Azure compares them without regard to case, and gives them back in any case; so do we.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Tuple

from .._errors import refuse

FABRIC = "Azure"
_ID = re.compile(
    r"^(?:https?://[^/]+)?/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/providers/(?P<type>[^/]+/[^/]+)/(?P<name>[^/]+)/?$",
    re.IGNORECASE,
)
_VM_TYPE = "Microsoft.Compute/virtualMachines"
_VAULT_TYPE = "Microsoft.RecoveryServices/vaults"
# What no name of a VM, a vault or a resource group has, and what would change an address.
_NOT_IN_A_NAME = re.compile(r"[/;?#%&<>*:\\\x00-\x1f\x7f]")


@dataclass(frozen=True)
class VmId:
    """A VM; each part as it was given."""

    subscription_id: str
    resource_group: str
    name: str

    @property
    def id(self) -> str:
        """The VM's resource id."""
        return _id(self.subscription_id, self.resource_group, _VM_TYPE, self.name)

    @property
    def key(self) -> str:
        """The id for comparing."""
        return self.id.lower()

    @property
    def container(self) -> str:
        """The name of the protection container that the VM is."""
        return f"IaasVMContainer;iaasvmcontainerv2;{self.resource_group};{self.name}"

    @property
    def item(self) -> str:
        """The name of its protected item."""
        return f"VM;iaasvmcontainerv2;{self.resource_group};{self.name}"

    @property
    def container_key(self) -> str:
        """What the names of its container, its item and its jobs' container end with."""
        return f"{self.resource_group};{self.name}".lower()

    @classmethod
    def from_resource_id(cls, text: str) -> VmId:
        """Read a resource id; raises C(SettingsError) when it is not one of a VM."""
        return cls(*_parts(text, _VM_TYPE, "VM"))

    @classmethod
    def parse(cls, text: str, subscription_id: str, resource_group: str) -> VmId:
        """Read a resource id, C(group/name), or a name in C(resource_group)."""
        given = text.strip()
        if "/subscriptions/" in given.lower():
            return cls.from_resource_id(given)
        group, slash, name = given.rpartition("/")
        if not slash:
            group = resource_group
        return cls(subscription_id, _name(group, text, "VM"), _name(name, text, "VM"))


@dataclass(frozen=True)
class VaultId:
    """A Recovery Services vault; each part as it was given."""

    subscription_id: str
    resource_group: str
    name: str

    @property
    def id(self) -> str:
        """The vault's resource id."""
        return _id(self.subscription_id, self.resource_group, _VAULT_TYPE, self.name)

    @property
    def key(self) -> str:
        """The id for comparing."""
        return self.id.lower()

    @classmethod
    def from_resource_id(cls, text: str) -> VaultId:
        """Read a resource id; raises C(SettingsError) when it is not one of a vault."""
        return cls(*_parts(text, _VAULT_TYPE, "vault"))

    @classmethod
    def parse(cls, text: str, subscription_id: str, resource_group: str) -> VaultId:
        """Read a resource id, or a name in C(resource_group)."""
        given = text.strip()
        if "/subscriptions/" in given.lower():
            return cls.from_resource_id(given)
        return cls(
            subscription_id, _name(resource_group, text, "vault"), _name(given, text, "vault")
        )


def container_key(container_name: str) -> str:
    """The last two parts of a container's or an item's name, for comparing: group and VM."""
    return ";".join(container_name.split(";")[-2:]).lower()


def equals_ignoring_case(a: str, b: str) -> bool:
    """Whether two names or ids mean the same thing."""
    return a.strip().rstrip("/").lower() == b.strip().rstrip("/").lower()


def contains_name(text: str, name: str) -> bool:
    """Return True if the text has the name of an Azure resource as a whole word."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text, re.IGNORECASE) is not None


def last_segment(resource_id: str) -> str:
    """The name at the end of a resource id."""
    return resource_id.rstrip("/").rpartition("/")[2]


def _id(subscription_id: str, resource_group: str, kind: str, name: str) -> str:
    scope = f"/subscriptions/{subscription_id}/resourceGroups/{resource_group}"
    return f"{scope}/providers/{kind}/{name}"


def _parts(text: str, kind: str, what: str) -> Tuple[str, str, str]:
    found = _ID.match(text.strip())
    if not found or not equals_ignoring_case(found["type"], kind):
        refuse(
            f"Invalid{what.capitalize()}Id",
            f"{text!r} is not the resource id of a {what}.",
            f"Give the id as Azure shows it: {_id('...', '...', kind, 'NAME')}.",
        )
    return (
        found["subscription"],
        _name(found["group"], text, what),
        _name(found["name"], text, what),
    )


def _name(part: str, text: str, what: str) -> str:
    """One name; refused when it could not be one and would only change the address asked for."""
    if not part:
        refuse(
            f"Invalid{what.capitalize()}Name",
            f"The {what} {text!r} has no name or no resource group.",
            f"Give its resource id, or its name and resource group{_HOW.get(what, '')}.",
        )
    if _NOT_IN_A_NAME.search(part) or part in (".", ".."):
        refuse(
            f"Invalid{what.capitalize()}Name",
            f"{text!r} cannot be the name of a {what}."
            if part in text
            else f"{part!r} cannot be the resource group of the {what} {text!r}.",
            f"Give its resource id, or its name and resource group{_HOW.get(what, '')}.",
        )
    return part


_HOW = {"VM": " as GROUP/NAME"}
