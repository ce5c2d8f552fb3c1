"""JSON Schema (2020-12), the subset that SKILL.md names. A keyword outside of it is refused, never passed over."""

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from assertions import ASSERTIONS, LIST, OBJECT, TEXT, TYPES, shown
from faults import InvalidSchemaError, NotFoundError, TooComplexError, UnsupportedKeywordError
from pointers import at_pointer, below

STEPS = 500_000  # schemas that are held against a value: what references to references multiply ends here
DEPTH = 150
ANNOTATIONS = frozenset(
    "$schema $id $comment $defs definitions title description default examples format deprecated readOnly writeOnly".split()
)
Problems = Iterator[tuple[str, str]]


class Validation:
    """Holds values against one schema."""

    def __init__(self, schema: Any) -> None:
        self._root, self._steps = schema, 0
        # Keyword: what its own value has to be, and the method for it.
        self._appliers: dict[str, tuple[Callable[[Any], bool], Callable[..., Problems]]] = {
            "$ref": (TEXT, self._ref),
            "type": (lambda rule: TEXT(rule) or LIST(rule), self._type),
            "properties": (OBJECT, self._properties),
            "required": (LIST, self._required),
            "additionalProperties": (self._is_schema, self._additional),
            "items": (self._is_schema, self._items),
            "prefixItems": (LIST, self._prefix),
            "allOf": (LIST, self._all),
            "anyOf": (LIST, self._any),
            "oneOf": (LIST, self._one),
            "not": (self._is_schema, self._not),
        }

    def problems_of(self, value: Any, limit: int) -> list[tuple[str, str]]:
        """At most `limit` of what is wrong: the JSON Pointer of its place, and a message."""
        return list(islice(self._problems(self._root, value, "", 0), limit))

    def _problems(self, schema: Any, value: Any, place: str, depth: int) -> Problems:
        self._steps += 1
        if self._steps > STEPS or depth > DEPTH:
            raise TooComplexError("the schema asks for too much work, or refers to itself without end")
        if not self._is_schema(schema):
            raise InvalidSchemaError(f"a schema is an object or a boolean, not {shown(schema)}")
        if isinstance(schema, bool):
            yield from () if schema else [(place, "must not be there")]
            return
        for keyword, rule in schema.items():
            if keyword in ASSERTIONS:
                yield from self._asserted(keyword, rule, value, place)
            elif keyword in self._appliers:
                shape, apply = self._appliers[keyword]
                checked(shape(rule), keyword, rule)
                yield from apply(rule, value, place, depth + 1, schema)
            elif keyword not in ANNOTATIONS:
                raise UnsupportedKeywordError(f"the keyword {keyword!r} is not supported")

    def _asserted(self, keyword: str, rule: Any, value: Any, place: str) -> Problems:
        shape, concerns, right, message = ASSERTIONS[keyword]
        checked(shape(rule), keyword, rule)
        try:
            if concerns(value) and not right(value, rule):
                yield place, message.format(shown(rule))
        except re.error as error:
            raise InvalidSchemaError(f"the pattern {shown(rule)} cannot be read: {error}") from None

    def _ref(self, rule: str, value: Any, place: str, depth: int, schema: Any) -> Problems:
        checked(rule.startswith("#"), "$ref", rule)
        try:
            target = at_pointer(self._root, rule[1:])
        except NotFoundError:
            raise InvalidSchemaError(f"{rule} leads nowhere") from None
        yield from self._problems(target, value, place, depth)

    def _type(self, rule: Any, value: Any, place: str, depth: int, schema: Any) -> Problems:
        names = [rule] if isinstance(rule, str) else rule
        checked(all(isinstance(name, str) and name in TYPES for name in names), "type", rule)
        if not any(TYPES[name](value) for name in names):
            yield place, f"must be of the type {' or '.join(names)}"

    def _properties(self, rule: dict[str, Any], value: Any, place: str, depth: int, schema: Any) -> Problems:
        for name, inner in rule.items() if isinstance(value, dict) else ():
            if name in value:
                yield from self._problems(inner, value[name], below(place, name), depth)

    def _required(self, rule: list[Any], value: Any, place: str, depth: int, schema: Any) -> Problems:
        checked(all(isinstance(name, str) for name in rule), "required", rule)
        for name in rule if isinstance(value, dict) else ():
            if name not in value:
                yield place, f"the property {shown(name)} is missing"

    def _additional(self, rule: Any, value: Any, place: str, depth: int, schema: Any) -> Problems:
        known = schema.get("properties", {})
        checked(isinstance(known, dict), "properties", known)
        for name in value if isinstance(value, dict) else ():
            if name not in known:
                yield from self._problems(rule, value[name], below(place, name), depth)

    def _items(self, rule: Any, value: Any, place: str, depth: int, schema: Any) -> Problems:
        before = schema.get("prefixItems", [])
        checked(isinstance(before, list), "prefixItems", before)
        for index, item in enumerate(value) if isinstance(value, list) else ():
            if index >= len(before):
                yield from self._problems(rule, item, below(place, index), depth)

    def _prefix(self, rule: list[Any], value: Any, place: str, depth: int, schema: Any) -> Problems:
        for index, (inner, item) in enumerate(zip(rule, value)) if isinstance(value, list) else ():
            yield from self._problems(inner, item, below(place, index), depth)

    def _all(self, rule: list[Any], value: Any, place: str, depth: int, schema: Any) -> Problems:
        for inner in rule:
            yield from self._problems(inner, value, place, depth)

    def _any(self, rule: list[Any], value: Any, place: str, depth: int, schema: Any) -> Problems:
        if not any(self._fits(inner, value, depth) for inner in rule):
            yield place, "must fit at least one of anyOf"

    def _one(self, rule: list[Any], value: Any, place: str, depth: int, schema: Any) -> Problems:
        fitting = sum(self._fits(inner, value, depth) for inner in rule)
        if fitting != 1:
            yield place, f"must fit exactly one of oneOf, and fits {fitting}"

    def _not(self, rule: Any, value: Any, place: str, depth: int, schema: Any) -> Problems:
        if self._fits(rule, value, depth):
            yield place, "must not fit the schema of not"

    def _fits(self, schema: Any, value: Any, depth: int) -> bool:
        return next(self._problems(schema, value, "", depth), None) is None

    @staticmethod
    def _is_schema(rule: Any) -> bool:
        return isinstance(rule, dict | bool)


def checked(right: bool, keyword: str, rule: Any) -> None:
    if not right:
        raise InvalidSchemaError(f"{keyword} cannot be {shown(rule)}")
