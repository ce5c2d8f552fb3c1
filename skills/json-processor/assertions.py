"""The keywords of JSON Schema that look at one value alone, as a table."""

import json
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_count(value: Any) -> bool:
    return is_number(value) and value >= 0 and value == int(value)


TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: is_number(value) and value == value // 1,
    "number": is_number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
LIST, TEXT, OBJECT = TYPES["array"], TYPES["string"], TYPES["object"]


def canonical(value: Any) -> str:
    """The same text for equal JSON values: 1.0 is 1, true is not."""
    if isinstance(value, list):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(key)}:{canonical(value[key])}' for key in sorted(value))}}}"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else json.dumps(value)


def is_multiple(value: Any, of: Any) -> bool:
    return Fraction(str(value)) % Fraction(str(of)) == 0


def shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else text[:99] + "…"


# Keyword: what its own value has to be, which values it is about, whether one is right, and the message where it is not.
ASSERTIONS: dict[str, tuple[Callable[[Any], bool], Callable[[Any], bool], Callable[[Any, Any], bool], str]] = {
    "const": (
        lambda rule: True,
        lambda value: True,
        lambda value, rule: canonical(value) == canonical(rule),
        "must be {}",
    ),
    "enum": (
        LIST,
        lambda value: True,
        lambda value, rule: canonical(value) in map(canonical, rule),
        "must be one of {}",
    ),
    "minimum": (is_number, is_number, lambda value, rule: value >= rule, "must be at least {}"),
    "maximum": (is_number, is_number, lambda value, rule: value <= rule, "must be at most {}"),
    "exclusiveMinimum": (is_number, is_number, lambda value, rule: value > rule, "must be more than {}"),
    "exclusiveMaximum": (is_number, is_number, lambda value, rule: value < rule, "must be less than {}"),
    "multipleOf": (lambda rule: is_number(rule) and rule > 0, is_number, is_multiple, "must be a multiple of {}"),
    "minLength": (is_count, TEXT, lambda value, rule: len(value) >= rule, "must have at least {} characters"),
    "maxLength": (is_count, TEXT, lambda value, rule: len(value) <= rule, "must have at most {} characters"),
    "pattern": (TEXT, TEXT, lambda value, rule: re.search(rule, value) is not None, "must match {}"),
    "minItems": (is_count, LIST, lambda value, rule: len(value) >= rule, "must have at least {} items"),
    "maxItems": (is_count, LIST, lambda value, rule: len(value) <= rule, "must have at most {} items"),
    "uniqueItems": (
        TYPES["boolean"],
        LIST,
        lambda value, rule: not rule or len(set(map(canonical, value))) == len(value),
        "must not hold an item twice",
    ),
    "minProperties": (is_count, OBJECT, lambda value, rule: len(value) >= rule, "must have at least {} properties"),
    "maxProperties": (is_count, OBJECT, lambda value, rule: len(value) <= rule, "must have at most {} properties"),
}
