# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess
import sys

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.ids import (
    VaultId,
    VmId,
    container_key,
    contains_name,
    equals_ignoring_case,
    last_segment,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import SettingsError

ID = "/subscriptions/S1/resourceGroups/App-RG/providers/Microsoft.Compute/virtualMachines/Db01"


def test_vm_id_has_names_of_container_and_item() -> None:
    vm = VmId.from_resource_id(ID)
    assert vm == VmId("S1", "App-RG", "Db01")
    assert vm.id == ID and vm.key == ID.lower()
    assert vm.container == "IaasVMContainer;iaasvmcontainerv2;App-RG;Db01"
    assert vm.item == "VM;iaasvmcontainerv2;App-RG;Db01"
    for name in (vm.container, vm.item, "iaasvmcontainerv2;APP-RG;DB01", vm.container.lower()):
        assert container_key(name) == vm.container_key == "app-rg;db01"


@pytest.mark.parametrize("text", [ID, ID.upper(), f"https://host{ID}/", f" {ID} "])
def test_vm_id_is_parsed_in_any_case_and_form(text: str) -> None:
    assert VmId.parse(text, "other", "other").key == ID.lower()


def test_ids_are_parsed_from_names() -> None:
    assert VmId.parse("db01", "S", "g") == VmId("S", "g", "db01")
    assert VmId.parse("rg/db01", "S", "g") == VmId("S", "rg", "db01")
    assert VaultId.parse("v", "S", "g") == VaultId("S", "g", "v")
    vault = VaultId("S", "g", "v")
    assert VaultId.parse(vault.id.upper(), "x", "y").key == vault.key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rg/",
        "a/b/c",
        "a;b",
        "a?b",
        "a#b",
        "a%2fb",
        "..",
        "rg/..",
        "a\nb",
        "/subscriptions/S/resourceGroups/g",
        ID.replace("Compute", "ClassicCompute"),
        f"{ID}/extensions/x",
        ID.replace("Db01", "a;b"),
        VaultId("S", "g", "v").id,
    ],
)
def test_invalid_vm_is_an_error(text: str) -> None:
    with pytest.raises(SettingsError):
        VmId.parse(text, "S", "g")


def test_name_without_group_is_an_error() -> None:
    with pytest.raises(SettingsError, match="resource group"):
        VmId.parse("db01", "S", "")
    with pytest.raises(SettingsError, match="resource group"):
        VaultId.parse("v", "S", "")


def test_contains_name_matches_whole_words() -> None:
    assert contains_name("Could not read VM Web-1 now", "web-1") and contains_name("(a)", "A")
    assert not contains_name("Could not read VM web-10", "web-1") and not contains_name(
        "read it", "a"
    )


def test_equality_and_last_segment() -> None:
    assert equals_ignoring_case("/A/b/", "/a/B") and not equals_ignoring_case("a", "b")
    assert last_segment("/x/y/Name/") == "Name" and last_segment("Name") == "Name"


def test_import_of_modules_loads_no_sdk() -> None:
    package = "ansible_collections.quiesce.azure_backup.plugins.module_utils"
    loaded = "[n for n in sys.modules if n.startswith('azure')]"
    code = f"import sys, {package}._modules.vault_base; print({loaded})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.strip() == "[]"
