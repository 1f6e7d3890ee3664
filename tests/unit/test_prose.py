# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check words and sentences of docstrings, comments and messages, and the names of tests."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest

_THIS = Path(__file__).resolve()
_ROOT = _THIS.parents[2]
#: Not rewritten yet. This list only shrinks.
LATER = ("plugins/module_utils/_stores/page_blob/sdk_transport.py",)
_BANNED = re.compile(
    r"\b(all the same|allegory|anew|anybody|are none|befall\w*|comes? back|debts?|hitherto|is none"
    r"|(?<!here )is no(?! longer)|keepers?|meanwhile|mend(?:s|ed)?|nobody|nothing but|of which"
    r"|ow(?:es?|ed|ing)|paid|payers?|pays?|perhaps|PRIVATE|said|shall|so many|somebody|someone"
    r"|tells? of|thereof|told|whatever|whichever|whoever|whom)\b"
)
_CLAUSE = re.compile(r"(How|Nothing|That|What|When|Where|Whether|Who|Whom|Whose|Why)\b")
_NO_VERB = re.compile(
    r"(A|After|All|An|And|Any|Anything|As|At|Before|By|Each|Every|Everything|False|For|From|Here"
    r"|If|In|It|Its|Lines|Many|Most|No|Not|Numbers|Of|On|One|Only|Our|Same|Some|The|Their|There"
    r"|These|This|Those|To|True|Words)\b|[^A-Z]"
)
#: Decorators of functions that name a thing.
_NOUN = re.compile(r"\b(cached_property|fixture|property)\b")
_CODE = re.compile(r"`[^`]*`|\S*://\S+")
_Fault = Tuple[int, str]


def faults(source: str) -> List[str]:
    """Return each fault of a file's prose, with its line."""
    found = [
        (number, f"line of {len(text)} characters")
        for number, text in enumerate(source.split("\n"), 1)
        if len(text) > 100 and not text.lstrip().startswith("from ")
    ]
    docstrings = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            docstrings |= {id(getattr(node.body[0], "value", None))} if node.body else set()
            found += _of_definition(node, ast.get_docstring(node) or "")
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            is_text = " " in node.value.strip() and id(node) not in docstrings
            found += _words(node.lineno, node.value) if is_text else []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        found += _words(token.start[0], token.string) if token.type == tokenize.COMMENT else []
    return [f"{line}: {fault}" for line, fault in sorted(set(found))]


def _of_definition(node: ast.AST, docstring: str) -> Iterator[_Fault]:
    line, first = getattr(node, "lineno", 1), docstring.partition(" ")[0]
    if _CLAUSE.match(docstring):
        yield line, f"docstring begins with {first}"
    if isinstance(node, ast.FunctionDef):
        is_noun = any(_NOUN.search(ast.unparse(of)) for of in node.decorator_list)
        if not is_noun and _NO_VERB.match(docstring):
            yield line, f"docstring begins with {first}, not with a verb"
        if node.name.startswith("test_") and len(node.name) > 60:
            yield line, f"name of {len(node.name)} characters"
    text = _CODE.sub("x", " ".join(docstring.split()))
    yield from _words(line, text)
    if "C(" in text:
        yield line, "markup of Ansible in a docstring"
    for sentence in re.split(r"(?<=[.:;!?])\s+", text):
        if len(sentence.split()) > 25:
            yield line, f"sentence of {len(sentence.split())} words: {sentence[:40]}"


def _words(line: int, text: str) -> List[_Fault]:
    return [(line, f"word {found[0]!r}") for found in _BANNED.finditer(text)]


def test_files_follow_the_rules() -> None:
    files = [file for name in ("plugins", "tests") for file in (_ROOT / name).rglob("*.py")]
    files = [_ROOT / "noxfile.py", *(file for file in files if file != _THIS)]
    names = {file.relative_to(_ROOT).as_posix(): file for file in files}
    assert all(any(name.startswith(later) for name in names) for later in LATER)
    wrong = [
        f"{name}:{fault}"
        for name, file in sorted(names.items())
        if not name.startswith(LATER)
        for fault in faults(file.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ('"""What is left."""', "docstring begins with What"),
        ('def f():\n    """The rest."""', "docstring begins with The, not with a verb"),
        ('def f():\n    """Return the rest to whom it may concern."""', "word 'whom'"),
        ('"""' + "go " * 26 + '"""', "sentence of 26 words"),
        (f"def test_{'x' * 60}(): ...", "name of 65 characters"),
        ('raise ValueError("this is no number")', "word 'is no'"),
        ("x = 1  # It shall be one.", "word 'shall'"),
        ('def f():\n    """Return C(x)."""', "markup of Ansible"),
        (f"x = {'a' * 97}", "line of 101 characters"),
        ('@property\ndef f():\n    """The rest."""', ""),
        ('@pytest.fixture(scope="session")\ndef f():\n    """A server for all."""', ""),
        ('def f():\n    """Return True if there is no rest; see `whom`."""', ""),
    ],
)
def test_faults_of_source(source: str, fault: str) -> None:
    found = faults(source)
    assert len(found) == bool(fault) and all(fault in text for text in found)
