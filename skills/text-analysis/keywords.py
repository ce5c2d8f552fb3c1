"""The words that say what a text is about."""

from collections import Counter
from typing import Any

from words import composed, lines_of, words_of

LETTERS = 3  # the least of a keyword


def keywords(text: str, top: int) -> list[dict[str, Any]]:
    """The `top` most frequent; of equally frequent ones the earlier comes first."""
    words = words_of(composed(text))
    ignored = {word for line in lines_of("stop_words.txt") for word in line}
    counts = Counter(bare for word in words if says_something(bare := word.removesuffix("'s"), ignored))
    return [
        {"word": word, "count": count, "share": round(count / len(words), 4)} for word, count in counts.most_common(top)
    ]


def says_something(word: str, ignored: set[str]) -> bool:
    return sum(map(str.isalpha, word)) >= LETTERS and word not in ignored
