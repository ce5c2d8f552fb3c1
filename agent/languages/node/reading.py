"""The syntax trees of a Node skill's files, read on this machine; nothing of the skill runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from agent.errors import CouldNotTell
from agent.languages.node.toolchain import FIX, HERE, node
from agent.languages.node.tree import Node, Unreadable, parse

SUFFIXES = (".js", ".cjs", ".mjs")


def scripts(root: Path) -> list[str]:
    """The files that Node would load as code."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix in SUFFIXES and path.is_file())


def trees(root: Path, names: Iterable[str]) -> dict[str, Node | Unreadable]:
    """The tree of each file, or why there is none."""
    found: dict[str, Node | Unreadable] = {}
    sources = []
    for name in names:
        try:
            sources.append((name, (root / name).read_bytes().decode()))
        except UnicodeDecodeError:
            found[name] = Unreadable("it is not UTF-8")
    if not sources:
        return found
    try:
        read = parse(node(), str(HERE / "parse.js"), sources)
    except OSError as error:
        raise CouldNotTell("JavaScript could not be read.", why=str(error), next_step=FIX) from None
    return found | {name: tree for (name, _), tree in zip(sources, read, strict=True)}
