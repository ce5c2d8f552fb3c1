"""Syntax trees of JavaScript, as nested dicts (ESTree). Standard library only; runs in the sandbox too."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SECONDS = 60.0

Node = dict[str, Any]


class Unreadable(ValueError):
    """There is no tree: the text says why, `line` where."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def parse(node: str, script: str, sources: Sequence[tuple[str, str]]) -> list[Node | Unreadable]:
    """The tree of each (path, source), in one run of Node with `parse.js` as `script`; what cannot be read gives Unreadable.

    Raises OSError where the parser does not answer.
    """
    given = json.dumps([{"source": source, "module": path.endswith(".mjs")} for path, source in sources]).encode()
    try:
        said = subprocess.run([node, "--expose-internals", script], input=given, capture_output=True, timeout=SECONDS, check=False)
        answers = [_answer(line) for line in said.stdout.splitlines()]
    except subprocess.TimeoutExpired as error:
        raise OSError(str(error)) from None
    if len(answers) != len(sources):
        raise OSError(said.stderr.decode(errors="replace").strip()[-400:])
    return answers


def _answer(line: bytes) -> Node | Unreadable:
    try:
        answer = json.loads(line)
    except RecursionError:
        return Unreadable("it is nested too deeply")
    return answer["tree"] if "tree" in answer else Unreadable(answer["error"], answer["line"])


def children(node: Node) -> Iterator[tuple[str, Node]]:
    """The nodes directly below, in the order of the source as far as the fields are, each with its field."""
    for field, value in node.items():
        if isinstance(value, dict) and "type" in value:
            yield field, value
        elif isinstance(value, list):
            yield from ((field, item) for item in value if isinstance(item, dict) and "type" in item)


def walk(node: Node) -> Iterator[Node]:
    """`node` and all below it."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(child for _, child in children(found))


def line(node: Node) -> int:
    return int(node["loc"]["start"]["line"])


def literal(node: Node | None) -> str | None:
    """The text of a string literal, or of a template without expressions; None of anything else."""
    if node and node["type"] == "Literal" and isinstance(node["value"], str) and not node.get("regex"):
        return str(node["value"])
    if node and node["type"] == "TemplateLiteral" and not node["expressions"]:
        return str(node["quasis"][0]["value"]["cooked"])
    return None


def dotted(node: Node | None) -> str | None:
    """`process.env.HOME` for that chain of members, also where a name is given as `['HOME']`; None of anything else."""
    if node is None:
        return None
    if node["type"] == "ChainExpression":
        return dotted(node["expression"])
    if node["type"] in ("Identifier", "PrivateIdentifier"):
        return str(node["name"])
    if node["type"] in ("ThisExpression", "MetaProperty"):
        return "this" if node["type"] == "ThisExpression" else "import.meta"
    if node["type"] == "MemberExpression" and (inner := dotted(node["object"])):
        name = literal(node["property"]) if node["computed"] else dotted(node["property"])
        return f"{inner}.{name}" if name is not None else None
    return None


def is_parameter(node: Node, parents: Mapping[int, tuple[Node, str]]) -> bool:
    """Whether a name is that of a parameter of a function around it: what was handed over was looked at where that was done."""
    inside: Node | None = node
    while inside:
        if any(each["type"] == "Identifier" and each["name"] == node["name"] for each in inside.get("params", ())):
            return True
        inside, _ = parents.get(id(inside), (None, ""))
    return False
