"""Counts, and who said what, in words; and words that are read in their order."""

from __future__ import annotations

from collections.abc import Sequence

# Embeddings, overrides and isolates (UAX #9) have what stands beside them read in another order, also where that is not theirs. Letters that are
# written from the right need none of them.
TURNS = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "�")


def unturned(text: str) -> str:
    """With a sign in the place of each."""
    return text if text.isascii() else text.translate(TURNS)


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def together(said: Sequence[tuple[str, str]]) -> str:
    """Who said what; those who said the same are named together."""
    return " ".join(f"{', '.join(name for name, same in said if same == text)}: {text}" for text in dict.fromkeys(text for _, text in said))
