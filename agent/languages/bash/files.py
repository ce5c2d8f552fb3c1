"""What a script does with files: the paths that it writes out, and the commands and redirections that write.

A path that is computed may be anything; in the sandbox nothing is there but the skill's own. This tells a reader what the script reaches for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent.languages.bash.banned import PROGRAMMED, SAYING, WRITING
from agent.languages.bash.lexer import ASSIGNMENT, Token
from agent.languages.bash.meaning import UNKNOWN, Constants, alternatives, meanings
from agent.languages.bash.syntax import Command
from agent.languages.places import FILES, KEEPS, outside, standard, temporary

_PATH = re.compile(r"(?:~[\w-]*|\.{1,2}|/[\w.-]+)(?:/[\w.*?${}-]*)*")
_WRITES = re.compile(r"\d*(?:>|>>|>\||&>|&>>|<>)")
_SCRATCH = re.compile(r"\bmktemp\b|\$\{?TMPDIR\b|/tmp/")
_PROGRAMS = ("/usr/bin/", "/bin/")
_TESTS = ("[[", "[", "test", "case", "for")  # what stands there may be a pattern
_WIDE = re.compile(r"(?:/|~[+-]?/)\S*|\S*/\.\.(?:/\S*)?|\.\./\S*")
_EVERYTHING = re.compile(r"/+[.*?]*")
_LISTING = frozenset(("ls", "dir", "vdir", "find", "tar", "du", "df", "cd", "pushd", "cp", "mv", "rm", "chmod", "stat", "realpath", "tree"))
_SCRIPTS = (".sh", ".bash")

Found = Iterator[tuple[int, str, str]]


def reached(source: str, commands: Sequence[Command], known: Constants, *, storage: bool) -> Found:
    """The rules that a script breaks by its files: line, rule, message. `known`: the values that stand in it."""
    keeps = storage or bool(_SCRATCH.search(source))
    for command in commands:
        arguments = command.arguments
        name = _plain(arguments[0].text) if arguments else ""
        name = name.rpartition("/")[2] if name.startswith(_PROGRAMS) else name
        texts = _texts(name, arguments)
        for word in command.words:
            if id(word) not in texts:
                yield from _path(word, name, known)
        if name == "cd" and len(arguments) == 1:
            yield command.line, FILES[0], f"`cd` to the home {FILES[1]}"
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


def _path(word: Token, name: str, known: Constants) -> Found:
    assigned = ASSIGNMENT.match(word.plain)
    parts = word.plain[assigned.end() :].strip("()").split() if assigned else [word.plain]
    for text in (text for part in parts for meaning in meanings(part, known) for text in alternatives(meaning)):
        path = text.partition("=")[2] if text.startswith("--") else text
        strict = standard(path) or (_PATH.fullmatch(path) and outside(path))
        if strict or (not assigned and _wide(path, name)):
            yield word.line, FILES[0], f"`{path[:60].replace(UNKNOWN, '…')}` {FILES[1]}"
            return


def _wide(path: str, name: str) -> bool:
    """Whether a word is a path where it cannot be a pattern."""
    if name in _LISTING and _EVERYTHING.fullmatch(path):
        return True
    return name not in _TESTS and len(path) > 1 and bool(_WIDE.fullmatch(path)) and outside(path) and not path.endswith(_SCRIPTS)


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
