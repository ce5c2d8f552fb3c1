"""What a word of Bash comes to, as far as that stands in the script: without its quotes, escapes decoded, constants in the place of variables.

What only a run knows is UNKNOWN. A `$(` or a backquote in a meaning was quoted: it is text, which becomes code if it is evaluated once more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import product

from agent.languages.bash.quoting import ASSIGNMENT, Token
from agent.languages.bash.syntax import Command

UNKNOWN = "\x00"
DECLARING = ("declare", "export", "local", "readonly", "typeset")
MOST = 8  # meanings of a word, and values of a variable, that are followed
LONGEST = 4096  # characters
_NAMED = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})")
_DEFAULT = re.compile(r"\$\{[A-Za-z_]\w*:?[-=+]((?:[^{}\"'$`\\]|\\.)*)\}")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|0?([0-7]{1,3})|(.))", re.DOTALL)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "v": "\v"}
_PARTS = re.compile(
    r"""(?P<ansi>\$'(?:[^'\\]|\\.)*')|(?P<single>'[^']*')|(?P<escaped>\\.)|(?P<double>\$?")|(?P<expansion>\$)|(?P<command>`[^`]*`?)
        |(?P<plain>[^'"\\$`]+)""",
    re.DOTALL | re.VERBOSE,
)
_BRACES = re.compile(r"\{([^{}\s]*,[^{}\s]*)\}")

Constants = Mapping[str, tuple[str, ...]]


def constants(commands: Iterable[Command]) -> Constants:
    """The values that are written out for each variable, as they are assigned one after the other. What grows has what it grows to."""
    found: dict[str, tuple[str, ...]] = {}
    for command in commands:
        arguments = command.arguments
        declared = arguments[1:] if arguments and arguments[0].text in DECLARING else []
        for word in (*command.words[: len(command.words) - len(arguments)], *declared):
            match = ASSIGNMENT.match(word.text)
            if match and "[" not in match.group() and not word.text.startswith("(", match.end()):
                name, values = match.group().rstrip("+="), meanings(word.text[match.end() :], found)
                before = found.get(name, ("",))
                grown = [old + new for old in before for new in values] if match.group().endswith("+=") else [*found.get(name, ()), *values]
                found[name] = tuple(dict.fromkeys(text for text in grown if len(text) <= LONGEST))[-MOST:]
    return {name: tuple(filter(None, values)) or values for name, values in found.items()}


def meanings(text: str, known: Constants) -> list[str]:
    """What a word may come to, MOST at most."""
    parts = _parted(text)
    values = [known.get(part[1:], (UNKNOWN,)) if part.startswith("\x01") else (part,) for part in parts]
    return ["".join(chosen)[:LONGEST] for chosen, _ in zip(product(*values), range(MOST), strict=False)] or [""]


def meant(token: Token, known: Constants) -> list[str]:
    return meanings(token.plain, known)


def plain(text: str) -> str:
    """What a word comes to where no variable is known."""
    return meanings(text, {})[0]


def alternatives(text: str) -> list[str]:
    """A word with braces as the words that Bash makes of it, MOST at most."""
    waiting, found = [text], list[str]()
    while waiting and len(found) < MOST:
        each = waiting.pop(0)
        if (match := _BRACES.search(each)) and len(waiting) < MOST:
            waiting += [each[: match.start()] + part + each[match.end() :] for part in match[1].split(",")[:MOST]]
        else:
            found.append(each)
    return found


def decoded(text: str) -> str:
    """Escapes as `$'…'` and printf read them."""

    def letter(match: re.Match[str]) -> str:
        number = next((int(digits, 16) for digits in match.groups()[:3] if digits), int(match[4], 8) % 256 if match[4] else None)
        if number is None:
            return _SIMPLE.get(match[5], match[5])
        return chr(number) if number < 0x110000 else UNKNOWN

    return _ESCAPE.sub(letter, text)


@cache
def _parted(text: str) -> tuple[str, ...]:
    """The pieces of a word: text, UNKNOWN, or \\x01 and the name of a variable."""
    found, at, doubled = list[str](), 0, False
    while at < len(text):
        match = _PARTS.match(text, at)
        kind = match.lastgroup if match else None
        if match is None or (doubled and kind in ("ansi", "single")):
            found.append(text[at])  # a quote in quotes
            at += 1
            continue
        at = match.end()
        if kind == "double":
            doubled = not doubled
            found += ["$"] if doubled is False and match.group() == '$"' else []
        elif kind == "ansi":
            found.append(decoded(match.group()[2:-1]))
        elif kind == "single":
            found.append(match.group()[1:-1])
        elif kind == "escaped":
            found.append(match.group() if doubled and match.group()[1] not in '$`"\\\n' else match.group()[1].strip("\n"))
        elif kind == "expansion":
            at = _expanded(text, match.start(), found)
        else:
            found.append(UNKNOWN if kind == "command" else match.group())
    return tuple(found)


def _expanded(text: str, start: int, found: list[str]) -> int:
    """Adds what an expansion comes to; its end."""
    if match := _NAMED.match(text, start):
        name = match[1] or match[2]
        found.append("~" if name == "HOME" else f"\x01{name}")
        return match.end()
    if match := _DEFAULT.match(text, start):
        found.append(match[1] or UNKNOWN)
        return match.end()
    if text[start + 1 : start + 2] in ("{", "(", "["):
        found.append(UNKNOWN)
        return _closed(text, start + 1)
    special = text[start + 1 : start + 2]
    found.append(UNKNOWN if special and (special.isdigit() or special in "@*#?$!-") else "$")
    return start + (2 if found[-1] == UNKNOWN else 1)


def _closed(text: str, start: int) -> int:
    """Where what is opened at `start` is closed, roughly: quotes inside are passed over as they stand."""
    opener, depth = text[start], 0
    closer = {"{": "}", "(": ")", "[": "]"}[opener]
    at = start
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "'" and (end := text.find("'", at + 1)) > 0:
            at = end
        elif text[at] == opener:
            depth += 1
        elif text[at] == closer:
            depth -= 1
            if not depth:
                return at + 1
        at += 1
    return len(text)
