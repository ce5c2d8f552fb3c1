"""The table of docs/security.md, read: one Threat a row; and the mark by which a test says which row it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
_ROW = re.compile(r"\| *(?P<number>\d+) *\| *(?P<attack>[^|]+?) *\| *(?P<containment>[^|]+?) *\| *`(?P<test>\w+::\w+)` *\|")


class Threat(NamedTuple):
    number: int
    attack: str
    containment: str
    test: str  # file::function, below tests/redteam, without the ending .py


def threats() -> list[Threat]:
    """The rows, as they stand."""
    found = map(_ROW.fullmatch, DOCUMENT.read_text().splitlines())
    return [Threat(int(row["number"]), row["attack"], row["containment"], row["test"]) for row in found if row]


def threat(number: int) -> pytest.MarkDecorator:
    """Marks a test as the one of this row."""
    return pytest.mark.threat(number)
