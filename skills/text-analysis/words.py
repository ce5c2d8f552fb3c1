"""What a word is, and the lists of words that are shipped."""

import re
import unicodedata
from functools import cache
from pathlib import Path

# Letters or digits, and between them hyphens, apostrophes, and the points and commas of numbers.
WORD = re.compile(r"[^\W_]+(?:(?:['’\-]|(?<=\d)[.,](?=\d))[^\W_]+)*")


def composed(text: str) -> str:
    """With accents as part of their letter (Unicode's form NFC)."""
    return unicodedata.normalize("NFC", text)


def words_of(text: str) -> list[str]:
    """The words in small letters."""
    return [plain(match[0]) for match in WORD.finditer(text)]


def plain(word: str) -> str:
    return word.lower().replace("’", "'")


@cache
def lines_of(name: str) -> tuple[tuple[str, ...], ...]:
    """The lines of a list that is shipped, in words."""
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return tuple(tuple(line.split()) for line in text.splitlines() if not line.startswith("#"))
