"""What a module's names lead to: `os.path.join`, whatever local name it goes by."""

from __future__ import annotations

import ast


def imported(tree: ast.Module) -> dict[str, str]:
    """Each local name that an import binds, and what it was imported as."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                found[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def qualified(node: ast.AST, modules: dict[str, str]) -> str | None:
    """The full name of what an expression names; None where it does not start at an import."""
    written = dotted(node)
    if written is None:
        return None
    first, _, rest = written.partition(".")
    if first not in modules:
        return None
    return f"{modules[first]}.{rest}" if rest else modules[first]


def dotted(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (inner := dotted(node.value)):
        return f"{inner}.{node.attr}"
    return None
