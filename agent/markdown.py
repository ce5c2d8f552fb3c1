"""People's words, and models', where we repeat them in Markdown of ours: they are read, and do nothing. Pure.

GitHub acts on a text: a mention notifies, `Closes #7` closes, an image loads, an HTML comment hides. What it acts on is parted by a
ZERO WIDTH SPACE (U+200B), which nobody sees and `woken` takes out again.
Source: GitHub's "Basic writing and formatting syntax" and "Linking a pull request to an issue".
"""

from __future__ import annotations

import re

_PART = "\u200b"
_CLOSING = "close[sd]?|fix(?:e[sd])?|resolve[sd]?"
_ACTS = re.compile(
    r"(?<![A-Za-z0-9_])@(?=[A-Za-z0-9])"  # a mention; an e-mail address is none
    r"|<(?=[!/?A-Za-z])|!(?=\[)"  # HTML and its comments; an image
    r"|#(?=\d)|\bGH-(?=\d)"  # an issue: it would be told that we spoke of it
    rf"|\b(?:{_CLOSING})(?=:?\s+(?:https?://|[\w.-]+/[\w.-]+\#))",
    re.IGNORECASE,
)
_PARTED = re.compile(rf"([@<!#]|GH-|{_CLOSING}){_PART}", re.IGNORECASE)


def plain(text: str, most: int = 8_000) -> str:
    """The text as words alone, of at most `most` characters; that it was cut is told."""
    told = _ACTS.sub(lambda found: found[0] + _PART, text[:most])
    return told if len(text) <= most else f"{told}… ({len(text) - most:,} more characters)"


def woken(text: str) -> str:
    """The text that `plain` was given, unless that was cut."""
    return _PARTED.sub(r"\1", text)
