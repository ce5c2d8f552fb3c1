"""YAML without its surprises: a strict subset that is read with bounds, and written in one stable style.

The subset is JSON's data model: mappings with text keys, lists, text, numbers, true, false and null. Anchors, aliases,
tags, repeated keys, several documents and NaN are refused; `on`, `yes`, `007` and dates are text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from agent.domain.schema import Json
from agent.errors import InvalidFile

SIZE = 256 * 2**10  # bytes
DEPTH = 30
KEY = 1000  # characters of a key on one line; libyaml reads at most 1024

_CONSTANTS = {text: value for word, value in (("null", None), ("true", True), ("false", False)) for text in (word, word.capitalize(), word.upper())}
_CONSTANTS |= {"": None, "~": None}
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

# What needs no quotes, and what a literal block cannot hold: libyaml's unprintable characters and its other line breaks.
_PLAIN = re.compile(r"[^\W_](?:[\w .,;()/+*=<>!?%$@&^|~'\"\[\]{}-]|:(?! |$)|(?<! )#)*(?<! )")
_UNPRINTABLE = re.compile("[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_ODD_BLOCK = re.compile(r"\A\s|\n\n\Z|^[ \t]+$", re.MULTILINE)
_WORDS = frozenset(word for text in ("y", "n", "yes", "no", "on", "off") for word in (text, text.capitalize(), text.upper()))
_RESOLVER: Any = yaml.resolver.Resolver()  # of YAML 1.1; PyYAML leaves it untyped

_Place = tuple[str | int, ...]
_Model = TypeVar("_Model", bound=BaseModel)


def load(text: bytes | str, path: str, *, size: int = SIZE, first_line: int = 1) -> Json:
    """The value of a document of at most `size` bytes and 30 levels; an empty one is None.

    `first_line` is the number of the text's first line in the file `path`, for messages. Raises InvalidFile.
    """
    return _Reading(text, path, size, first_line).document()


def load_as(model: type[_Model], text: bytes | str, path: str, *, size: int = SIZE) -> _Model:
    """The document as a `model`; InvalidFile names the line and what was expected there."""
    reading = _Reading(text, path, size, 1)
    return fitted(model, reading.document(), path, reading.line)


def fitted(model: type[_Model], value: Json, path: str, line: Callable[[_Place], int | None]) -> _Model:
    """`value` as a `model`; `line` tells where the value at a path of keys stands in the file. Raises InvalidFile."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        # A key that is not known is told before one that is missing: it is most often that key, misspelt.
        first = min(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
        raise InvalidFile(path, _sentence(first), line=line(first["loc"])) from None


def locate(text: bytes | str, pointer: str) -> int | None:
    """The line (from 1) of the value at a JSON Pointer (RFC 6901) or, where it is not there, of what should hold it.

    None where the text cannot be read, or is empty.
    """
    reading = _Reading(text, "", len(text) * 4, 1)
    try:
        reading.document()
    except InvalidFile:
        return None
    return reading.line(tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]))


class _Reading:
    """One pass over libyaml's events. `lines` holds the line of each value, by its path of keys."""

    def __init__(self, text: bytes | str, path: str, size: int, first_line: int) -> None:
        self.path, self.first_line = path, first_line
        self.lines: dict[_Place, int] = {}
        self.data = self._utf8(text)
        if len(self.data) > size:
            raise InvalidFile(path, f"the file has {len(self.data):,} bytes; at most {size:,} are read")
        self.events = self._events()

    def document(self) -> Json:
        next(self.events)  # the start of the stream
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return None
        value = self._value(next(self.events), (), 1)
        next(self.events)  # the end of the document
        if not isinstance(event := next(self.events), yaml.StreamEndEvent):
            raise self._refusal("expected one document; a second one starts here", event)
        return value

    def line(self, place: Sequence[str | int]) -> int | None:
        for length in range(len(place), -1, -1):
            for known in (tuple(place[:length]), tuple(_index(part) for part in place[:length])):
                if known in self.lines:
                    return self.lines[known]
        return None

    def _utf8(self, text: bytes | str) -> bytes:
        try:
            data = text.encode() if isinstance(text, str) else text
            data.decode()
        except UnicodeDecodeError as error:
            raise InvalidFile(self.path, "expected text in UTF-8", line=self.first_line + error.object.count(b"\n", 0, error.start)) from None
        except UnicodeEncodeError as error:
            raise InvalidFile(self.path, "expected text in UTF-8", line=self.first_line + error.object.count("\n", 0, error.start)) from None
        return data

    def _events(self) -> Iterator[Any]:
        try:
            yield from yaml.parse(self.data, Loader=yaml.CSafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            reason = " ".join(part for part in (error.context, error.problem) if part)
            line = None if mark is None else mark.line + self.first_line
            too_deep = "nesting depth" in reason  # a bound of libyaml's own, where it has one
            expected = f"expected at most {DEPTH} levels of nesting" if too_deep else f"expected YAML: {reason}"
            raise InvalidFile(self.path, expected, line=line) from None
        except yaml.reader.ReaderError as error:
            line = self.data[: error.position].count(b"\n") + self.first_line
            raise InvalidFile(self.path, f"expected YAML: {error.reason}", line=line) from None

    def _value(self, event: Any, place: _Place, depth: int) -> Json:
        self.lines.setdefault(place, event.start_mark.line + self.first_line)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        self._refuse_references(event)
        if depth > DEPTH:
            raise self._refusal(f"expected at most {DEPTH} levels of nesting", event)
        return self._list(place, depth) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(place, depth)

    def _refuse_references(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise self._refusal("anchors and aliases (&, *) are not allowed; write the value out", event)
        if event.tag:
            raise self._refusal(f"tags are not allowed ({event.tag}); write the plain value", event)

    def _list(self, place: _Place, depth: int) -> list[Json]:
        items: list[Json] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*place, len(items)), depth + 1))
        return items

    def _mapping(self, place: _Place, depth: int) -> dict[str, Json]:
        found: dict[str, Json] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self._scalar(event) if isinstance(event, yaml.ScalarEvent) else None
            if not isinstance(key, str):
                raise self._refusal("expected a key that is text; put it in quotes", event)
            if key in found:
                raise self._refusal(f"the key {key!r} is already there; expected it once", event)
            self.lines[(*place, key)] = event.start_mark.line + self.first_line
            found[key] = self._value(next(self.events), (*place, key), depth + 1)
        return found

    def _scalar(self, event: Any) -> Json:
        self._refuse_references(event)
        try:
            return event.value if event.style else _resolved(event.value)
        except ValueError as error:
            raise self._refusal(str(error), event) from None

    def _refusal(self, expected: str, event: Any) -> InvalidFile:
        return InvalidFile(self.path, expected, line=event.start_mark.line + self.first_line)


def _resolved(text: str) -> Json:
    """What a scalar without quotes stands for; ValueError for a number that JSON does not have."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    match = _NUMBER.fullmatch(text)
    if not match and not _NOT_FINITE.fullmatch(text):
        return text
    number = float(text) if match else math.inf
    if not math.isfinite(number):
        raise ValueError("expected a finite number; put text in quotes")
    return number if match and (match[2] or match[3]) else int(text)


def _index(part: str | int) -> str | int:
    return int(part) if isinstance(part, str) and part.isdecimal() else part


def _sentence(error: Any) -> str:
    """One pydantic error as a sentence that starts with the place."""
    place = ".".join(str(part) for part in error["loc"]) or "the document"
    kind, found = error["type"], error.get("input")
    if kind == "missing":
        return f"{place}: this key is required and is not there"
    if kind == "extra_forbidden":
        return f"{place}: this key is not known here"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"{place}: expected a mapping (key: value), found {_shown(found)}"
    if kind == "string_type" and isinstance(found, int | float):
        return f"{place}: expected text, found {_shown(found)}; put it in quotes"
    message = error["msg"].removeprefix("Value error, ").replace("Input should be", "expected").replace("should have", "expected")
    return (
        f"{place}: {message}, found {_shown(found)}"
        if isinstance(found, str | int | float | None) and kind != "value_error"
        else f"{place}: {message}"
    )


def _shown(value: Json) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def dump(value: Json) -> str:
    """`value` as block-style YAML that `load` reads back as the same value: keys in their order, text of several lines
    as literal blocks. ValueError for what the subset cannot hold: NaN, keys that are not text, lone surrogates, more
    than 30 levels."""
    return "".join(f"{line}\n" for line in _lines(value, 1))


def _lines(value: Json, depth: int) -> list[str]:
    """The lines of a value, as they stand below a key, at indent 0."""
    if not isinstance(value, dict | list | tuple) or not value:
        return _scalar_lines(value)
    if depth > DEPTH:
        raise ValueError(f"more than {DEPTH} levels of nesting cannot be written")
    if isinstance(value, dict):
        return [line for key, item in value.items() for line in _member(key, item, depth)]
    return [line for item in value for line in _hung("- ", _lines(item, depth + 1))]


def _member(key: Json, item: Json, depth: int) -> list[str]:
    if not isinstance(key, str):
        raise ValueError(f"the key {key!r} is not text")
    name, lines = _one_line(key), _lines(item, depth + 1)
    if len(name) > KEY:
        return [*_hung("? ", [name]), *_hung(": ", lines)]
    if isinstance(item, dict | list | tuple) and item:
        return [f"{name}:", *_hung("  ", lines)]
    return [f"{name}: {lines[0]}", *lines[1:]]


def _hung(mark: str, lines: list[str]) -> list[str]:
    """`lines` indented by two, with `mark` in the space before the first."""
    return [mark + lines[0], *(f"  {line}" if line else "" for line in lines[1:])]


def _scalar_lines(value: Json) -> list[str]:
    """A scalar or an empty collection; a literal block's lines stand at indent 2, that of the key being 0."""
    if isinstance(value, str):
        if _is_block(value):
            return ["|" if value.endswith("\n") else "|-", *(f"  {line}" if line else "" for line in value.removesuffix("\n").split("\n"))]
        return [_one_line(value)]
    if isinstance(value, dict | list | tuple):
        return ["{}" if isinstance(value, dict) else "[]"]
    text = json.dumps(value, allow_nan=False)
    _resolved(text)
    return [text]


def _is_block(text: str) -> bool:
    """Whether a literal block holds it plainly: several lines, none of them odd at its ends."""
    return "\n" in text.rstrip("\n") and not _UNPRINTABLE.search(text) and not _ODD_BLOCK.search(text)


def _one_line(text: str) -> str:
    """Without quotes where every YAML reader takes it for text, whichever version of YAML it knows."""
    odd = text in _WORDS or _NUMBER.fullmatch(text) or not _PLAIN.fullmatch(text)
    if not odd and _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)) == "tag:yaml.org,2002:str":
        return text
    return _UNPRINTABLE.sub(lambda match: _escaped(match[0]), json.dumps(text, ensure_ascii=False))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        raise ValueError("text with a lone surrogate cannot be written")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
