"""The sentiment of English text, after VADER (Hutto and Gilbert 2014) in small: a lexicon, negation, degree."""

import math
import re
from typing import Any

from words import WORD, composed, lines_of, plain

TOKEN = re.compile(rf"{WORD.pattern}|[.,;:!?]")
REACH = 3  # words before a word of the lexicon that can turn it round
TURNED = -0.74  # what is left of a value after a negation
STRONGER, WEAKER = 1.3, 0.6
SPREAD = 15  # of the sum that becomes a score: larger ones stay nearer to 0
NEUTRAL = 0.05
NEGATIONS = frozenset("not no never neither nor cannot without hardly barely nothing nobody nowhere".split())
STRENGTHENING = frozenset(
    "very really extremely so too absolutely completely totally incredibly highly truly deeply utterly".split()
)
WEAKENING = frozenset("slightly somewhat fairly rather bit little partly mildly almost".split())


def sentiment(text: str) -> dict[str, Any]:
    tokens = [plain(match[0]) for match in TOKEN.finditer(composed(text))]
    lexicon = {word: int(line[0]) for line in lines_of("lexicon.txt") for word in line[1:]}
    total = 0.0
    found: dict[bool, dict[str, None]] = {True: {}, False: {}}
    for place, token in enumerate(tokens):
        if token in lexicon:
            value, shown = weighed(token, lexicon[token], clause(tokens[max(0, place - REACH) : place]))
            total += value
            found[value > 0][shown] = None
    score = round(total / math.sqrt(total * total + SPREAD), 4)
    label = "positive" if score >= NEUTRAL else "negative" if score <= -NEUTRAL else "neutral"
    return {"label": label, "score": score, "positive_words": list(found[True]), "negative_words": list(found[False])}


def clause(before: list[str]) -> list[str]:
    """The words after the last punctuation mark."""
    marks = [place for place, token in enumerate(before) if not WORD.match(token)]
    return before[marks[-1] + 1 :] if marks else before


def weighed(word: str, value: float, before: list[str]) -> tuple[float, str]:
    """A word's value after the words `before` it, and how it is shown."""
    shown = word
    if before and before[-1] in STRENGTHENING:
        value, shown = value * STRONGER, f"{before[-1]} {word}"
    elif before and before[-1] in WEAKENING:
        value, shown = value * WEAKER, f"{before[-1]} {word}"
    if any(token in NEGATIONS or token.endswith("n't") for token in before):
        value, shown = value * TURNED, f"not {shown}"
    return value, shown
