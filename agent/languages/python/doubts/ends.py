"""What never ends: loops without a way out (CWE-835), and functions that call themselves on every way (CWE-674)."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from agent.languages.python.doubts.seen import COMPREHENSION, LOOP, Found, Function, Module, inside, last

_ENDING = ("exit", "_exit", "quit", "abort", "fail", "skip")
_CHOOSING = (ast.If, ast.IfExp, ast.BoolOp, ast.Match, ast.Try, ast.Assert, ast.Yield, ast.YieldFrom, ast.Await, *LOOP, *COMPREHENSION)


def found(module: Module) -> Found:
    for node in module.nodes:
        if isinstance(node, ast.While) and not _left(node) and (_always(node.test) or _stands_still(node)):
            yield node.lineno, "endless-loop", "a loop without a way out: nothing ends it but the limit of time (CWE-835)"
    for function in module.functions:
        if _calls_itself(function, isinstance(module.parents[function], ast.ClassDef)) and not any(
            isinstance(part, _CHOOSING) for statement in function.body for part in inside(statement)
        ):
            yield function.lineno, "endless-recursion", f"`{function.name}` calls itself on every way (CWE-674)"


def _always(test: ast.expr) -> bool:
    return isinstance(test, ast.Constant) and bool(test.value)


def _left(loop: ast.While) -> bool:
    """Whether anything in a loop leaves it."""
    for part in _body(loop, loop):
        if isinstance(part, ast.Return | ast.Raise | ast.Break | ast.Yield | ast.YieldFrom | ast.Await):
            return True
        if isinstance(part, ast.Call) and last(part.func) in _ENDING:
            return True
    return False


def _body(loop: ast.AST, node: ast.AST) -> Iterator[ast.AST]:
    """What lies in a loop; a `break` that leaves another loop inside of it does not count."""
    for part in inside(node):
        if part is not loop and isinstance(part, ast.Break) and not _breaks(loop, part):
            continue
        yield part


def _breaks(loop: ast.AST, leaving: ast.Break) -> bool:
    inner = [part for part in inside(loop) if part is not loop and isinstance(part, LOOP)]
    return not any(leaving in list(inside(other)) and leaving not in [p for s in other.orelse for p in inside(s)] for other in inner)


def _stands_still(loop: ast.While) -> bool:
    """Whether a condition is made of plain numbers and names, and none of them changes in the loop."""
    parts = list(ast.walk(loop.test))
    if not isinstance(loop.test, ast.Compare) or not all(
        isinstance(part, ast.Compare | ast.Name | ast.Constant | ast.cmpop | ast.expr_context) for part in parts
    ):
        return False
    if not any(isinstance(part, ast.Constant) and isinstance(part.value, int | float) for part in parts):
        return False
    known = {part.id for part in parts if isinstance(part, ast.Name)}
    changed = {part.id for part in ast.walk(loop) if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load)}
    shared = any(isinstance(part, ast.Call) for statement in loop.body for part in inside(statement)) and not known
    return bool(known) and known.isdisjoint(changed) and not shared


def _calls_itself(function: Function, method: bool) -> bool:
    for statement in function.body:
        for part in inside(statement):
            if isinstance(part, ast.Call) and _itself(part.func, function.name, method):
                return True
    return False


def _itself(called: ast.AST, name: str, method: bool) -> bool:
    if method:
        return isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "self" and called.attr == name
    return isinstance(called, ast.Name) and called.id == name
