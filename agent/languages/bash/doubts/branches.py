"""Ways through a script that are missing or differ from their neighbours (CWE-478, CWE-862), and what never ends (CWE-835, CWE-674)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from agent.languages.bash.doubts.seen import TESTS, Found, Script
from agent.languages.bash.lexer import Token
from agent.languages.bash.syntax import Command
from agent.languages.sensitive import asks, asks_for_rights

WAYS = 3
_SILENT = re.compile(r"echo(?: (?:\"\"|''|[\"']?(?:none|null|nil|n/a)[\"']?))?", re.IGNORECASE)
_LEAVING = frozenset(("break", "exit", "return", "exec", "kill"))
_CHOOSING = frozenset(("if", "case", "while", "until", "for", "select"))


def found(script: Script) -> Found:
    yield from _choices(script.tokens)
    yield from _deviant(script)
    yield from _loops(script.tokens)
    yield from _recursion(script)


# ---- a choice without a case for all others --------------------------------------------------------------------------------------


def _choices(found: list[Token]) -> Found:
    """Each `case`, also those in others and in substitutions, whose `*)` gives an empty answer. That many have none is Bash's way."""
    open_: list[tuple[int, int]] = []
    for at, token in enumerate(found):
        for inner in token.inner:
            yield from _choices(inner)
        if token.kind == "reserved" and token.text == "case":
            open_.append((token.line, 0))
        elif token.kind == "pattern" and open_ and token.text == "*":
            open_[-1] = (open_[-1][0], at)
        elif token.kind == "reserved" and token.text == "esac" and open_:
            line, default = open_.pop()
            if default and _SILENT.fullmatch(_body(found, default)):
                yield line, "no-default", "anything else gets an empty answer, and nobody is told (CWE-478)"


def _body(found: list[Token], at: int) -> str:
    words = []
    for token in found[at + 1 :]:
        if token.text in (";;", ";&", ";;&", "esac"):
            break
        if token.kind == "word":
            words.append(token.text)
    return " ".join(words)


# ---- rights ---------------------------------------------------------------------------------------------------------------------


def _deviant(script: Script) -> Found:
    """A function whose ways are behind one and the same question, but for some; and a question that nothing asks."""
    own = {name for name, _, _ in script.functions}
    for name, first, last in script.functions:
        asked, free = Counter[str](), list[Command]()
        for before, command in _ways(script, [command for command in script.commands if first <= command.line <= last and not command.inner]):
            if script.called(command) not in own or script.called(command) == name:
                continue
            question = script.called(before) if before is not None else ""
            if asks(question):
                asked[question] += 1
            else:
                free.append(command)
        if asked and free and asked.total() >= len(free) and asked.total() + len(free) >= WAYS:
            question = asked.most_common(1)[0][0]
            yield free[0].line, "unasked", f"done without `{question}`, which the other ways ask first: is that meant? (CWE-862)"
    used = {script.called(command) for command in script.commands}
    for name, first, _ in script.functions:
        if asks_for_rights(name) and name not in used:
            yield first, "unasked", f"nothing asks `{name}`: is what it guards done without it? (CWE-862)"


def _ways(script: Script, commands: list[Command]) -> Iterator[tuple[Command | None, Command]]:
    """The first command of each way, with the one that was asked before it."""
    for before, command in zip([None, *commands], commands, strict=False):
        if script.before(command) in ("then", "else", ")"):
            yield (before if script.before(command) == "then" else None), command
        elif script.before(command) == "&&" and before is not None and asks(script.called(before)):
            yield before, command


# ---- ends -----------------------------------------------------------------------------------------------------------------------


def _loops(found: list[Token]) -> Found:
    """`while true` and its like, out of which nothing leads."""
    waiting: list[list[object]] = []
    for at, token in enumerate(found):
        if token.kind == "reserved" and token.text in ("while", "until", "for", "select"):
            waiting.append([token.line, _endless(token.text, found[at + 1 : at + 3]), False])
        elif token.kind == "word" and token.text in _LEAVING:
            for loop in waiting if token.text != "break" else waiting[-1:]:
                loop[2] = True
        elif token.kind == "reserved" and token.text == "done" and waiting:
            line, endless, left = waiting.pop()
            if endless and not left:
                yield int(str(line)), "endless-loop", "a loop without a way out: nothing ends it but the limit of time (CWE-835)"


def _endless(kind: str, after: Iterable[Token]) -> bool:
    texts = [token.text for token in after]
    if kind == "for":
        return bool(texts) and re.fullmatch(r"\(\(\s*[^;]*;\s*;[^;]*\)\)", texts[0]) is not None
    ends = len(texts) > 1 and texts[1] in (";", "\n", "do")
    return bool(texts) and ends and texts[0] in (("true", ":", "((1))", "((", "1") if kind == "while" else ("false",))


def _recursion(script: Script) -> Found:
    for name, first, last in script.functions:
        inside = [command for command in script.commands if first <= command.line <= last]
        called = [command for command in inside if script.called(command) == name and script.before(command) != "function"]
        chosen = any(
            script.before(command) in ("&&", "||", "then", "else", ")", "do")
            or command.words[0].kind == "arithmetic"
            or command.words[0].text in (*TESTS, *_CHOOSING)
            or script.called(command) in ("exit", "return")
            for command in inside
        )
        if called and not chosen:
            yield called[0].line, "endless-recursion", f"`{name}` calls itself on every way (CWE-674)"
