"""What a script gives names to: its functions, and the variables that are its own and not the machine's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent.languages.bash.lexer import ASSIGNMENT, Token, Unreadable, tokens
from agent.languages.bash.meaning import DECLARING, meant
from agent.languages.bash.syntax import Command

_ARITHMETIC = re.compile(r"\b([A-Za-z_]\w*)(?:\[[^\]]*\])?\s*(?:[-+*/%&|^]|<<|>>)?=(?!=)|\b([A-Za-z_]\w*)(?:\+\+|--)")
_DESCRIPTOR = re.compile(r"\{([A-Za-z_]\w*)\}[<>]")
_NAME = re.compile(r"[A-Za-z_]\w*")


def functions(source: str) -> frozenset[str]:
    """The names of the functions that a script defines; none where it cannot be read."""
    try:
        return frozenset(_functions(tokens(source)))
    except (Unreadable, RecursionError):
        return frozenset()


def _functions(found: Sequence[Token]) -> Iterator[str]:
    written = [token for token in found if token.kind != "comment"]
    for token, after, then in zip(written, [*written[1:], None], [*written[2:], None, None], strict=False):
        if token.kind == "reserved" and token.plain == "function" and after:
            yield after.plain
        elif token.kind == "word" and after and then and after.kind == then.kind == "operator" and after.text == "(" and then.text == ")":
            yield token.plain
    for token in found:
        for inner in token.inner:
            yield from _functions(inner)


def named(commands: Sequence[Command], found: Sequence[Token]) -> set[str]:
    """The variables that a script gives a value of its own: those that it only exports, or sets to themselves, may be the machine's."""
    return {name for command in commands for name in _named(command)} | worked_out(found)


def _named(command: Command) -> Iterator[str]:
    arguments = command.arguments
    name = arguments[0].plain if arguments else ""
    for word in (*command.words[: len(command.words) - len(arguments)], *(arguments[1:] if name in DECLARING else ())):
        if match := ASSIGNMENT.match(word.plain):
            own = re.match(r"\w+", match.group())
            if own and not match.group().endswith("+=") and not re.search(rf"\$\{{?{own.group()}\b", word.plain):
                yield own.group()
        elif _NAME.fullmatch(word.plain) and (name == "local" or any(re.fullmatch(r"-\w*[aAi]\w*", other.text) for other in arguments[1:])):
            yield word.plain
    if name in ("read", "mapfile", "readarray", "getopts", "unset", "printf", "wait", "coproc"):
        yield from (text for word in arguments[1:] for text in meant(word, {}) if _NAME.fullmatch(text))
        yield from (text.partition("[")[0] for word in arguments[1:] for text in meant(word, {}) if re.match(r"[A-Za-z_]\w*\[", text))
    elif name in ("for", "select"):
        yield from (word.plain for word in command.words[1:2])
    elif name == "let":
        yield from (one or other for word in arguments[1:] for one, other in _ARITHMETIC.findall(word.plain))
    yield from (match[1] for word in command.redirects if (match := _DESCRIPTOR.match(word.text)))


def worked_out(found: Sequence[Token]) -> set[str]:
    """The variables that arithmetic sets, and that so are numbers."""
    told = set[str]()
    for token in found:
        if token.kind == "arithmetic":
            told |= {one or other for one, other in _ARITHMETIC.findall(token.text)}
        for inner in token.inner:
            told |= worked_out(inner)
    return told
