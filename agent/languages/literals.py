"""Literals that hide what they hold from a reader, in any language."""

from __future__ import annotations

import math
from collections import Counter

PAYLOAD = 40  # characters of a literal, or numbers of a list, that a decoder gets
OPAQUE, OPAQUE_ENTROPY = 200, 4.5  # a literal without spaces of this length and this many bits a character


def opaque(text: str) -> bool:
    """Whether nobody can read a literal: long, without spaces, and as good as random."""
    return len(text) >= OPAQUE and not any(char.isspace() for char in text) and _entropy(text) > OPAQUE_ENTROPY


def _entropy(text: str) -> float:
    """Bits a character (Shannon)."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())
