"""What a script does with files: the paths that it writes out, and the commands and redirections that write.

A path that is computed may be anything; in the sandbox nothing is there but the skill's own. This tells a reader what the script reaches for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent.languages.bash.banned import PROGRAMMED, SAYING, WRITING
from agent.languages.bash.lexer import ASSIGNMENT, Token
from agent.languages.bash.syntax import Command
from agent.languages.places import FILES, KEEPS, outside, standard, temporary

_PATH = re.compile(r"(?:~[\w-]*|\.{1,2}|/[\w.-]+)(?:/[\w.*?${}-]*)*")
_WRITES = re.compile(r"\d*(?:>|>>|>\||&>|&>>|<>)")
_SCRATCH = re.compile(r"\bmktemp\b|\$\{?TMPDIR\b|/tmp/")
_PROGRAMS = ("/usr/bin/", "/bin/")

Found = Iterator[tuple[int, str, str]]


def reached(source: str, commands: Sequence[Command], *, storage: bool) -> Found:
    """The rules that a script breaks by its files: line, rule, message."""
    keeps = storage or bool(_SCRATCH.search(source))
    for command in commands:
        arguments = command.arguments
        name = _plain(arguments[0].text) if arguments else ""
        name = name.rpartition("/")[2] if name.startswith(_PROGRAMS) else name
        texts = _texts(name, arguments)
        for word in command.words:
            if id(word) not in texts:
                yield from _path(word)
        if name in WRITING:
            yield from _written(name, [word for word in arguments[1:] if not word.text.startswith("-")], keeps)
        yield from _redirected(command, keeps)


def _texts(name: str, arguments: Sequence[Token]) -> set[int]:
    """The words of a command that are no paths: its name, what it says, and a program of its own."""
    if name in SAYING:
        return {id(word) for word in arguments}
    texts = {id(word) for word in arguments[:1] if word.text.startswith(_PROGRAMS)}
    if name in PROGRAMMED:
        texts |= {id(word) for word in [word for word in arguments[1:] if not word.text.startswith("-")][:1]}
    return texts


def _path(word: Token) -> Found:
    assigned = ASSIGNMENT.match(word.text)
    for part in word.text[assigned.end() :].strip("()").split() if assigned else [word.text]:
        text = _plain(part.partition("=")[2] if part.startswith("--") else part)
        if standard(text) or (_PATH.fullmatch(text) and outside(text)):
            yield word.line, FILES[0], f"`{text[:60]}` {FILES[1]}"


def _written(name: str, words: Sequence[Token], keeps: bool) -> Found:
    for word in words:
        text = _plain(word.text)
        if temporary(text) or outside(text) or (keeps and "$" in text) or re.fullmatch(r"[-+=,rwxXugoa0-7]+", text):
            continue  # a mode is no path; what is outside was told
        yield word.line, KEEPS[0], f"`{name} {text[:60]}` {KEEPS[1]}"


def _redirected(command: Command, keeps: bool) -> Found:
    for operator, target in zip(command.redirects, command.redirects[1:], strict=False):
        text = _plain(target.text)
        if text.startswith(("/dev/tcp/", "/dev/udp/")):
            continue  # no file: see the rule `network`
        if target.kind != "operator" and outside(text):
            yield target.line, FILES[0], f"`{operator.text}{text[:60]}` {FILES[1]}"
        elif operator.kind == "operator" and _WRITES.fullmatch(operator.text) and not (temporary(text) or text.isdigit() or (keeps and "$" in text)):
            yield target.line, KEEPS[0], f"`{operator.text}{text[:60]}` {KEEPS[1]}"


def _plain(text: str) -> str:
    return re.sub(r"[\"'\\]", "", text)
