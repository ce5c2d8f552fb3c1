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
    STEERING,
    WRAPPERS,
)  # fmt: skip
from agent.languages.bash.lexer import ASSIGNMENT, Token, Unreadable, tokens
from agent.languages.bash.syntax import Command, commands
from agent.languages.literals import PAYLOAD, opaque
from agent.languages.permitted import Permitted

Broken = tuple[int, str, str, Literal["error", "note"]]

_VARIABLE = re.compile(r"\$(?:\{[!#]?)?([A-Z][A-Z0-9_]*)\b")
_ASSIGNED = re.compile(r"\b([A-Z][A-Z0-9_]*)(?:\[[^]]*\])?\+?=")
_DECLARED = re.compile(r"(?:\b(?:read|mapfile|readarray|local|declare|readonly|export|typeset|getopts|for)\b|\s-v\s)([^;\n|)]*)")
_DECODER = re.compile(r"\b(?:base64|base32|basenc)\b.*(?:\s-[a-z]*d|--decode)|\bxxd\b.*\s-[a-z]*r|@base64d|\b(?:gunzip|zcat|bunzip2|xz)\b.*<<<")
_ESCAPES = re.compile(r"(?:\\x[0-9a-fA-F]{1,2}|\\[0-7]{3}|\\u[0-9a-fA-F]{4}){8,}")
_FUNCTION = re.compile(r"^[ \t]*(?:function[ \t]+([\w:.-]+)|([\w:.-]+)[ \t]*\([ \t]*\))", re.MULTILINE)
_SOCKETS = re.compile(r"/dev/(?:tcp|udp)/")
_PLACES = re.compile(r"/(?:proc|sys)/")
_AWK_CALLS = re.compile(r"\bsystem\s*\(|\|\s*getline|\|\s*\"|/inet/")
_LITERAL = re.compile(rf"[A-Za-z0-9+/=_-]{{{PAYLOAD},}}")
# A file of the skill: by a relative path, or by a computed folder and a name of its own.
_OWN_FILE = re.compile(r"^[\"']?(?:[\w.]|\$.*/)[\w./-]*\.(?:sh|bash)[\"']?$")
_SYSTEM = ("/usr/bin/", "/bin/")
# Options by which ordinary tools start a program (sort, split, tar).
_RUNNING = re.compile(r"[\"']?--(?:compress-program|use-compress-program|filter|to-command|checkpoint-action|rsh-command)\b")
_PLAIN = re.compile(r"[\w./+:@%,=-]+")


def broken(source: str, permitted: Permitted, *, own: frozenset[str] = frozenset(), in_tests: bool = False) -> list[Broken]:
    """The rules that a script breaks: line, rule, message, level; each once a line. Raises ValueError where it cannot be read.

    `own`: the functions that the skill's other scripts define.
    """
    try:
        reading = _Reading(source, permitted, None if in_tests else own | functions(source))  # a test calls what drives it, too
        found = list(reading.broken())
        if not in_tests:  # whose files are the sandbox's
            found += files.reached(source, reading.commands, storage=permitted.storage)
    except (Unreadable, RecursionError) as error:
        raise ValueError(str(error) or "it is nested too deeply") from None
    lenient = {ENVIRONMENT[0], ENCODED[0]} if in_tests else set()
    return [(line, rule, message, "note" if rule in lenient else "error") for line, rule, message in sorted(set(found))]


def functions(source: str) -> frozenset[str]:
    """The names of the functions that a script defines, as far as they can be read."""
    return frozenset(name or other for name, other in _FUNCTION.findall(source))


class _Reading:
    def __init__(self, source: str, permitted: Permitted, own: frozenset[str] | None) -> None:
        self._permitted, self._own = permitted, own
        self._tokens = tokens(source)
        self._lines = source.split("\n")  # as the lexer counts them
        self.commands = commands(self._tokens)
        named = " ".join(_ASSIGNED.findall(source) + _DECLARED.findall(source))
        self._known = set(re.findall(r"[A-Z][A-Z0-9_]*", named)) | SHELL_VARIABLES | permitted.variables
        self._searched: set[int] = set()
        self._encoded = bool(_LITERAL.search(re.sub(r"#[^\n]*", "", source)))

    def broken(self) -> Iterator[tuple[int, str, str]]:
        for command in self.commands:
            arguments = command.arguments
            for word in command.words[: len(command.words) - len(arguments)]:
                yield from self._assigned(word)
            if arguments and arguments[0].kind == "word":
                yield from self._called(command, arguments)
        for token in self._tokens:
            yield from self._token(token)

    # ---- what is run -------------------------------------------------------------------------------------------------------

    def _called(self, command: Command, arguments: list[Token]) -> Iterator[tuple[int, str, str]]:
        """The command, and those that it runs in turn."""
        name = _bare(arguments[0].text)
        line = arguments[0].line
        if name is None:
            yield line, DYNAMIC[0], f"`{arguments[0].text[:60]}`: a command whose name is computed {DYNAMIC[1]}"
            return
        if "/" in name and not name.startswith(_SYSTEM):
            yield line, DYNAMIC[0], f"`{name[:60]}`: a file that is started as a program {DYNAMIC[1]}: write `bash {name[:60]}`"
        name = name.rpartition("/")[2] or name
        if any(_RUNNING.match(word.text) for word in arguments[1:]) or (name in ("mapfile", "readarray") and any(w.text == "-C" for w in arguments)):
            yield line, DYNAMIC[0], f"`{name}` with an option that starts a program {DYNAMIC[1]}"
        if name in WRAPPERS or (name == "find" and any(word.text in ("-exec", "-execdir", "-ok") for word in arguments)):
            start = next((n for n, word in enumerate(arguments[1:], 1) if _runs(name, arguments[n - 1].text, word.text)), None)
            if start is not None:
                yield from self._called(command, arguments[start:])
        elif name in SHELLS:
            yield from self._shell(command, arguments)
        elif name in ("source", "."):
            if len(arguments) > 1 and not _OWN_FILE.search(arguments[1].text):
                yield line, DYNAMIC[0], f"`{name}` of a computed path {DYNAMIC[1]}"
        elif name == "trap" and any("$" in word.text and word.text[:1] != "'" for word in arguments[1:2]):
            yield line, DYNAMIC[0], f"`trap` of a computed command {DYNAMIC[1]}"
        elif name in ("awk", "gawk", "mawk") and any(_AWK_CALLS.search(word.text) for word in arguments[1:]):
            yield line, DYNAMIC[0], f"`{name}` with system() or a pipe {DYNAMIC[1]}"
        elif name == "sed" and any(re.search(r"/[gpiImM0-9]*e[gpiImMw0-9]*['\"]?$", word.text) for word in arguments[1:]):
            yield line, DYNAMIC[0], f"`sed` with the flag e {DYNAMIC[1]}"
        elif (rule := BANNED.get(name)) and not (rule is NETWORK and self._permitted.network):
            yield line, rule[0], f"`{name}` {rule[1]}"
        elif self._own is not None and name not in BUILTINS | PROGRAMS | self._own | BANNED.keys():
            yield (
                line,
                PROCESS[0],
                f"`{name[:60]}` is none of the programs that a Bash skill has: Bash, coreutils, findutils, grep, sed, awk, jq and the like",
            )
        elif name in ("declare", "export", "local", "readonly", "typeset", "read", "printf", "mapfile", "readarray", "unset"):
            for word in arguments[1:]:
                yield from self._assigned(word)

    def _shell(self, command: Command, arguments: list[Token]) -> Iterator[tuple[int, str, str]]:
        """A shell may run a script of the skill, by name."""
        options = [word.text for word in arguments[1:] if word.text.startswith("-")]
        scripts = [word.text for word in arguments[1:] if not word.text.startswith("-")]
        computed = not scripts or not re.search(r"\.(?:sh|bash)[\"']?$|^[\"']?\$\{?(?:SKILL_ENTRYPOINT|0)\}?[\"']?$", scripts[0])
        if any(re.fullmatch(r"-[a-z]*[cs][a-z]*", option) for option in options) or computed:
            yield arguments[0].line, DYNAMIC[0], f"`{arguments[0].text}` with code from an argument or a pipe {DYNAMIC[1]}"

    def _assigned(self, word: Token) -> Iterator[tuple[int, str, str]]:
        name = re.split(r"[\[+=]", word.text)[0]
        if name in STEERING:
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
                    if name not in self._known and not name.startswith("SKILL_"):
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
        return before in ("-exec", "-execdir", "-ok")
    takes = WRAPPERS[wrapper]
    if takes and re.fullmatch(rf"-[{takes}]", before):
        return False
    return not word.startswith("-") and not re.fullmatch(r"[\d.]+[smhd]?|\{\}", word) and not ASSIGNMENT.match(word)
