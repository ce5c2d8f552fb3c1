"""Counts, and who said what, in words."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def together(said: Sequence[tuple[str, str]]) -> str:
    """Who said what; those who said the same are named together."""
    return " ".join(f"{', '.join(name for name, same in said if same == text)}: {text}" for text in dict.fromkeys(text for _, text in said))
