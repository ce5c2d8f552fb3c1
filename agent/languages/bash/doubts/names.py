"""Variables that a script names by what only a run knows: what is read may be the machine's, what is set may decide which code runs."""

from __future__ import annotations

import re
from itertools import pairwise

from agent.languages.bash.doubts.seen import Found, Script
from agent.languages.bash.meaning import DECLARING, UNKNOWN, plain
from agent.languages.bash.naming import worked_out

_INDIRECT = re.compile(r"\$\{!([A-Za-z_]\w*)(?![\w@*]|\[[@*]\])[^}]*\}")
_ASSIGNED = re.compile(r"(\w+)(?:\[[^=]*\])?\+?=(?!\d+$)")
_SETTING = frozenset(("read", "mapfile", "readarray", "unset", *DECLARING))
_TAKES = re.compile(r"-\w*[adinNptuOsC]")  # options of read and mapfile that take a value


def found(script: Script) -> Found:
    given = {match[1] for command in script.commands for word in command.words if (match := _ASSIGNED.match(word.plain))}
    numbers = worked_out(script.tokens) - given  # `${!i}` of a number is an argument
    for command in script.commands:
        for word in (*command.words, *command.redirects):
            match = _INDIRECT.search(word.plain)
            if match and match[1] not in numbers:
                yield word.line, "computed-name", f"`{match.group()[:60]}` reads a variable whose name is computed: which ones can that be?"
        words = [plain(word.plain) for word in command.arguments]
        if words and any(_set(words)):
            yield command.line, "computed-name", f"`{words[0]}` sets a variable whose name is computed: which ones can that be?"


def _set(words: list[str]) -> list[str]:
    """The computed names that a command sets."""
    name = words[0]
    if name == "printf":
        return [word for before, word in pairwise(words) if before == "-v" and UNKNOWN in word.partition("[")[0]]
    if name not in _SETTING:
        return []
    takes = name in ("read", "mapfile", "readarray")
    given = [word for before, word in pairwise(words) if not (takes and _TAKES.fullmatch(before))]
    return [word for word in given if UNKNOWN in re.split(r"[\[=]", word)[0] and not word.startswith("-")]
