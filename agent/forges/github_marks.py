"""Hidden markers: what GitHub has no field for stands as JSON in an HTML comment at the end of a text of ours. Pure.

A marker counts only in what we wrote ourselves (the caller looks at who did): anybody can type one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from agent.errors import UsageError

LIMIT = 65_536  # characters that GitHub takes for the body of an issue, a pull request or a comment
_GAP = "\n\n"
_BEGIN = "<!-- skillops:"  # of a marker; the last one in a text is ours, and the text before it may hold others
_MARK = re.compile(r"<!-- skillops:(?P<kind>[a-z-]+) (?P<json>\{.*?\}) -->\s*\Z", re.DOTALL)


def marked(text: str, kind: str, values: dict[str, Any]) -> str:
    """The text with its marker. UsageError where GitHub would not take the whole."""
    whole = _whole(text, kind, values)
    if len(whole) > LIMIT:
        raise UsageError(
            "The text is too long for GitHub.", why=f"It has {len(text):,} characters; {LIMIT - (len(whole) - len(text)):,} is the most here.",
            next_step="Shorten it, and try again.",
        )  # fmt: skip
    return whole


def fitted(text: str, kind: str, versions: Iterable[tuple[str, dict[str, Any]]]) -> str:
    """The text with a marker of the first version that GitHub takes; what is said of that version stands before the marker."""
    for said, values in versions:
        if len(whole := _whole("\n\n".join(filter(None, (text, said))), kind, values)) <= LIMIT:
            return whole
    return marked(text, kind, values)


def _whole(text: str, kind: str, values: dict[str, Any]) -> str:
    told = json.dumps(values, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e").replace("--", "-\\u002d")
    return f"{text}{_GAP}<!-- skillops:{kind} {told} -->"


def unmarked(text: str | None, kind: str) -> tuple[str, dict[str, Any] | None]:
    """The text without its marker, and what that says; None where it has none of that kind."""
    found = _MARK.search(text or "", (text or "").rfind(_BEGIN))
    if found is None or found["kind"] != kind:
        return text or "", None
    try:
        values = json.loads(found["json"])
    except ValueError:
        return text or "", None
    return (text or "")[: found.start()].removesuffix(_GAP), values if isinstance(values, dict) else None
