# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test the reading of policies, and the check of a policy that an option names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Optional

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.errors import VaultError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.ids import VaultId
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import (
    Failure,
    SettingsError,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.policies import (
    ChosenPolicy,
    choose_policy,
    find_policy,
    list_policies,
)
from tests.unit.plugins.module_utils.fakes import FakeClock

VAULT = VaultId("s", "rg", "v1")
GOLD = ChosenPolicy(VAULT, "Gold")


def policy(name: str, kind: str = "AzureIaasVM", **properties: Any) -> Dict[str, Any]:
    return {"id": name, "name": name, "properties": {"backupManagementType": kind, **properties}}


class FakeVault:
    """A connection to a vault with these policies and one protected item under each name."""

    def __init__(self, policies: List[Dict[str, Any]], items: Optional[List[str]] = None) -> None:
        self.vault = VAULT
        self.vault_keywords: Dict[str, str] = {}
        self.server_now = FakeClock().now
        self.list_error: Optional[VaultError] = None
        self.backup = SimpleNamespace(
            protection_policies=SimpleNamespace(
                get=lambda policy_name: next(
                    (one for one in policies if one["name"] == policy_name), None
                )
            ),
            backup_policies=SimpleNamespace(list=lambda filter: policies),
            backup_protected_items=SimpleNamespace(
                list=lambda filter: [_item(number, name) for number, name in enumerate(items or ())]
            ),
        )

    def find(self, _operation: str, send: Callable[[], Any]) -> Any:
        return send()

    def items(self, _operation: str, send: Callable[[], Any]) -> Any:
        if self.list_error:
            raise self.list_error
        return send()


def _item(number: int, policy_name: str) -> Dict[str, Any]:
    vm_id = (
        f"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm{number}"
    )
    return {"properties": {"virtualMachineId": vm_id, "policyId": f"/backupPolicies/{policy_name}"}}


def choose(vault: Any) -> str:
    return choose_policy(vault, GOLD).azure_type


@pytest.mark.parametrize(("properties", "expected"), [({}, "V1"), ({"policyType": "V2"}, "V2")])
def test_choose_policy_returns_its_type(properties: Dict[str, Any], expected: str) -> None:
    assert choose(FakeVault([policy("Gold", **properties)])) == expected


def test_choose_missing_policy_names_the_others() -> None:
    vault = FakeVault([policy("Silver"), policy("Sql", "AzureWorkload"), policy("Bronze")])
    with pytest.raises(SettingsError) as caught:
        choose(vault)
    failure = caught.value.failure
    assert failure.name == "PolicyNotFound"
    assert "Bronze, Silver" in failure.message and "Sql" not in failure.message


@pytest.mark.parametrize("kind", ["AzureWorkload", ""])
def test_choose_policy_of_another_kind_is_refused(kind: str) -> None:
    vault = FakeVault([policy("Gold", kind), policy("Silver")])
    with pytest.raises(SettingsError) as caught:
        choose(vault)
    failure = caught.value.failure
    assert failure.name == "PolicyOfAnotherKind"
    assert kind in failure.message and "Silver" in failure.recommended_action


def test_choose_missing_policy_without_a_list_is_refused() -> None:
    vault = FakeVault([])
    vault.list_error = VaultError(Failure("AuthorizationFailed", "No."), "authorization")
    with pytest.raises(SettingsError) as caught:
        choose(vault)
    assert caught.value.failure.name == "PolicyNotFound"


def test_list_policies_counts_protected_items() -> None:
    vault: Any = FakeVault(
        [policy("Silver", protectedItemsCount=0), policy("gold"), policy("Sql", "AzureWorkload")],
        ["GOLD", "gold", "Sql"],
    )
    found = list_policies(vault)
    assert [(one.name, one.protected_items_count) for one in found] == [("gold", 2), ("Silver", 0)]
    assert [one.has_no_vms for one in found] == [False, True]


def test_find_policy_of_any_kind() -> None:
    vault: Any = FakeVault([policy("Sql", "AzureWorkload")])
    found = find_policy(vault, "Sql")
    assert found is not None and not found.is_for_vms and found.kind == "AzureWorkload"
    assert find_policy(vault, "Gold") is None
