# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that each error that the code makes has a recommended action."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils import _errors

SOURCE = Path(__file__).resolve().parents[4] / "plugins" / "module_utils"
#: Each takes the name, the message and the action of an error.
MAKERS = {"Failure", *(name for name in vars(_errors) if name.endswith("Error"))}


def without_action(source: str) -> Iterator[int]:
    """Yield the line of each error without an action."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            given = len(node.args) + len(node.keywords)
            if node.func.id in MAKERS and given == 2:
                yield node.lineno


def test_each_error_has_an_action() -> None:
    faults = [
        f"{path.relative_to(SOURCE)}:{line}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line in without_action(path.read_text(encoding="utf-8"))
    ]
    assert not faults


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('Failure("A", "It failed.")', [1]),
        ('x = 1\nraise SettingsError("A", message)', [2]),
        ('Failure("A", "It failed.", "Repair it.")', []),
        ("StoreError(failure)", []),
    ],
)
def test_errors_without_an_action_are_found(source: str, lines: list[int]) -> None:
    assert list(without_action(source)) == lines
