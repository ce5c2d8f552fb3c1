"""How near a skill is to some words: what is indexed of it, safe full-text queries, and vectors of meaning."""

from __future__ import annotations

import math
import re
import sqlite3
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import nsmallest
from itertools import accumulate
from typing import Any

from agent.domain.registry import Entry
from agent.domain.skill import Manifest
from agent.errors import SkillOpsError

Embed = Callable[[Sequence[str]], list[list[float]]]

TERMS = 24  # distinct words of a query that are looked up; the rest of an enormous one is not read
RAREST = 5  # of these are searched for one by one: they tell what a long text is about
COMMON = 500  # skills that hold a word: from here on it tells little, and counts in names and aliases alone
RANKED = 1000  # rows that are ranked at most: what keeps the slowest query short
SHORTLIST = 64  # vectors that are compared number by number, of those whose signs agree most

_STOP = frozenset(
    re.findall(
        r"\w+",
        """a about all also am an and any are as at be been but by can could did do does for from get give had has have how i if in into is it its
        just let like make many may me might much must my need no not of on or our out over please shall she he should skill skills so some such
        take tell than that the their them then there these they this those to too up us use using want was way we were what when where which
        while who why will with would you your""",
    )
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def indexed(entry: Entry, manifest: Manifest | None) -> tuple[str, str, str, str]:
    """What full-text search holds of a skill: name (also written together), aliases, description, words of its schemas."""
    schemas = " ".join(_words_of(manifest.inputs, manifest.outputs)) if manifest else ""
    return f"{entry.name} {entry.name.replace('-', '')}", " ; ".join(entry.aliases), entry.description, schemas


def _words_of(*schemas: Any) -> Iterator[str]:
    """Property names and descriptions, wherever they stand in a schema."""
    for schema in schemas:
        if isinstance(schema, dict):
            properties = schema.get("properties")
            yield from (_CAMEL.sub(" ", name) for name in (properties if isinstance(properties, dict) else ()))
            yield from (text for key in ("title", "description") if isinstance(text := schema.get(key), str))
        if isinstance(schema, dict | list):
            yield from _words_of(*(schema.values() if isinstance(schema, dict) else schema))


def by_words(connection: sqlite3.Connection, text: str, limit: int) -> dict[int, float]:
    """Rows of the table `words` (its columns as `indexed` gives them) for any text at all, with scores between 0 and 1.

    Skills that hold all of the words are looked for first, then those that hold some, the rarer the nearer; where these
    are few, words that begin alike are looked for too, and count half.
    """
    counts = {term: _count(connection, term) for term in _terms(text)}
    terms = sorted((term for term, count in counts.items() if count), key=lambda term: counts[term])
    found = _ranked(connection, " AND ".join(f'"{term}"' for term in terms), limit)
    if len(found) < limit and len(terms) > 1:
        found = _ranked(connection, " OR ".join(_where(term, counts[term]) for term in _affordable(terms, counts)), limit) | found
    if len(found) < limit:
        begun = [f'"{term}"*' for term in sorted(counts, key=lambda term: counts[term]) if len(term) > 2][:RAREST]
        found = {row: score / 2 for row, score in _ranked(connection, " OR ".join(begun), limit).items()} | found
    return found


def _affordable(terms: Sequence[str], counts: Mapping[str, int]) -> list[str]:
    """The rarest of `terms`, which stand rarest first, as far as all of their rows can be ranked; at least one."""
    sums = accumulate(counts[term] for term in terms)
    return [term for place, (term, rows) in enumerate(zip(terms, sums, strict=True)) if place == 0 or (rows <= RANKED and place < RAREST)]


def _terms(text: str) -> list[str]:
    """Letters and digits alone, so that nothing of a text is taken for the syntax of a query."""
    words = dict.fromkeys(match[0] for match in re.finditer(r"[^\W_]{1,40}", text[:20_000].lower()))
    return ([word for word in words if word not in _STOP] or [*words])[:TERMS]


def _count(connection: sqlite3.Connection, term: str) -> int:
    """How many skills hold the term, counted up to COMMON."""
    row = connection.execute("SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)", (f'"{term}"', COMMON)).fetchone()
    return int(row[0])


def _where(term: str, count: int) -> str:
    return f'"{term}"' if count < COMMON else f'{{name aliases}} : "{term}"'


def _ranked(connection: sqlite3.Connection, query: str, limit: int) -> dict[int, float]:
    """Rows that match. bm25 is below zero, and the lower the nearer (sqlite.org/fts5.html)."""
    if not query:
        return {}
    matches = "SELECT rowid AS id, bm25(words, 10, 6, 3, 1) AS near FROM words WHERE words MATCH ? LIMIT ?"
    rows = connection.execute(f"SELECT id, near FROM ({matches}) ORDER BY near, id LIMIT ?", (query, RANKED, limit))
    return {row["id"]: row["near"] / (row["near"] - 10) for row in rows}


def vectors_of(embed: Embed | None, texts: Sequence[str]) -> list[array[float]] | None:
    """Unit vectors, or None where none can be had: search goes on without them."""
    if embed is None or not texts:
        return None
    try:
        found = [_unit(vector) for vector in embed(texts)]
    except (SkillOpsError, OSError, ValueError):
        return None
    return found if len(found) == len(texts) and all(found) else None


def signs_of(vector: array[float]) -> bytes:
    """One bit a number: vectors of like meaning agree in most (Charikar 2002, similarity-preserving hashes)."""
    bits = int("".join("1" if number > 0 else "0" for number in vector), 2)
    return bits.to_bytes((len(vector) + 7) // 8, "big")


def by_meaning(connection: sqlite3.Connection, vector: array[float], also: Iterable[int]) -> dict[int, float]:
    """Cosines of the rows of the table `vector` that are nearest, and of the rows in `also`; 0 where below."""
    signs = int.from_bytes(signs_of(vector), "big")
    rows = connection.execute("SELECT id, signs FROM vector").fetchall()
    nearest = nsmallest(SHORTLIST, rows, key=lambda row: (int.from_bytes(row["signs"], "big") ^ signs).bit_count())
    ids = {row["id"] for row in nearest} | set(also)
    marks = ",".join("?" * len(ids))
    found = {}
    for row in connection.execute(f"SELECT id, numbers FROM vector WHERE id IN ({marks})", [*ids]):
        numbers = array("f", row["numbers"])
        if len(numbers) == len(vector):
            found[row["id"]] = max(0.0, sum(left * right for left, right in zip(numbers, vector, strict=True)))
    return found


def _unit(vector: Sequence[float]) -> array[float]:
    length = math.sqrt(sum(number * number for number in vector))
    if not 0 < length < math.inf:
        raise ValueError("a vector without a direction")
    return array("f", (number / length for number in vector))
