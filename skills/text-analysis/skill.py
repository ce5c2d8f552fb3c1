"""Text analysis: statistics, keywords, sentiment."""

from collections.abc import Callable
from typing import Any

from keywords import keywords
from sentiment import sentiment
from statistics_of import statistics

PARTS: dict[str, Callable[[str, int], Any]] = {
    "statistics": lambda text, top: statistics(text),
    "keywords": keywords,
    "sentiment": lambda text, top: sentiment(text),
}
TOP = 10


def execute(inputs: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    parts, top = inputs.get("parts", list(PARTS)), inputs.get("top", TOP)
    if unknown := [part for part in parts if part not in PARTS]:
        raise ValueError(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    if not 1 <= top <= 100:
        raise ValueError("top is a number from 1 to 100")
    return {part: PARTS[part](inputs["text"], top) for part in parts}
