# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the page on the architecture names files, functions and rules that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Iterator

from tests.unit.plugins.module_utils.test_layers import ALLOWED, LEAVES, ROOT

_PAGE = Path(__file__).resolve().parents[2] / "docs/docsite/rst/architecture.rst"


def _defined(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield node.name
        if isinstance(node, ast.ClassDef):
            yield from (f"{node.name}.{of.name}" for of in node.body if hasattr(of, "name"))


def test_walks_name_existing_functions() -> None:
    steps = re.findall(r"^#\. ``(\S+\.py)``(?: ``([\w.]+)``)?", _PAGE.read_text(), re.MULTILINE)
    assert len(steps) == _PAGE.read_text().count("\n#. ")
    missing = [
        f"{path} {name}" for path, name in steps if name and name not in _defined(ROOT / path)
    ]
    assert not missing, "\n".join(missing)


def test_paths_exist() -> None:
    paths = re.findall(r"[\w/]+/\w+\.py\b", _PAGE.read_text().replace("NAME.py", ""))
    repository = _PAGE.parents[3]
    lost = [path for path in paths if not any((of / path).is_file() for of in (ROOT, repository))]
    assert paths and not lost


def test_table_holds_the_import_rules() -> None:
    rows = re.findall(r"^   \* - ``(\S+)``\n     - .*\n     - (.*)$", _PAGE.read_text(), re.M)
    assert {name: set(re.findall(r"``(\S+?)``", allowed)) for name, allowed in rows} == ALLOWED


def test_picture_names_the_leaves() -> None:
    (line,) = re.findall(r"^.*\.py +leaves$", _PAGE.read_text(), re.MULTILINE)
    assert {name[:-3] for name in re.findall(r"\w+\.py", line)} == LEAVES
