"""JSONPath, the part of RFC 9535 that is used every day: the text of a path to its steps."""

import json
import re
from typing import Any

from faults import MalformedPathError
from reading import parsed
from selecting import Select, children, elements, member, where

NAME = r"[^\W\d][\w-]*"
QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
NESTED = rf"\[(?:{QUOTED}|[^\[\]'\"])*\]"
STEP = re.compile(
    rf"(?:(?P<deep>\.\.)|\.(?!\[)|(?=\[))(?:(?P<name>{NAME})|(?P<star>\*)|\[(?P<inside>(?:{QUOTED}|{NESTED}|[^\[\]'\"])*)\])"
)
NUMBER = r"-?\d{1,9}"
SELECTOR = re.compile(
    rf"\s*(?:(?P<quoted>{QUOTED})|(?P<star>\*)|(?P<start>{NUMBER})?\s*:\s*(?P<stop>{NUMBER})?(?:\s*:\s*(?P<step>{NUMBER})?)?|(?P<index>{NUMBER}))"
    r"\s*(?P<more>,|$)"
)
FILTER = re.compile(
    rf"\s*\?\s*(?P<open>\()?\s*@(?:\.(?P<name>{NAME})|\[\s*(?P<quoted>{QUOTED})\s*\])?\s*"
    r"(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<literal>.+?))?\s*(?(open)\))\s*"
)


def steps_of(path: str) -> list[tuple[bool, list[Select]]]:
    """The steps of a path that starts with $. MalformedPathError names the place that cannot be read."""
    steps, at = [], 1
    while at < len(path):
        step = STEP.match(path, at)
        if step is None:
            raise MalformedPathError(f"the path cannot be read from character {at + 1}: {path[at : at + 20]}")
        steps.append((bool(step["deep"]), selectors_of(step)))
        at = step.end()
    return steps


def selectors_of(step: re.Match[str]) -> list[Select]:
    if step["name"]:
        return [member(step["name"])]
    if step["star"]:
        return [children]
    if condition := FILTER.fullmatch(step["inside"]):
        return [filter_of(condition)]
    return union_of(step["inside"])


def union_of(inside: str) -> list[Select]:
    """Selectors with commas between them."""
    selectors, at, more = [], 0, ","
    while more:
        one = SELECTOR.match(inside, at)
        if one is None:
            raise MalformedPathError(f"the selector cannot be read: [{inside}]")
        selectors.append(selector_of(one))
        at, more = one.end(), one["more"]
    return selectors


def selector_of(one: re.Match[str]) -> Select:
    if one["quoted"]:
        return member(unquoted(one["quoted"]))
    if one["star"]:
        return children
    if one["index"]:
        index = int(one["index"])
        return elements(slice(index, index + 1 or None))
    return elements(slice(*(int(one[part]) if one[part] else None for part in ("start", "stop", "step"))))


def filter_of(condition: re.Match[str]) -> Select:
    name = unquoted(condition["quoted"]) if condition["quoted"] else condition["name"]
    return where(name, condition["op"], literal(condition["literal"]) if condition["op"] else None)


def unquoted(text: str) -> str:
    """The content of a quoted name: the escapes of JSON, and the quote itself."""
    body = text[1:-1]
    if text[0] == "'":
        body = re.sub(r"\\'|\"", lambda mark: "'" if mark[0] == "\\'" else '\\"', body)
    try:
        return str(json.loads(f'"{body}"'))
    except ValueError:
        raise MalformedPathError(f"the name {text} cannot be read") from None


def literal(text: str) -> Any:
    if re.fullmatch(QUOTED, text):
        return unquoted(text)
    try:
        return parsed(text)
    except ValueError:
        raise MalformedPathError(f"a filter compares with a JSON literal, not {text}") from None
