"""Bash as tokens: where words, operators and heredocs lie. Standard library only; runs in the sandbox too.

It reads what `bash -n` accepts (bash(1), "SHELL GRAMMAR") well enough for our rules, mutants and coverage; it expands nothing
and runs nothing. What Bash takes to end elsewhere than a reader would is Unreadable, for nobody writes that who wants to be read.
"""

from __future__ import annotations

import re

from agent.languages.bash.quoting import ASSIGNMENT, BLANK, Token, Unreadable, Words

REDIRECTS = ("<<<", "<<-", "&>>", ">>", "<<", "<&", ">&", "<>", ">|", "&>", "<", ">")
_CONTROL = (";;&", ";;", ";&", "&&", "||", "|&", "|", "&", ";", "(", ")")
_OPERATOR = re.compile(rf"(?:\d+|\{{\w+\}})?(?P<redirect>{'|'.join(map(re.escape, REDIRECTS))})(?!\()|{'|'.join(map(re.escape, _CONTROL))}")
# Reserved words after which a command comes; the others (`fi`, `esac`, …) end something.
OPENERS = frozenset(("if", "then", "elif", "else", "while", "until", "do", "{", "!", "time", "coproc"))
RESERVED = OPENERS | {"fi", "done", "esac", "}", "case", "for", "select", "function", "[["}
_COMMENT = re.compile(r"[^\n]*")
_QUOTES = re.compile(r"['\"\\]")
_DELIMITER = re.compile(r"\\?[\w.+!-]+|'[\w.+! -]+'|\"[\w.+! -]+\"")
_JOINED = re.compile(r"(?<!\\)(?:\\\\)*\\$")  # a line of a heredoc that goes on
# After these a reserved word may come at once, and a command may not: `if [[ … ]] then`, `for x do`.
_CLOSERS = frozenset(("fi", "done", "}", "esac"))


def _closes(token: Token, before: Token | None, tests: bool) -> bool:
    """Whether a reserved word may follow though no command can: what was open is closed, or `for` has its name."""
    if before is not None and before.kind == "reserved" and before.plain in ("for", "select"):
        return True
    return token.kind == "arithmetic" or (token.kind == "reserved" and token.plain in _CLOSERS) or (tests and token.plain == "]]")


def tokens(source: str, start: int = 0, end: int | None = None) -> list[Token]:
    """All tokens of a script, or of a part of it; raises Unreadable."""
    if "\0" in source:
        raise Unreadable("Bash leaves out the byte NUL, and joins what stands around it")
    return _Lexer(source, start, len(source) if end is None else end).list_of(None)


class _Lexer(Words):
    def list_of(self, closer: str | None, *, data: bool = False) -> list[Token]:
        """Tokens up to the `closer`, which is passed over, or to the end. `data`: they are the elements of an array."""
        found: list[Token] = []
        cases: list[str] = []  # for each open `case`: before its `in` (subject), at a pattern, or in a body
        depth, first, tests = 0, not data, False  # tests: within [[ … ]]
        keyword = first  # whether a reserved word may come
        while True:
            self._skip(BLANK)
            pattern = bool(cases) and cases[-1] == "pattern"
            if self._at >= self._end:
                if closer:
                    raise Unreadable(f"a {closer} is missing at the end")
                return found
            if closer and depth == 0 and not pattern and self._source[self._at] == closer:
                self._at += 1
                return found
            last = found[-1] if found else None
            token = self._token(first, keyword, last, cases[-1] if cases else "", tests)
            found.append(token)
            if token.kind == "operator" and not pattern:
                depth += {"(": 1, ")": -1}.get(token.text, 0)
            closes = not data and _closes(token, last, tests)
            tests = (tests or (token.kind == "reserved" and token.plain == "[[")) and token.plain != "]]"
            assigned = token.kind == "word" and ASSIGNMENT.match(token.text) is not None
            first, kept = not data and self._opens(token, first, last.plain if last else "", cases), keyword and token.kind == "comment"
            keyword = (first and not assigned and token.kind != "comment") or kept or closes

    def _token(self, first: bool, keyword: bool, last: Token | None, case: str, tests: bool) -> Token:
        source, start = self._source, self._at
        before = last.plain if last else ""
        if source[start] == "\n":
            self._at += 1
            return self._heredocs(start) if self._waiting else self._made("newline", start)
        if source[start] == "#":
            self._skip(_COMMENT)
            return self._made("comment", start)
        if source.startswith("((", start) and (first or before == "for") and self._is_arithmetic(start):
            return self._arithmetic(start)
        regex = tests and before == "=~"
        if not regex and (match := _OPERATOR.match(source, start, self._end)):
            self._at = match.end()
            if source.startswith("\\\n", self._at) and match["redirect"]:
                raise Unreadable("a line goes on within an operator")
            if match["redirect"] in ("<<", "<<-"):
                if last and last.end == start and "[" in last.text:
                    raise Unreadable("an index with << reads as a heredoc: work it out in $((…)) before")
                self._await(match["redirect"] == "<<-")
            return self._made("operator", start)
        token = self._word(regex=regex)
        if case == "pattern":
            token.kind = "reserved" if token.plain == "esac" else "pattern"
        elif (keyword and token.plain in RESERVED) or (case == "subject" and token.plain == "in"):
            token.kind = "reserved"
        return token

    def _opens(self, token: Token, first: bool, before: str, cases: list[str]) -> bool:
        """Whether a command may start after `token`. Keeps the state of `case`."""
        state = cases[-1] if cases else ""
        if token.kind == "reserved":
            if token.plain == "case":
                cases.append("subject")
            elif token.plain == "esac" and cases:
                cases.pop()
            elif token.plain == "in":
                cases[-1] = "pattern"
            return token.plain in OPENERS
        if token.kind == "operator":
            if state == "pattern" and token.text == ")":
                cases[-1] = "body"
            elif state == "body" and token.text in (";;", ";&", ";;&"):
                cases[-1] = "pattern"
            return not token.text.endswith(("<", ">", "<<-", ">|")) and token.text[-2:] not in ("<&", ">&")
        if token.kind in ("newline", "heredoc"):
            return True
        return before == "function" or (first and (token.kind == "comment" or ASSIGNMENT.match(token.text) is not None))

    # ---- heredocs and places -----------------------------------------------------------------------------------------------

    def _await(self, strips: bool) -> None:
        after = self._at
        self._skip(BLANK)
        delimiter = self._word(regex=False).text
        if not _DELIMITER.fullmatch(delimiter):
            raise Unreadable(f"the heredoc's end {delimiter} reads otherwise than it is: write a word, or one in quotes")
        self._at = after  # it is read again, as the target of the redirection
        self._waiting.append((_QUOTES.sub("", delimiter), strips, not _QUOTES.search(delimiter)))

    def _heredocs(self, start: int) -> Token:
        inner: list[list[Token]] = []
        for delimiter, strips, expanded in self._waiting:
            body = self._at
            while True:
                closing, line = self._at, ""
                while True:  # a line that goes on is one with the next, also at the end
                    if self._at >= self._end:
                        raise Unreadable(f"the heredoc's end {delimiter} is missing")
                    part = self._source[self._at : self._end].partition("\n")[0]
                    self._at = min(self._end, self._at + len(part) + 1)
                    if not (expanded and _JOINED.search(part) and self._at < self._end):
                        break
                    line += part[:-1]
                line += part
                if (line.lstrip("\t") if strips else line) == delimiter:
                    break
            if expanded:
                self._substitutions(body, closing, inner)
        self._waiting = []
        return self._made("heredoc", start, inner)
