"""Whether a JSON Schema asks for nothing outside of itself, and how much work it can make: what is known before it is used.

A validator walks a schema as often as the schema says. Thirty definitions of which each names the next one twice are a walk of 2^30 steps for
one number, and a validator that runs cannot be stopped. So the walk is counted first, over the references, without a value.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import Any

DIALECT = re.compile(r"https?://json-schema\.org/(draft/2020-12|draft/2019-09|draft-0[4-7])/schema#?")
STEPS = 1_000  # how often all the places of a schema may be looked at for one place of a value
LEVELS = 32  # of a value, over which that is followed
CHAIN = 100  # schemas that apply one another to the same place
STATES = 3_000  # different sets of schemas that may meet at one place of a value
# Keywords that look at the same place of a value (JSON Schema 2020-12, core, 10.2), at the same one by name, and at those below it.
_HERE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")
_HERE_NAMED = ("dependentSchemas", "dependencies")
_BELOW = ("items", "prefixItems", "contains", "additionalProperties", "additionalItems", "propertyNames", "unevaluatedItems", "unevaluatedProperties")
_BELOW_NAMED = ("properties", "patternProperties")
_ESCAPED = re.compile(rb"%([0-9a-fA-F]{2})")
_ANY = "\0"  # below a place, whatever its name

Place = tuple[int, ...]


def unbounded(schema: dict[str, Any]) -> str | None:
    """Why a schema is not to be used, or None."""
    for part in _parts(schema):
        for key in ("$id", "id", "$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary"):
            if isinstance(part.get(key), str) and (key != "id" or part[key].startswith(("http", "file", "urn"))):
                return f"{key} may not be used: a schema names nothing but its own definitions (#/$defs/...)"
        if isinstance(dialect := part.get("$schema"), str) and not DIALECT.fullmatch(dialect):
            return "$schema may only name JSON Schema's own dialects, such as https://json-schema.org/draft/2020-12/schema"
        if isinstance(reference := part.get("$ref"), str) and not (reference == "#" or reference.startswith("#/")):
            return "$ref may only point inside the schema (#/...)"
    return _Walk(schema).endless()


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object in it."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


class _Walk:
    """Follows a schema from one place of a value to those below. A schema is known by its id()."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._met: dict[int, Counter[int]] = {}
        self._known: dict[int, dict[str, Any]] = {}

    def endless(self) -> str | None:
        try:
            return self._follow()
        except _TooMuch as error:
            return str(error)

    def _follow(self) -> str | None:
        states = [frozenset(self._here(self._schema, ()).items())]
        seen = set(states)
        for _ in range(LEVELS):
            found = set()
            for state in states:
                found |= {frozenset(below.items()) for below in self._below(state)}
            states = [state for state in found if state not in seen]
            seen |= found
            if not states:
                return None
            if len(seen) > STATES:
                raise _TooMuch("it refers to itself in too many ways to be followed")
        return None

    def _here(self, part: Any, above: Place) -> Counter[int]:
        """What is looked at where a schema is: itself, and how often each of those that it applies to the same place."""
        if not isinstance(part, dict):
            return Counter()
        if id(part) in above or len(above) > CHAIN:
            raise _TooMuch("it refers to itself for the very same value, without an end")
        if id(part) not in self._met:
            self._known[id(part)] = part
            met = Counter({id(part): 1})
            for other in self._applied(part):
                met.update(self._here(other, (*above, id(part))))
                if met.total() > STEPS:
                    raise _TooMuch(f"one value would be looked at more than {STEPS:,} times")
            self._met[id(part)] = met
        return self._met[id(part)]

    def _applied(self, part: dict[str, Any]) -> Iterator[Any]:
        if isinstance(reference := part.get("$ref"), str):
            yield self._at(reference)
        for key in _HERE:
            yield from part[key] if isinstance(part.get(key), list) else [part.get(key)]
        for key in _HERE_NAMED:
            yield from part[key].values() if isinstance(part.get(key), dict) else ()

    def _below(self, state: frozenset[tuple[int, int]]) -> Iterator[Counter[int]]:
        """What is looked at in each place below one where all of `state` is."""
        named: dict[str, Counter[int]] = {}
        for number, times in state:
            part = self._known[number]
            for key in _BELOW:
                for other in part[key] if isinstance(part.get(key), list) else [part.get(key)]:
                    self._add(named, _ANY, other, times)
            for key in _BELOW_NAMED:
                for name, other in part[key].items() if isinstance(part.get(key), dict) else ():
                    self._add(named, name if key == "properties" else _ANY, other, times)
        anywhere = named.pop(_ANY, Counter())
        yield from ([anywhere] if anywhere else []) if not named else (below + anywhere for below in named.values())

    def _add(self, named: dict[str, Counter[int]], name: str, part: Any, times: int) -> None:
        if met := self._here(part, ()):
            counts = named.setdefault(name, Counter())
            for number, often in met.items():
                counts[number] += often * times
            if counts.total() > STEPS:
                raise _TooMuch(f"one value would be looked at more than {STEPS:,} times")

    def _at(self, reference: str) -> Any:
        """What `#/a/b` points at; None where that is nothing, of which the validator tells."""
        return self._pointed.get(reference) if reference in self._pointed else self._pointed.setdefault(reference, self._resolved(reference))

    @cached_property
    def _pointed(self) -> dict[str, Any]:
        return {}

    def _resolved(self, reference: str) -> Any:
        part: Any = self._schema
        for step in reference.split("/")[1:]:
            step = _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), step.encode()).decode(errors="replace")
            step = step.replace("~1", "/").replace("~0", "~")  # RFC 6901, 4
            if isinstance(part, dict):
                part = part.get(step)
            elif isinstance(part, list) and step.isdecimal() and int(step) < len(part):
                part = part[int(step)]
            else:
                return None
        return part


class _TooMuch(Exception):
    """What is wrong, in words."""
