"""JSON Schema (2020-12) as a value: is it one, does a value fit it, what is the least value that it allows."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import jsonschema_rs

from agent.domain.schema_bounds import unbounded

Json = Any
Schema = dict[str, Any]
LEAST = 10_000  # parts of a least value


@lru_cache(maxsize=512)
def _validator(text: str) -> Any:
    return jsonschema_rs.validator_for(json.loads(text), validate_formats=False)


_by_place: dict[int, tuple[Schema, Any]] = {}  # id() of a schema to it (so that it keeps its place) and its validator


def _validator_of(schema: Schema) -> Any:
    """Nobody changes a schema that belongs to a manifest, so the very same dict means the same schema: the calls of a skill need not print it."""
    found = _by_place.get(id(schema))
    if found is None:
        if len(_by_place) >= 1024:
            _by_place.clear()
        found = _by_place[id(schema)] = schema, _validator(json.dumps(schema, sort_keys=True))
    return found[1]


def schema_error(schema: Json) -> str | None:
    """Why `schema` is not a usable JSON Schema for a skill's inputs or outputs (an object), or None."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return "the schema must be an object schema: {type: object, properties: {...}}"
    return _error(json.dumps(schema, sort_keys=True))


@lru_cache(maxsize=512)
def _error(text: str) -> str | None:
    schema = json.loads(text)
    if why := unbounded(schema):  # before a validator sees it, which would fetch what it names
        return why
    try:
        jsonschema_rs.meta.validate(schema)
        _validator(text)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        return str(error).splitlines()[0]
    return None


def violations(schema: Schema, value: Json, limit: int = 5, most: int = 300) -> tuple[str, ...]:
    """What in `value` breaks `schema`: at most `limit` sentences of `most` characters, each with the JSON Pointer of its place."""
    validator = _validator_of(schema)
    if validator.is_valid(value):
        return ()
    found = []
    for error in validator.iter_errors(value):
        place = "/" + "/".join(str(step) for step in error.instance_path)
        found.append(f"{place}: {error.message}"[:most])
        if len(found) >= limit:
            break
    return tuple(found)


def least_value(schema: Schema) -> Json:
    """The smallest value that `schema` plainly allows: what a gutted implementation returns.

    Optional properties are left out, arrays have `minItems` items, numbers take the bound nearest zero. Of a value that would have more than
    LEAST parts or characters the rest is null or cut off.
    """
    return _least(schema, 0, [LEAST])


def _least(schema: Json, depth: int, left: list[int]) -> Json:
    """`left`: how many parts the value may still have."""
    left[0] -= 1
    if depth > 12 or left[0] < 0 or not isinstance(schema, dict):
        return None
    for key in ("const", "default"):
        if key == "const" and key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("oneOf", "anyOf", "allOf"):
        if schema.get(key):
            first = schema[key][0] if isinstance(schema[key][0], dict) else {}
            return _least({**{k: v for k, v in schema.items() if k != key}, **first}, depth + 1, left)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object" or (kind is None and "properties" in schema):
        properties = schema.get("properties", {})
        return {name: _least(properties.get(name, {}), depth + 1, left) for name in schema.get("required", [])}
    if kind == "array":
        return [_least(schema.get("items", {}), depth + 1, left) for _ in range(min(int(schema.get("minItems", 0)), max(left[0], 0)))]
    if kind == "string":
        return " " * min(int(schema.get("minLength", 0)), LEAST)
    if kind in ("integer", "number"):
        return _least_number(schema, 1 if kind == "integer" else 0.5)
    return False if kind == "boolean" else None


def _least_number(schema: Schema, step: float) -> Json:
    low = schema.get("minimum", schema["exclusiveMinimum"] + step if "exclusiveMinimum" in schema else None)
    high = schema.get("maximum", schema["exclusiveMaximum"] - step if "exclusiveMaximum" in schema else None)
    if low is not None and low > 0:
        return low
    return high if high is not None and high < 0 else 0
