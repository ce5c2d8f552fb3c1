"""The catalog: the registry's parsed index, and search over it. Does a skill for this exist already?

One SQLite file, keyed by the blob id of registry.yaml. It holds nothing that could not be made again: a damaged or
deleted file is.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from agent.domain.registry import Entry
from agent.domain.skill import NAME_LENGTH, Manifest, Status
from agent.errors import CouldNotTell
from agent.nearness import Embed, by_meaning, by_words, indexed, signs_of, vectors_of
from agent.registry_file import Section, block_in, check_order, cut, entry_of, pieces, revision_of
from agent.sqlite_file import SqliteFile

FORMAT = 1  # of what is indexed: raising it indexes every skill anew
SECTION = 100  # blocks of the file that are compared at once; one that changed is looked through block by block
BATCH = 256  # texts that are turned into vectors at once
CANDIDATES = 50  # hits of the text search that are ranked again by meaning

_SCHEMA = """
CREATE TABLE IF NOT EXISTS head (one INTEGER PRIMARY KEY CHECK (one = 1), blob TEXT NOT NULL, revision INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS skill (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    hash BLOB NOT NULL,
    status TEXT NOT NULL,
    tree TEXT NOT NULL,
    entry TEXT NOT NULL,
    manifest TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS section (first TEXT PRIMARY KEY, hash BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS skill_tree ON skill (name, tree);
CREATE TABLE IF NOT EXISTS vector (id INTEGER PRIMARY KEY, signs BLOB NOT NULL, numbers BLOB NOT NULL) STRICT;
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (
    name, aliases, description, schemas, prefix = '3', tokenize = 'porter unicode61 remove_diacritics 2'
);
"""
_BEYOND = "\x7f"  # above every name
_T = TypeVar("_T")
_Sources = tuple[str, Callable[[], str], Callable[[Entry], Manifest | None]]


class Hit(NamedTuple):
    """A skill found. `score` is between 0 and 1 and says which of two is nearer, no more."""

    entry: Entry
    score: float


class Difference(NamedTuple):
    """What a new text of the registry changes in the index. A section's hash is that of its text, from its first name on;
    `same` holds the texts of those that did not change."""

    revision: int
    gone: list[str]
    entries: list[tuple[bytes, Entry]]
    sections: list[tuple[str, bytes]]
    same: dict[bytes, str]


class Catalog:
    """The index at `path`, for any number of threads and processes.

    `embed` turns texts into vectors; what it cannot (CouldNotTell) is searched by words alone. Raises CouldNotTell where
    the file can be neither used nor made anew.
    """

    def __init__(self, path: Path, embed: Embed | None = None) -> None:
        self._file, self._embed = SqliteFile(path, _SCHEMA, durable=False), embed
        self._sources: _Sources | None = None
        # Kept from the last time, so that a release among thousands of skills goes through one section and not through all.
        self._texts: dict[bytes, str] = {}  # of sections, by hash
        self._trees: tuple[str | None, dict[str, str]] = (None, {})  # what `trees` gives, for a blob

    def sync(self, blob_id: str, text: Callable[[], str], manifest: Callable[[Entry], Manifest | None]) -> None:
        """Brings the index to the registry.yaml of `blob_id`: nothing where it is there, else the changed blocks, all or none.

        `text` and `manifest` are asked only for what changed. Raises InvalidFile for a broken registry.yaml; then the
        index stays as it was.
        """
        self._sources = (f"{FORMAT}:{blob_id}", text, manifest)
        self._mended(self._bring_up)

    def revision(self) -> int:
        """The registry's revision; 0 before the first sync."""
        head = self._read(lambda index: index.execute("SELECT revision FROM head").fetchone())
        return int(head["revision"]) if head else 0

    def entry(self, name: str) -> Entry | None:
        row = self._row(name)
        return Entry.model_validate_json(row["entry"]) if row else None

    def entries(self, status: Status | None = None) -> list[Entry]:
        """By name; all, or those of one status."""
        sql = "SELECT entry FROM skill WHERE ? IN (status, '') ORDER BY name"
        rows = self._read(lambda index: index.execute(sql, (status or "",)).fetchall())
        return [Entry.model_validate_json(row["entry"]) for row in rows]

    def trees(self) -> dict[str, str]:
        """Each skill's name and git tree id."""

        def look(index: sqlite3.Connection) -> dict[str, str]:
            blob, (at, trees) = _blob(index), self._trees
            if blob is None or blob != at:
                trees = json.loads(index.execute("SELECT json_group_object(name, tree) FROM skill").fetchone()[0])
                self._trees = (blob, trees)
            return dict(trees)

        return self._read(look)

    def manifest(self, name: str) -> Manifest | None:
        row = self._row(name)
        return Manifest.model_validate_json(row["manifest"]) if row and row["manifest"] else None

    def dependants(self, name: str) -> list[Manifest]:
        """The skills that require the one named, by name; retired ones are left out."""
        sql = """SELECT DISTINCT skill.manifest FROM skill, json_each(skill.manifest, '$.requires') AS needed
                 WHERE skill.status <> 'retired' AND skill.manifest IS NOT NULL AND (needed.value = ? OR needed.value GLOB ? || '[ <>=~]*')
                 ORDER BY skill.name"""
        rows = self._read(lambda index: index.execute(sql, (name, name)).fetchall())
        return [Manifest.model_validate_json(row["manifest"]) for row in rows]

    def nearest(self, name: str, n: int = 3) -> list[str]:
        """The names most like `name`, those of retired skills left out."""
        rows = self._read(lambda index: index.execute("SELECT name FROM skill WHERE status <> 'retired'").fetchall())
        return difflib.get_close_matches(name[:NAME_LENGTH].lower(), [row["name"] for row in rows], n, cutoff=0.6)

    def search(self, text: str, limit: int = 8) -> list[Hit]:
        """The skills nearest to any text at all, the nearest first; retired ones are left out."""
        vector = next(iter(vectors_of(self._embed, [text[:8000]]) or ()), None) if text.strip() else None

        def look(index: sqlite3.Connection) -> list[tuple[str, float]]:
            scores = by_words(index, text, limit if vector is None else CANDIDATES)
            if vector is not None:
                meaning = by_meaning(index, vector, scores)
                scores = {row: (scores.get(row, 0.0) + meaning.get(row, 0.0)) / 2 for row in scores | meaning}
            best = sorted(scores, key=lambda row: (-scores[row], row))[:limit]
            return [(index.execute("SELECT entry FROM skill WHERE id = ?", (row,)).fetchone()["entry"], scores[row]) for row in best]

        return [Hit(Entry.model_validate_json(entry), score) for entry, score in self._read(look)]

    # ---- keeping the index -----------------------------------------------------------------------------------------

    def _row(self, name: str) -> sqlite3.Row | None:
        if not name.isascii():  # no skill's; and what is no text SQLite does not take
            return None
        row: sqlite3.Row | None = self._read(lambda index: index.execute("SELECT entry, manifest FROM skill WHERE name = ?", (name,)).fetchone())
        return row

    def _read(self, query: Callable[[sqlite3.Connection], _T]) -> _T:
        def read() -> _T:
            with self._file.reading() as index:
                if self._sources is None or _blob(index) is not None:
                    return query(index)
            self._bring_up()  # somebody deleted the file
            with self._file.reading() as index:
                return query(index)

        return self._mended(read)

    def _mended(self, use: Callable[[], _T]) -> _T:
        """`use()`, a second time with a new file where the file is damaged or of another make."""
        try:
            return use()
        except CouldNotTell as error:
            if not _is_damage(error.__cause__):
                raise
            self._file.discard()
            return use()

    def _bring_up(self) -> None:
        assert self._sources is not None
        wanted, text, manifest = self._sources
        while True:
            with self._file.reading() as index:
                seen = _blob(index)
                if seen == wanted:
                    return None
                difference = _difference(index, text(), self._texts)
            manifests = [manifest(entry) for _, entry in difference.entries]
            with self._file.writing() as index:
                fresh = _blob(index) == seen  # else another process was faster, and what changed is to be looked up again
                if fresh:
                    _apply(index, wanted, difference, manifests)
            if fresh:
                self._texts, (at, trees) = difference.same, self._trees
                if at == seen:
                    trees = trees | {entry.name: entry.tree for _, entry in difference.entries}
                    for name in difference.gone:
                        trees.pop(name, None)
                    self._trees = (wanted, trees)
                return self._add_vectors()

    def _add_vectors(self) -> None:
        """Makes the vectors that changed skills lack, or skills that were indexed while there were none to be had."""
        sql = "SELECT id, hash, entry FROM skill WHERE status <> 'retired' AND id NOT IN (SELECT id FROM vector) LIMIT ?"
        while self._embed is not None:
            with self._file.reading() as index:
                lacking = index.execute(sql, (BATCH,)).fetchall()
            vectors = vectors_of(self._embed, [_meaning(Entry.model_validate_json(row["entry"])) for row in lacking])
            if not vectors:
                return
            with self._file.writing() as index:
                for row, vector in zip(lacking, vectors, strict=True):
                    same = "SELECT id, ?, ? FROM skill WHERE id = ? AND hash = ?"  # it may have changed meanwhile
                    values = (signs_of(vector), vector.tobytes(), row["id"], row["hash"])
                    index.execute(f"INSERT OR REPLACE INTO vector (id, signs, numbers) {same}", values)


def _blob(index: sqlite3.Connection) -> str | None:
    row = index.execute("SELECT blob FROM head").fetchone()
    return str(row["blob"]) if row else None


def _is_damage(cause: BaseException | None) -> bool:
    """Whether SQLite says that the file is no database, is malformed, or lacks a table or column of ours."""
    if isinstance(cause, sqlite3.OperationalError):
        return "no such " in str(cause) or "has no column" in str(cause)
    return type(cause) is sqlite3.DatabaseError


def _difference(index: sqlite3.Connection, text: str, texts: Mapping[bytes, str]) -> Difference:
    """`texts` are those of sections, by hash, as far as they are at hand: comparing is quicker than hashing."""
    difference = Difference(revision_of(text), [], [], [], {})
    known = index.execute("SELECT first, hash FROM section ORDER BY first").fetchall() or [("", b"")]
    firsts = [first for first, _ in known]
    for (first, hash), beyond, section in zip(known, [*firsts[1:], _BEYOND], cut(text, firsts[1:]), strict=True):
        if texts.get(hash) == section.text or _hash(section.text) == hash:
            difference.same[hash] = section.text
        else:
            _compare(index, section, first, beyond, difference)
    return difference


def _compare(index: sqlite3.Connection, section: Section, first: str, beyond: str, difference: Difference) -> None:
    """Adds what changed in a section, which holds the names from `first` to below `beyond`."""
    known = dict(index.execute("SELECT hash, name FROM skill WHERE name >= ? AND name < ?", (first, beyond)).fetchall())
    line, parts = section.line, pieces(section.text)
    names: list[str] = []
    for piece in parts:
        hash = _hash(piece)
        name = known.get(hash)
        if name is None and (block := block_in(piece, line)):
            name = block.name
            difference.entries.append((hash, entry_of(block)))
        if name is not None:
            check_order(names[-1] if names else "", name, line)
            if not first <= name < beyond:  # no section of a sorted file holds it
                check_order(max(first, name), min(name, beyond), line)
        names.append(name or first)
        line += piece.count("\n")
    difference.gone.extend(set(known.values()).difference(names))
    for place in range(0, len(parts) or 1, SECTION):
        text = "".join(parts[place : place + SECTION])
        difference.sections.append((names[place] if place else first, _hash(text)))


def _hash(text: str) -> bytes:
    return hashlib.sha256(f"{FORMAT}{text}".encode()).digest()


def _meaning(entry: Entry) -> str:
    return f"{entry.name}: {entry.description} {'; '.join(entry.aliases)}"[:8000]


def _apply(index: sqlite3.Connection, blob: str, difference: Difference, manifests: Sequence[Manifest | None]) -> None:
    for name in (*difference.gone, *(entry.name for _, entry in difference.entries)):
        for row in index.execute("SELECT id FROM skill WHERE name = ?", (name,)).fetchall():
            index.execute("DELETE FROM words WHERE rowid = ?", (row["id"],))
            index.execute("DELETE FROM vector WHERE id = ?", (row["id"],))
            index.execute("DELETE FROM skill WHERE id = ?", (row["id"],))
    for (hash, entry), manifest in zip(difference.entries, manifests, strict=True):
        row = (entry.name, hash, entry.status, entry.tree, entry.model_dump_json(), manifest.model_dump_json() if manifest else None)
        id = index.execute("INSERT INTO skill (name, hash, status, tree, entry, manifest) VALUES (?, ?, ?, ?, ?, ?)", row).lastrowid
        if entry.status != "retired":
            index.execute("INSERT INTO words (rowid, name, aliases, description, schemas) VALUES (?, ?, ?, ?, ?)", (id, *indexed(entry, manifest)))
    index.executemany("INSERT OR REPLACE INTO section (first, hash) VALUES (?, ?)", difference.sections)
    index.execute("INSERT OR REPLACE INTO head (one, blob, revision) VALUES (1, ?, ?)", (blob, difference.revision))
