"""A form made from a skill's schema, and its fields read back as the inputs that the schema wants. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from agent.domain import Frozen
from agent.domain.schema import Json, Schema
from agent.errors import UsageError
from agent.pasted import without_secrets

PREFIX = "in."  # before each field's name, so that no skill's input is taken for one of ours
Kind = Literal["text", "long", "integer", "number", "boolean", "choice", "json"]


class Input(Frozen):
    """One field. `value` is what stands in it at first; `hint` says what may stand there."""

    name: str
    kind: Kind
    required: bool
    label: str
    hint: str = ""
    value: str = ""
    choices: tuple[str, ...] = ()


def inputs_of(schema: Schema, example: Mapping[str, Json]) -> tuple[Input, ...]:
    """The fields for an object schema, filled with an example. What no field can hold is written as JSON."""
    required = schema.get("required", [])
    properties = schema.get("properties", {})
    names = sorted(properties, key=lambda name: (name not in required, list(properties).index(name)))
    return tuple(_input(name, properties[name], name in required, example) for name in names)


def read(schema: Schema, fields: Mapping[str, str]) -> dict[str, Json]:
    """The inputs; an optional field that was left empty is left out. UsageError where one is not of its kind."""
    found: dict[str, Json] = {}
    for each in inputs_of(schema, {}):
        text = fields.get(PREFIX + each.name, "")
        if text == "" and (not each.required or each.kind in ("integer", "number", "json", "choice")):
            continue
        found[each.name] = _value(each, text)
    return found


def _input(name: str, schema: Any, required: bool, example: Mapping[str, Json]) -> Input:
    schema = schema if isinstance(schema, dict) else {}
    kind, given = _kind(schema), example.get(name)
    choices = tuple(json.dumps(value, ensure_ascii=False) for value in schema.get("enum", ())) if kind == "choice" else ("true", "false")
    value = "" if given is None and name not in example else given if kind in ("text", "long") else json.dumps(given, ensure_ascii=False, indent=1)
    if kind in ("text", "long") and not isinstance(value, str):
        kind, value = "json", json.dumps(given)
    if kind == "text" and isinstance(value, str) and ("\n" in value or len(value) > 60):
        kind = "long"
    return Input(
        name=name, kind=kind, required=required, label=str(schema.get("title") or name)[:200], hint=_hint(schema, kind)[:500], value=str(value),
        choices=choices if kind in ("choice", "boolean") else (),
    )  # fmt: skip


def _kind(schema: Schema) -> Kind:
    if schema.get("enum"):
        return "choice"
    match schema.get("type"):
        case "string":
            return "text" if 0 < schema.get("maxLength", 0) <= 120 or schema.get("format") or schema.get("pattern") else "long"
        case "integer":
            return "integer"
        case "number":
            return "number"
        case "boolean":
            return "boolean"
    return "json"


def _hint(schema: Schema, kind: Kind) -> str:
    said = [str(schema["description"]).rstrip().removesuffix(".")] if schema.get("description") else []
    for key, words in (
        ("minimum", "at least {}"),
        ("maximum", "at most {}"),
        ("minLength", "at least {} characters"),
        ("maxLength", "at most {} characters"),
    ):
        if key in schema and (key, schema[key]) not in (("minLength", 0), ("minLength", 1)):
            said.append(words.format(schema[key]))
    if kind == "json":
        said.append("as JSON")
    return "; ".join(said)


def _value(each: Input, text: str) -> Json:
    if each.kind in ("text", "long"):
        return text.replace("\r\n", "\n")  # which a form makes of every end of a line (HTML standard, 4.10.22.7)
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        example = {"integer": "7", "number": "0.5", "boolean": "true"}.get(each.kind, '{"a": [1, 2]}')
        raise UsageError(
            f"{each.label} is not right.", why=f"{without_secrets(text[:2000]).text[:80]!r} is not JSON.", next_step=f"Write it like {example}."
        ) from None
    return value


def _no_number(name: str) -> Json:
    raise ValueError(f"{name} is no number of JSON's")
