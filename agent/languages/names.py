"""Names of dependencies that look like others: how a package that nobody meant gets in."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from agent.domain.check import Finding


@cache
def _known(names: Path) -> frozenset[str]:
    """Widely used names: what look-alikes are made of."""
    return frozenset(names.read_text().split())


def look_alikes(name: str, names: Path, path: str, line: int | None = None) -> Iterator[Finding]:
    """What is to be said of a dependency's name, found at `path`; `names` is the file of those that are widely used."""
    known = _known(names)
    if name in known:
        return
    if near := next((other for other in sorted(known) if _one_apart(name, other)), None):
        yield Finding(message=f"{name} looks like {near}, a well-known name: is it the one that is meant?", rule="look-alike", path=path, line=line)
    else:
        yield Finding(message=f"{name} is not among the widely used names", rule="unknown-name", path=path, line=line, level="note")


def _one_apart(left: str, right: str) -> bool:
    """Whether one letter added, dropped or changed, or two neighbours swapped, makes one of the other."""
    if left == right or abs(len(left) - len(right)) > 1:
        return False
    shared = next((index for index, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    rest, other = left[shared:], right[shared:]
    swapped = len(rest) > 1 and rest[1::-1] + rest[2:] == other
    return swapped or rest[1:] == other or rest == other[1:] or rest[1:] == other[1:]
