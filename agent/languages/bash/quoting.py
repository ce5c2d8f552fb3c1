"""Words of Bash: what is quoted, what is expanded, and where each ends. Standard library only; runs in the sandbox too."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field

ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(\[(?:[^][]|\[[^][]*\])*\])?\+?=")
BLANK = re.compile(r"(?:[ \t]|\\\n)+")
_ANSI = re.compile(r"\$'(?:[^'\\]|\\.)*'", re.DOTALL)
_WORDED = re.compile(r"\$\{!?(?:\w+|[@*#?$!-])(?:\[[^]]*\])?:?[-=+?]")
_PLAIN = re.compile(r"[\w./=:,+-]+")  # what means nothing by itself, wherever it stands in a word


class Unreadable(ValueError):
    """The source ends inside of something, or hides where something ends."""


@dataclass
class Token:
    """`kind`: word, reserved, pattern (of `case`), operator, arithmetic, newline, heredoc (with the newline before it), comment.

    `inner`: the tokens of each substitution in it. `line` counts from 1.
    """

    kind: str
    text: str
    start: int
    line: int
    inner: list[list[Token]] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def plain(self) -> str:
        """Its text as Bash takes it where a line goes on."""
        return self.text.replace("\\\n", "")

    @property
    def last_line(self) -> int:
        return self.line + self.text.count("\n")


class Words:
    """What a lexer reads words by, from `_at` on."""

    def __init__(self, source: str, start: int, end: int) -> None:
        self._source, self._at, self._end = source, start, end
        self._starts = [0, *(match.end() for match in re.finditer("\n", source))]
        self._arithmetics: dict[int, bool] = {}  # whether there is arithmetic, by where its `((` stands
        self._waiting: list[tuple[str, bool, bool]] = []  # heredocs to read: the delimiter, whether tabs are stripped, and whether it is expanded

    def list_of(self, closer: str | None, *, data: bool = False) -> list[Token]:
        raise NotImplementedError

    # ---- words ------------------------------------------------------------------------------------------------------------

    def _word(self, *, regex: bool) -> Token:
        """One word; a regular expression after `=~` may hold parentheses and bars."""
        source, start, inner = self._source, self._at, list[list[Token]]()
        while self._at < self._end:
            char = source[self._at]
            if char == "(" and ASSIGNMENT.fullmatch(source, start, self._at):
                self._at += 1
                inner += [substitution for element in self.list_of(")", data=True) for substitution in element.inner]
            elif char == "(" and (regex or (self._at > start and source[self._at - 1] in "@?*+!")):
                self._balanced(inner)
            elif char in "<>" and self._at == start and source.startswith("(", self._at + 1):
                self._at += 2
                inner.append(self.list_of(")"))
            elif char in " \t\n" or (char in "();&|<>" and not (regex and char == "|")):
                break
            elif match := _PLAIN.match(source, self._at, self._end):
                self._at = match.end()
            else:
                self._piece(inner)
        self._at = max(self._at, start + 1)
        return self._made("word", start, inner)

    def _piece(self, inner: list[list[Token]], *, doubled: bool = False) -> None:
        """Passes over one character, quoted string or expansion. `doubled`: in double quotes, where what ' quotes is expanded all the same."""
        source, start = self._source, self._at
        char = source[start]
        if char == "\\":
            self._at += 2
        elif char == '"':
            self._at += 1
            self._quoted(inner, '"', doubled=True)
        elif match := _ANSI.match(source, start, self._end):
            self._at = match.end()
        elif char in "'`":
            self._marked(inner, char, doubled)
        elif source.startswith("$((", start) and self._is_arithmetic(start + 1):
            inner.append([self._arithmetic(start + 1)])
        elif source.startswith("$(", start):
            self._at += 2
            inner.append(self.list_of(")"))
        elif source.startswith("${", start):
            if source[start + 2 : start + 3] in (" ", "\t", "\n", "|"):
                raise Unreadable("a command in ${ … }: write $(…)")
            worded = doubled and _WORDED.match(source, start, self._end) is not None
            self._at += 2
            self._quoted(inner, "}", doubled=doubled, worded=worded)
        elif source.startswith("$[", start):
            self._at += 2
            self._quoted(inner, "]", doubled=doubled)
        elif source.startswith("$\\\n", start):
            raise Unreadable("a line goes on within an expansion")
        else:
            self._at += 1

    def _marked(self, inner: list[list[Token]], mark: str, doubled: bool) -> None:
        """From ' to ', or from ` to `."""
        start = self._at
        closing = self._source.find(mark, start + 1, self._end)
        if closing < 0:
            raise Unreadable(f"a {mark} is missing at the end")
        if mark == "`":
            if re.search(r"\\[`$\"\\]", self._source[start:closing]) or self._source[closing - 1] == "\\":
                raise Unreadable("an escape within backquotes: write $(…)")
            inner.append(type(self)(self._source, start + 1, closing).list_of(None))
        elif doubled:
            self._substitutions(start + 1, closing, inner)
        self._at = closing + 1

    def _quoted(self, inner: list[list[Token]], closer: str, *, doubled: bool, worded: bool = False) -> None:
        """Up to `closer`: the end of a double-quoted string, in which ' is a letter, of `${…}` or of `$[…]`. `worded`: a default in quotes."""
        while self._at < self._end:
            char = self._source[self._at]
            if worded and self._source.startswith("$'", self._at):
                raise Unreadable("$'…' in a default in quotes is none: write it into a variable")
            if char == closer:
                self._at += 1
                return
            if closer == '"' and (char == "'" or self._source.startswith("$'", self._at)):
                self._at += 1
            elif closer == "]" and char == "[":
                self._at += 1
                self._quoted(inner, "]", doubled=doubled)
            else:
                self._piece(inner, doubled=doubled)
        raise Unreadable(f"a {closer} is missing at the end")

    def _is_arithmetic(self, start: int) -> bool:
        """Whether `((` opens arithmetic: its end is `))`; else it is a group in a group."""
        if start in self._arithmetics:
            return self._arithmetics[start]
        self._arithmetics[start] = True  # where it has no end, that is told where it is read
        after, self._at, depth = self._at, start, 0
        try:
            while self._at < self._end:
                char = self._source[self._at]
                if char in "()":
                    self._at += 1
                    depth += 1 if char == "(" else -1
                    if depth == 1 and char == ")":
                        self._arithmetics[start] = self._source.startswith(")", self._at)
                        break
                else:
                    self._piece([])
            return self._arithmetics[start]
        finally:
            self._at = after

    def _arithmetic(self, start: int) -> Token:
        """`((…))`, from its first parenthesis."""
        self._at, inner = start, list[list[Token]]()
        self._balanced(inner)
        return self._made("arithmetic", start, inner)

    def _balanced(self, inner: list[list[Token]]) -> None:
        depth = 0
        while self._at < self._end:
            char = self._source[self._at]
            if char not in "()":
                self._piece(inner)
                continue
            depth += 1 if char == "(" else -1
            self._at += 1
            if depth == 0:
                return
        raise Unreadable("a ) is missing at the end")

    def _substitutions(self, start: int, end: int, inner: list[list[Token]]) -> None:
        after, self._at = self._at, start
        while self._at < end:
            if self._source[self._at] in "\\$`" and not self._source.startswith("$'", self._at):
                self._piece(inner, doubled=True)
            else:
                self._at += 1
        self._at = after

    def _made(self, kind: str, start: int, inner: list[list[Token]] | None = None) -> Token:
        return Token(kind, self._source[start : self._at], start, bisect_right(self._starts, start), inner or [])

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if match := pattern.match(self._source, self._at, self._end):
            self._at = match.end()
