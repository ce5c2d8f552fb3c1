"""Decisions by what people are (Charter of Fundamental Rights of the EU, article 21): compared, looked up, or made a number of."""

from __future__ import annotations

import ast

from agent.languages.python.doubts.seen import Found, Module, last, names, text
from agent.languages.sensitive import classed, protected

RULE = "protected-characteristic"


def found(module: Module) -> Found:
    for node in module.nodes:
        if name := _decided_by(module, node):
            yield node.lineno, RULE, f"decides by `{name}`, a characteristic that people may not be treated by: is there a lawful reason?"  # type: ignore[attr-defined]


def _decided_by(module: Module, node: ast.AST) -> str:
    """The characteristic that an expression makes a difference of."""
    if isinstance(node, ast.Compare):
        return _compared(node)
    if isinstance(node, ast.Subscript) and not text(node.slice):
        return _of(node.slice, tables=True)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and node.args and not text(node.args[0]):
        return _of(node.args[0], tables=True)
    if isinstance(node, ast.Match):
        return _of(node.subject, tables=True)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult):
        sides = [side for side in (node.left, node.right) if not isinstance(side, ast.Constant)]
        return next((name for side in sides for name in [_plain(side)] if name and protected(name)), "")
    return ""


def _compared(node: ast.Compare) -> str:
    """With a value; whether something is there at all makes no difference between people."""
    sides = [node.left, *node.comparators]
    values = [part for side in sides for part in (side.elts if isinstance(side, ast.List | ast.Tuple | ast.Set) else [side])]
    if any(isinstance(value, ast.Constant) and value.value in (None, "") for value in values):
        return ""
    texts = any(text(value) for value in values)
    for side in sides:
        name = _plain(side)
        if name and ((protected(name) and not isinstance(node.ops[0], ast.Is | ast.IsNot)) or (texts and classed(name))):
            return name
    return ""


def _of(node: ast.AST, *, tables: bool) -> str:
    return next((name for name in names(node) if protected(name) or (tables and classed(name))), "")


def _plain(node: ast.AST) -> str:
    """The name of a variable, of a member, or of what is looked up by a key that is written out."""
    if isinstance(node, ast.Subscript):
        return text(node.slice) or ""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr == "get" and node.args:
            return text(node.args[0]) or ""
        return _plain(node.func.value) if node.func.attr in ("lower", "upper", "strip", "casefold", "title") else ""
    return last(node)
