"""Our own security rules for Bash, on the commands of a script: what hides code from a reader or reaches out of the sandbox.

In tests, what is ordinary there is a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from agent.languages.bash import files
from agent.languages.bash.banned import (
    BANNED,
    BUILTINS,
    DYNAMIC,
    ENCODED,
    ENVIRONMENT,
    NETWORK,
    PROCESS,
    PROGRAMS,
    SHELL_VARIABLES,
    SHELLS,
    WRAPPERS,
)  # fmt: skip
from agent.languages.bash.evasion import evasions, steering
from agent.languages.bash.lexer import ASSIGNMENT, Token, Unreadable, tokens
from agent.languages.bash.meaning import DECLARING, UNKNOWN, constants, meant, plain
from agent.languages.bash.naming import functions, named
from agent.languages.bash.syntax import Command, commands
from agent.languages.literals import PAYLOAD, opaque
from agent.languages.permitted import Permitted

Broken = tuple[int, str, str, Literal["error", "note"]]

_VARIABLE = re.compile(r"\$(?:\{[!#]?)?([A-Z][A-Z0-9_]*)\b")
_DECODER = re.compile(r"\b(?:base64|base32|basenc)\b.*(?:\s-[a-z]*d|--decode)|\bxxd\b.*\s-[a-z]*r|@base64d|\b(?:gunzip|zcat|bunzip2|xz)\b.*<<<")
_ESCAPES = re.compile(r"(?:\\x[0-9a-fA-F]{1,2}|\\[0-7]{3}|\\u[0-9a-fA-F]{4}){8,}")
_SOCKETS = re.compile(r"/dev/(?:tcp|udp)/")
_PLACES = re.compile(r"/(?:proc|sys)/")
_LITERAL = re.compile(rf"[A-Za-z0-9+/=_-]{{{PAYLOAD},}}")
# A file of the skill: by a relative path, or by a computed folder and a name of its own.
_OWN_FILE = re.compile(r"^[\"']?(?:[\w.]|\$.*/)[\w./-]*\.(?:sh|bash)[\"']?$")
_SYSTEM = re.compile(r"/(?:usr/)?bin/[^/]+")
_SHELL_OPTIONS = re.compile(r"-[euxnv]+|-o|errexit|nounset|pipefail|xtrace|--|--norc|--noprofile")
_STARTS = frozenset(("-exec", "-execdir", "-ok", "-okdir"))
_PLAIN = re.compile(r"[\w./+:@%,=-]+")


def broken(
    source: str, permitted: Permitted, *, own: frozenset[str] = frozenset(), scripts: frozenset[str] | None = None, in_tests: bool = False
) -> list[Broken]:
    """The rules that a script breaks: line, rule, message, level; each once a line. Raises ValueError where it cannot be read.

    `own`: the functions that the skill's other scripts define; `scripts`: the names of those, without their folders, where that is known.
    """
    try:
        reading = _Reading(source, permitted, own | functions(source), scripts, in_tests=in_tests)
        found = list(reading.broken())
        if not in_tests:  # whose files are the sandbox's
            found += files.reached(source, reading.commands, reading.known, storage=permitted.storage)
    except (Unreadable, RecursionError) as error:
        raise ValueError(str(error) or "it is nested too deeply") from None
    lenient = {ENVIRONMENT[0], ENCODED[0]} if in_tests else set()
    return [(line, rule, message, "note" if rule in lenient else "error") for line, rule, message in sorted(set(found))]


class _Reading:
    def __init__(self, source: str, permitted: Permitted, own: frozenset[str], scripts: frozenset[str] | None, *, in_tests: bool) -> None:
        self._permitted, self._own, self._scripts, self._in_tests = permitted, own, scripts, in_tests
        self._tokens = tokens(source)
        self._lines = source.split("\n")  # as the lexer counts them
        self.commands = commands(self._tokens)
        self.known = constants(self.commands)
        self._named = named(self.commands, self._tokens) | SHELL_VARIABLES | permitted.variables
        self._searched: set[int] = set()
        self._encoded = bool(_LITERAL.search(re.sub(r"#[^\n]*", "", source)))
        self._moves = any(self._leaves(command) for command in self.commands)

    def broken(self) -> Iterator[tuple[int, str, str]]:
        yield from evasions(self.commands, self._tokens, self.known, network=self._permitted.network, in_tests=self._in_tests)
        for command in self.commands:
            arguments = command.arguments
            for word in command.words[: len(command.words) - len(arguments)]:
                yield from self._assigned(word)
            if arguments and arguments[0].kind == "word":
                yield from self._called(command, arguments)
        for token in self._tokens:
            yield from self._token(token)

    def _leaves(self, command: Command) -> bool:
        """Whether a command goes to a folder that is not the script's own."""
        words = command.arguments
        return bool(words) and plain(words[0].text) in ("cd", "pushd") and not any(re.search(r"\$0|BASH_SOURCE|dirname", word.text) for word in words)

    # ---- what is run -------------------------------------------------------------------------------------------------------

    def _called(self, command: Command, arguments: list[Token]) -> Iterator[tuple[int, str, str]]:
        """The command, and those that it runs in turn."""
        name = _bare(arguments[0].text)
        line = arguments[0].line
        if name is None:
            yield line, DYNAMIC[0], f"`{arguments[0].text[:60]}`: a command whose name is computed {DYNAMIC[1]}"
            return
        if "/" in name and not _SYSTEM.fullmatch(name):
            yield line, DYNAMIC[0], f"`{name[:60]}`: a file that is started as a program {DYNAMIC[1]}: write `bash {name[:60]}`"
        name = name.rpartition("/")[2] or name
        words = [plain(word.plain) for word in arguments]
        if name in WRAPPERS or (name == "find" and not _STARTS.isdisjoint(words)):
            start = next((n for n, word in enumerate(words[1:], 1) if _runs(name, words[n - 1], word)), None)
            if start is not None:
                yield from self._called(command, arguments[start:])
            elif name == "xargs" and "{}" in words:
                yield line, DYNAMIC[0], f"`xargs` of what it reads {DYNAMIC[1]}"
        elif name in SHELLS:
            yield from self._shell(arguments, words)
        elif name in ("source", "."):
            if len(arguments) > 1 and not (_OWN_FILE.search(arguments[1].text) and self._is_own(arguments[1])):
                yield line, DYNAMIC[0], f"`{name}` of a path that is computed or no script of the skill {DYNAMIC[1]}"
        elif name == "trap":
            yield from self._trapped(arguments)
        elif (rule := BANNED.get(name)) and not (rule is NETWORK and self._permitted.network):
            yield line, rule[0], f"`{name}` {rule[1]}"
        elif not self._in_tests and name not in BUILTINS | PROGRAMS | self._own | BANNED.keys():
            yield (
                line,
                PROCESS[0],
                f"`{name[:60]}` is none of the programs that a Bash skill has: Bash, coreutils, findutils, grep, sed, awk, jq and the like",
            )
        elif name in (*DECLARING, "read", "printf", "mapfile", "readarray", "unset", "getopts", "wait", "let"):
            for word in arguments[1:]:
                yield from self._assigned(word)

    def _shell(self, arguments: list[Token], words: list[str]) -> Iterator[tuple[int, str, str]]:
        """A shell may run a script of the skill, by name."""
        start = next((n for n, word in enumerate(words[1:], 1) if not _SHELL_OPTIONS.fullmatch(word)), len(words))
        script = arguments[start].text if start < len(words) else ""
        entry = re.search(r"^[\"']?\$\{?(?:SKILL_ENTRYPOINT|0)\}?[\"']?$", script)
        if not entry and not (re.search(r"\.(?:sh|bash)[\"']?$", script) and self._is_own(arguments[start])):
            yield arguments[0].line, DYNAMIC[0], f"`{arguments[0].text}` with code from an argument, a pipe or no script of the skill {DYNAMIC[1]}"

    def _is_own(self, word: Token) -> bool:
        """Whether a path is that of a script of the skill: its name is one, and nobody went elsewhere before."""
        path = meant(word, self.known)[0]
        if self._in_tests:
            return True  # a test calls what drives it, too
        if self._scripts is not None and path.rpartition("/")[2] not in self._scripts:
            return False
        return not (self._moves and not path.startswith(UNKNOWN))

    def _trapped(self, arguments: list[Token]) -> Iterator[tuple[int, str, str]]:
        """What a trap runs is a script of its own."""
        given = next((word for word in arguments[1:] if not re.fullmatch(r"-[lp]|--", word.text)), None)
        if given is None or given.text in ("-", "''", '""'):
            return
        if "$" in given.text and given.text[:1] != "'":
            yield given.line, DYNAMIC[0], f"`trap` of a computed command {DYNAMIC[1]}"
            return
        for inner in commands(plain(given.text)):
            if inner.arguments and inner.arguments[0].kind == "word":
                for _, rule, message in self._called(inner, inner.arguments):
                    yield given.line, rule, message

    def _assigned(self, word: Token) -> Iterator[tuple[int, str, str]]:
        for text in meant(word, self.known):
            name = re.split(r"[\[+=]", text)[0]
            if steering(name):
                yield word.line, DYNAMIC[0], f"setting {name} changes which code runs"

    # ---- what is written out ----------------------------------------------------------------------------------------------

    def _token(self, token: Token) -> Iterator[tuple[int, str, str]]:
        for substitution in token.inner:
            for inner in substitution:
                yield from self._token(inner)
        if token.kind in ("comment", "newline", "operator", "reserved"):
            return
        for number, text in enumerate(token.text.split("\n"), token.line):
            if _SOCKETS.search(text) and not self._permitted.network:
                yield number, NETWORK[0], f"/dev/tcp {NETWORK[1]}"
            if _PLACES.search(text):
                yield number, ENVIRONMENT[0], f"{text.strip()[:40]} {ENVIRONMENT[1]}"
            if _ESCAPES.search(text):
                yield number, ENCODED[0], "a literal of escapes that nobody can read: write its content in plain"
            if any(opaque(part) for part in re.split(r"[\s'\"]", text)):
                yield number, ENCODED[0], "a literal that nobody can read: write its content in plain"
            if not text.startswith("'"):
                for name in _VARIABLE.findall(text):
                    if name not in self._named and not name.startswith("SKILL_"):
                        yield number, ENVIRONMENT[0], f"${name} {ENVIRONMENT[1]}"
        if self._encoded and token.line not in self._searched:
            self._searched.add(token.line)
            if _DECODER.search(self._lines[token.line - 1]):
                yield token.line, ENCODED[0], f"this {ENCODED[1]}"


def _bare(text: str) -> str | None:
    """A command's name without quotes; None where it is computed."""
    plain = re.sub(r"[\"'\\]", "", text)
    return plain if _PLAIN.fullmatch(plain) or plain in ("[", "[[", ":", ".", "!") else None


def _runs(wrapper: str, before: str, word: str) -> bool:
    """Whether `word` is the command that a wrapper runs: after its options, its numbers and what they take."""
    if wrapper == "find":
        return before in _STARTS
    takes = WRAPPERS[wrapper]
    if takes and re.fullmatch(rf"-[{takes}]", before):
        return False
    return not word.startswith("-") and not re.fullmatch(r"[\d.]+[smhd]?|\{\}", word) and not ASSIGNMENT.match(word)
