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


def test_a_vm_and_its_names() -> None:
    vm = VmId.from_resource_id(ID)
    assert vm == VmId("S1", "App-RG", "Db01")
    assert vm.id == ID and vm.key == ID.lower()
    assert vm.container == "IaasVMContainer;iaasvmcontainerv2;App-RG;Db01"
    assert vm.item == "VM;iaasvmcontainerv2;App-RG;Db01"
    for name in (vm.container, vm.item, "iaasvmcontainerv2;APP-RG;DB01", vm.container.lower()):
        assert container_key(name) == vm.container_key == "app-rg;db01"


@pytest.mark.parametrize("text", [ID, ID.upper(), f"https://host{ID}/", f" {ID} "])
def test_an_id_in_whatever_form_is_the_same(text: str) -> None:
    assert VmId.parse(text, "other", "other").key == ID.lower()


def test_names_of_an_option() -> None:
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
def test_what_is_no_vm_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        VmId.parse(text, "S", "g")


def test_a_name_without_a_group_is_refused() -> None:
    with pytest.raises(SettingsError, match="resource group"):
        VmId.parse("db01", "S", "")
    with pytest.raises(SettingsError, match="resource group"):
        VaultId.parse("v", "S", "")


def test_a_name_in_a_text_is_a_whole_word() -> None:
    assert contains_name("Could not read VM Web-1 now", "web-1") and contains_name("(a)", "A")
    assert not contains_name("Could not read VM web-10", "web-1") and not contains_name(
        "read it", "a"
    )


def test_small_things() -> None:
    assert equals_ignoring_case("/A/b/", "/a/B") and not equals_ignoring_case("a", "b")
    assert last_segment("/x/y/Name/") == "Name" and last_segment("Name") == "Name"


def test_the_sdk_is_imported_only_when_it_is_needed() -> None:
    package = "ansible_collections.quiesce.azure_backup.plugins.module_utils"
    loaded = "[n for n in sys.modules if n.startswith('azure')]"
    code = f"import sys, {package}._modules.vault_base; print({loaded})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.strip() == "[]"
