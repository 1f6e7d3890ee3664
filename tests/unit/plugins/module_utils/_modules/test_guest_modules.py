# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that Ansible sends to a VM with a module: everything that the module imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[5] / "plugins"
PREFIX = "ansible_collections.quiesce.azure_backup.plugins."


def imported(path: Path) -> Iterator[Path]:
    """Yield the files of the collection that a file imports, at any place in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        module = node.module or ""
        if node.level:
            folder = path.parents[node.level - 1]
        elif module.startswith(PREFIX):
            folder, module = PLUGINS, module[len(PREFIX) :]
        else:
            continue
        base = folder.joinpath(*filter(None, module.split(".")))
        if base.with_suffix(".py").is_file():
            yield base.with_suffix(".py")
        else:
            yield from (base / f"{alias.name}.py" for alias in node.names)


def shipped(name: str) -> set[str]:
    """Return the packages of `module_utils` from which a module ships files."""
    found: set[Path] = set()
    waiting = [PLUGINS / "modules" / f"{name}.py"]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += imported(path)
    inside = (path.relative_to(PLUGINS).parts for path in found)
    return {parts[1] for parts in inside if parts[0] == "module_utils" and len(parts) > 2}


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("snapshot_scripts", {"_guest", "_modules"}),
        ("snapshot_scripts_info", {"_guest", "_modules"}),
        ("vm_snapshot", {"_guest", "_http", "_modules", "_stores"}),
    ],
)
def test_guest_module_ships_no_code_for_azure(name: str, packages: set[str]) -> None:
    assert shipped(name) == packages


def test_vault_module_ships_the_code_for_azure() -> None:
    assert {"_arm", "_vault"} <= shipped("protected_vm")
