"""What is only worth something while nobody else has it: credentials in a script (CWE-798), keys that can be guessed (CWE-338), passwords behind a
hash that is quick to try (CWE-916), in an encoding or in the output (CWE-261, CWE-532)."""

from __future__ import annotations

import re

from agent.languages.bash.doubts.seen import TESTS, Found, Script, bare, comparisons, variables
from agent.languages.bash.lexer import ASSIGNMENT
from agent.languages.sensitive import asks_for_credentials, credential, password, unguessed

QUICK = frozenset(["md5sum", "sha1sum", "sha224sum", "sha256sum", "sha384sum", "sha512sum", "b2sum", "cksum", "sum", "shasum"])
ENCODES = frozenset(["base64", "base32", "basenc", "xxd", "od", "hexdump", "rev", "tr"])
_GUESSED = re.compile(r"\$\{?(?:RANDOM|SRANDOM|SECONDS|EPOCHSECONDS|EPOCHREALTIME|BASHPID|PPID)\b|\$\$|\bdate\s+\+|\brand\(\)|\bshuf\b")
_LETTER = re.compile(r"\$\{(\w+):\$?\w+:1\}")
_EXPECTED = ("correct", "valid", "stored", "expected", "real", "actual", "authorized", "authorised")


def found(script: Script) -> Found:
    yield from _credentials(script)
    yield from _guessed(script)
    yield from _passwords(script)


def _credentials(script: Script) -> Found:
    compared: set[str] = set()
    for command in script.commands:
        first = command.words[0].text
        if first in TESTS:
            for left, _, right in comparisons(command):
                compared |= set(variables(f"{left.text} {right.text}"))
                if "$" not in right.text and bare(right.text) and (name := next(filter(credential, variables(left.text)), "")):
                    yield command.line, "credential", f"`{name}` is compared with what is written in the script: it belongs into a secret (CWE-798)"
                letters = _LETTER.findall(left.text), _LETTER.findall(right.text)
                around = (script.function_at(command.line), *letters[0], *letters[1])
                if all(letters) and any(map(asks_for_credentials, around)):
                    yield command.line, "slow-comparison", "how long this takes tells how much of it is right (CWE-208)"
        elif first == "case" and len(command.words) > 1:
            compared |= set(variables(command.words[1].text))
    for name, (_, line) in script.literals.items():
        asked = name.lower().startswith(_EXPECTED) and asks_for_credentials(script.function_at(line))
        if name in compared and (credential(name) or asked):
            yield line, "credential", f"`{name}` is written in the script, and decides who gets in: it belongs into a secret (CWE-798)"


def _guessed(script: Script) -> Found:
    for command in script.commands:
        for word in command.words:
            match = ASSIGNMENT.match(word.text)
            name = match.group().rstrip("+=") if match else ""
            if match and _GUESSED.search(word.text[match.end() :]) and (unguessed(name) or unguessed(script.function_at(word.line))):
                yield word.line, "guessable", f"`{name}` comes of what can be guessed: take /dev/urandom (CWE-338)"


def _passwords(script: Script) -> Found:
    for command in script.commands:
        name = script.called(command)
        line = script.line(command.line)
        if name in QUICK and (of := _password(line) or _password(script.line(command.line - 1)) * line.lstrip().startswith("|")):
            yield command.line, "quick-hash", f"`{of}` goes into {name}, which is quick to try out (CWE-916)"
        elif name in ENCODES and (of := _password(line)) and not any(hash_ in line for hash_ in QUICK):
            yield command.line, "told-password", f"`{of}` goes through {name}, which hides nothing (CWE-261)"
        elif name in ("echo", "printf") and not command.inner and (of := next(filter(password, _shown(command.arguments)), "")):
            after = line.partition(command.arguments[-1].text.splitlines()[-1])[2]
            if "|" not in after:
                yield command.line, "told-password", f"`{of}` is printed, where anybody reads it (CWE-532)"


def _shown(arguments: list) -> list[str]:  # type: ignore[type-arg]
    return [name for word in arguments[1:] for name in variables(word.text) if f"#{name}" not in word.text]


def _password(line: str) -> str:
    return next(filter(password, variables(line)), "")
