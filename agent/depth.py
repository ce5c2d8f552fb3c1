"""How deep a JSON text is nested, told before anything parses it. Pure."""

from __future__ import annotations

import re

DEEPEST = 100  # arrays and objects in one another
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_NESTING = re.compile(rb"[\[\]{}]")


def too_deep(body: bytes, deepest: int = DEEPEST) -> bool:
    """In time that grows with its length alone; most are done with by a count, as only a body with that many brackets can be."""
    if body.count(b"[") + body.count(b"{") <= deepest:
        return False
    depth = 0
    for mark in _NESTING.finditer(_STRING.sub(b"", body)):
        depth += 1 if mark[0] in (b"[", b"{") else -1
        if depth > deepest:
            return True
    return False
