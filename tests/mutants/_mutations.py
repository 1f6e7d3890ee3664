# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The single-place changes that can be made in a Python file."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Iterator, List, Tuple, TypeGuard

_COMPARE = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
}


@dataclass(frozen=True)
class Mutant:
    """One changed place of one file."""

    #: The file, from the root of the checkout.
    file: str
    line: int
    before: str
    after: str
    #: Where the changed text begins and ends in the file, in bytes.
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {_one_line(self.before)}  ->  {_one_line(self.after)}"

    def apply(self, source: bytes) -> bytes:
        """Return the source of the file with the change in it."""
        return source[: self.start] + self.after.encode() + source[self.end :]


def mutants(file: str, source: str) -> List[Mutant]:
    """Return all mutants of a file, in the order of their places."""
    offsets = [0]
    for line in source.encode().splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    data = source.encode()
    found = []
    for node, after in _changes(ast.parse(source)):
        assert node.end_lineno is not None and node.end_col_offset is not None
        start = offsets[node.lineno - 1] + node.col_offset
        end = offsets[node.end_lineno - 1] + node.end_col_offset
        before = data[start:end].decode()
        found.append(Mutant(file, node.lineno, before, after, start, end))
    return sorted(found, key=lambda mutant: (mutant.start, mutant.end, mutant.after))


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def _changes(tree: ast.AST) -> Iterator[Tuple[ast.expr | ast.stmt, str]]:
    for node in _nodes(tree):
        if isinstance(node, ast.expr):
            for expression in _of_expression(node):
                yield node, f"({ast.unparse(expression)})"
        if isinstance(node, (ast.If, ast.While, ast.IfExp)):
            yield node.test, f"(not ({ast.unparse(node.test)}))"
        elif isinstance(node, ast.comprehension):
            for test in node.ifs:
                yield test, f"(not ({ast.unparse(test)}))"
        elif isinstance(node, ast.Return) and not _is_none(node.value):
            yield node, "return None"
        elif isinstance(node, ast.Raise) or _is_call(node):
            yield node, "pass"


def _of_expression(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.Compare):
        for number, operator in enumerate(node.ops):
            if type(operator) in _COMPARE:
                ops = [*node.ops[:number], _COMPARE[type(operator)](), *node.ops[number + 1 :]]
                yield ast.Compare(node.left, ops, node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        yield ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)
    elif isinstance(node, ast.Constant):
        yield from _of_constant(node.value)


def _of_constant(value: object) -> Iterator[ast.expr]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, (int, float)):
        yield ast.Constant(value + 1)
    elif isinstance(value, str) and value and " " not in value:
        # A name, a key or a code. The words of messages are free.
        yield ast.Constant(f"{value}x")


def _is_call(node: ast.AST) -> TypeGuard[ast.Expr]:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def _is_none(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that decide at run time: no annotations, docstrings, protocols, f-strings.

    The places of what is inside an f-string are known from Python 3.12 on only.
    """
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_inert(child):
                yield from _nodes(child)


def _is_inert(node: ast.AST) -> bool:
    if isinstance(node, (ast.JoinedStr, ast.Import, ast.ImportFrom)):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.ClassDef):
        return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)
    if isinstance(node, ast.Assign):
        target, value = node.targets[0], node.value
        is_type = isinstance(value, ast.Subscript) and isinstance(value.value, ast.Name)
        return is_type and isinstance(target, ast.Name) and target.id[:1].isupper()
    return False
