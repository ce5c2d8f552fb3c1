"""The document that the inputs give, read strictly."""

import json
import math
from typing import Any

from faults import MalformedJsonError, MissingInputError


def document_of(inputs: dict[str, Any]) -> Any:
    if ("document" in inputs) == ("text" in inputs):
        raise MissingInputError("give the document either as document or as text")
    if "document" in inputs:
        return inputs["document"]
    if inputs.get("text_format", "json") == "lines":
        lines = enumerate(inputs["text"].split("\n"), 1)
        return [parsed(line, number) for number, line in lines if line.strip()]
    return parsed(inputs["text"])


def parsed(text: str, line: int = 0) -> Any:
    """The JSON value of `text`; MalformedJsonError says where it is none (`line`: of a larger text, from 1)."""
    try:
        return json.loads(
            text.removeprefix("\ufeff"), object_pairs_hook=unique, parse_constant=refused, parse_float=finite
        )
    except json.JSONDecodeError as error:
        raise MalformedJsonError(f"{error.msg} (line {line or error.lineno}, column {error.colno})") from None
    except ValueError as error:
        raise MalformedJsonError(f"{error} (line {line})" if line else str(error)) from None


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return made


def finite(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError(f"the number {text} is beyond 1.8e308")
    return value


def refused(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
