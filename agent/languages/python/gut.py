"""A gutted module: every public function of it returns the least that it may. Standard library only; runs in the sandbox.

A test suite that still passes against it tests nothing.
"""

from __future__ import annotations

import ast
from typing import Any

LEAST = {
    "int": "0",
    "float": "0.0",
    "complex": "0j",
    "bool": "False",
    "str": "''",
    "bytes": "b''",
    "bytearray": "bytearray()",
} | {
    name: empty
    for empty, names in {
        "[]": ("list", "List", "Sequence", "MutableSequence"),
        "{}": ("dict", "Dict", "Mapping", "MutableMapping"),
        "()": ("tuple", "Tuple"),
        "set()": ("set", "Set", "frozenset"),
        "iter(())": ("Iterator", "Iterable", "Generator"),
    }.items()
    for name in names
}


def gutted(source: bytes, results: dict[str, Any]) -> ast.Module:
    """The tree of `source` in which each public function returns its value in `results`, or the least that its annotation allows."""
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            least = repr(results[node.name]) if node.name in results else least_literal(node.returns)
            node.decorator_list = []
            node.body = ast.parse(f"return {least}").body
    return ast.fix_missing_locations(tree)


def least_literal(annotation: ast.expr | None) -> str:
    """The source of the least value of a return annotation; `None` where it names none that is known."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            return least_literal(ast.parse(annotation.value, mode="eval").body)
        except SyntaxError:
            return "None"
    if isinstance(annotation, ast.Subscript):
        return least_literal(annotation.value)
    if isinstance(annotation, ast.BinOp):
        return least_literal(annotation.left)
    if isinstance(annotation, ast.Attribute):
        return LEAST.get(annotation.attr, "None")
    return LEAST.get(annotation.id, "None") if isinstance(annotation, ast.Name) else "None"
