"""What in a script may be right and often is not: for a person to look at, never a reason to refuse by itself. See `python/doubts`."""

from __future__ import annotations

from agent.languages.bash.doubts import branches, names, secrecy, values
from agent.languages.bash.doubts.seen import Doubt, Script
from agent.languages.bash.lexer import Unreadable

PARTS = (values, secrecy, branches, names)


def doubts(source: str) -> list[Doubt]:
    """Line, rule and message of each, once a line; nothing where the script cannot be read (`rules.broken` refuses that)."""
    try:
        script = Script(source)
        return sorted({doubt for part in PARTS for doubt in part.found(script)})
    except (Unreadable, RecursionError):
        return []
