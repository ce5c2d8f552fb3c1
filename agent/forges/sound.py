"""Texts that a forge keeps as they are. Pure."""

from __future__ import annotations

from agent.errors import UsageError

# Lengths in characters that GitHub takes: of an issue or comment, of a title, of a label.
TEXT, TITLE, LABEL = 65_536, 256, 50


def sound(what: str, text: str, limit: int = TEXT) -> str:
    """The text, unless no forge would take it: UsageError says why. Nothing is stripped in silence."""
    why = f"It has {len(text):,} characters; {limit:,} is the most." if len(text) > limit else ""
    if "\0" in text:
        why = "It holds a NUL byte."
    elif any("\ud800" <= sign <= "\udfff" for sign in text[:limit]):
        why = "It holds a lone surrogate, which is no character."
    if why:
        raise UsageError(f"The {what} cannot be kept.", why=why, next_step="Shorten it or take that out, and try again.")
    return text
