"""A script as the rules of this package look at it: its commands, which function each is in, and what is written into which variable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from agent.languages.bash.lexer import ASSIGNMENT, Token, tokens
from agent.languages.bash.syntax import Command, commands

Doubt = tuple[int, str, str]
"""Line, rule and message."""
Found = Iterator[Doubt]
TESTS = ("[[", "[", "test")
COMPARING = ("==", "=", "!=", "=~", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "<", ">")
_FUNCTION = re.compile(r"^([ \t]*)(?:function[ \t]+([\w:.-]+)|([\w:.-]+)[ \t]*\([ \t]*\))")
_NAMED = re.compile(r"\$\{?[#!]?([A-Za-z_]\w*)")
_LITERAL = re.compile(r"(?:'[^']*'|\"[^\"$`\\]*\"|[\w.@:/+-]+)$")


class Script:
    def __init__(self, source: str) -> None:
        self.lines = source.split("\n")
        self.tokens = tokens(source)
        self.commands = commands(self.tokens)
        written = [token for token in self.tokens if token.kind not in ("newline", "comment", "heredoc")]
        self._before = {token.start: before.text for before, token in pairwise(written)}
        self.functions = tuple(_functions(self.lines))
        self.literals: dict[str, tuple[str, int]] = {}
        for command in self.commands:
            for word in command.words:
                if match := ASSIGNMENT.match(word.text):
                    name, value = match.group().rstrip("+="), word.text[match.end() :]
                    if _LITERAL.match(value) and bare(value):
                        self.literals[name] = (bare(value), word.line)

    def function_at(self, line: int) -> str:
        """The name of the function around a line; nothing at the top."""
        return next((name for name, first, last in reversed(self.functions) if first <= line <= last), "")

    def line(self, number: int) -> str:
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    def before(self, command: Command) -> str:
        """What a command outside of a substitution follows, on its line or above."""
        return self._before.get(command.words[0].start, "")

    def called(self, command: Command) -> str:
        return bare(command.arguments[0].text) if command.arguments else ""


def _functions(lines: list[str]) -> Iterator[tuple[str, int, int]]:
    """Name, first and last line of each: to the brace that closes it at its own depth."""
    for number, line in enumerate(lines, 1):
        if match := _FUNCTION.match(line):
            ends = (later for later, text in enumerate(lines[number:], number + 1) if text.startswith((match[1] + "}", match[1] + ")")))
            one = "}" in line[match.end() :]
            yield match[2] or match[3], number, number if one else next(ends, len(lines))


def bare(text: str) -> str:
    return re.sub(r"[\"'\\]", "", text)


def variables(text: str) -> list[str]:
    """The names that a piece of script expands."""
    return _NAMED.findall(text)


def comparisons(command: Command) -> Iterator[tuple[Token, str, Token]]:
    """All that a test compares."""
    words = command.words
    for at, word in enumerate(words[1:-1], 1):
        if word.text in COMPARING:
            yield words[at - 1], word.text, words[at + 1]
