# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backup policies of a vault: read by name, listed, and named by an option."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..._arm.connection import as_dict
from ..._arm.errors import VaultError
from ..._arm.ids import VaultId, equals_ignoring_case, last_segment
from ..._errors import Failure, SettingsError
from ..connection import VaultConnection
from ..filters import MANAGEMENT_TYPE, OF_VMS
from ..policy.model import Policy
from ..policy.serialization import from_azure
from .protected_items import list_items

_ID = re.compile(r"^(?P<vault>.*/vaults/[^/]+)/backupPolicies/(?P<name>[^/]+)/?$", re.IGNORECASE)


@dataclass(frozen=True)
class StoredPolicy:
    """A policy that a vault has."""

    id: str
    name: str
    #: Azure's own properties.
    properties: Mapping[str, Any]

    @classmethod
    def from_azure(cls, answer: Mapping[str, Any]) -> StoredPolicy:
        """Read a policy from Azure's JSON, of a list or of a single read."""
        return cls(answer.get("id") or "", answer.get("name") or "", answer.get("properties") or {})

    @property
    def kind(self) -> str:
        """The backup management type of the policy."""
        return str(self.properties.get("backupManagementType") or "")

    @property
    def is_for_vms(self) -> bool:
        """Return True if the policy is for Azure VMs."""
        return equals_ignoring_case(self.kind, MANAGEMENT_TYPE)

    @property
    def azure_type(self) -> str:
        """Azure's type of the policy, V1 or V2."""
        return str(self.properties.get("policyType") or "V1")

    @property
    def policy(self) -> Policy:
        """The content of the policy."""
        return from_azure(self.properties)

    @property
    def protected_items_count(self) -> int:
        """The number of VMs under the policy, 0 if Azure omits it."""
        return int(self.properties.get("protectedItemsCount") or 0)

    @property
    def has_no_vms(self) -> bool:
        """Return True if Azure reports 0 VMs under the policy; a missing count is unknown."""
        return self.properties.get("protectedItemsCount") == 0

    def to_result(self) -> dict[str, Any]:
        """Return the policy as `backup_policy_info` shows it."""
        return {
            "id": self.id,
            "name": self.name,
            "protected_items_count": self.protected_items_count,
            "policy": {"name": self.name, **self.policy.to_options()},
        }


@dataclass(frozen=True)
class ChosenPolicy:
    """A policy that an option names."""

    vault: VaultId
    name: str

    @property
    def id(self) -> str:
        """The policy's resource id."""
        return f"{self.vault.id}/backupPolicies/{self.name}"

    @classmethod
    def parse(cls, text: str | None, vault: VaultId) -> ChosenPolicy | None:
        """Read a name or a resource id; refuse other texts, and policies of other vaults."""
        given = (text or "").strip()
        if not given:
            return None
        found = _ID.match(given)
        if found is None:
            if re.search(r"[/?#%\\\x00-\x1f]", given):
                raise SettingsError(
                    Failure(
                        "InvalidPolicyName",
                        f"policy {given!r} must be the name or the resource ID of a policy.",
                        "Set policy to the name of a policy of the vault.",
                    )
                )
            return cls(vault, given)
        if not equals_ignoring_case(VaultId.from_resource_id(found["vault"]).key, vault.key):
            raise SettingsError(
                Failure(
                    "PolicyOfAnotherVault",
                    f"Policy {found['name']} belongs to another vault than {vault.name}: {given}",
                    "Set policy to the name of a policy of the vault that protects the VMs.",
                )
            )
        return cls(vault, found["name"])


def list_policies(connection: VaultConnection) -> list[StoredPolicy]:
    """Return every policy for Azure VMs, sorted by name.

    Azure's list reports 0 VMs for every policy, so the protected items are counted.
    """
    found = sorted(_listed(connection), key=lambda policy: policy.name.lower())
    counts = Counter(
        last_segment(item.policy_id).lower() for item in list_items(connection).values()
    )
    return [
        replace(
            policy,
            properties={**policy.properties, "protectedItemsCount": counts[policy.name.lower()]},
        )
        for policy in found
    ]


def find_policy(connection: VaultConnection, name: str) -> StoredPolicy | None:
    """Return the policy of this name, of any kind; None if the vault has no such policy."""
    answer = connection.find(
        f"read {policy_title(connection, name)}",
        lambda: connection.backup.protection_policies.get(
            **connection.vault_keywords, policy_name=name
        ),
    )
    return None if answer is None else StoredPolicy.from_azure(as_dict(answer))


def choose_policy(connection: VaultConnection, chosen: ChosenPolicy) -> StoredPolicy:
    """Return the chosen policy; refuse a missing policy, and a policy of another kind."""
    found = find_policy(connection, chosen.name)
    if found is None:
        raise SettingsError(
            Failure(
                "PolicyNotFound",
                f"Vault {chosen.vault.name} has no policy {chosen.name}."
                f"{_alternatives(connection)}",
                "Set policy to an existing policy, or create it with "
                "quiesce.azure_backup.backup_policy.",
            )
        )
    if not found.is_for_vms:
        raise another_kind(
            connection, found, f"Set policy to a policy for Azure VMs.{_alternatives(connection)}"
        )
    return found


def another_kind(connection: VaultConnection, policy: StoredPolicy, action: str) -> SettingsError:
    """Return the error of a policy that is not for Azure VMs."""
    return SettingsError(
        Failure(
            "PolicyOfAnotherKind",
            f"Policy {policy.name} of vault {connection.vault.name} is not for Azure VMs, "
            f"but for {policy.kind or 'an unknown workload'}.",
            action,
        )
    )


def policy_title(connection: VaultConnection, name: str) -> str:
    """Return the words for a policy in messages."""
    return f"backup policy {name} of vault {connection.vault.name}"


def _listed(connection: VaultConnection) -> list[StoredPolicy]:
    answers = connection.items(
        f"list the backup policies of vault {connection.vault.name}",
        lambda: connection.backup.backup_policies.list(**connection.vault_keywords, filter=OF_VMS),
    )
    policies = (StoredPolicy.from_azure(answer) for answer in answers)
    return [policy for policy in policies if policy.is_for_vms]


def _alternatives(connection: VaultConnection) -> str:
    """Return a hint at the vault's policies for VMs, or an empty string."""
    try:
        names = sorted(policy.name for policy in _listed(connection))
    except VaultError:
        return ""
    return f" The vault has {', '.join(names)}." if names else ""
