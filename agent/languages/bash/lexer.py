"""Bash as tokens: where words, operators and heredocs lie. Standard library only; runs in the sandbox too.

It reads what `bash -n` accepts (bash(1), "SHELL GRAMMAR") well enough for our rules, mutants and coverage; it expands nothing
and runs nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field

REDIRECTS = ("<<<", "<<-", "&>>", ">>", "<<", "<&", ">&", "<>", ">|", "&>", "<", ">")
_CONTROL = (";;&", ";;", ";&", "&&", "||", "|&", "|", "&", ";", "(", ")")
_OPERATOR = re.compile(rf"(?:\d+|\{{\w+\}})?(?P<redirect>{'|'.join(map(re.escape, REDIRECTS))})(?!\()|{'|'.join(map(re.escape, _CONTROL))}")
# Reserved words after which a command comes; the others (`fi`, `esac`, …) end something.
OPENERS = frozenset(("if", "then", "elif", "else", "while", "until", "do", "{", "!", "time", "coproc"))
RESERVED = OPENERS | {"fi", "done", "esac", "}", "case", "for", "select", "function", "[["}
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(\[(?:[^][]|\[[^][]*\])*\])?\+?=")
_BLANK = re.compile(r"(?:[ \t]|\\\n)+")
_COMMENT = re.compile(r"[^\n]*")
_ANSI = re.compile(r"\$'(?:[^'\\]|\\.)*'", re.DOTALL)
_PLAIN = re.compile(r"[\w./=:,+-]+")  # what means nothing by itself, wherever it stands in a word
_QUOTES = re.compile(r"['\"\\]")


class Unreadable(ValueError):
    """The source ends inside of something."""


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
    def last_line(self) -> int:
        return self.line + self.text.count("\n")


def tokens(source: str, start: int = 0, end: int | None = None) -> list[Token]:
    """All tokens of a script, or of a part of it; raises Unreadable."""
    return _Lexer(source, start, len(source) if end is None else end).list_of(None)


class _Lexer:
    def __init__(self, source: str, start: int, end: int) -> None:
        self._source, self._at, self._end = source, start, end
        self._starts = [0, *(match.end() for match in re.finditer("\n", source))]
        self._waiting: list[tuple[str, bool, bool]] = []  # heredocs to read: the delimiter, whether tabs are stripped, and whether it is expanded

    def list_of(self, closer: str | None, *, data: bool = False) -> list[Token]:
        """Tokens up to the `closer`, which is passed over, or to the end. `data`: they are the elements of an array."""
        found: list[Token] = []
        cases: list[str] = []  # for each open `case`: before its `in` (subject), at a pattern, or in a body
        depth, first = 0, not data
        while True:
            self._skip(_BLANK)
            pattern = bool(cases) and cases[-1] == "pattern"
            if self._at >= self._end:
                if closer:
                    raise Unreadable(f"a {closer} is missing at the end")
                return found
            if closer and depth == 0 and not pattern and self._source[self._at] == closer:
                self._at += 1
                return found
            token = self._token(first, found[-1].text if found else "", cases[-1] if cases else "")
            found.append(token)
            if token.kind == "operator" and not pattern:
                depth += {"(": 1, ")": -1}.get(token.text, 0)
            first = not data and self._opens(token, first, found[-2].text if len(found) > 1 else "", cases)

    def _token(self, first: bool, before: str, case: str) -> Token:
        source, start = self._source, self._at
        if source[start] == "\n":
            self._at += 1
            return self._heredocs(start) if self._waiting else self._made("newline", start)
        if source[start] == "#":
            self._skip(_COMMENT)
            return self._made("comment", start)
        if source.startswith("((", start) and (first or before == "for"):
            return self._arithmetic(start)
        if before != "=~" and (match := _OPERATOR.match(source, start, self._end)):
            self._at = match.end()
            if match["redirect"] in ("<<", "<<-"):
                self._await(match["redirect"] == "<<-")
            return self._made("operator", start)
        token = self._word(regex=before == "=~")
        if case == "pattern":
            token.kind = "reserved" if token.text == "esac" else "pattern"
        elif (first and token.text in RESERVED) or (case == "subject" and token.text == "in"):
            token.kind = "reserved"
        return token

    def _opens(self, token: Token, first: bool, before: str, cases: list[str]) -> bool:
        """Whether a command may start after `token`. Keeps the state of `case`."""
        state = cases[-1] if cases else ""
        if token.kind == "reserved":
            if token.text == "case":
                cases.append("subject")
            elif token.text == "esac" and cases:
                cases.pop()
            elif token.text == "in":
                cases[-1] = "pattern"
            return token.text in OPENERS
        if token.kind == "operator":
            if state == "pattern" and token.text == ")":
                cases[-1] = "body"
            elif state == "body" and token.text in (";;", ";&", ";;&"):
                cases[-1] = "pattern"
            return not token.text.endswith(("<", ">", "<<-", ">|")) and token.text[-2:] not in ("<&", ">&")
        if token.kind in ("newline", "heredoc"):
            return True
        return before == "function" or (first and (token.kind == "comment" or ASSIGNMENT.match(token.text) is not None))

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

    def _piece(self, inner: list[list[Token]]) -> None:
        """Passes over one character, quoted string or expansion."""
        source, start = self._source, self._at
        char = source[start]
        if char == "\\":
            self._at += 2
        elif char == '"':
            self._at += 1
            self._quoted(inner, '"')
        elif match := _ANSI.match(source, start, self._end):
            self._at = match.end()
        elif char in "'`":
            closing = source.find(char, start + 1, self._end)
            if closing < 0:
                raise Unreadable(f"a {char} is missing at the end")
            self._at = closing + 1
            if char == "`":
                inner.append(tokens(source, start + 1, closing))
        elif source.startswith("$((", start):
            inner.append([self._arithmetic(start + 1)])
        elif source.startswith("$(", start):
            self._at += 2
            inner.append(self.list_of(")"))
        elif source.startswith("${", start):
            self._at += 2
            self._quoted(inner, "}")
        else:
            self._at += 1

    def _quoted(self, inner: list[list[Token]], closer: str) -> None:
        """Up to `closer`: the end of a double-quoted string, in which ' is a letter, or of `${…}`."""
        while self._at < self._end:
            char = self._source[self._at]
            if char == closer:
                self._at += 1
                return
            if closer == '"' and (char == "'" or self._source.startswith("$'", self._at)):
                self._at += 1
            else:
                self._piece(inner)
        raise Unreadable(f"a {closer} is missing at the end")

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

    # ---- heredocs and places -----------------------------------------------------------------------------------------------

    def _await(self, strips: bool) -> None:
        after = self._at
        self._skip(_BLANK)
        delimiter = self._word(regex=False).text
        self._at = after  # it is read again, as the target of the redirection
        self._waiting.append((_QUOTES.sub("", delimiter), strips, not _QUOTES.search(delimiter)))

    def _heredocs(self, start: int) -> Token:
        inner: list[list[Token]] = []
        for delimiter, strips, expanded in self._waiting:
            body = self._at
            while True:
                if self._at >= self._end:
                    raise Unreadable(f"the heredoc's end {delimiter} is missing")
                line = self._source[self._at : self._end].partition("\n")[0]
                closing, self._at = self._at, min(self._end, self._at + len(line) + 1)
                if (line.lstrip("\t") if strips else line) == delimiter:
                    break
            if expanded:
                self._substitutions(body, closing, inner)
        self._waiting = []
        return self._made("heredoc", start, inner)

    def _substitutions(self, start: int, end: int, inner: list[list[Token]]) -> None:
        after, self._at = self._at, start
        while self._at < end:
            if self._source[self._at] in "\\$`" and not self._source.startswith("$'", self._at):
                self._piece(inner)
            else:
                self._at += 1
        self._at = after

    def _made(self, kind: str, start: int, inner: list[list[Token]] | None = None) -> Token:
        return Token(kind, self._source[start : self._at], start, bisect_right(self._starts, start), inner or [])

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if match := pattern.match(self._source, self._at, self._end):
            self._at = match.end()
