# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the page of all errors, docs/docsite/rst/errors.rst, or check it with `--check`.

The documented errors and Azure's codes come from their catalogues. The other names are read from
the source. A name is the first argument of `Failure(...)` or of an exception of the collection. It
is also the argument of a function that passes it on as the name.
"""

from __future__ import annotations

import ast
import itertools
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.advice_codes import ACTIONS
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import CATALOGUE

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "plugins" / "module_utils"
PAGE = ROOT / "docs" / "docsite" / "rst" / "errors.rst"
ANCHOR = "ansible_collections.quiesce.azure_backup.docsite.errors"
_NAME = re.compile(r"[A-Z][A-Za-z0-9.-]*[a-z]")
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
#: Values that are not known before the run.
_OPEN = "..."
_MOST_VALUES = 16
_ON_THE_VM = (
    "_guest/",
    "_http/",
    "_stores/",
    "_disks",
    "_modules/vm_snapshot",
    "_modules/snapshot_scripts",
)
_ON_THE_CONTROLLER = ("_arm/", "_vault/", "_modules/")

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]
#: A name, or names apart by spaces, and the texts of each further cell.
Row = tuple[Any, ...]


class Raiser(NamedTuple):
    """A function or class that takes the name and the action of an error at these positions."""

    name: int
    action: Optional[int]
    action_keyword: str = "recommended_action"


class Source:
    """The parsed files of a tree, and the strings that their constants hold."""

    def __init__(self, root: Path) -> None:
        self.trees = {
            path.relative_to(root).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
            for path in sorted(root.rglob("*.py"))
        }
        self._constants: dict[str, dict[str, ast.expr]] = {
            path: dict(_assigned(tree.body)) for path, tree in self.trees.items()
        }
        for path, tree in self.trees.items():
            self._constants[path].update(self._imported(path, tree))
        self.raisers = {
            "Failure": Raiser(0, 2),
            "documented": Raiser(0, None),
            **{name: Raiser(0, 2) for name in self._exceptions()},
        }
        while self._add_raisers():
            pass

    def _exceptions(self) -> Iterator[str]:
        for node in self.trees["_errors.py"].body:
            if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                yield node.name

    def _imported(self, path: str, tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
        """Yield (name, value) of each constant that a file imports from another file."""
        folder = path.split("/")[:-1]
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.level and node.module:
                base = folder[: len(folder) - node.level + 1]
                target = "/".join([*base, *node.module.split(".")]) + ".py"
                for alias in node.names:
                    value = self._constants.get(target, {}).get(alias.name)
                    if value is not None:
                        yield alias.asname or alias.name, value

    def _add_raisers(self) -> bool:
        """Add each function that passes its parameter on as an error's name."""
        found = {}
        for path, function, call, raiser in self.calls():
            name = _argument(call, raiser.name, "name")
            names = [argument.arg for argument in function.args.args] if function else []
            if function is None or not isinstance(name, ast.Name) or name.id not in names:
                continue
            action = _argument(call, raiser.action, raiser.action_keyword)
            key = function.name if not function.name.startswith("_") else f"{path}:{function.name}"
            passed = action.id if isinstance(action, ast.Name) and action.id in names else ""
            own_self = int(names[0] == "self")
            found[key] = Raiser(
                names.index(name.id) - own_self,
                names.index(passed) - own_self if passed else None,
                passed or "recommended_action",
            )
        added = {key: value for key, value in found.items() if key not in self.raisers}
        self.raisers.update(added)
        return bool(added)

    def calls(self) -> Iterator[tuple[str, Optional[Function], ast.Call, Raiser]]:
        """Yield each call that names an error, with its file and its function."""
        for path, tree in self.trees.items():
            for function, call in _calls(tree, None):
                called = call.func
                name = called.id if isinstance(called, ast.Name) else ""
                name = called.attr if isinstance(called, ast.Attribute) else name
                raiser = self.raisers.get(f"{path}:{name}", self.raisers.get(name))
                if raiser:
                    yield path, function, call, raiser

    def values(
        self, node: Optional[ast.expr], path: str, function: Optional[Function]
    ) -> list[str]:
        """Return the strings that an expression can be, with `...` for what is not known."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return [node.value]
        if isinstance(node, ast.IfExp):
            return self._union([node.body, node.orelse], path, function)
        if isinstance(node, ast.BoolOp):
            return self._union(node.values, path, function)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._joined([node.left, node.right], path, function)
        if isinstance(node, ast.JoinedStr):
            parts = [p.value if isinstance(p, ast.FormattedValue) else p for p in node.values]
            return self._joined(parts, path, function)
        if isinstance(node, ast.Subscript):
            return self.values(node.value, path, function)
        if isinstance(node, ast.Dict):
            return self._union(node.values, path, function)
        looked_up = _looked_up(node)
        if looked_up:
            return self._union(looked_up, path, function)
        if isinstance(node, ast.Name):
            return self._of_name(node.id, path, function)
        return [_OPEN]

    def pairs(
        self,
        name: Optional[ast.expr],
        action: Optional[ast.expr],
        path: str,
        function: Optional[Function],
    ) -> list[tuple[Optional[ast.expr], Optional[ast.expr]]]:
        """Return the names with their actions, where they are chosen together."""
        if isinstance(name, ast.Name) and isinstance(action, ast.Name):
            names = (name.id, action.id)
            chosen = [
                dict(_paired(node.targets[0], node.value))
                for node in ast.walk(function or ast.Module([], []))
                if isinstance(node, ast.Assign)
            ]
            together = [(c[names[0]], c[names[1]]) for c in chosen if {*names} <= {*c}]
            if together:
                return [*together]
        for looked_up in _looked_up(action)[:1]:
            table = self._constants[path].get(getattr(looked_up, "id", ""))
            if isinstance(table, ast.Dict):
                return [(name, action), *zip(table.keys, table.values)]
        return [(name, action)]

    def _of_name(self, name: str, path: str, function: Optional[Function]) -> list[str]:
        local = [value for key, value in _assigned(_body(function)) if key == name]
        if local:
            return self._union([value for value in local if not _names(value, name)], path, None)
        known = self._constants[path].get(name)
        return self.values(known, path, None) if known is not None else [_OPEN]

    def _union(self, nodes: list[ast.expr], path: str, function: Optional[Function]) -> list[str]:
        return list(dict.fromkeys(v for node in nodes for v in self.values(node, path, function)))

    def _joined(self, nodes: list[ast.expr], path: str, function: Optional[Function]) -> list[str]:
        parts = [self.values(node, path, function) for node in nodes]
        parts = [values if len(values) < 4 else [_OPEN] for values in parts]
        joined = ["".join(words) for words in itertools.product(*parts)]
        return joined if len(joined) <= _MOST_VALUES else [_OPEN]


def _body(function: Optional[Function]) -> list[ast.stmt]:
    return function.body if function else []


def _names(node: ast.expr, name: str) -> bool:
    return any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(node))


def _assigned(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Yield (name, value) of each assignment, also inside blocks and of tuples."""
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
                yield node.target.id, node.value
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    yield from _paired(target, node.value)


def _paired(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, of_one in zip(target.elts, value.elts):
            yield from _paired(one, of_one)


def _calls(
    node: ast.AST, function: Optional[Function]
) -> Iterator[tuple[Optional[Function], ast.Call]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield function, child
        yield from _calls(child, child if isinstance(child, _FUNCTION) else function)


def _argument(call: ast.Call, position: Optional[int], keyword: str) -> Optional[ast.expr]:
    if position is not None and position < len(call.args):
        return call.args[position]
    return next((item.value for item in call.keywords if item.arg == keyword), None)


def _looked_up(node: Optional[ast.expr]) -> list[ast.expr]:
    """Return the table of a call of `get`, and its default."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return [node.func.value, *node.args[1:]] if node.func.attr == "get" else []
    return []


def found_errors(root: Path) -> dict[str, tuple[set[str], set[str]]]:
    """Return (actions, files) of each error name in a tree."""
    source = Source(root)
    found: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for path, function, call, raiser in source.calls():
        name = _argument(call, raiser.name, "name")
        action = _argument(call, raiser.action, raiser.action_keyword)
        for of_name, of_action in source.pairs(name, action, path, function):
            for text in source.values(of_name, path, function):
                if _NAME.fullmatch(text):
                    actions, files = found[text]
                    files.add(path)
                    if of_action is not None:
                        actions.update(source.values(of_action, path, function))
    return dict(found)


def page() -> str:
    """Return the text of the page."""
    found = found_errors(SOURCE)
    own = {name: of for name, of in found.items() if not _is_documented(name)}
    azure = {code for codes, _action in ACTIONS for code in codes.split()}
    on_vm = {n: a for n, (a, files) in own.items() if _belongs(files, _ON_THE_VM)}
    on_controller = {
        name: actions
        for name, (actions, files) in own.items()
        if name not in on_vm and _belongs(files, _ON_THE_CONTROLLER) and name not in azure
    }
    common = {
        name: actions
        for name, (actions, _files) in own.items()
        if name not in {*on_vm, *on_controller, *azure}
    }
    return "\n".join(
        [
            *_head(),
            *_section(
                "Errors of the pre-script and post-script framework",
                "Microsoft documents these names and codes. The modules on the VM use them too.",
            ),
            *_table(
                ("Name", "Code", "What to do"),
                [
                    (name, (str(error.code),), (error.recommended_action,))
                    for name, error in CATALOGUE.items()
                ],
            ),
            *_section("Errors on the virtual machine", "The modules that run on the VM."),
            *_table(("Name", "What to do"), _rows(on_vm)),
            *_section(
                "Errors on the controller", "The modules that use a Recovery Services vault."
            ),
            *_table(("Name", "What to do"), _rows(on_controller)),
            *_section("Errors of every module", "All modules of the collection."),
            *_table(("Name", "What to do"), _rows(common)),
            *_section(
                "Azure's codes",
                "The modules pass Azure's own code on as the name of the error. For these codes "
                "they know what to do.",
            ),
            *_table(("Codes", "What to do"), [(c, (a,)) for c, a in ACTIONS]),
        ]
    )


def _is_documented(name: str) -> bool:
    pattern = re.escape(name).replace(re.escape(_OPEN), ".*")
    return any(re.fullmatch(pattern, documented) for documented in CATALOGUE)


def _belongs(files: set[str], prefixes: tuple[str, ...]) -> bool:
    return any(path.startswith(prefixes) and path not in ("_modules/base.py",) for path in files)


def _rows(errors: dict[str, set[str]]) -> list[Row]:
    return [(name, _known(errors[name])) for name in sorted(errors, key=str.lower)]


def _known(actions: set[str]) -> tuple[str, ...]:
    """Return the actions that the source holds; the others are only known in the run."""
    known = [text for text in actions if text[:1].isupper() and re.search("[a-z]{3}", text)]
    return tuple(sorted(known)) or ("See ``recommended_action`` in the result.",)


def _head() -> list[str]:
    return [
        "..",
        "  Copyright (c) 2026, the quiesce.azure_backup maintainers",
        "  GNU General Public License v3.0+ (see COPYING or "
        "https://www.gnu.org/licenses/gpl-3.0.txt)",
        "  SPDX-License-Identifier: GPL-3.0-or-later",
        "",
        "  Written by tests/utils/error_page.py: change the source, then run it.",
        "",
        f".. _{ANCHOR}:",
        "",
        "All errors",
        "==========",
        "",
        "A module that fails returns ``failure`` with the ``name`` of the error, a ``message`` "
        "that says what happened, and a ``recommended_action`` that says what to do. This page "
        "lists all names with their actions. ``...`` stands for a value that is known only in the "
        "run. "
        "Where one name has several causes, the result holds the action that fits.",
        "",
        ".. contents::",
        "   :local:",
        "   :depth: 1",
        "",
    ]


def _section(title: str, text: str) -> list[str]:
    return [title, "-" * len(title), "", text, ""]


def _table(head: tuple[str, ...], rows: Sequence[Row]) -> list[str]:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    lines += [f"   {'* ' if not number else '  '}- {text}" for number, text in enumerate(head)]
    for name, *cells in rows:
        lines.append(f"   * - {', '.join(f'``{word}``' for word in name.split())}")
        for texts in cells:
            items = [_escaped(text) for text in texts]
            lines.append(f"     - {items[0]}" if len(items) == 1 else f"     - - {items[0]}")
            lines += [f"       - {text}" for text in items[1:]]
    return [*lines, ""]


def _escaped(text: str) -> str:
    text = re.sub(r"(?<!`)([*|_]|\\)(?![`A-Za-z0-9])", r"\\\1", " ".join(text.split()))
    return re.sub(r"'([^' ][^']*)'(?!\w)", r"``\1``", text)


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` compare it and return 1 if it differs."""
    text = page()
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"ERROR: {PAGE.relative_to(ROOT)} is out of date: run python -m tests.utils.error_page")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
