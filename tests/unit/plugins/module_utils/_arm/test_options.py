# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Dict

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.quiesce.azure_backup.plugins.doc_fragments._auth import (
    ModuleDocFragment as Auth,
)
from ansible_collections.quiesce.azure_backup.plugins.doc_fragments._vault import (
    ModuleDocFragment as Vault,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.ids import VaultId
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.options import (
    ENVIRONMENT,
    auth_arguments,
    check_wait,
    chosen_vault,
    chosen_vms,
    vault_arguments,
    vms_arguments,
    wait_arguments,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import SettingsError


def test_options_read_variables_in_documented_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for names in ENVIRONMENT.values():
        for name in names:
            monkeypatch.delenv(name, raising=False)
    spec = auth_arguments()
    assert set(ENVIRONMENT) == set(spec)
    for option, names in ENVIRONMENT.items():
        value = "cli" if option == "auth_source" else "/from/env"
        monkeypatch.setenv(names[-1], value)
        found = ArgumentSpecValidator(spec).validate({}).validated_parameters
        assert found[option] == value
        monkeypatch.delenv(names[-1])
        part = Auth.DOCUMENTATION.split(f"\n  {option}:\n")[1].split("    type:")[0]
        places = [part.index(f"E({name})", part.index("If it is not set")) for name in names]
        assert places == sorted(places)


def test_fragments_document_every_option() -> None:
    for spec, text in (
        (auth_arguments(), Auth.DOCUMENTATION),
        (vault_arguments(), Auth.DOCUMENTATION + Vault.DOCUMENTATION),
        (vms_arguments(), Vault.VMS),
    ):
        for option in spec:
            assert f"\n  {option}:\n" in text, option
    # A module documents its own timeout.
    assert set(wait_arguments(60)) == {"wait", "timeout", "poll_interval"}


def test_secret_is_no_log() -> None:
    assert auth_arguments()["secret"]["no_log"] is True


def chosen(**params: Any) -> "list[str]":
    connection = SimpleNamespace(vault=VaultId("S", "vault-rg", "v"))
    return [vm.id.split("resourceGroups/")[1] for vm in chosen_vms(params, connection)]


def test_chosen_vms_are_unique_and_in_order() -> None:
    full = "/subscriptions/S/resourceGroups/APP/providers/Microsoft.Compute/virtualMachines/B"
    path = "providers/Microsoft.Compute/virtualMachines"
    assert chosen(vms=["app/b", "a", full, "APP/B", "A"]) == [
        f"app/{path}/b",
        f"vault-rg/{path}/a",
    ]
    assert chosen(vm="a", vm_resource_group="other") == [f"other/{path}/a"]
    assert chosen(vms=[]) == []


@pytest.mark.parametrize("params", [{}, {"vm": None, "vms": None}, {"vm": ""}, {"vms": [" "]}])
def test_missing_or_empty_vm_is_an_error(params: Dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        chosen(**params)


def test_vault_is_parsed_from_name_or_id() -> None:
    vault = VaultId("S", "g", "v")
    assert chosen_vault({"vault": "v", "resource_group": "g"}, "S") == vault
    assert chosen_vault({"vault": vault.id}, "other") == vault
    with pytest.raises(SettingsError):
        chosen_vault({"vault": "v"}, "S")


@pytest.mark.parametrize("params", [{"timeout": 0}, {"poll_interval": 0.05}])
def test_too_short_times_are_an_error(params: Dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        check_wait(params)
    check_wait({"timeout": 1, "poll_interval": 0.1})
