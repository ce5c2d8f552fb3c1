"""What of JavaScript may lead anywhere and is honest often enough: reflection, members of functions whose names are computed, `this` where it may be
the global object. For a person to look at, never a reason to refuse by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.languages.node.banned import OUT
from agent.languages.node.folding import Folding
from agent.languages.node.tree import Node, children, dotted, line, literal, walk

Found = Iterator[tuple[int, str, str]]

_FUNCTIONS = ("FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression")
_CLASSES = ("ClassDeclaration", "ClassExpression")
_REFLECTS = frozenset(("getOwnPropertyNames", "getOwnPropertyDescriptor", "getOwnPropertyDescriptors", "getPrototypeOf", "ownKeys"))
_BUILTIN = frozenset(
    ("Object", "Array", "String", "Number", "Boolean", "Promise", "Map", "Set", "RegExp", "Error", "Date", "Symbol", "Proxy", "Buffer")
)
_COMPARED = ("BinaryExpression", "SwitchCase")


def suspicions(tree: Node) -> Found:
    """Line, rule and message of each."""
    seen = _Seen(tree)
    for node in walk(tree):
        kind = node["type"]
        if kind == "MemberExpression":
            yield from seen.member(node)
        elif kind == "Identifier":
            yield from seen.name(node)
        elif kind == "Literal":
            yield from seen.text(node)
        elif kind == "ThisExpression":
            yield from seen.this(node)
        elif kind == "CallExpression" and node["callee"]["type"] == "CallExpression":
            yield from seen.twice(node)


class _Seen:
    def __init__(self, tree: Node) -> None:
        self._parents = {id(child): (node, field) for node in walk(tree) for field, child in children(node)}
        self._folding = Folding(tree)
        self._strict = tree.get("sourceType") == "module" or _strict(tree["body"])
        self._functions = {node["id"]["name"] for node in walk(tree) if node["type"] in (*_FUNCTIONS[:1], *_CLASSES[:1]) and node["id"]} | {
            node["id"]["name"]
            for node in walk(tree)
            if node["type"] == "VariableDeclarator" and node["id"]["type"] == "Identifier" and (node["init"] or {}).get("type") in _FUNCTIONS
        }

    def member(self, node: Node) -> Found:
        owner = node["object"]
        if node["computed"] and self._folding.known(node["property"]) is None and self._is_function(owner):
            yield line(node), "computed-member", "a member of a function whose name is computed may be `constructor`, which makes code of texts"
        if dotted(node) == "this.constructor":
            parent, field = self._parents.get(id(node), ({}, ""))
            if not (field == "object" and not parent["computed"]):
                yield line(node), "own-constructor", "the constructor of what `this` is may be Function, which makes code of texts: name the class"

    def _is_function(self, owner: Node) -> bool:
        if owner["type"] in (*_FUNCTIONS, *_CLASSES):
            return True
        if owner["type"] == "Identifier":
            return owner["name"] in self._functions or owner["name"] in _BUILTIN
        held = owner["object"]["type"] if owner["type"] == "MemberExpression" else ""
        return held in ("ArrayExpression", "Literal", "TemplateLiteral")

    def name(self, node: Node) -> Found:
        parent, field = self._parents.get(id(node), ({}, ""))
        if node["name"] == "Reflect" and field not in ("property", "key"):
            yield line(node), "reflection", "Reflect reaches members without naming them: which ones can that be?"
        elif node["name"] in _REFLECTS and field in ("property", "key"):
            above, _ = self._parents.get(id(parent), ({}, ""))
            compared, _ = self._parents.get(id(above), ({}, ""))
            if not (node["name"] == "getPrototypeOf" and compared.get("type") == "BinaryExpression"):
                yield line(node), "reflection", f"{node['name']} reaches members without naming them: which ones can that be?"

    def text(self, node: Node) -> Found:
        """A name that leads out, as text: honest where it is what inputs are compared with."""
        if literal(node) not in OUT:
            return
        parent, field = self._parents.get(id(node), ({}, ""))
        above, _ = self._parents.get(id(parent), ({}, ""))
        listed = parent.get("type") == "ArrayExpression" and (
            above.get("type") == "NewExpression"
            or (above.get("type") == "MemberExpression" and above["property"].get("name") in ("includes", "indexOf"))
        )
        asked = parent.get("type") == "CallExpression" and (parent["callee"].get("property") or {}).get("name") in (
            "includes",
            "hasOwn",
            "has",
            "test",
        )
        if not (parent.get("type") in _COMPARED or listed or asked or field == "key"):
            yield line(node), "spelled-name", f"{literal(node)!r} as text: a member of that name leads to code that is made of texts"

    def this(self, node: Node) -> Found:
        """In a script that is not strict, `this` of a function that is called plainly is the global object."""
        parent, field = self._parents.get(id(node), ({}, ""))
        if field == "object" and not parent["computed"] and parent["property"]["name"] not in _GLOBAL:
            return
        if not self._strict and self._is_loose(node):
            yield line(node), "loose-this", "`this` may be the global object here: begin the file with 'use strict'"

    def _is_loose(self, node: Node) -> bool:
        inside, functions = node, 0
        while (above := self._parents.get(id(inside))) is not None:
            inside = above[0]
            if inside["type"] in _CLASSES:
                return False
            if inside["type"] in ("FunctionDeclaration", "FunctionExpression"):
                functions += 1
                if _strict(inside["body"]["body"]):
                    return False
        return functions > 0

    def twice(self, node: Node) -> Found:
        inner = node["callee"]["callee"]
        if inner["type"] == "MemberExpression" and inner["computed"] and self._folding.known(inner["property"]) is None:
            yield line(node), "computed-member", "what a member of a computed name gives is called: that may be Function, which makes code of texts"


_GLOBAL = frozenset(("process", "require", "module", "eval", "Function", "fetch", "WebSocket", "EventSource", "WebAssembly", "globalThis", "global"))


def _strict(body: list[Node]) -> bool:
    return any(statement.get("directive") == "use strict" for statement in body)
