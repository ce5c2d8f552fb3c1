"""Git objects as a hostile client can push them: trees written byte by byte; and GitHub's API of what lies in such a repository."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agent.forges.git_door import GitDoor

Entries = list[tuple[str, bytes, Any]]  # mode as git stores it, name, and content: bytes of a blob, entries of a tree, or an object id in hex
_ENTRY = re.compile(rb"(\d+) ([^\0]*)\0(.{20})", re.DOTALL)
_KINDS = {"160000": "commit", "040000": "tree"}


def stored(door: GitDoor, content: Any) -> str:
    """The id of what is written as it is: nothing is sorted, checked or mended."""
    if isinstance(content, str):
        return content
    if isinstance(content, bytes):
        return door.store("blob", content)
    rows = [b"%s %s\0%s" % (mode.encode(), name, bytes.fromhex(stored(door, inner))) for mode, name, inner in content]
    return door.store("tree", b"".join(rows))


def pushed(door: GitDoor, root: Entries, parent: str) -> str:
    """A commit whose root is this tree, upon another."""
    who = "mallory <mallory@example.invalid> 1750000000 +0000"
    return door.store("commit", f"tree {stored(door, root)}\nparent {parent}\nauthor {who}\ncommitter {who}\n\nx\n".encode())


class ApiOf:
    """The answers of GitHub's Git Data API on a bare repository, as far as reading asks it. Names that are no UTF-8 it replaces, as JSON must."""

    def __init__(self, origin: Path) -> None:
        self._door = GitDoor(origin)
        self.looks = SimpleNamespace()

    def get(self, path: str, *, fixed: bool = False, anew: bool = False) -> Any:
        place, _, name = path.partition("?")[0].rpartition("/")
        return getattr(self, f"_{place.replace('/', '_')}")(name)

    def _git_ref_heads(self, name: str) -> Any:
        found = self._door.header(f"refs/heads/{name}")
        return {"object": {"sha": found[0]}} if found else None

    def _git_commits(self, name: str) -> Any:
        head = dict(line.split(" ", 1) for line in self._door.data(name).decode().split("\n\n")[0].splitlines()) if self._door.header(name) else None
        return head and {"sha": name, "tree": {"sha": head["tree"]}, "parents": [{"sha": head["parent"]}] if "parent" in head else []}

    def _git_trees(self, name: str) -> Any:
        rows = []
        for mode, told, raw in _ENTRY.findall(self._door.data(name)):
            mode, object_id = mode.decode().zfill(6), raw.hex()
            kind = _KINDS.get(mode, "blob")
            size = {"size": self._door.size(object_id)} if kind == "blob" else {}
            rows.append({"path": told.decode(errors="replace"), "mode": mode, "type": kind, "sha": object_id, **size})
        return {"sha": name, "tree": rows, "truncated": False}

    def _git_blobs(self, name: str) -> Any:
        return {"encoding": "base64", "content": base64.b64encode(self._door.data(name)).decode()}

    def _compare(self, name: str) -> Any:
        left, _, right = name.partition("...")
        status, shared, _ = self._door.run("merge-base", left, right)
        return None if status else {"merge_base_commit": {"sha": shared.decode().strip()}}
