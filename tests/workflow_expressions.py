"""The expressions of GitHub Actions, as far as our workflows use them (docs: Evaluate expressions in workflows and actions)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_TOKEN = re.compile(r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<word>[A-Za-z_][\w-]*(?:\.(?:[\w-]+|\*))*)|(?P<sign>\|\||&&|==|!=|!|[(),]))")


def filled(values: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, str]:
    """Texts with each `${{ … }}` replaced by its value."""
    return {name: re.sub(r"\$\{\{(.*?)\}\}", lambda found: _text(evaluate(found[1], context)), str(value)) for name, value in values.items()}


def evaluate(text: str, context: Mapping[str, Any]) -> Any:
    """The value of one expression; `failed` in the context says whether a step before it failed."""
    return _Reader(text.strip().removeprefix("${{").removesuffix("}}").strip(), context).whole()


class _Reader:
    def __init__(self, text: str, context: Mapping[str, Any]) -> None:
        self.tokens, self.context, at = list[tuple[str, str]](), context, 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            assert found and found.lastgroup, f"no expression: {text[at:]!r}"
            self.tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()

    def whole(self) -> Any:
        value = self._or()
        assert not self.tokens, f"left over: {self.tokens}"
        return value

    def _next(self, *signs: str) -> bool:
        if self.tokens and self.tokens[0] in [("sign", sign) for sign in signs]:
            self.tokens.pop(0)
            return True
        return False

    def _or(self) -> Any:
        value = self._and()
        while self._next("||"):
            other = self._and()
            value = value or other
        return value

    def _and(self) -> Any:
        value = self._compared()
        while self._next("&&"):
            other = self._compared()
            value = value and other
        return value

    def _compared(self) -> Any:
        value = self._one()
        if self._next("=="):
            return _plain(value) == _plain(self._one())
        if self._next("!="):
            return _plain(value) != _plain(self._one())
        return value

    def _one(self) -> Any:
        if self._next("!"):
            return not self._one()
        if self._next("("):
            value = self._or()
            assert self._next(")")
            return value
        kind, text = self.tokens.pop(0)
        if kind == "string":
            return text[1:-1].replace("''", "'")
        if self._next("("):
            return self._call(text)
        return {"true": True, "false": False, "null": None}[text] if text in ("true", "false", "null") else self._found(text)

    def _call(self, name: str) -> Any:
        given = []
        while not self._next(")"):
            given.append(self._or())
            self._next(",")
        match name, given:
            case "contains", [where, what]:
                return _plain(what) in [_plain(each) for each in where] if isinstance(where, list) else _plain(what) in _plain(where)
            case "startsWith", [whole, start]:
                return str(_plain(whole)).startswith(str(_plain(start)))
            case "fromJSON", [text]:
                return json.loads(text)
            case "always", []:
                return True
            case "cancelled", []:
                return False
            case "success", []:
                return not self.context.get("failed")
        raise AssertionError(f"{name} is not known")

    def _found(self, path: str) -> Any:
        value: Any = self.context
        assert path.split(".")[0] in value, f"{path}: there is no such context here"
        for name in path.split("."):
            if name == "*":
                continue
            value = [_member(each, name) for each in value] if isinstance(value, list) else _member(value, name)
        return value


def _plain(value: Any) -> Any:
    return "" if value is None else value.lower() if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None
