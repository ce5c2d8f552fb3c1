"""What an expression of JavaScript comes to, as far as that stands in the code: texts in pieces, in lists, by numbers, in usual notations.

Nothing is run: what a method of a text does to constants is done here. What only a run knows is UNKNOWN within a text, and None as a whole.
"""

from __future__ import annotations

import base64
import binascii
import json
import posixpath
from collections.abc import Callable
from urllib.parse import unquote

from agent.languages.node.tree import Node, dotted, walk

UNKNOWN = "\x00"
LONGEST = 2**14  # characters, or elements
Value = str | int | float | list["Value"] | None


class Folding:
    """The constants of a module, and what its expressions come to."""

    def __init__(self, tree: Node) -> None:
        self._constants: dict[str, Node] = {}
        self._values: dict[int, Value] = {}
        changed = set[str]()
        for node in walk(tree):
            if node["type"] == "VariableDeclarator" and node["id"]["type"] == "Identifier" and node["init"]:
                name = node["id"]["name"]
                if name in self._constants:
                    changed.add(name)
                self._constants[name] = node["init"]
            elif node["type"] in ("AssignmentExpression", "UpdateExpression"):
                target = node.get("left") or node.get("argument") or {}
                changed |= {part["name"] for part in walk(target) if part["type"] == "Identifier"} if target["type"] != "MemberExpression" else set()
        for name in changed:
            self._constants.pop(name, None)

    def text(self, node: Node | None) -> str | None:
        """The text; with UNKNOWN for the parts that are not known; None where nothing is."""
        value = self.value(node)
        if isinstance(value, list):
            value = ",".join("" if part is None else str(part) for part in value)
        return None if value is None else str(value)

    def known(self, node: Node | None) -> str | None:
        """The text where all of it is known."""
        text = self.text(node)
        return None if text is None or UNKNOWN in text else text

    def value(self, node: Node | None) -> Value:
        if node is None:
            return None
        if id(node) not in self._values:
            self._values[id(node)] = None  # of what is made of itself, nothing is known
            self._values[id(node)] = _bounded(self._worked_out(node))
        return self._values[id(node)]

    def _worked_out(self, node: Node) -> Value:
        kind = node["type"]
        if kind == "Literal":
            fine = not node.get("regex") and isinstance(node["value"], str | int | float) and not isinstance(node["value"], bool)
            return node["value"] if fine else None
        if kind == "TemplateLiteral":
            texts = [str(part["value"]["cooked"] or "") for part in node["quasis"]]
            between = [self._part(part) for part in node["expressions"]]
            return "".join(text + inner for text, inner in zip(texts, [*between, ""], strict=True))
        if kind == "BinaryExpression":
            return self._sum(node)
        if kind == "ArrayExpression":
            return self._list(node)
        if kind == "Identifier":
            return self.value(self._constants.get(node["name"]))
        if kind == "MemberExpression":
            return self._element(node)
        if kind == "CallExpression":
            return self._called(node)
        if kind == "TaggedTemplateExpression" and dotted(node["tag"]) == "String.raw":
            return self.value(node["quasi"])
        if kind == "UnaryExpression" and node["operator"] == "-" and isinstance(value := self.value(node["argument"]), int | float):
            return -value
        return self.value(node["expression"]) if kind == "ChainExpression" else None

    def _part(self, node: Node) -> str:
        return UNKNOWN if (text := self.text(node)) is None else text

    def _sum(self, node: Node) -> Value:
        parts: list[Node] = []
        while node["type"] == "BinaryExpression" and node["operator"] == "+":  # as long as it may be
            parts.append(node["right"])
            node = node["left"]
        if node["type"] == "BinaryExpression":
            return None
        values = [self.value(part) for part in (node, *reversed(parts))]
        if all(isinstance(value, int | float) for value in values):
            return sum(values)  # type: ignore[arg-type]
        return "".join(UNKNOWN if value is None else str(value) for value in values) if any(isinstance(value, str) for value in values) else None

    def _list(self, node: Node) -> Value:
        found: list[Value] = []
        for part in node["elements"]:
            if part and part["type"] == "SpreadElement":
                inner = self.value(part["argument"])
                found += list(inner) if isinstance(inner, str | list) else [UNKNOWN]
            else:
                value = self.value(part)
                found.append(UNKNOWN if value is None else value)
        return found

    def _element(self, node: Node) -> Value:
        """Of a list or a table that is written out."""
        name = self.known(node["property"]) if node["computed"] else node["property"].get("name")
        owner = node["object"]
        if owner["type"] == "Identifier":
            owner = self._constants.get(owner["name"], owner)
        if owner["type"] == "ObjectExpression":
            for part in owner["properties"]:
                key = part.get("key") or {}
                if part["type"] == "Property" and not part["computed"] and name in (key.get("name"), str(key.get("value"))):
                    return self.value(part["value"])
        value = self.value(owner)
        if isinstance(value, list | str) and name and name.isdigit() and int(name) < len(value):
            return value[int(name)]
        return None

    def _called(self, node: Node) -> Value:
        callee, given = node["callee"], [self.value(part) for part in node["arguments"]]
        name = dotted(callee) or ""
        try:
            if name in _FUNCTIONS:
                return _FUNCTIONS[name](*given)
            if callee["type"] != "MemberExpression":
                return None
            method = self.known(callee["property"]) if callee["computed"] else callee["property"].get("name")
            owner = self.value(callee["object"])
            if owner is None:
                return _joined(method, given)
            return _METHODS[method](owner, *given) if method in _METHODS else None
        except (TypeError, ValueError, IndexError, AttributeError, OverflowError):
            return None  # it is no constant, or a mistake of its own


def _bounded(value: Value) -> Value:
    return None if isinstance(value, str | list) and len(value) > LONGEST else value


def _joined(method: str | None, given: list[Value]) -> Value:
    """path.join and path.resolve, by whatever name path goes."""
    if method not in ("join", "resolve") or len(given) < 2:
        return None
    parts = [UNKNOWN if part is None else str(part) for part in given]
    return posixpath.join(*parts) if method == "resolve" else "/".join(filter(None, parts)).replace("//", "/")


def _from(value: Value, encoding: Value = None, *_: Value) -> Value:
    if isinstance(value, list):
        return "".join(chr(int(number)) for number in value)  # type: ignore[arg-type]
    if encoding in ("base64", "base64url"):
        return _atob(value)
    return bytes.fromhex(str(value)).decode("latin-1") if encoding == "hex" else value


def _atob(value: Value) -> str:
    text = str(value).translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4)).decode("latin-1")
    except binascii.Error:
        raise ValueError from None


def _letters(*numbers: Value) -> str:
    return "".join(chr(int(number)) for number in numbers)  # type: ignore[arg-type]


def _slice(value: Value, start: Value = 0, end: Value = None) -> Value:
    return value[int(start or 0) : None if end is None else int(end)]  # type: ignore[index,arg-type,return-value]


def _split(value: Value, mark: Value = None, *_: Value) -> Value:
    return list(value) if mark == "" else [value] if mark is None else str(value).split(str(mark))  # type: ignore[arg-type,return-value]


def _concat(value: Value, *more: Value) -> Value:
    if isinstance(value, list):
        return [*value, *(item for part in more for item in (part if isinstance(part, list) else [part]))]
    return "".join(UNKNOWN if part is None else str(part) for part in (value, *more))


def _repeat(value: Value, times: Value) -> Value:
    return str(value) * int(times) if len(str(value)) * int(times) <= LONGEST else None  # type: ignore[arg-type]


_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "String": lambda value="": None if value is None else str(value),
    "String.fromCharCode": _letters,
    "String.fromCodePoint": _letters,
    "atob": _atob,
    "Buffer.from": _from,
    "JSON.parse": lambda value: json.loads(value),
    **dict.fromkeys(("decodeURIComponent", "decodeURI", "unescape"), lambda value: unquote(value)),
}
_METHODS: dict[str | None, Callable[..., Value]] = {
    "join": lambda value, mark=",": mark.join(UNKNOWN if part is None else str(part) for part in value) if isinstance(value, list) else None,
    "reverse": lambda value: value[::-1] if isinstance(value, list) else None,
    "toReversed": lambda value: value[::-1] if isinstance(value, list) else None,
    "concat": _concat,
    "slice": _slice,
    "substring": _slice,
    "substr": lambda value, start, length=None: value[int(start) :][: None if length is None else int(length)],
    "split": _split,
    "replace": lambda value, old, new: value.replace(old, new, 1),
    "replaceAll": lambda value, old, new: value.replace(old, new),
    "toLowerCase": lambda value: value.lower(),
    "toUpperCase": lambda value: value.upper(),
    "repeat": _repeat,
    "at": lambda value, index=0: value[int(index)],
    "charAt": lambda value, index=0: value[int(index)],
    **dict.fromkeys(("trim", "trimStart", "trimEnd"), lambda value: value.strip()),
    **dict.fromkeys(("toString", "valueOf", "normalize"), lambda value, *_: value if isinstance(value, str) else None),
}
