"""Our own security rules for JavaScript, on the syntax tree: what hides code from a reader or reaches out of the sandbox.

They look at references, not at calls, so that `const run = eval` is as good as `eval(…)`. In tests, what is ordinary there is a note.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from agent.languages.literals import PAYLOAD, opaque
from agent.languages.node.banned import (
    DECODERS,
    DYNAMIC,
    ENCODED,
    ENVIRONMENT,
    GLOBAL_OBJECTS,
    GLOBALS,
    HARMLESS,
    MEMBERS,
    MODULES,
    NETWORK,
    SENSITIVE,
    TIMERS,
    UNKNOWN_MODULES,
)  # fmt: skip
from agent.languages.node.evasion import evasions
from agent.languages.node.folding import Folding
from agent.languages.node.reaching import ALONE, Reaching, Skill, loaded, unread
from agent.languages.node.tree import Node, children, dotted, is_parameter, line, literal, walk
from agent.languages.permitted import Permitted

Broken = tuple[int, str, str, Literal["error", "note"]]
Found = Iterator[tuple[int, str, str]]


def broken(tree: Node, permitted: Permitted, *, in_tests: bool = False, skill: Skill = ALONE, path: str = "skill.js") -> list[Broken]:
    """The rules that a module breaks: line, rule, message, level; each once a line. `path`: where it lies in its skill."""
    try:
        reading = _Reading(tree, permitted, skill, path, in_tests=in_tests)
        found = {*reading.broken(), *(() if in_tests else reading.files())}
    except RecursionError:
        return [(1, "unreadable", "nested too deeply to be read", "error")]
    lenient = {ENVIRONMENT[0], ENCODED[0], "object-as-value"} if in_tests else set()
    return [(number, rule, message, "note" if rule in lenient else "error") for number, rule, message in sorted(found)]


class _Reading:
    def __init__(self, tree: Node, permitted: Permitted, skill: Skill, path: str, *, in_tests: bool) -> None:
        self._tree, self._permitted, self._skill, self._path, self._in_tests = tree, permitted, skill, path, in_tests
        self._folding = Folding(tree)
        # Where each node hangs: its parent, and the field of that.
        self._parents = {id(child): (node, field) for node in walk(tree) for field, child in children(node)}
        self._literals = {
            node["id"]["name"]: _written(node["init"])
            for node in walk(tree)
            if node["type"] == "VariableDeclarator" and node["init"] and node["id"]["type"] == "Identifier"
        }

    def broken(self) -> Found:
        yield from evasions(self._tree, self._parents, self._folding, machine="os" in loaded(self._tree))
        for node in walk(self._tree):
            kind = node["type"]
            if kind in ("ImportDeclaration", "ExportNamedDeclaration", "ExportAllDeclaration", "ImportExpression"):
                yield from self._loaded(node, node["source"])
            elif kind in ("CallExpression", "NewExpression"):
                yield from self._called(node)
            elif kind == "Identifier":
                yield from self._named(node)
            elif kind == "MemberExpression":
                yield from self._member(node)
            elif kind in ("Literal", "TemplateElement"):
                yield from self._written_out(node)

    def files(self) -> Found:
        """What a module does by fs, be it loaded here or handed over by another of the skill's."""
        if self._skill.reaches or "fs" in loaded(self._tree):
            yield from Reaching(self._tree, self._parents, self._folding, self._permitted, self._path.count("/")).found()

    def _loaded(self, node: Node, source: Node | None) -> Found:
        if source is None:
            return
        name = literal(source)
        if name is None:
            yield line(node), DYNAMIC[0], f"a module whose name is computed {DYNAMIC[1]}"
            return
        plain = name.removeprefix("node:")
        rule = MODULES.get(plain) or MODULES.get(plain.partition("/")[0])
        if rule and not (rule is NETWORK and self._permitted.network):
            yield line(node), rule[0], f"{plain} {rule[1]}"
        elif not rule and not self._in_tests and (plain in UNKNOWN_MODULES or (name.startswith("node:") and plain not in HARMLESS)):
            yield line(node), DYNAMIC[0], f"{name} {DYNAMIC[1]}: no rule knows what that module does"
        elif why := unread(name, self._path, self._skill.files):
            yield line(node), DYNAMIC[0], why
        elif name.startswith(("data:", "http:", "https:", "blob:", "/", "file:")) or name.endswith((".node", ".wasm")):
            yield line(node), DYNAMIC[0], f"{name[:60]} {DYNAMIC[1]}"

    def _called(self, node: Node) -> Found:
        called, given = dotted(node["callee"]) or "", node["arguments"]
        if called == "require":
            yield from self._loaded(node, given[0] if given else node)
        elif called.rpartition(".")[2] in TIMERS and given and not _is_function(given[0]):
            yield line(node), DYNAMIC[0], f"{called} of what is no function {DYNAMIC[1]}"
        elif called.removeprefix("globalThis.") in DECODERS and sum(self._size(item) for item in given) >= PAYLOAD:
            yield line(node), ENCODED[0], f"{called} {ENCODED[1]}"

    def _named(self, node: Node) -> Found:
        """A name that stands for itself: not a member, a key or a label."""
        name = node["name"]
        parent, field = self._parents.get(id(node), ({}, ""))
        if (field in ("property", "key") and not parent.get("computed")) or field in ("label", "imported", "exported", "local"):
            return
        rule = GLOBALS.get(name)
        if rule and not (rule is NETWORK and self._permitted.network):
            yield line(node), rule[0], f"{name} {rule[1]}"
        elif name in SENSITIVE and not (
            field == "object" or (field == "callee" and name == "require") or _asks_type(parent) or is_parameter(node, self._parents)
        ):
            yield line(node), "object-as-value", f"{name} is used as a value, which hides what is used of it: name the member"

    def _member(self, node: Node) -> Found:
        name = dotted(node)
        parent, field = self._parents.get(id(node), ({}, ""))
        last = literal(node["property"]) if node["computed"] else node["property"].get("name")
        owner = dotted(node["object"])
        if last == "constructor" and owner != "this" and not (field == "object" and not parent["computed"] and parent["property"]["name"] == "name"):
            yield line(node), DYNAMIC[0], f"`.constructor` {DYNAMIC[1]}: it leads to Function"
        elif last in ("__proto__", "__defineGetter__", "__lookupGetter__"):
            yield line(node), DYNAMIC[0], f"`.{last}` changes what objects are"
        elif owner in SENSITIVE and node["computed"] and last is None:
            yield line(node), DYNAMIC[0], f"a member of {owner} whose name is computed {DYNAMIC[1]}"
        elif name == "process.env":
            yield from self._environment(node, parent, field)
        elif (rule := MEMBERS.get(name or "")) or (
            owner in GLOBAL_OBJECTS and (rule := GLOBALS.get(last or "")) and not (rule is NETWORK and self._permitted.network)
        ):
            yield line(node), rule[0], f"{name} {rule[1]}"
        elif owner in GLOBAL_OBJECTS and last in SENSITIVE:
            yield line(node), "object-as-value", f"{name} hides what is used of it: write {last} alone"

    def _environment(self, node: Node, parent: Node, field: str) -> Found:
        """A variable of the environment that the skill was given may be read, by a constant name."""
        if field == "object":
            name = literal(parent["property"]) if parent["computed"] else parent["property"]["name"]
            if name and (name.startswith("SKILL_") or name in self._permitted.variables):
                return
        yield line(node), ENVIRONMENT[0], f"process.env {ENVIRONMENT[1]}"

    def _written_out(self, node: Node) -> Found:
        text = node["value"]["cooked"] if node["type"] == "TemplateElement" else node["value"]
        if not isinstance(text, str) or node.get("regex"):
            return
        if text.startswith(("/proc/", "/sys/")):
            yield line(node), ENVIRONMENT[0], f"{text[:40]} {ENVIRONMENT[1]}"
        elif opaque(text):
            yield line(node), ENCODED[0], f"a literal of {len(text)} characters that nobody can read: write its content in plain"

    def _size(self, node: Node) -> int:
        """How much is written out in an expression, and in the constants that it names."""
        named = [self._literals.get(part["name"], 0) for part in walk(node) if part["type"] == "Identifier"]
        return max(named, default=0) + _written(node)


def _written(node: Node) -> int:
    """Characters of the strings and numbers of the lists in an expression."""
    literals = [part["value"] for part in walk(node) if part["type"] == "Literal"]
    return sum(len(value) if isinstance(value, str) else 1 for value in literals)


def _is_function(node: Node) -> bool:
    return node["type"] in ("ArrowFunctionExpression", "FunctionExpression", "Identifier", "MemberExpression")


def _asks_type(parent: Node) -> bool:
    """`typeof process`, and an assignment to `module.exports` as a whole is a member anyway."""
    return parent.get("type") == "UnaryExpression" and parent.get("operator") == "typeof"
