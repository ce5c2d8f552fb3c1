"""What in a module may be right and often is not: for a person to look at, never a reason to refuse by itself.

Each rule is a weakness that the Common Weakness Enumeration (cwe.mitre.org) names, found by names and shapes. A rule that reads logic errs, which
is why a person hears of it and nothing is blocked.
"""

from __future__ import annotations

import ast

from agent.languages.python.doubts import branches, ends, growth, patterns, people, secrecy
from agent.languages.python.doubts.seen import Doubt, Module

PARTS = (people, secrecy, patterns, branches, ends, growth)


def doubts(tree: ast.Module) -> list[Doubt]:
    """Line, rule and message of each, once a line; nothing where the tree is nested too deeply (`rules.broken` refuses that)."""
    try:
        module = Module.of(tree)
        return sorted({doubt for part in PARTS for doubt in part.found(module)})
    except RecursionError:
        return []
