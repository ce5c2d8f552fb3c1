"""Mutants of a Bash script: every small change that its tests ought to notice. Standard library only; runs in the sandbox too.

Operators and numbers of tests and arithmetic, the same in the programs of jq, the joints of commands, literals, and whole commands.
What tests cannot fairly be asked to notice has none: what is said on stderr, which status other than 0 ends the skill, options of the shell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agent.languages.bash.lexer import ASSIGNMENT, Token, tokens
from agent.languages.bash.syntax import Command, commands

TESTS = {
    "==": "!=", "=": "!=", "!=": "==", "=~": "!=", "<": ">", ">": "<", "-eq": "-ne", "-ne": "-eq", "-lt": "-le", "-le": "-lt", "-gt": "-ge",
    "-ge": "-gt", "-z": "-n", "-n": "-z", "-f": "! -f", "-e": "! -e", "-d": "! -d", "-s": "! -s", "-v": "! -v", "&&": "||", "||": "&&",
}  # fmt: skip
EXPRESSIONS = {
    "<=": "<", ">=": ">", "<": "<=", ">": ">=", "==": "!=", "!=": "==", "&&": "||", "||": "&&", "+=": "-=", "-=": "+=", "++": "--", "--": "++",
    "+": "-", "-": "+", "*": "+", "/": "*", "%": "*", "and": "or", "or": "and", "true": "false", "false": "true",
    "min": "max", "max": "min", "first": "last", "last": "first", "any": "all", "all": "any", "select": "map", "floor": "ceil", "ceil": "floor",
}  # fmt: skip
# Strings of jq stay whole but for what they interpolate, which is left alone; so do names and fields.
_EXPRESSION = re.compile(r'"(?:[^"\\]|\\.)*"|#[^\n]*|[.$@]\w+|\d+(?:\.\d+)?|\w+|[<>=!+-]=|&&|\|\||\+\+|--|//=?|<<|>>|\*\*|[<>+*/%-]', re.DOTALL)
_NUMBER = re.compile(r"-?\d+")
_LITERAL = re.compile(r"'[^']+'|\"[^\"$`\\]+\"")
# Commands that set something up, speak to people, or end the skill.
KEPT = frozenset(("set", "shopt", "local", "declare", "readonly", "export", "typeset", "trap", "exit", "return", "source", ".", "case"))
SPEAKERS = frozenset(("fail", "die", "error", "warn", "log", "usage"))


@dataclass(frozen=True)
class Site:
    """One mutant: the characters from `start` to `end` become `new`. `statement` is the line where the command around it starts."""

    start: int
    end: int
    old: str
    new: str
    line: int
    statement: int
    inside: bool = True

    @property
    def change(self) -> str:
        return f"{_shown(self.old)} → {_shown(self.new)}"


def sites(source: str) -> list[Site]:
    """All mutants of a script, in the order of the source; raises lexer.Unreadable."""
    found: dict[tuple[int, int, str], Site] = {}
    for command in commands(source):
        for start, end, new in _mutations(command):
            line = source.count("\n", 0, start) + 1
            found.setdefault((start, end, new), Site(start, end, source[start:end], new, line, command.line))
    for token in tokens(source):
        if token.kind == "operator" and token.text in ("&&", "||"):
            new = TESTS[token.text]
            found.setdefault((token.start, token.end, new), Site(token.start, token.end, token.text, new, token.line, token.line))
    return [found[place] for place in sorted(found)]


def mutated(source: str, number: int) -> str:
    """`source` with its mutant `number` in place."""
    site = sites(source)[number]
    return source[: site.start] + site.new + source[site.end :]


def _mutations(command: Command) -> Iterator[tuple[int, int, str]]:
    words, arguments = command.words, command.arguments
    name = arguments[0].text if arguments else ""
    if words[0].kind == "arithmetic" or name == "for":
        for word in words:
            if word.kind == "arithmetic":
                yield from _expression(word.text, word.start)
        return
    if name in ("[[", "[", "test"):
        for word in arguments[1:]:
            if word.text in TESTS:
                yield word.start, word.end, TESTS[word.text]
            elif _NUMBER.fullmatch(word.text):
                yield word.start, word.end, str(int(word.text) + 1)
        return
    if name in SPEAKERS or (any(token.text.endswith(">&") for token in command.redirects) and words[-1].end < command.redirects[-1].start):
        return
    for word in words:
        yield from _word(word, name)
    if name not in KEPT:
        yield words[0].start, words[-1].end, ":"
        if command.before in ("if", "elif", "while", "until"):
            yield words[0].start, words[0].start, "! "


def _word(word: Token, name: str) -> Iterator[tuple[int, int, str]]:
    if name in ("exit", "return"):
        if word.text == "0":
            yield word.start, word.end, "1"
        return
    assigned = match.end() if (match := ASSIGNMENT.match(word.text)) else 0
    start, text = word.start + assigned, word.text[assigned:]
    if _NUMBER.fullmatch(text):
        yield start, word.end, str(int(text) + 1)
    elif name == "jq" and text[:1] == "'" and len(text) > 2:
        yield from _expression(text[1:-1], start + 1)
    elif _LITERAL.fullmatch(text):
        yield start, word.end, "''"


def _expression(text: str, start: int) -> Iterator[tuple[int, int, str]]:
    """Of Bash's arithmetic, or of a program of jq."""
    for match in _EXPRESSION.finditer(text):
        piece, place = match[0], start + match.start()
        if piece.isdigit():
            yield place, start + match.end(), str(int(piece) + 1)
        elif piece in EXPRESSIONS:
            yield place, start + match.end(), EXPRESSIONS[piece]


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return (f"`{text}`" if len(text) <= 60 else f"`{text[:59]}…`") if text else "nothing"
