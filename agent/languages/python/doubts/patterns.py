"""Patterns that let through more than they say: without their ends (CWE-777), numbers of any size in an address (CWE-1286), and repetitions
within repetitions, which take for ever (CWE-1333)."""

from __future__ import annotations

import ast
import re
import warnings
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

from agent.languages.python.doubts.seen import Found, Module, target_names, text
from agent.languages.sensitive import about_addresses, validates

_ENDED = re.compile(r"(?:\$|\\Z|\\z)\)*$")
_STARTED = re.compile(r"^(?:\(\?[a-zA-Z]+\))?\(*(?:\^|\\A|\?:\^)")
_ANY_NUMBER = re.compile(r"(?:\\d|\[0-9\])(?:\+|\*|\{\d*,?\d*\})?\)?\\\.|(?:\\d|\[0-9\])(?:\+|\{\d*,\d*\})\)?\[\.\]")
_SIZED = re.compile(r"25\[0-5\]")
LONGEST = 2000  # characters of a pattern that is taken apart


def found(module: Module) -> Found:
    constants = {name: value for node in module.nodes if isinstance(node, ast.Assign) and (value := text(node.value)) for name in target_names(node)}
    compiled = {
        name: value
        for node in module.nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and module.qualified(node.value.func) == "re.compile"
        for value in [_pattern(node.value, constants)]
        if value is not None
        for name in target_names(node)
    }
    for node in module.nodes:
        if isinstance(node, ast.Call) and (told := _use(module, node, constants, compiled)):
            how, pattern = told
            yield from _judged(module, node, how, pattern)


def _pattern(node: ast.Call, constants: dict[str, str]) -> str | None:
    first = node.args[0] if node.args else None
    return constants.get(first.id) if isinstance(first, ast.Name) else text(first)


def _use(module: Module, node: ast.Call, constants: dict[str, str], compiled: dict[str, str]) -> tuple[str, str] | None:
    """How a pattern is used, and the pattern."""
    name = module.qualified(node.func)
    if name.startswith("re."):
        pattern = _pattern(node, constants)
        return (name.removeprefix("re."), pattern) if pattern is not None else None
    if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and node.func.value.id in compiled:
        return node.func.attr, compiled[node.func.value.id]
    return None


def _judged(module: Module, node: ast.Call, how: str, pattern: str) -> Found:
    if _explodes(pattern):
        yield node.lineno, "endless-pattern", "a repetition within a repetition: a short text can keep this pattern busy for ever (CWE-1333)"
    if how not in ("match", "search", "fullmatch"):
        return
    function = module.function_of(node)
    around = [function.name] if function else []
    around += [name for parent in module.above(node) for name in target_names(parent)]
    around += [node.func.value.id] if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) else []
    validating = any(map(validates, around))
    loose = (how == "match" and not _ENDED.search(pattern)) or (how == "search" and not (_ENDED.search(pattern) and _STARTED.search(pattern)))
    if validating and loose:
        yield node.lineno, "loose-pattern", f"`re.{how}` lets through what goes on after the pattern: a validation takes re.fullmatch (CWE-777)"
    elif any(map(about_addresses, around)) and _ANY_NUMBER.search(pattern) and not _SIZED.search(pattern):
        yield node.lineno, "loose-pattern", "takes numbers beyond 255 for a part of an IPv4 address: the module ipaddress knows (CWE-1286)"


def _explodes(pattern: str) -> bool:
    """Whether a repetition without a bound repeats another, and nothing that must be there parts the two: `(a+)+`, `(a*b?)*`."""
    if len(pattern) > LONGEST:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _nested(_parser.parse(pattern))
    except (re.error, OverflowError, RecursionError, ValueError):
        return False


def _nested(parts: Any) -> bool:
    for kind, value in parts:
        if kind in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
            _, most, body = value
            if most is _constants.MAXREPEAT and _open(body):
                return True
            if _nested(body):
                return True
        elif kind is _constants.SUBPATTERN:
            if _nested(value[-1]):
                return True
        elif kind is _constants.BRANCH and any(_nested(branch) for branch in value[1]):
            return True
    return False


def _open(parts: Any) -> bool:
    """Whether a body is one repetition without a bound, and beside it only what may be missing."""
    repeats, others = 0, 0
    for kind, value in parts:
        if kind is _constants.SUBPATTERN and len(parts) == 1:
            return _open(value[-1])
        if kind in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
            least, most, _ = value
            repeats += most is _constants.MAXREPEAT
            others += least > 0 and most is not _constants.MAXREPEAT
        elif kind is not _constants.AT:
            others += 1
    return repeats > 0 and others == 0
