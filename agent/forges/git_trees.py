"""Folders as git keeps them: read, and written again with changes, touching only the folders on the changed paths."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agent.errors import Refused, UsageError
from agent.forges.git_door import GitDoor, could_not
from agent.forges.git_names import odd_name

BIGGEST = 2**20  # bytes of a blob that `files` gives
LOOKED_INTO = 500  # files that differ; where it is more, none is read to see whether it is binary, and all pass for it
DEEPEST = 64  # folders in folders that are looked into; what lies deeper is no file of anybody's
MOST = 10_000  # files that are read at once, or differ: of what holds more (ten folders in each other, each ten times, hold 10^10) no more is told
TREE, FILE, PROGRAM, LINK, SUBMODULE = "40000", "100644", "100755", "120000", "160000"
FILES = (FILE, PROGRAM)  # the modes of what is read; git has no others for files, and reads some more as these
_ENTRY = re.compile(rb"([0-7]+) ([^\0]*)\0(.{20})", re.DOTALL)
_BETWEEN_NAMES = re.compile(rb"\0(.{20})(?:\d+ )?", re.DOTALL)  # the first one's object id, the second one's mode

Entry = tuple[str, str]  # mode and object id
Difference = tuple[str, Entry | None, Entry | None]  # path, and what lies there before and after
Nested = dict[str, Any]  # name to bytes (a file), None (deleted) or Nested (a folder)


def shown(name: bytes) -> str:
    """A name as text; what is not UTF-8 is escaped."""
    return name.decode(errors="backslashreplace")


def nested(files: Mapping[str, bytes | None]) -> Nested:
    """Paths as folders in folders. UsageError for a path that `files` would not give back."""
    root: Nested = {}
    for path, data in sorted(files.items(), key=lambda item: item[1] is None):
        *folders, name = path.split("/")
        below: Any = root
        for folder in folders:
            below = below.setdefault(folder, {}) if isinstance(below, dict) else below
        taken = not isinstance(below, dict) or isinstance(below.get(name), dict)
        if any(map(odd_name, (*folders, name))) or (taken and data is not None):
            raise UsageError(f"{path!r} cannot be committed.", why="It is no plain path, or a file and a folder at once.", next_step="Rename it.")
        if not taken:  # what is deleted where a file becomes a folder, or a folder a file, goes with that
            below[name] = data
    return root


def apart(names: Iterable[str]) -> Iterator[str]:
    """The names, and an odd one for each that came before: of a tree that holds a name twice every reader takes another one."""
    seen = Counter[str]()
    for name in names:
        yield name + "\0" * seen[name]
        seen[name] += 1


def _told(rows: Iterable[tuple[bytes, bytes, bytes]]) -> dict[str, Entry]:
    kept = list(rows)
    names = apart(shown(name) for _, name, _ in kept)
    return {name: (mode.decode(), object_id.hex()) for name, (mode, _, object_id) in zip(names, kept, strict=True)}


def bounded(files: list[tuple[str, str]], where: str) -> list[tuple[str, str]]:
    """Them, unless they are more than MOST: Refused."""
    if len(files) > MOST:
        raise Refused(f"{where or 'The root'} holds more than {MOST:,} files.", next_step="Take out what is no skill's, and push again.")
    return files


class Trees:
    """The trees of one repository, by object id."""

    def __init__(self, door: GitDoor) -> None:
        self._door = door

    def entries(self, tree: str) -> dict[bytes, tuple[str, str]]:
        """Name to (mode, object id)."""
        return {name: (mode.decode(), object_id.hex()) for mode, name, object_id in self._rows(tree)}

    def _rows(self, tree: str) -> list[tuple[bytes, bytes, bytes]]:
        """Mode, name and object id, as they stand there; CouldNotTell where something else does."""
        data = self._door.data(tree)
        rows = _ENTRY.findall(data)
        if sum(len(mode) + len(name) + 22 for mode, name, _ in rows) != len(data):
            raise could_not(f"read the tree {tree[:12]}", "It is not as git writes trees", self._door.git_dir)
        return rows

    def names(self, tree: str) -> dict[str, str]:
        """Shown name to object id. Ten thousand take a few milliseconds: there is no object for each but its two strings."""
        _, _, data = self._door.data(tree).partition(b" ")
        parts = _BETWEEN_NAMES.split(data)
        names, object_ids = parts[:-1:2], parts[1::2]
        return dict(zip(shown(b"\0".join(names)).split("\0"), map(bytes.hex, object_ids), strict=True)) if names else {}

    def files(self, tree: str) -> dict[str, bytes]:
        """The regular blobs of at most 1 MiB below, by path; what is oddly named, or stands there twice, is left out with what lies under it.
        Refused where there are more than MOST."""
        return {path: self._door.data(object_id) for path, object_id in bounded(self._listed(tree, ""), "") if self._door.size(object_id) <= BIGGEST}

    def _listed(self, tree: str, prefix: str) -> list[tuple[str, str]]:
        """Path and object id of the files below, a few more than MOST at most."""
        found: list[tuple[str, str]] = []
        rows = self._rows(tree)
        times = Counter(name for _, name, _ in rows)
        for mode, raw, object_id in ((mode.decode(), raw, object_id.hex()) for mode, raw, object_id in rows if times[raw] == 1):
            name = shown(raw)
            if odd_name(name) or name.encode() != raw:
                continue
            if mode == TREE and prefix.count("/") < DEEPEST:
                found += self._listed(object_id, f"{prefix}{name}/")
            elif mode in FILES:
                found.append((prefix + name, object_id))
            if len(found) > MOST:
                break
        return found

    def differences(self, left: str | None, right: str | None, prefix: str = "") -> list[Difference]:
        """What differs between two trees, file by file, MOST of them at most; only folders that differ are looked into, DEEPEST deep.

        git's own diff-tree gathers all before it tells any, whatever that is.
        """
        found: list[Difference] = []
        before, after = (self._rows(tree) if tree else [] for tree in (left, right))
        times = Counter(name for _, name, _ in after)
        shared = {row for row in set(before).intersection(after) if times[row[1]] == 1}
        ours, theirs = (_told(row for row in rows if row not in shared) for rows in (before, after))
        for name in sorted(ours.keys() | theirs.keys()):
            old, new = ours.get(name), theirs.get(name)
            below = tuple(entry[1] if entry and entry[0] == TREE else None for entry in (old, new))
            if any(below) and prefix.count("/") < DEEPEST:
                found += self.differences(*below, f"{prefix}{name}/")
                old, new = (None if entry and entry[0] == TREE else entry for entry in (old, new))
            if old or new:
                found.append((prefix + name, old, new))
            if len(found) >= MOST:
                break
        return found

    def write(self, tree: str | None, changes: Nested) -> str:
        """The id of `tree` with the changes made; that of the empty tree where nothing is left."""
        return self._write(tree, changes) or self._door.store("tree", b"")

    def _write(self, tree: str | None, changes: Nested) -> str | None:
        entries = self.entries(tree) if tree else {}
        before = dict(entries)
        for text, change in changes.items():
            name = text.encode()
            mode, old = entries.get(name, (FILE, None))
            if isinstance(change, bytes):
                entries[name] = (mode if mode == PROGRAM else FILE, self._door.store("blob", change))
            elif change is None:
                entries.pop(name, None)
            elif below := self._write(old if mode == TREE else None, change):
                entries[name] = (TREE, below)
            elif mode == TREE:
                del entries[name]
        if entries == before:
            return tree
        # git sorts a folder as though its name ended in a slash (base_name_compare in read-cache.c)
        ordered = sorted(entries.items(), key=lambda entry: entry[0] + b"/" if entry[1][0] == TREE else entry[0])
        content = b"".join(b"%s %s\0%s" % (mode.encode(), name, bytes.fromhex(object_id)) for name, (mode, object_id) in ordered)
        return self._door.store("tree", content) if content else None
