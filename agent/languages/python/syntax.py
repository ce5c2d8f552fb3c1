"""Parsing untrusted Python in this process, one at a time.

CPython before 3.13 keeps the depth of the tree that it builds in one place for all threads, so that two parses side by
side can raise SystemError (python/cpython#106905).
"""

from __future__ import annotations

import ast
from threading import RLock

PARSING = RLock()


def parse(source: bytes | str) -> ast.Module:
    """`ast.parse`, where other threads may be parsing too."""
    with PARSING:
        return ast.parse(source)
