# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that plugins never format, parse, read or write by the locale of the process."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator, List, Optional

import pytest

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
FILES = sorted(PLUGINS.rglob("*.py"))
# Calls that use the language of the locale, or local time.
BY_LOCALE = {"strftime", "strptime", "asctime", "ctime", "localtime", "strcoll", "strxfrm"}
# Calls that use the encoding of the locale for names of files.
BY_ENCODING = {"fsencode", "fsdecode", "getpreferredencoding", "getencoding"}
# Calls that open a file as text by default.
AS_TEXT = {"read_text", "write_text", "TextIOWrapper"}


def name_of(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def keyword(call: ast.Call, name: str) -> Optional[ast.expr]:
    return next((one.value for one in call.keywords if one.arg == name), None)


def mode_of(call: ast.Call, position: int) -> str:
    given = keyword(call, "mode")
    if given is None and len(call.args) > position:
        given = call.args[position]
    return given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else "r"


def faults_of(tree: ast.AST) -> Iterator[str]:
    """Find what goes by the locale; each as words that begin with its line."""
    for node in ast.walk(tree):
        at = getattr(node, "lineno", 0)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [one.name for one in node.names] + [getattr(node, "module", None) or ""]
            if "locale" in names:
                yield f"{at}: import locale"
        if isinstance(node, ast.Attribute) and node.attr in BY_LOCALE | BY_ENCODING:
            yield f"{at}: {node.attr}"
        if isinstance(node, ast.Attribute) and node.attr in ("LOCALE", "L"):
            yield f"{at}: re.{node.attr}"
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            spec = ast.unparse(node.format_spec)
            # Of a date, what a format's percent sign stands for; of a number, n.
            if "%" in spec or spec.rstrip("'\"").endswith("n"):
                yield f"{at}: format {spec}"
        if isinstance(node, ast.Call):
            yield from faults_of_call(node)


def faults_of_call(call: ast.Call) -> Iterator[str]:
    name, is_method = name_of(call), isinstance(call.func, ast.Attribute)
    of = getattr(getattr(call.func, "value", None), "id", "")
    for option in ("text", "universal_newlines"):
        if keyword(call, option) is not None and keyword(call, "encoding") is None:
            yield f"{call.lineno}: {option} without encoding"
    if keyword(call, "encoding") is not None:
        return
    if name in AS_TEXT:
        yield f"{call.lineno}: {name} without encoding"
    if (name == "open" and not is_method) or (name == "fdopen" and of == "os"):
        if "b" not in mode_of(call, 1):
            yield f"{call.lineno}: {name} without encoding"
    elif name == "open" and is_method and isinstance(call.func, ast.Attribute):
        value = call.func.value
        of_path = isinstance(value, ast.Call) and name_of(value) == "Path"
        if of_path and "b" not in mode_of(call, 0):
            yield f"{call.lineno}: Path.open without encoding"


@pytest.mark.parametrize("path", FILES, ids=[str(one.relative_to(PLUGINS)) for one in FILES])
def test_nothing_goes_by_the_locale(path: Path) -> None:
    assert list(faults_of(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "text",
    [
        "import locale",
        "from locale import setlocale",
        "moment.strftime('%Y')",
        "datetime.strptime(text, '%Y')",
        "time.localtime()",
        "f'{moment:%H:%M}'",
        "f'{count:n}'",
        "re.compile('x', re.LOCALE)",
        "open(path)",
        "open(path, 'w')",
        "os.fdopen(descriptor)",
        "Path(path).open()",
        "path.read_text()",
        "path.write_text(text)",
        "subprocess.run(words, text=True)",
        "subprocess.run(words, universal_newlines=True)",
        "os.fsencode(path)",
    ],
)
def test_what_goes_by_the_locale_is_seen(text: str) -> None:
    found: List[str] = list(faults_of(ast.parse(text)))
    assert len(found) == 1


@pytest.mark.parametrize(
    "text",
    [
        "moment.isoformat()",
        "f'{count:02d} {seconds:.0f}'",
        "open(path, 'rb')",
        "open(path, encoding='utf-8')",
        "os.open(path, os.O_RDONLY)",
        "os.fdopen(descriptor, 'rb')",
        "Path(path).open(encoding='utf-8')",
        "path.read_text(encoding='utf-8')",
        "subprocess.run(words, encoding='utf-8')",
        "connection.open(deadline)",
    ],
)
def test_what_does_not_is_not(text: str) -> None:
    assert not list(faults_of(ast.parse(text)))
