"""What a release costs by itself at 10 and at 10,000 skills: a skill changes on main, is built and entered in registry.yaml.

Everything is real: a local forge whose main holds the skills and the registry, a merged proposal for each of them, the
catalog, the builder. Each size releases once a turn, so that a busy machine is as busy for one as for another.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path

from agent.domain.proposal import AUTHOR, ProposalDraft
from agent.domain.registry import Registry
from agent.domain.skill import WITNESS_PATH, digest_of
from agent.manifest_file import write_manifest
from agent.parts import Parts
from agent.registry_file import render
from agent.stages import releasing
from agent.starter import found
from agent.wiring import open_workplace
from tests.benchmarks.row import Row, seconds
from tests.builders import a_manifest, an_entry
from tests.subjects import CODE, WITNESS, skill_files

SIZES = (10, 1_000, 10_000)
TARGET = 3.0  # times the cost at the fewest skills


def measure(sizes: Sequence[int] = SIZES, rounds: int = 21) -> list[Row]:
    """Medians in milliseconds of `rounds` releases at each size, after one to warm up. Each of `sizes` but the first has a row."""
    with tempfile.TemporaryDirectory() as folder:
        homes = {size: _Home(Path(folder) / str(size), size) for size in sizes}
        taken: dict[int, list[dict[str, float]]] = defaultdict(list)
        for turn in range(-1, rounds):
            for size, home in homes.items():
                parts = home.release()
                if turn >= 0:
                    taken[size].append(parts)
    medians = {size: {name: statistics.median(each[name] for each in found) for name in found[0]} for size, found in taken.items()}
    totals = {size: statistics.median(sum(each.values()) for each in found) for size, found in taken.items()}
    first, *more = sizes
    return [
        Row(f"release, {size:,} skills", totals[size], "ms", TARGET, reference=totals[first], against=f"at {first:,} skills",
            parts={"ours": medians[size], "reference": medians[first]})
        for size in more
    ]  # fmt: skip


class _Home:
    """A skills repository of `size` skills, each of which a merged proposal brought."""

    def __init__(self, folder: Path, size: int) -> None:
        self._parts: Parts = open_workplace(found(folder).root, user="ada").parts
        self._turns, self._size = count(1), size
        forge = self._parts.forge
        self._commit(forge.main, {f"skills/{_name(number)}/skill.yaml": _manifest(number, "1.0.0") for number in range(size)})
        merged, trees = forge.head(forge.main) or "", forge.children(forge.main, "skills")
        entries = [
            an_entry(
                name=_name(number), tree=trees[_name(number)], commit=merged, proposal=number + 1, description=_said(number), digest=digest_of(number)
            )
            for number in range(size)
        ]
        forge.proposals("all")  # makes the file that the next line fills
        _enter_merged(folder.with_name(f"{folder.name}.git") / "skillops" / "forge.sqlite", [entry.name for entry in entries], merged)
        self._commit(forge.main, {"registry.yaml": render(Registry(revision=1, skills=tuple(entries))).encode()})
        self._parts.sync()
        assert releasing.unreleased(forge, self._parts.catalog) == ()

    def release(self) -> dict[str, float]:
        """Merges a change to one skill and releases it. Milliseconds of what releasing itself does; merging is not among it."""
        parts, turn = self._parts, next(self._turns)
        forge, number = parts.forge, turn * 7919 % self._size
        name, branch = _name(number), f"people/{turn}"
        code = f"# Change {turn}.\n{CODE}".encode()
        changed = skill_files() | {"skill.yaml": _manifest(number, f"1.{turn}.0"), "skill.py": code, WITNESS_PATH: WITNESS.encode()}
        self._commit(branch, {f"skills/{name}/{path}": data for path, data in changed.items()})
        draft = ProposalDraft(branch=branch, skill=name, kind="person", title=f"Change {name}", body="", author="ada")
        releasing.merge(forge.open_proposal(draft), forge, parts.record)

        taken: dict[str, float] = {}

        def sync() -> None:
            taken["sync"] = 1000 * seconds(parts.sync)

        begun = time.perf_counter()
        names = releasing.unreleased(forge, parts.catalog)
        looked = time.perf_counter()
        (release,) = releasing.release(names, forge, parts.catalog, parts.builder, sync, parts.record)
        ended = time.perf_counter()
        assert (release.skill, release.version) == (name, f"1.{turn}.0") and release.proposal
        return {"look": 1000 * (looked - begun), "release": 1000 * (ended - looked) - taken["sync"], **taken}

    def _commit(self, branch: str, files: Mapping[str, bytes]) -> None:
        forge = self._parts.forge
        forge.commit(branch, files, parent=forge.head(branch), message="By hand", author="ada")


def _enter_merged(forge_file: Path, names: Sequence[str], merged: str) -> None:
    """A merged proposal for each skill, written where the local forge keeps them: thousands of real ones would take an hour."""
    insert = "INSERT INTO thread (kind, state, key, draft, opened_at, head, base, merged_commit) VALUES ('proposal', 'merged', ?, ?, ?, ?, ?, ?)"
    drafts = (ProposalDraft(branch=f"people/{name}", skill=name, kind="new", title=f"Add {name}", body="", author=AUTHOR) for name in names)
    rows = [(draft.branch, draft.model_dump_json(), merged, merged, merged, merged) for draft in drafts]
    with closing(sqlite3.connect(forge_file)) as connection, connection:
        connection.executemany(insert, rows)


def _manifest(number: int, version: str) -> bytes:
    return write_manifest(a_manifest(name=_name(number), version=version, description=_said(number)))


def _name(number: int) -> str:
    return f"count-{number:05}"


def _said(number: int) -> str:
    return f"Count the words of a text in way {number}. Use when somebody asks for way {number}."
