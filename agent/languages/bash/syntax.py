"""The commands of a Bash script, from its tokens. Standard library only; runs in the sandbox too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from agent.languages.bash.lexer import ASSIGNMENT, REDIRECTS, Token, tokens

JOINERS = ("|", "|&", "&&", "||")


@dataclass
class Command:
    """A simple command, `[[ … ]]`, `(( … ))`, or the head of `for` or `case`.

    `before` is the reserved word or operator that it follows; `inner` tells whether it lies in a substitution.
    """

    words: list[Token]
    before: str = ""
    redirects: list[Token] = field(default_factory=list)
    inner: bool = False

    @property
    def line(self) -> int:
        return self.words[0].line

    @property
    def last_line(self) -> int:
        return max(token.last_line for token in (*self.words, *self.redirects))

    @property
    def arguments(self) -> list[Token]:
        """The words without the assignments that they begin with; the first is the command's name."""
        start = next((number for number, word in enumerate(self.words) if not ASSIGNMENT.match(word.text)), len(self.words))
        return self.words[start:]

    @property
    def open(self) -> bool:
        """Whether this is a `[[ … ]]` whose end is not read yet."""
        return self.words[0].kind == "reserved" and self.words[0].text == "[[" and self.words[-1].text != "]]"


def commands(source: str | list[Token]) -> list[Command]:
    """In the order of the source, or of its tokens; what a substitution holds comes after the command that it is in. Raises lexer.Unreadable."""
    return list(_commands(tokens(source) if isinstance(source, str) else source, inner=False))


def _commands(found: Iterable[Token], *, inner: bool) -> Iterator[Command]:
    current: Command | None = None
    before = ""
    for token in (*found, Token("newline", "", 0, 0)):
        if current is not None and _belongs(token, current):
            current.words.append(token)
        elif current is not None and ((token.kind == "operator" and token.text.endswith(REDIRECTS)) or _aimed(current, token)):
            current.redirects.append(token)
        elif current is not None and token.kind in ("word", "arithmetic"):
            current.words.append(token)
        elif _starts(token, before):
            current = Command([token], before, inner=inner)
        elif token.kind != "comment":
            if current is not None and token.text != "(":  # else it was the name of a function
                yield current
                yield from _substituted([*current.words, *current.redirects])
            yield from _substituted([token])
            current = None
            if token.kind not in ("newline", "heredoc"):
                before = token.text
            elif before not in JOINERS:
                before = ""


def _starts(token: Token, before: str) -> bool:
    """Whether a command starts with `token`: not the name of a function, and not what a redirection of a whole block aims at."""
    if token.kind in ("word", "arithmetic"):
        return before != "function" and not before.endswith(REDIRECTS)
    return token.kind == "reserved" and token.text in ("[[", "for", "case", "select")


def _belongs(token: Token, current: Command) -> bool:
    return current.open or (token.text == "in" and current.words[0].text == "case")


def _aimed(current: Command, token: Token) -> bool:
    """Whether `token` is what the redirection before it aims at."""
    return bool(current.redirects) and current.redirects[-1].kind == "operator" and token.kind in ("word", "arithmetic")


def _substituted(found: Iterable[Token]) -> Iterator[Command]:
    for token in found:
        for substitution in token.inner:
            yield from _commands(substitution, inner=True)
