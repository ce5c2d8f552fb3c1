"""Folders as git keeps them: read, and written again with changes, touching only the folders on the changed paths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agent.errors import UsageError
from agent.forges.git_door import GitDoor
from agent.forges.git_names import odd_name

BIGGEST = 2**20  # bytes of a blob that `files` gives
TREE, FILE, PROGRAM, LINK, SUBMODULE = "40000", "100644", "100755", "120000", "160000"
_ENTRY = re.compile(rb"(\d+) ([^\0]+)\0(.{20})", re.DOTALL)
_BETWEEN_NAMES = re.compile(rb"\0(.{20})(?:\d+ )?", re.DOTALL)  # the first one's object id, the second one's mode

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


class Trees:
    """The trees of one repository, by object id."""

    def __init__(self, door: GitDoor) -> None:
        self._door = door

    def entries(self, tree: str) -> dict[bytes, tuple[str, str]]:
        """Name to (mode, object id)."""
        return {name: (mode.decode(), object_id.hex()) for mode, name, object_id in _ENTRY.findall(self._door.data(tree))}

    def names(self, tree: str) -> dict[str, str]:
        """Shown name to object id. Ten thousand take a few milliseconds: there is no object for each but its two strings."""
        _, _, data = self._door.data(tree).partition(b" ")
        parts = _BETWEEN_NAMES.split(data)
        names, object_ids = parts[:-1:2], parts[1::2]
        return dict(zip(shown(b"\0".join(names)).split("\0"), map(bytes.hex, object_ids), strict=True)) if names else {}

    def files(self, tree: str, prefix: str = "") -> dict[str, bytes]:
        """The regular blobs of at most 1 MiB below, by path; oddly named ones are left out with what lies under them."""
        found: dict[str, bytes] = {}
        for raw, (mode, object_id) in self.entries(tree).items():
            name = shown(raw)
            if odd_name(name) or name.encode() != raw or mode in (LINK, SUBMODULE):
                continue
            if mode == TREE:
                found |= self.files(object_id, f"{prefix}{name}/")
            elif self._door.size(object_id) <= BIGGEST:
                found[prefix + name] = self._door.data(object_id)
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
