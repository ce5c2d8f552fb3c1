"""Names of dependencies that look like others: how a package that nobody meant gets in."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from agent.domain.check import Finding
from agent.domain.look_alike import one_apart


@cache
def _known(names: Path) -> frozenset[str]:
    """Widely used names: what look-alikes are made of."""
    return frozenset(names.read_text().split())


def look_alikes(name: str, names: Path, path: str, line: int | None = None) -> Iterator[Finding]:
    """What is to be said of a dependency's name, found at `path`; `names` is the file of those that are widely used."""
    known = _known(names)
    if name in known:
        return
    if near := next((other for other in sorted(known) if one_apart(name, other)), None):
        yield Finding(message=f"{name} looks like {near}, a well-known name: is it the one that is meant?", rule="look-alike", path=path, line=line)
    else:
        yield Finding(message=f"{name} is not among the widely used names", rule="unknown-name", path=path, line=line, level="note")
