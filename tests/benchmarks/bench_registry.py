"""How the registry's own work grows with its size: searching, splicing one block, and indexing what was spliced.

Skills and queries come from a seed, with words as unevenly common as in a language (Zipf), so that runs compare.
"""

from __future__ import annotations

import random
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from agent.catalog import Catalog
from agent.domain.registry import Entry, Registry
from agent.domain.skill import Manifest
from agent.registry_file import render, splice
from tests.benchmarks.row import Row, seconds
from tests.builders import a_manifest, an_entry

SIZES = (10, 1_000, 10_000)
TARGET = 10.0  # milliseconds of the slowest search in a hundred
QUERIES, REPEATS = 400, 9

_VERBS = re.findall(
    r"\w+", "convert count parse extract sort merge split validate format translate summarise compare filter fetch encode decode hash"
)
_NOUNS = re.findall(
    r"\w+", "text csv json table date invoice image url address email number list word line page report log currency unit colour matrix"
)


def measure(sizes: Sequence[int] = SIZES) -> list[Row]:
    """By size: the 99th percentile of varied queries; its parts are medians, `build` is that of the first index."""
    with tempfile.TemporaryDirectory() as folder:
        return [_measured(size, Path(folder) / f"{size}.sqlite") for size in sizes]


def _measured(size: int, path: Path) -> Row:
    rng = random.Random(size)
    words = [*_VERBS, *_NOUNS, *("".join(rng.choices("bcdfglmnprst", k=1) + rng.choices("aeiou", k=1))[:2] * 2 + str(n) for n in range(4000))]
    entries = {entry.name: entry for entry in (_entry(rng, words, number) for number in range(size))}
    manifests = {name: _manifest(rng, words, name) for name in entries}
    catalog, text = Catalog(path), render(Registry(revision=1, skills=tuple(entries.values())))

    def sync(blob: str, text: str) -> None:
        catalog.sync(blob, lambda: text, lambda entry: manifests[entry.name])

    build = seconds(partial(sync, "first", text))
    searches = sorted(seconds(partial(catalog.search, query)) for query in _queries(rng, words, [*entries]))
    splices, syncs = [], []
    for number in range(REPEATS):
        entry = entries[rng.choice([*entries])].model_copy(update={"version": f"2.0.{number}"})
        started = time.perf_counter()
        text = splice(text, entry, name=entry.name)
        splices.append(time.perf_counter() - started)
        syncs.append(seconds(partial(sync, entry.version, text)))
    unchanged = [seconds(partial(sync, entry.version, text)) for _ in range(REPEATS)]
    parts = {
        "search, median": searches[len(searches) // 2], "splice": statistics.median(splices), "sync": statistics.median(syncs),
        "unchanged sync": statistics.median(unchanged), "build": build,
    }  # fmt: skip
    slowest = 1000 * searches[int(len(searches) * 0.99)]
    return Row(f"search p99, {size:,} skills", slowest, "ms", TARGET, "ours", parts={"ours": {name: 1000 * value for name, value in parts.items()}})


def _some(rng: random.Random, words: list[str], least: int, most: int) -> str:
    return " ".join(words[min(int(rng.paretovariate(0.6)) - 1, len(words) - 1)] for _ in range(rng.randint(least, most)))


def _entry(rng: random.Random, words: list[str], number: int) -> Entry:
    return an_entry(
        name=f"{rng.choice(_VERBS)}-{rng.choice(_NOUNS)}-{number}",
        description=f"{_some(rng, words, 6, 14).capitalize()}. Use when {_some(rng, words, 5, 12)}.",
        aliases=[_some(rng, words, 2, 4) for _ in range(rng.randint(0, 3))],
        commit=f"{rng.getrandbits(160):040x}",
        tree=f"{rng.getrandbits(160):040x}",
    )


def _manifest(rng: random.Random, words: list[str], name: str) -> Manifest:
    properties = {word: {"type": "string", "description": _some(rng, words, 3, 8)} for word in _some(rng, words, 1, 4).split()}
    return a_manifest(name=name, inputs={"type": "object", "properties": {"text": {"type": "string"}, **properties}})


def _queries(rng: random.Random, words: list[str], names: list[str]) -> list[str]:
    """Questions of few and many words, common and rare, names, misspellings, nothing, and whole pages."""
    made: list[str] = []
    for number in range(QUERIES):
        kind = number % 8
        made.append(
            rng.choice(names).replace("-", " ") if kind == 0
            else " ".join(rng.choices(_VERBS, k=1) + rng.choices(_NOUNS, k=2)) if kind == 1
            else f"how can I {rng.choice(_VERBS)} a {rng.choice(_NOUNS)} into a {rng.choice(_NOUNS)}, please?" if kind == 2
            else rng.choice(_NOUNS)[:4] if kind == 3
            else " ".join(rng.choices(words, k=3)) if kind == 4
            else _some(rng, words, 100, 400) if kind == 5
            else _some(rng, words, 5, 20) if kind == 6
            else rng.choice(("", "xyzzy", '"AND* (NEAR', "text", "convert text to table"))
        )  # fmt: skip
    return made
