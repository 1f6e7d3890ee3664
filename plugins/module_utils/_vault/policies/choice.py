# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policy that VMs are to be protected under: named by an option, and looked at before use.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

from ..._arm.connection import as_dict
from ..._arm.errors import VaultError
from ..._arm.ids import VaultId, equals_ignoring_case
from ..._errors import refuse
from ..connection import VaultConnection

_ID = re.compile(r"^(?P<vault>.*/vaults/[^/]+)/backupPolicies/(?P<name>[^/]+)/?$", re.IGNORECASE)
_VMS = "AzureIaasVM"


@dataclass(frozen=True)
class ChosenPolicy:
    """A policy of the vault."""

    vault: VaultId
    name: str

    @property
    def id(self) -> str:
        """Its resource id."""
        return f"{self.vault.id}/backupPolicies/{self.name}"

    @classmethod
    def parse(cls, text: Optional[str], vault: VaultId) -> Optional[ChosenPolicy]:
        """Read a name or a resource id; refuses what is neither, or of another vault."""
        given = (text or "").strip()
        if not given:
            return None
        found = _ID.match(given)
        if found is None:
            if re.search(r"[/?#%\\\x00-\x1f]", given):
                refuse(
                    "InvalidPolicyName",
                    f"{given!r} is neither the name nor the resource id of a policy.",
                    "Give the name of a policy of the vault.",
                )
            return cls(vault, given)
        if not equals_ignoring_case(VaultId.from_resource_id(found["vault"]).key, vault.key):
            refuse(
                "PolicyOfAnotherVault",
                f"Policy {found['name']} is of another vault than {vault.name}: {given}",
                "Give the name of a policy of the vault that protects the VMs.",
            )
        return cls(vault, found["name"])


def choose_policy(connection: VaultConnection, policy: ChosenPolicy) -> str:
    """The type of the policy, V1 or V2; refuses one that is not there or is not for VMs."""
    found = connection.find(
        f"read policy {policy.name} of vault {policy.vault.name}",
        lambda: connection.backup.protection_policies.get(
            **connection.vault_keywords, policy_name=policy.name
        ),
    )
    if found is None:
        refuse(
            "PolicyNotFound",
            f"Vault {policy.vault.name} has no policy {policy.name}.{_others(connection)}",
            "Choose one that it has, or make it with quiesce.azure_backup.backup_policy.",
        )
    of = as_dict(found).get("properties") or {}
    kind = str(of.get("backupManagementType") or "")
    if not equals_ignoring_case(kind, _VMS):
        refuse(
            "PolicyOfAnotherKind",
            f"Policy {policy.name} of vault {policy.vault.name} is not for Azure VMs, "
            f"but for {kind or 'something else'}.",
            f"Choose a policy for Azure VMs.{_others(connection)}",
        )
    return str(of.get("policyType") or "V1")


def _others(connection: VaultConnection) -> str:
    """The policies for VMs that the vault has, for a message."""
    try:
        listed = connection.items(
            "list policies",
            lambda: connection.backup.backup_policies.list(
                **connection.vault_keywords, filter=f"backupManagementType eq '{_VMS}'"
            ),
        )
    except VaultError:
        return ""
    names = sorted(str(one.get("name")) for one in listed)
    return f" It has {', '.join(names)}." if names else ""
