"""What a module of JavaScript loads, and what it does with files: paths that lead out of what the skill has, and what is written where nothing
is kept.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from agent.languages.node.banned import DYNAMIC, READING, SCRATCH, WRITING
from agent.languages.node.folding import UNKNOWN, Folding
from agent.languages.node.tree import Node, Unreadable, dotted, line, literal, walk
from agent.languages.permitted import Permitted
from agent.languages.places import FILES, KEEPS, outside, standard, temporary

Found = Iterator[tuple[int, str, str]]
READ = (".js", ".cjs", ".mjs", ".json")  # what Node loads of a skill, and a reader has read


@dataclass(frozen=True)
class Skill:
    """What a module is one of: the skill's files, where that is known, and whether any of its modules loads fs."""

    files: frozenset[str] | None = None
    reaches: bool = False


ALONE = Skill()


def skill_of(files: Iterable[str], read: Mapping[str, Node | Unreadable]) -> Skill:
    """Of a skill's files and the trees of those that are code."""
    trees = [tree for name, tree in read.items() if not isinstance(tree, Unreadable) and not name.startswith("tests/")]
    return Skill(frozenset(files), any("fs" in loaded(tree) for tree in trees))


def loads(node: Node) -> bool:
    return node["type"] in ("ImportDeclaration", "ImportExpression") or (node["type"] == "CallExpression" and dotted(node["callee"]) == "require")


def loaded(tree: Node) -> frozenset[str]:
    """The modules that are loaded by their names, without `node:` and what is below them."""
    names = (literal(node.get("source") or (node.get("arguments") or [None])[0]) or "" for node in walk(tree) if loads(node))
    return frozenset(name.removeprefix("node:").partition("/")[0] for name in names)


def unread(name: str, path: str, files: frozenset[str] | None) -> str:
    """Why what a relative name leads to, in a module at `path`, is no file of the skill's that was read as code; or nothing."""
    if not re.match(r"\.{1,2}(?:/|$)", name):
        return ""
    place = posixpath.normpath(posixpath.join(posixpath.dirname(path), name.partition("?")[0].partition("#")[0]))
    if place.startswith(".."):
        return f"{name[:60]} lies outside of the skill's folder, and {DYNAMIC[1]}"
    if posixpath.splitext(place)[1] in READ:
        return ""
    if posixpath.splitext(place)[1] in (".ts", ".mts", ".cts") or (files is not None and place in files):
        return f"{name[:60]} is loaded as code without being named so, and {DYNAMIC[1]}: Node's endings are .js, .cjs and .mjs"
    return ""


class Reaching:
    """The files of one module."""

    def __init__(self, tree: Node, parents: Mapping[int, tuple[Node, str]], folding: Folding, permitted: Permitted, depth: int) -> None:
        self._tree, self._parents, self._folding, self._depth = tree, parents, folding, depth
        names = {node["name"] for node in walk(tree) if node["type"] == "Identifier"}
        self._keeps = permitted.storage or not SCRATCH.isdisjoint(names)
        self._own = {name for node in walk(tree) for name in _bound(node)}
        self._aliases = {alias: name for node in walk(tree) for alias, name in _aliases(node)}

    def found(self) -> Found:
        for node in walk(self._tree):
            kind = node["type"]
            if kind in ("CallExpression", "NewExpression"):
                yield from self._called(node)
            elif kind == "MemberExpression":
                yield from self._member(node)
            if (text := literal(node)) is not None and (standard(text) or text.startswith("file:")):
                yield line(node), FILES[0], f"{text[:60]!r} {FILES[1]}"

    def _called(self, node: Node) -> Found:
        called = self._name(node["callee"])
        if called not in READING | WRITING:
            return
        path = self._folding.text(node["arguments"][0]) if node["arguments"] else None
        if path is not None and self._outside(path):
            yield line(node), FILES[0], f"{called} of {path[:60].replace(UNKNOWN, '…')!r} {FILES[1]}"
        elif called in WRITING and not (temporary(path) if path and UNKNOWN not in path else self._keeps) and not self._reads(called, node):
            yield line(node), KEEPS[0], f"{called} {KEEPS[1]}"

    def _member(self, node: Node) -> Found:
        """A member of fs that is no call: it is called elsewhere, by a name that says nothing."""
        name = self._folding.known(node["property"]) if node["computed"] else node["property"].get("name")
        if node["computed"] and name is None and dotted(node["object"]) in self._own:
            yield line(node), "object-as-value", f"a member of {dotted(node['object'])} whose name is computed hides what is used of it: name it"
        _, field = self._parents.get(id(node), ({}, ""))
        if name in WRITING and field != "callee" and not self._keeps and (dotted(node["object"]) or "").partition(".")[0] in self._own:
            yield line(node), KEEPS[0], f"{name} {KEEPS[1]}"

    def _name(self, callee: Node) -> str:
        """The last name of what is called, whatever it is a member of, or whatever it goes by here."""
        if callee["type"] == "MemberExpression":
            return (self._folding.known(callee["property"]) if callee["computed"] else callee["property"].get("name")) or ""
        name = dotted(callee) or ""
        return self._aliases.get(name, name)

    def _outside(self, path: str) -> bool:
        ups = re.split(r"[\\/]", path).count("..")
        return outside(path) and not (0 < ups <= self._depth and not path.startswith("/"))

    def _reads(self, called: str, node: Node) -> bool:
        """`open` without a mode, or with one that reads."""
        given = node["arguments"]
        return called in ("open", "openSync") and (len(given) < 2 or self._folding.known(given[1]) in ("r", "rs"))


def _is_fs(node: Node | None) -> bool:
    if node and node["type"] in ("AwaitExpression", "MemberExpression"):  # require('fs').promises
        return _is_fs(node.get("argument") or node.get("object"))
    if not node or not loads(node):
        return False
    name = literal(node.get("source") or (node.get("arguments") or [None])[0]) or ""
    return name.removeprefix("node:").partition("/")[0] == "fs"


def _bound(node: Node) -> Iterator[str]:
    """Names that are fs, or a part of it that has the same members."""
    if node["type"] == "VariableDeclarator" and node["id"]["type"] == "Identifier" and _is_fs(node["init"]):
        yield node["id"]["name"]
    elif node["type"] == "ImportDeclaration" and _is_fs(node):
        yield from (each["local"]["name"] for each in node["specifiers"] if each["type"] != "ImportSpecifier")


def _aliases(node: Node) -> Iterator[tuple[str, str]]:
    """Local names of members: `{ readFile: read }`, `const read = fs.readFile`, `import { readFile as read }`."""
    if node["type"] == "ObjectPattern":
        for part in node["properties"]:
            if part["type"] == "Property" and part["value"]["type"] == "Identifier" and not part["computed"]:
                yield part["value"]["name"], str(part["key"].get("name") or part["key"].get("value"))
    elif node["type"] == "ImportSpecifier" and node["imported"]["type"] == "Identifier":
        yield node["local"]["name"], node["imported"]["name"]
    elif (
        node["type"] == "VariableDeclarator" and node["id"]["type"] == "Identifier" and (held := node["init"] or {}).get("type") == "MemberExpression"
    ):
        yield node["id"]["name"], str(held["property"].get("name"))
