"""JSON Schema (2020-12) as a value: is it one, does a value fit it, what is the least value that it allows."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import jsonschema_rs

Json = Any
Schema = dict[str, Any]


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
    if "$ref" in json.dumps(schema):
        text = json.dumps(schema)
        if any(not part.startswith('"#') for part in text.split('"$ref": ')[1:]):
            return "$ref may only point inside the schema (#/...)"
    try:
        jsonschema_rs.meta.validate(schema)
        _validator(json.dumps(schema, sort_keys=True))
    except (jsonschema_rs.ValidationError, ValueError) as error:
        return str(error).splitlines()[0]
    return None


def violations(schema: Schema, value: Json, limit: int = 5) -> tuple[str, ...]:
    """What in `value` breaks `schema`: at most `limit` sentences, each with the JSON Pointer of its place."""
    validator = _validator_of(schema)
    if validator.is_valid(value):
        return ()
    found = []
    for error in validator.iter_errors(value):
        place = "/" + "/".join(str(step) for step in error.instance_path)
        found.append(f"{place}: {error.message}"[:300])
        if len(found) >= limit:
            break
    return tuple(found)


def least_value(schema: Schema, depth: int = 0) -> Json:
    """The smallest value that `schema` plainly allows: what a gutted implementation returns.

    Optional properties are left out, arrays have `minItems` items, numbers take the bound nearest zero.
    """
    if depth > 12 or not isinstance(schema, dict):
        return None
    for key in ("const", "default"):
        if key == "const" and key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("oneOf", "anyOf", "allOf"):
        if schema.get(key):
            return least_value({**{k: v for k, v in schema.items() if k != key}, **schema[key][0]}, depth + 1)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object" or (kind is None and "properties" in schema):
        properties = schema.get("properties", {})
        return {name: least_value(properties.get(name, {}), depth + 1) for name in schema.get("required", [])}
    if kind == "array":
        return [least_value(schema.get("items", {}), depth + 1) for _ in range(schema.get("minItems", 0))]
    if kind == "string":
        return " " * schema.get("minLength", 0)
    if kind in ("integer", "number"):
        return _least_number(schema, 1 if kind == "integer" else 0.5)
    return False if kind == "boolean" else None


def _least_number(schema: Schema, step: float) -> Json:
    low = schema.get("minimum", schema["exclusiveMinimum"] + step if "exclusiveMinimum" in schema else None)
    high = schema.get("maximum", schema["exclusiveMaximum"] - step if "exclusiveMaximum" in schema else None)
    if low is not None and low > 0:
        return low
    return high if high is not None and high < 0 else 0
