"""Mutants of JavaScript, and gutted modules: changes of the text at the places that its tree tells. Standard library only; runs in the
sandbox too.

The operators are those of `python/mutate.py`. A place that tests cannot fairly be asked to notice has none: directives, imports and
exports, names of properties, the words of an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent.languages.node.tree import Node, children, dotted, line

OPERATORS = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "===": "!==", "!==": "===", "+": "-", "-": "+", "*": "/", "/": "*",
    "%": "*", "**": "*", "&": "|", "|": "&", "^": "&", "<<": ">>", ">>": "<<", ">>>": "<<", "&&": "||", "||": "&&", "??": "&&",
    "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*=", "%=": "*=", "++": "--", "--": "++", "&&=": "||=", "||=": "&&=",
}  # fmt: skip
FUNCTIONS = ("FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression")
LEFT_OUT = ("ImportDeclaration", "ExportAllDeclaration", "TemplateElement")


@dataclass(frozen=True)
class Site:
    """One mutant: what lies from `start` to `end` (in UTF-16 code units) becomes `new`.

    `inside` tells whether it lies in a function, `statement` is the line where the statement around it starts.
    """

    start: int
    end: int
    old: str
    new: str
    line: int
    statement: int
    inside: bool

    @property
    def change(self) -> str:
        """In words: `a < b` → `a <= b`."""
        return f"{_shown(self.old)} → {_shown(self.new)}"


class Text:
    """A source that is cut as JavaScript counts: in UTF-16 code units."""

    def __init__(self, source: str) -> None:
        self._units = source.encode("utf-16-le", errors="surrogatepass")

    def __getitem__(self, span: tuple[int, int]) -> str:
        return self._units[2 * span[0] : 2 * span[1]].decode("utf-16-le", errors="replace")

    def with_changes(self, changes: list[tuple[int, int, str]]) -> str:
        """The source with what lies from start to end replaced; the spans must not overlap."""
        units = self._units
        for start, end, new in sorted(changes, reverse=True):
            units = units[: 2 * start] + new.encode("utf-16-le") + units[2 * end :]
        return units.decode("utf-16-le", errors="surrogatepass")


def sites(source: str, tree: Node) -> list[Site]:
    """All mutants of a module, in the order of the source."""
    text = Text(source)
    found = {(start, end, new): (start, end, new, at, inside) for start, end, new, at, inside in _walk(tree, text, 1, False, False)}
    return [
        Site(start, end, text[start, end], new, text[0, start].count("\n") + 1, statement, inside)
        for start, end, new, statement, inside in (found[place] for place in sorted(found))
    ]


def mutated(source: str, site: Site) -> str:
    return Text(source).with_changes([(site.start, site.end, site.new)])


def _walk(node: Node, text: Text, statement: int, inside: bool, words: bool) -> Iterator[tuple[int, int, str, int, bool]]:
    for field, child in children(node):
        if _left_out(node, field, child):
            continue
        first = line(child) if child["type"].endswith(("Statement", "Declaration")) and child["type"] != "BlockStatement" else statement
        spoken = words or child["type"] == "ThrowStatement" or _is_error(child)
        if not (words and child["type"] in ("Literal", "TemplateLiteral", "BinaryExpression")):
            for start, end, new in _mutations(child, text):
                yield start, end, new, first, inside
        yield from _walk(child, text, first, inside or child["type"] in FUNCTIONS, spoken)


def _left_out(node: Node, field: str, child: Node) -> bool:
    if child["type"] in LEFT_OUT or "directive" in child:
        return True
    if (field == "key" and not node.get("computed")) or field == "source":
        return True
    return child["type"] == "CallExpression" and dotted(child["callee"]) == "require"


def _is_error(node: Node) -> bool:
    return node["type"] in ("NewExpression", "CallExpression") and (dotted(node["callee"]) or "").endswith("Error")


def _mutations(node: Node, text: Text) -> Iterator[tuple[int, int, str]]:
    """What may stand in place of a part of `node`."""
    kind, start, end = node["type"], node["start"], node["end"]
    if kind in ("BinaryExpression", "LogicalExpression", "AssignmentExpression"):
        if new := OPERATORS.get(node["operator"]):
            after = node["left"]["end"]
            between = text[after, node["right"]["start"]]
            place = after + between.index(node["operator"])
            yield place, place + len(node["operator"]), new
    elif kind == "UpdateExpression":
        place = start if node["prefix"] else end - 2
        yield place, place + 2, OPERATORS[node["operator"]]
    elif kind == "UnaryExpression" and node["operator"] in ("!", "-"):
        yield start, node["argument"]["start"], ""
    elif kind == "Literal":
        yield from ((start, end, new) for new in _literals(node))
    elif kind in ("IfStatement", "WhileStatement", "ConditionalExpression"):
        test = node["test"]
        if test["type"] not in ("BinaryExpression", "UnaryExpression", "Literal"):  # those have mutants of their own
            yield test["start"], test["end"], f"!({text[test['start'], test['end']]})"
    elif kind == "ReturnStatement" and node["argument"] and dotted(node["argument"]) != "undefined":
        yield node["argument"]["start"], node["argument"]["end"], "undefined"
    elif kind == "ContinueStatement" and not node["label"]:
        yield start, end, "break;"
    elif kind == "ThrowStatement" or (kind == "ExpressionStatement" and not _exports(node["expression"])):
        yield start, end, ";"
    elif kind == "ArrowFunctionExpression" and node["expression"]:
        yield node["body"]["start"], node["body"]["end"], "undefined"


def _literals(node: Node) -> Iterator[str]:
    value = node["value"]
    if node.get("regex") or node.get("bigint") or value is None:
        return
    if isinstance(value, bool):
        yield "false" if value else "true"
    elif isinstance(value, int | float):
        yield repr(value + 1) if abs(value) < 2**53 else "0"
    else:
        yield "''" if value else "'x'"


def _exports(expression: Node) -> bool:
    return expression["type"] == "AssignmentExpression" and (dotted(expression["left"]) or "").split(".")[0] in ("exports", "module")


# ---- a gutted module ------------------------------------------------------------------------------------------------------


def gutted(source: str, tree: Node, results: dict[str, Any]) -> str:
    """`source` in which each function of the module's own level returns its value in `results`, or undefined.

    A test suite that still passes against it tests nothing.
    """
    text, changes = Text(source), []
    for name, function in _functions(tree):
        start, end = function["body"]["start"], function["end"]
        if function.get("expression"):  # an arrow's value, maybe in parentheses
            start = function["start"] + len(text[function["start"], start].rpartition("=>")[0].encode("utf-16-le")) // 2 + 2
        least = json.dumps(results[name]) if name in results else "undefined"
        changes.append((start, end, f"{{ return {least}; }}"))
    return text.with_changes(changes)


def _functions(tree: Node) -> Iterator[tuple[str, Node]]:
    for statement in tree["body"]:
        declared = statement.get("declaration") or statement
        if declared["type"] == "FunctionDeclaration":
            yield (declared["id"] or {}).get("name", ""), declared
        else:
            yield from _assigned("", declared)  # of `export default`
        for variable in declared.get("declarations", ()):
            yield from _assigned(variable["id"].get("name", ""), variable["init"])
        expression = statement.get("expression")
        if isinstance(expression, dict) and expression["type"] == "AssignmentExpression":
            yield from _assigned((dotted(expression["left"]) or "").rpartition(".")[2], expression["right"])


def _assigned(name: str, value: Node | None) -> Iterator[tuple[str, Node]]:
    if value and value["type"] in FUNCTIONS:
        yield name, value
    elif value and value["type"] == "ObjectExpression":
        for item in value["properties"]:
            if item["type"] == "Property":
                yield from _assigned(item["key"].get("name", ""), item["value"])


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return (f"`{text}`" if len(text) <= 60 else f"`{text[:59]}…`") if text else "nothing"
