# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.ids import VaultId, VmId
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import (
    Failure,
    SettingsError,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.protection.advice import (
    with_advice,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.policies import (
    ChosenPolicy,
)

VM = VmId("s", "app-rg", "db01")
VAULT = VaultId("s", "backup-rg", "v1")


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("X", "ResourceGuard Operation requestid is either null or empty", "Resource Guard"),
        ("UserErrorOperationDeniedOnImmutableItem", "", "state=stopped"),
        ("X", "The VM is a Trusted-Launch VM.", "Enhanced"),
        ("X", "The VM 'db01' is already protected in the vault 'v2'.", "one vault at a time"),
        ("X", "It has 33 data disks; at most 32 are supported.", "exclude_disk_luns"),
        ("BMSUserErrorDataSourceObjectNotFound", "", "run the task again"),
        ("X", "It is cold outside.", ""),
    ],
)
def test_refusal_has_an_action(name: str, message: str, hint: str) -> None:
    failure = with_advice(Failure(name, "No.", http_status=400, azure_message=message), VM)
    assert failure.vm == VM.id and failure.name == name
    assert hint in failure.recommended_action
    assert bool(hint) == bool(failure.recommended_action)


def test_refusal_own_words_do_not_count() -> None:
    message = "Could not protect VM immutable-in-region, which has data disks: X: No."
    failure = Failure("X", message, http_status=400, azure_message="No.")
    assert with_advice(failure, VM).recommended_action == ""


def test_refusal_words_outrank_a_vague_code() -> None:
    failure = Failure("BMSUserErrorInvalidInput", "No.", "Do this.", http_status=400)
    failure = dataclasses.replace(failure, azure_message="ResourceGuard")
    assert "Resource Guard" in with_advice(failure, VM).recommended_action


@pytest.mark.parametrize("status", [401, 403, 429, 500, None])
def test_refusal_of_other_status_keeps_its_action(status: int) -> None:
    words = "The data disks of an immutable VM"
    failure = Failure("X", "No.", "Do this.", http_status=status, azure_message=words)
    assert with_advice(failure, VM).recommended_action == "Do this."


def test_conflict_without_wait_mentions_wait() -> None:
    failure = Failure("X", "", "Wait.", http_status=409)
    assert "wait=true" in with_advice(failure, VM, waits=False).recommended_action
    assert with_advice(failure, VM).recommended_action == "Wait."


@pytest.mark.parametrize(
    ("item_type", "policy_type", "status", "is_explained"),
    [
        ("V2", "V1", 400, True),
        ("V2", "", 400, False),
        ("V2", "V2", 400, False),
        ("V1", "V1", 400, False),
        ("", "V1", 400, False),
        ("V2", "V1", 403, False),
        ("V2", "V1", 503, False),
    ],
)
def test_enhanced_to_standard_policy_is_explained(
    item_type: str, policy_type: str, status: int, is_explained: bool
) -> None:
    failure = with_advice(Failure("X", "No.", http_status=status), VM, item_type, policy_type)
    assert ("cannot go back" in failure.recommended_action) is is_explained


@pytest.mark.parametrize(
    "text",
    [
        "Gold",
        " Gold ",
        f"{VAULT.id}/backupPolicies/Gold",
        f"{VAULT.id.upper()}/BACKUPPOLICIES/Gold",
        f"https://management.azure.com{VAULT.id}/backupPolicies/Gold/",
    ],
)
def test_policy_is_parsed_from_name_or_id(text: str) -> None:
    policy = ChosenPolicy.parse(text, VAULT)
    assert policy is not None
    assert policy.id == f"{VAULT.id}/backupPolicies/Gold"


def test_policy_name_may_have_special_characters() -> None:
    policy = ChosenPolicy.parse("Gold & Silver (é)", VAULT)
    assert policy is not None and policy.name == "Gold & Silver (é)"


@pytest.mark.parametrize("text", [None, "", "  "])
def test_empty_policy_option_is_none(text: str) -> None:
    assert ChosenPolicy.parse(text, VAULT) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"{VaultId('s', 'backup-rg', 'v2').id}/backupPolicies/Gold", "PolicyOfAnotherVault"),
        (f"{VaultId('t', 'backup-rg', 'v1').id}/backupPolicies/Gold", "PolicyOfAnotherVault"),
        ("a/b", "InvalidPolicyName"),
        ("..%2fGold", "InvalidPolicyName"),
        (f"{VAULT.id}/backupPolicies/Gold/x", "InvalidPolicyName"),
    ],
)
def test_policy_of_another_vault_or_kind_is_refused(text: str, name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ChosenPolicy.parse(text, VAULT)
    assert caught.value.failure.name == name
