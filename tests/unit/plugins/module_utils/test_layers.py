# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that imports inside module_utils only go down, are relative, and need what is allowed."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Iterator, List, Set, Tuple

import pytest

PLUGINS = Path(__file__).resolve().parents[4] / "plugins"
ROOT = PLUGINS / "module_utils"
#: Modules that all may import, and that import only each other.
LEAVES = {"_consistency", "_errors", "_redact", "_disks", "_libraries", "_progress"}
#: What each package may import, besides itself and the leaves.
ALLOWED = {
    "_guest": set(),
    "_guest/storage": {"_guest"},
    "_guest/scripts": {"_guest"},
    "_guest/freeze": {"_guest", "_guest/scripts", "_guest/storage"},
    "_guest/run": {"_guest", "_guest/freeze", "_guest/scripts", "_guest/storage", "_stores"},
    "_guest/extension": {"_guest", "_guest/run"},
    "_http": set(),
    "_stores": set(),
    "_stores/page_blob": {"_http", "_stores"},
    "_arm": set(),
    "_vault": {"_arm"},
    "_vault/policy": {"_arm", "_vault"},
    "_vault/resources": {"_arm", "_vault", "_vault/policy"},
    "_vault/jobs": {"_arm", "_vault", "_vault/resources"},
    "_vault/policies": {"_arm", "_vault", "_vault/jobs", "_vault/policy", "_vault/resources"},
    "_vault/protection": {"_arm", "_vault", "_vault/jobs", "_vault/policies", "_vault/resources"},
    "_vault/backup": {"_arm", "_vault", "_vault/jobs", "_vault/resources"},
}
#: They wire a module together, and only plugins/modules imports them.
MODULES = "_modules"
#: Code for a VM has only the standard library.
ON_THE_VM = ("_guest", "_http")
_PREFIX = "ansible_collections.quiesce.azure_backup"


def _imports(path: Path) -> Iterator[Tuple[int, ast.ImportFrom]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.level, node


def _targets(path: Path, node: ast.ImportFrom, root: Path) -> Iterator[Tuple[str, str]]:
    """Yield (package, module) of each module that a relative import names."""
    here = path.relative_to(root).parent.parts
    base = here[: len(here) - node.level + 1]
    target = root.joinpath(*base, *(node.module or "").split("."))
    if node.module and target.with_suffix(".py").is_file():
        yield target.parent.relative_to(root).as_posix(), target.name
        return
    for alias in node.names:
        yield target.relative_to(root).as_posix(), alias.name


def faults(root: Path) -> List[str]:
    """Return each import of a tree that the layers do not allow."""
    wrong = []
    for path in sorted(root.rglob("*.py")):
        here = path.parent.relative_to(root).as_posix()
        name = path.relative_to(root).as_posix()
        for level, node in _imports(path):
            if not level:
                if (node.module or "").startswith(_PREFIX):
                    wrong.append(f"{name}: the import of {node.module} is not relative")
                continue
            for there, module in _targets(path, node, root):
                is_leaf = there == "." and module in LEAVES
                is_allowed = here == MODULES or there in {here, *ALLOWED.get(here, set())}
                if here == "." or there in (".", MODULES):
                    is_allowed = here == there == MODULES
                if not is_leaf and not is_allowed:
                    wrong.append(f"{name} imports {there}/{module}")
    return wrong


def test_imports_only_go_down() -> None:
    assert faults(ROOT) == []


def test_every_package_has_its_rule() -> None:
    packages = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py")}
    assert packages == {".", MODULES, *ALLOWED}


def test_only_modules_import_the_wiring() -> None:
    for path in PLUGINS.rglob("*.py"):
        if path.is_relative_to(ROOT) or path.is_relative_to(PLUGINS / "modules"):
            continue
        wired = [n.module for _level, n in _imports(path) if f".{MODULES}." in f"{n.module}."]
        assert not wired, f"{path.relative_to(PLUGINS)} imports {wired}"


@pytest.mark.skipif(sys.version_info < (3, 10), reason="Python 3.9 does not list its own modules")
def test_what_runs_on_a_vm_needs_the_standard_library_only() -> None:
    known: Set[str] = set(sys.stdlib_module_names)
    for path in (one for room in ON_THE_VM for one in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            foreign = [name for name in names if name.partition(".")[0] not in known]
            assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"


@pytest.mark.parametrize(
    ("place", "line", "fault"),
    [
        ("_guest/storage/a.py", "from ..freeze.b import x", "imports _guest/freeze/b"),
        ("_guest/model.py", "from .freeze import b", "imports _guest/freeze/b"),
        ("_errors.py", "from ._modules.c import x", "imports _modules/c"),
        ("_vault/jobs/a.py", "from ..._modules.c import x", "imports _modules/c"),
        ("_http/a.py", f"from {_PREFIX}.plugins.module_utils._errors import x", "not relative"),
        ("_guest/run/a.py", "from ..freeze.b import x", ""),
        ("_modules/a.py", "from .._guest.freeze.b import x", ""),
        ("_guest/run/a.py", "from ..._errors import x", ""),
    ],
)
def test_an_import_that_goes_up_is_seen(tmp_path: Path, place: str, line: str, fault: str) -> None:
    for path in ("_errors.py", "_modules/c.py", "_guest/freeze/b.py", place):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    (tmp_path / place).write_text(line)
    found = faults(tmp_path)
    assert len(found) == bool(fault) and all(fault in one for one in found)
