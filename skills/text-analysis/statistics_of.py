"""Statistics of a text."""

import re
from typing import Any

from words import WORD, composed, plain, words_of

WORDS_A_MINUTE = 238  # silent reading of English (Brysbaert 2019, doi 10.1016/j.jml.2019.104047)
PARAGRAPH = re.compile(r"\n\s*\n")
# The end of a sentence: its marks, closing quotes or brackets, and then white space or nothing.
SENTENCE = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)\]]*+(?=\s|$)|[。！？]")
LONGEST = 20  # characters before a point that are looked at for an abbreviation
ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof sr jr st vs etc e.g i.e eg ie cf no vol fig inc ltd co approx dept est".split()
)


def statistics(text: str) -> dict[str, Any]:
    text = composed(text.replace("\r\n", "\n").replace("\r", "\n"))
    words = words_of(text)
    paragraphs = [part for part in PARAGRAPH.split(text) if part.strip()]
    sentences = sum(sentences_in(part) for part in paragraphs)
    return {
        "characters": len(text),
        "characters_without_spaces": len("".join(text.split())),
        "words": len(words),
        "unique_words": len(set(words)),
        "sentences": sentences,
        "paragraphs": len(paragraphs),
        "lines": sum(1 for line in text.split("\n") if line.strip()),
        "average_word_length": ratio(sum(map(len, words)), len(words)),
        "average_sentence_length": ratio(len(words), sentences),
        "reading_seconds": round(len(words) * 60 / WORDS_A_MINUTE),
    }


def sentences_in(paragraph: str) -> int:
    """How many stretches between the ends of sentences hold a word."""
    count, start = 0, 0
    for end in SENTENCE.finditer(paragraph):
        if not abbreviated(paragraph[max(start, end.start() - LONGEST) : end.start()], end[0]):
            count += WORD.search(paragraph, start, end.start()) is not None
            start = end.end()
    return count + (WORD.search(paragraph, start) is not None)


def abbreviated(before: str, mark: str) -> bool:
    """Whether a point belongs to a word, like that of `Dr.` or of an initial."""
    last = plain(before.split()[-1].lstrip("(\"'“")) if mark == "." and before.split() else ""
    return last in ABBREVIATIONS or (len(last) == 1 and last.isalpha() and last != "i")


def ratio(amount: int, of: int) -> float:
    return round(amount / of, 2) if of else 0
