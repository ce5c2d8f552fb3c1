"""Ways by which a script does what it does not seem to say: text that becomes code once it is evaluated again, names that mean something else,
options that start a program, places that are put together of pieces.

`rules.py` reads what is called. What is here has no use but to keep that from being read, so it is refused whatever it leads to. What a script
only makes up while it runs (a text that comes with its inputs) is not seen: the sandbox is the wall, this is what a reader is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent.languages.bash import texts
from agent.languages.bash.banned import DYNAMIC, ENCODED, ENVIRONMENT, NETWORK, PROGRAMMED, SAYING, STEERING, WRITING
from agent.languages.bash.lexer import ASSIGNMENT, Token
from agent.languages.bash.meaning import DECLARING, UNKNOWN, Constants, decoded, meant
from agent.languages.bash.syntax import Command

Found = Iterator[tuple[int, str, str]]

_AGAIN = re.compile(r"\$\(|\[[^\]]*`|^`.*`$", re.DOTALL)
_INDEX = re.compile(r"\[[^\]]*(?:\$\(|`)")
_TRANSFORMED = re.compile(r"\$\{[^}]*@[PE]\}")
_LISTED = re.compile(r"\$\{![A-Za-z_]\w*[@*]\}")
_STEERING = re.compile(r"(?:LD_|BASH_FUNC_)\w+")
_STEERED_BY_DEFAULT = re.compile(r"\$\{([A-Z_]\w*):?=")
_SOCKET = re.compile(r"/dev/(?:tcp|udp)(?:/|$)")
_DEVICE = re.compile(rf"/dev/[\w/]*{UNKNOWN}")
_SCRIPT = re.compile(r"\.(?:sh|bash)$")
_ESCAPES = re.compile(r"\\(?:x[0-9a-fA-F]{2}|0?[0-7]{3}|u[0-9a-fA-F]{4})")
# Options by which ordinary tools start a program, also where they are cut short as GNU's may be, and the short ones of some.
_RUNNING = (
    "--compress-program", "--use-compress-program", "--filter", "--to-command", "--checkpoint-action", "--rsh-command", "--rmt-command",
    "--strip-program", "--diff-program", "--info-script", "--new-volume-script",
)  # fmt: skip
_SHORTEST = 6  # letters of an option that is cut short
_SHORT = {"tar": re.compile(r"-[A-Za-z]*[IF].*"), "mapfile": re.compile(r"-[a-zA-Z]*C.*"), "readarray": re.compile(r"-[a-zA-Z]*C.*")}
_COMPLETES = re.compile(r"-[a-z]*[CFW].*|-C")
_VARIABLES = {
    **dict.fromkeys(("declare", "typeset", "export", "readonly"), re.compile(r"-[aAilnrtux]*p[aAilnrtux]*")),
    "compgen": re.compile(r"-[a-z]*[ev]|export|variable|arrayvar"),
}


def evasions(commands: Sequence[Command], tokens: Sequence[Token], known: Constants, *, network: bool, in_tests: bool) -> Found:
    """Line, rule and message of each. `known`: the values that stand in the script; `network`: the manifest declares hosts. Tests try what is
    text with a command in it."""
    seen = _Seen(known, network, in_tests)
    for command in commands:
        yield from seen.command(command)
    if not in_tests:
        yield from seen.heredocs(tokens)


class _Seen:
    def __init__(self, known: Constants, network: bool, in_tests: bool) -> None:
        self._known, self._network, self._in_tests = known, network, in_tests

    def command(self, command: Command) -> Found:
        arguments = command.arguments
        name = next(iter(meant(arguments[0], self._known)), "").rpartition("/")[2] if arguments else ""
        words = [meant(word, self._known) for word in arguments[1:]]
        firsts = [each[0] for each in words]
        for word in (*command.words, *command.redirects):
            yield from self._word(word, name, inner=command.inner)
        for operator, target in zip(command.redirects, command.redirects[1:], strict=False):
            yield from self._redirected(operator, target)
        for rule, message in (*_options(name, firsts), *_modes(name, firsts), *texts.found(name, firsts), *_dumps(name, firsts)):
            yield command.line, rule, message
        if name in ("printf", "echo"):
            yield from self._escapes(arguments)
        if name in WRITING and any(_SCRIPT.search(text) for each in words for text in each):
            yield command.line, DYNAMIC[0], f"`{name}` of a script {DYNAMIC[1]}: what runs stands in the skill"

    def heredocs(self, tokens: Sequence[Token]) -> Found:
        """A text for `read` that holds a command."""
        for number, token in enumerate(tokens):
            if token.kind == "heredoc" and _INDEX.search(token.text) and not token.inner:
                line = [word.text for word in tokens[max(0, number - 12) : number]]
                if "read" in line or "mapfile" in line or "readarray" in line:
                    yield token.line, DYNAMIC[0], f"a command in an index of a text {DYNAMIC[1]}"

    def _word(self, word: Token, name: str, *, inner: bool) -> Found:
        said = meant(word, self._known)
        if _TRANSFORMED.search(word.plain):
            yield word.line, DYNAMIC[0], f"`{word.text[:60]}` {DYNAMIC[1]}: @P and @E evaluate a text"
        if _LISTED.search(word.plain):
            yield word.line, ENVIRONMENT[0], f"`{word.text[:60]}` {ENVIRONMENT[1]}"
        if any(steering(found) for found in _STEERED_BY_DEFAULT.findall(word.plain)):
            yield word.line, DYNAMIC[0], f"`{word.text[:60]}` changes which code runs"
        if not self._in_tests and name not in PROGRAMMED and name != "trap" and any(_evaluated(text, name, inner) for text in said):
            yield word.line, DYNAMIC[0], f"`{word.text[:60]}` is text with a command in it, which {DYNAMIC[1].removeprefix('runs ')} may run"
        if any(map(_SOCKET.search, said)) and not self._network:
            yield word.line, NETWORK[0], f"/dev/tcp {NETWORK[1]}"
        if name not in SAYING or name == "let":
            assigned = ASSIGNMENT.match(word.plain)
            values = [text.partition("=")[2] for text in said] if assigned else said
            if variable := next((text for text in values if steering(text)), ""):
                yield word.line, DYNAMIC[0], f"the name {variable} as text {DYNAMIC[1]}: it decides what is run"
        if name == "for" and (variable := word.plain) and steering(variable):
            yield word.line, DYNAMIC[0], f"setting {variable} changes which code runs"

    def _redirected(self, operator: Token, target: Token) -> Found:
        if operator.kind != "operator" or target.kind == "operator":
            return
        for text in meant(target, self._known):
            if _SCRIPT.search(text) and ">" in operator.text:
                yield target.line, DYNAMIC[0], f"`{operator.text}{target.text[:60]}` writes a script: what runs stands in the skill"
            if not self._network and (_DEVICE.match(text) or (operator.text.endswith("<>") and text.startswith(UNKNOWN))):
                yield target.line, NETWORK[0], f"`{operator.text}{target.text[:60]}`, which may be a socket, {NETWORK[1]}"

    def _escapes(self, arguments: Sequence[Token]) -> Found:
        """Letters that are written as numbers."""
        for word in arguments[1:]:
            for text in meant(word, self._known)[:1]:
                letters = "".join(decoded(each) for each in _ESCAPES.findall(text))
                if sum(letter.isascii() and letter.isalnum() for letter in letters) > 1 or "$" in letters or "`" in letters:
                    yield word.line, ENCODED[0], f"{letters[:40]!r} is written in numbers, which {ENCODED[1].partition(', which ')[2]}"


def steering(name: str) -> bool:
    """Whether a variable tells a shell, its loader or a tool what to run."""
    return name in STEERING or _STEERING.fullmatch(name) is not None


def _evaluated(text: str, name: str, inner: bool) -> bool:
    if name in SAYING:
        return bool(_INDEX.search(text)) or (inner and bool(_AGAIN.search(text)))
    return bool(_AGAIN.search(text))


def _options(name: str, words: Sequence[str]) -> Iterator[tuple[str, str]]:
    short = _SHORT.get(name)
    for word in words:
        long = word.partition("=")[0]
        if (len(long) >= _SHORTEST and any(option.startswith(long) for option in _RUNNING)) or (short and short.fullmatch(word)):
            yield DYNAMIC[0], f"`{name}` with an option that starts a program {DYNAMIC[1]}"
    if name == "compgen" and any(map(_COMPLETES.fullmatch, words)):
        yield DYNAMIC[0], f"`compgen` of a command {DYNAMIC[1]}"
    elif name == "jobs" and any(word.startswith("-") and "x" in word for word in words):
        yield DYNAMIC[0], f"`jobs -x` {DYNAMIC[1]}"


def _modes(name: str, words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """By which Bash reads a script otherwise than it reads."""
    if (name in ("set", "shopt", "bash") and any("posix" in word for word in words)) or (
        name == "shopt" and any(word in ("expand_aliases", "sourcepath") or word.startswith("compat") for word in words)
    ):
        yield DYNAMIC[0], f"`{name} {' '.join(words)[:40]}` has a script read otherwise, and so {DYNAMIC[1]}"


def _dumps(name: str, words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """All variables at once."""
    pattern = _VARIABLES.get(name)
    bare = (name in ("set", *DECLARING) and name != "local" and not words) or (
        name in DECLARING and name != "local" and all(word.startswith("-") for word in words) and not any("f" in word.lower() for word in words)
    )
    named = name in DECLARING and any(not word.startswith("-") for word in words)
    if bare or (pattern and not named and any(map(pattern.fullmatch, words))):
        yield ENVIRONMENT[0], f"`{name}` of all variables {ENVIRONMENT[1]}"
