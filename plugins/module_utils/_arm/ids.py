# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""IDs of VMs and vaults; names of containers and items.

Azure ignores their case, and returns them in any case. So does this module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .._errors import SettingsError

FABRIC = "Azure"
_ID = re.compile(
    r"^(?:https?://[^/]+)?/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/providers/(?P<type>[^/]+/[^/]+)/(?P<name>[^/]+)/?$",
    re.IGNORECASE,
)
_VM_TYPE = "Microsoft.Compute/virtualMachines"
_VAULT_TYPE = "Microsoft.RecoveryServices/vaults"
# Characters that no name of a VM, vault or resource group has, and that would change a URL.
_NOT_IN_A_NAME = re.compile(r"[/;?#%&<>*:\\\x00-\x1f\x7f]")


@dataclass(frozen=True)
class VmId:
    """A VM's ID; each part has the case of its source."""

    subscription_id: str
    resource_group: str
    name: str

    @property
    def id(self) -> str:
        """The VM's resource ID."""
        return _id(self.subscription_id, self.resource_group, _VM_TYPE, self.name)

    @property
    def key(self) -> str:
        """The ID in lower case, for comparisons."""
        return self.id.lower()

    @property
    def container(self) -> str:
        """The name of the VM's protection container."""
        return f"IaasVMContainer;iaasvmcontainerv2;{self.resource_group};{self.name}"

    @property
    def item(self) -> str:
        """The name of the VM's protected item."""
        return f"VM;iaasvmcontainerv2;{self.resource_group};{self.name}"

    @property
    def container_key(self) -> str:
        """The end of the names of the VM's container, item and jobs' container, in lower case."""
        return f"{self.resource_group};{self.name}".lower()

    @classmethod
    def from_resource_id(cls, text: str) -> VmId:
        """Parse a resource ID; raise `SettingsError` if it is not a VM's."""
        return cls(*_parts(text, _VM_TYPE, "VM"))

    @classmethod
    def parse(cls, text: str, subscription_id: str, resource_group: str) -> VmId:
        """Parse a resource ID, `group/name`, or a name in `resource_group`."""
        given = text.strip()
        if "/subscriptions/" in given.lower():
            return cls.from_resource_id(given)
        group, slash, name = given.rpartition("/")
        if not slash:
            group = resource_group
        return cls(subscription_id, _name(group, text, "VM"), _name(name, text, "VM"))


@dataclass(frozen=True)
class VaultId:
    """A Recovery Services vault's ID; each part has the case of its source."""

    subscription_id: str
    resource_group: str
    name: str

    @property
    def id(self) -> str:
        """The vault's resource ID."""
        return _id(self.subscription_id, self.resource_group, _VAULT_TYPE, self.name)

    @property
    def key(self) -> str:
        """The ID in lower case, for comparisons."""
        return self.id.lower()

    @classmethod
    def from_resource_id(cls, text: str) -> VaultId:
        """Parse a resource ID; raise `SettingsError` if it is not a vault's."""
        return cls(*_parts(text, _VAULT_TYPE, "vault"))

    @classmethod
    def parse(cls, text: str, subscription_id: str, resource_group: str) -> VaultId:
        """Parse a resource ID, or a name in `resource_group`."""
        given = text.strip()
        if "/subscriptions/" in given.lower():
            return cls.from_resource_id(given)
        return cls(
            subscription_id, _name(resource_group, text, "vault"), _name(given, text, "vault")
        )


def container_key(container_name: str) -> str:
    """Return group and VM of a container's or item's name, in lower case, for comparisons."""
    return ";".join(container_name.split(";")[-2:]).lower()


def equals_ignoring_case(a: str, b: str) -> bool:
    """Return True if two names or IDs mean the same thing."""
    return a.strip().rstrip("/").lower() == b.strip().rstrip("/").lower()


def contains_name(text: str, name: str) -> bool:
    """Return True if the text has the name of an Azure resource as a whole word."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text, re.IGNORECASE) is not None


def last_segment(resource_id: str) -> str:
    """Return the name at the end of a resource ID."""
    return resource_id.rstrip("/").rpartition("/")[2]


def _id(subscription_id: str, resource_group: str, kind: str, name: str) -> str:
    scope = f"/subscriptions/{subscription_id}/resourceGroups/{resource_group}"
    return f"{scope}/providers/{kind}/{name}"


def _parts(text: str, resource_type: str, noun: str) -> tuple[str, str, str]:
    found = _ID.match(text.strip())
    if not found or not equals_ignoring_case(found["type"], resource_type):
        raise SettingsError(
            f"Invalid{noun.capitalize()}Id",
            f"{text!r} is not the resource ID of a {noun}.",
            f"Give the ID as Azure shows it: {_id('...', '...', resource_type, 'NAME')}.",
        )
    return (
        found["subscription"],
        _name(found["group"], text, noun),
        _name(found["name"], text, noun),
    )


def _name(part: str, text: str, noun: str) -> str:
    """Return a name; raise `SettingsError` for one that would change the request's address."""
    name = f"Invalid{noun.capitalize()}Name"
    action = f"Give its resource ID, or its name and resource group{_FORM.get(noun, '')}."
    if not part:
        raise SettingsError(
            name, f"The {noun} {text!r} lacks its name or its resource group.", action
        )
    if _NOT_IN_A_NAME.search(part) or part in (".", ".."):
        raise SettingsError(
            name,
            f"{text!r} cannot be the name of a {noun}."
            if part in text
            else f"{part!r} cannot be the resource group of the {noun} {text!r}.",
            action,
        )
    return part


_FORM = {"VM": " as GROUP/NAME"}
