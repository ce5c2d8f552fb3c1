"""What the steps of a JSONPath select: functions from a node (its pointer and value) to nodes."""

import operator
from collections.abc import Callable, Iterator
from typing import Any

from assertions import canonical, is_number
from faults import TooComplexError
from pointers import below

Node = tuple[str, Any]
Select = Callable[[str, Any], Iterator[Node]]
NODES = 100_000  # at one step of a path
ORDERINGS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def found(document: Any, steps: list[tuple[bool, list[Select]]]) -> dict[str, Any]:
    """The values that a path selects by their pointers, each once. A step is whether it goes deep, and its selectors."""
    nodes = {"": document}
    for deep, selectors in steps:
        if deep:
            nodes = limited(found for node in nodes.items() for found in descendants(*node))
        nodes = limited(found for node in nodes.items() for select in selectors for found in select(*node))
    return nodes


def limited(nodes: Iterator[Node]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for pointer, value in nodes:
        kept[pointer] = value
        if len(kept) > NODES:
            raise TooComplexError(f"the path selects more than {NODES} places at one step")
    return kept


def children(pointer: str, value: Any) -> Iterator[Node]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return ((below(pointer, step), child) for step, child in members)


def descendants(pointer: str, value: Any) -> Iterator[Node]:
    waiting = [(pointer, value)]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(list(children(*node)))


def member(name: str) -> Select:
    def select(pointer: str, value: Any) -> Iterator[Node]:
        if isinstance(value, dict) and name in value:
            yield below(pointer, name), value[name]

    return select


def elements(chosen: slice) -> Select:
    def select(pointer: str, value: Any) -> Iterator[Node]:
        if isinstance(value, list) and chosen.step != 0:
            yield from ((below(pointer, place), value[place]) for place in range(len(value))[chosen])

    return select


def where(name: str | None, compared: str | None, literal: Any) -> Select:
    """The children that meet a condition on their member `name` (on themselves where it is None)."""

    def holds(value: Any) -> bool:
        there = name is None or (isinstance(value, dict) and name in value)
        left = value[name] if there and name is not None else value
        if compared is None:
            return there
        if compared in ("==", "!="):
            return (there and canonical(left) == canonical(literal)) == (compared == "==")
        alike = (is_number(left) and is_number(literal)) or (isinstance(left, str) and isinstance(literal, str))
        return there and alike and ORDERINGS[compared](left, literal)

    return lambda pointer, value: (node for node in children(pointer, value) if holds(node[1]))
