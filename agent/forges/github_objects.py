"""The Repository port over GitHub's Git Data API: no clone, and git's objects, which never change, are asked for once."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

from agent.domain.proposal import Change
from agent.errors import HeadMoved, UsageError
from agent.forges.diffs import unified
from agent.forges.git_names import address, branch_problem, commit_problem, inside, is_commit_id, odd_name
from agent.forges.git_trees import BIGGEST, DEEPEST, FILES, LOOKED_INTO, MOST, SUBMODULE, apart, bounded, nested
from agent.forges.github_api import Answer, GitHubApi
from agent.forges.github_append import appended
from agent.ports import CommitLine

REMEMBERED = 256 * 2**10  # bytes of a blob that we wrote and need not ask for
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # git's own id of a tree without entries
TREE = "040000"  # as the API writes the mode that git stores as 40000
Entry = tuple[str, str, int]  # mode, object id, size in bytes


class GitHubObjects:
    """Git content of the repository behind `api`."""

    def __init__(self, api: GitHubApi, main: str = "main") -> None:
        self.api, self.main = api, main

    # ---- reading --------------------------------------------------------------------------------------------------

    def looking(self) -> AbstractContextManager[None]:
        return self.api.looks.looking()

    def head(self, ref: str) -> str | None:
        return self._head(ref)

    def _head(self, ref: str, *, anew: bool = False) -> str | None:
        if is_commit_id(ref):
            return ref if self._commit(ref) else None
        if branch_problem(ref):
            return None
        found = self.api.get(f"git/ref/heads/{ref}", anew=anew)
        return str(found["object"]["sha"]) if isinstance(found, dict) else None

    def read(self, ref: str, path: str) -> bytes | None:
        found = self._object(ref, path)
        return self._blob(found[1]) if found and found[0] not in (TREE, SUBMODULE) else None

    def object_id(self, ref: str, path: str) -> str | None:
        found = self._object(ref, path)
        return found[1] if found else None

    def children(self, ref: str, folder: str) -> dict[str, str]:
        found = self._object(ref, folder)
        return {name: entry[1] for name, entry in self._tree(found[1]).items()} if found and found[0] == TREE else {}

    def files(self, ref: str, folder: str) -> dict[str, bytes]:
        found = self._object(ref, folder)
        return {path: self._blob(each) for path, each in bounded(self._listed(found[1], ""), folder)} if found and found[0] == TREE else {}

    def changes(self, base: str, head: str) -> tuple[Change, ...]:
        left, right = self._ends(base, head)
        differences = self._differences(left, right, "")
        return tuple(self._change(path, old, new, len(differences) <= LOOKED_INTO) for path, old, new in differences)

    def folders_changed(self, base: str, head: str, folder: str) -> tuple[str, ...]:
        """Names of what differs directly in `folder`, against the merge base; cheap, however much does."""
        left, right = (self._below(tree, folder) for tree in self._ends(base, head))
        ours, theirs = (self._tree(entry[1]) if entry and entry[0] == TREE else {} for entry in (left, right))
        return tuple(sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)))

    def diff(self, base: str, head: str, folder: str = "") -> str:
        left, right = self._ends(base, head)
        inside_of = f"{folder.strip('/')}/" if folder.strip("/") else ""
        differences = (each for each in self._differences(left, right, "") if each[0].startswith(inside_of) or each[0] == inside_of[:-1])
        return "".join(unified(path, self._side(old), self._side(new)) for path, old, new in differences)

    def history(self, path: str, limit: int = 50) -> Sequence[CommitLine]:
        if limit < 1 or self.head(self.main) is None:
            return ()
        lines: list[CommitLine] = []
        for each in self.api.pages(f"commits?sha={self.main}&path={path}"):
            author, (message, *rest) = each["commit"]["author"], each["commit"]["message"].split("\n")
            ledger = "".join(line.removeprefix("Ledger: ") for line in rest[-2:] if line.startswith("Ledger: "))
            lines.append(CommitLine(commit=each["sha"], author=author["name"], at=author["date"], message=message, ledger=ledger))
            if len(lines) == limit:
                break
        return tuple(lines)

    # ---- writing --------------------------------------------------------------------------------------------------

    def commit(self, branch: str, files: Mapping[str, bytes | None], *, parent: str | None, message: str, author: str, orphan: bool = False) -> str:
        if problem := branch_problem(branch):
            raise UsageError(f"{branch!r} cannot be the name of a branch.", why=problem, next_step="Name it like skill/word-count-1.")
        nested(files)  # raises for what git would not give back
        commit_problem(author, message)
        if orphan and parent is not None and (made := appended(self.api, branch, files, parent, message)):
            return made
        for _ in range(2):  # the second time looks at who won
            head = self._head(branch, anew=True)
            if head != parent:
                if head is not None and self._repeats(branch, head, parent, files):
                    return head
                break
            start = parent or (None if orphan or branch == self.main else self.head(self.main))
            tree = self._written(start, files)
            if start is not None and tree == self._tree_of(start):
                if head is not None or self._made(branch, start):
                    return start
                continue
            made = self._committed(tree, start, message, author)
            if self._made(branch, made) if head is None else self._moved(branch, made, head):
                return made
        raise self._elsewhere(branch, parent)

    def _repeats(self, branch: str, head: str, parent: str | None, files: Mapping[str, bytes | None]) -> bool:
        """Whether `head` is what this very commit left when it was made before."""
        parents, tree = self._parents(head), self._tree_of(head)
        if parent is not None or branch == self.main:
            known = parent is None or self._commit(parent) is not None
            return known and parents == ((parent,) if parent else ()) and self._written(parent, files) == tree
        main = self.head(self.main)
        if main and len(parents) == 1 and self._written(parents[0], files) == tree and self._is_ancestor(parents[0], main):
            return True
        return main is not None and self._written(head, files) == tree and self._is_ancestor(head, main)

    def _written(self, start: str | None, files: Mapping[str, bytes | None]) -> str:
        """The id of the tree of `start` with the changes made. What stands in the way of a new file or folder is taken away first."""
        base = self._tree_of(start) if start else None
        gone = {path: found[0] for path, data in files.items() if data is None and base and (found := self._below(base, path)) and found[0] != TREE}
        new = {path: data for path, data in files.items() if data is not None}
        first = {path: mode for path, mode in gone.items() if any(each.startswith(f"{path}/") or path.startswith(f"{each}/") for each in new)}
        base = self._tree_with(base, [_entry(path, mode, None) for path, mode in first.items()])
        entries = [_entry(path, mode, None) for path, mode in gone.items() if path not in first]
        return self._tree_with(base, entries + [self._file(path, self._mode(base, path), data) for path, data in new.items()]) or EMPTY_TREE

    def _tree_with(self, base: str | None, entries: list[dict[str, Any]]) -> str | None:
        if not entries:
            return base
        made = self.api.send("POST", "git/trees", {"tree": entries, **({"base_tree": base} if base else {})}).body
        if all("size" in entry for entry in made["tree"] if entry["type"] == "blob"):
            self.api.learn(f"git/trees/{made['sha']}", made)
        return str(made["sha"])

    def _mode(self, base: str | None, path: str) -> str:
        found = self._below(base, path) if base else None
        return found[0] if found and found[0] in ("100644", "100755") else "100644"

    def _file(self, path: str, mode: str, data: bytes) -> dict[str, Any]:
        """A file of a new tree: text travels with the tree, anything else is stored first."""
        if len(data) <= REMEMBERED:
            told = {"encoding": "base64", "content": base64.b64encode(data).decode()}
            self.api.learn(f"git/blobs/{hashlib.sha1(b'blob %d' % len(data) + bytes(1) + data, usedforsecurity=False).hexdigest()}", told)
        try:
            return {"path": path, "mode": mode, "type": "blob", "content": data.decode()}
        except UnicodeDecodeError:
            return _entry(path, mode, self._stored(data))

    def _stored(self, data: bytes) -> str:
        return str(self.api.send("POST", "git/blobs", {"content": base64.b64encode(data).decode(), "encoding": "base64"}).body["sha"])

    def _committed(self, tree: str, parent: str | None, message: str, author: str) -> str:
        who = {"name": author.strip(), "email": address(author)}
        body = {"message": message.rstrip("\n"), "tree": tree, "parents": [parent] if parent else [], "author": who}
        made = self.api.send("POST", "git/commits", body).body
        self.api.learn(f"git/commits/{made['sha']}", made)
        return str(made["sha"])

    def _made(self, branch: str, commit: str) -> bool:
        """A new branch; False where there is one."""
        answer = self.api.send("POST", "git/refs", {"ref": f"refs/heads/{branch}", "sha": commit}, allow=(403, 409, 422))
        return self._is_at(branch, commit, None, answer)

    def _moved(self, branch: str, commit: str, head: str) -> bool:
        """Moves a branch forward. GitHub takes no move that is not forward, and `commit` stands on `head`: that is the compare of our swap."""
        answer = self.api.send("PATCH", f"git/refs/heads/{branch}", {"sha": commit, "force": False}, allow=(403, 409, 422))
        return self._is_at(branch, commit, head, answer)

    def _is_at(self, branch: str, commit: str, before: str | None, answer: Answer) -> bool:
        """Whether a move was made, also where it was refused. Where nobody else moved the branch either, it is protected, and that is told."""
        if answer.status < 300:
            self.api.noted(f"git/ref/heads/{branch}", {"object": {"sha": commit}})
            return True
        now = self._head(branch, anew=True)
        if now == before and not self.api.passing(answer):
            raise self.api.protected(branch, answer)
        return now == commit

    def _elsewhere(self, branch: str, expected: str | None) -> HeadMoved:
        where = f"It is at {head[:12]}" if (head := self.head(branch)) else "It does not exist"
        return HeadMoved(
            f"The branch {branch} is not where it was.", why=f"{where}, and {expected[:12] if expected else 'no such branch'} was expected.",
            next_step="Look again: `skillops run` carries on from where it is now.",
        )  # fmt: skip

    # ---- objects --------------------------------------------------------------------------------------------------

    def _commit(self, commit: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.api.get(f"git/commits/{commit}", fixed=True)
        return found

    def _tree_of(self, commit: str) -> str:
        found = self._commit(commit)
        if found is None:
            raise UsageError(f"There is no commit {commit[:12]}.", next_step="Name a branch or a commit that is on GitHub.")
        return str(found["tree"]["sha"])

    def _parents(self, commit: str) -> tuple[str, ...]:
        return tuple(parent["sha"] for parent in (self._commit(commit) or {}).get("parents", ()))

    def _tree(self, tree: str) -> dict[str, Entry]:
        if tree == EMPTY_TREE:
            return {}
        found = self.api.get(f"git/trees/{tree}", fixed=True) or {"tree": ()}
        entries = [entry for entry in found["tree"] if entry["sha"] != EMPTY_TREE]  # git keeps no folder without a file
        names = apart(entry["path"] for entry in entries)
        return {name: (entry["mode"], entry["sha"], entry.get("size") or 0) for name, entry in zip(names, entries, strict=True)}

    def _blob(self, blob: str) -> bytes:
        found = self.api.get(f"git/blobs/{blob}", fixed=True)
        return base64.b64decode(found["content"]) if found["encoding"] == "base64" else found["content"].encode()

    def _object(self, ref: str, path: str) -> Entry | None:
        commit = self.head(ref) if inside(path := path.strip("/")) else None
        return self._below(self._tree_of(commit), path) if commit else None

    def _below(self, tree: str, path: str) -> Entry | None:
        found: Entry | None = (TREE, tree, 0)
        for name in path.split("/") if path else ():
            found = self._tree(found[1]).get(name) if found and found[0] == TREE else None
        return found

    def _listed(self, tree: str, prefix: str) -> list[tuple[str, str]]:
        """Path and object id of the files that are read below, a few more than MOST at most."""
        found: list[tuple[str, str]] = []
        for name, (mode, object_id, size) in ((name, entry) for name, entry in self._tree(tree).items() if not odd_name(name)):
            if mode == TREE and prefix.count("/") < DEEPEST:
                found += self._listed(object_id, f"{prefix}{name}/")
            elif mode in FILES and size <= BIGGEST:
                found.append((prefix + name, object_id))
            if len(found) > MOST:
                break
        return found

    # ---- differences ----------------------------------------------------------------------------------------------

    def _ends(self, base: str, head: str) -> tuple[str, str]:
        """The trees of the merge base (of `base` itself where there is none) and of the head."""
        left, right = self._known(base), self._known(head)
        return self._tree_of(self._merge_base(left, right) or left), self._tree_of(right)

    def _merge_base(self, left: str, right: str) -> str | None:
        found = self.api.get(f"compare/{left}...{right}?per_page=1", fixed=True)
        return str(found["merge_base_commit"]["sha"]) if found else None

    def _is_ancestor(self, old: str, new: str) -> bool:
        return old == new or self._merge_base(old, new) == old

    def _known(self, ref: str) -> str:
        if (commit := self.head(ref)) is None:
            raise UsageError(f"There is no branch or commit {ref!r}.", next_step="The repository's branches are listed on GitHub.")
        return commit

    def _differences(self, left: str, right: str, prefix: str) -> list[tuple[str, Entry | None, Entry | None]]:
        """What differs between two trees, file by file, MOST of them at most; only folders that differ are looked into, DEEPEST deep."""
        found: list[tuple[str, Entry | None, Entry | None]] = []
        ours, theirs = (self._tree(tree) if tree else {} for tree in (left, right))
        for name in sorted(ours.keys() | theirs.keys()):
            old, new = ours.get(name), theirs.get(name)
            if (old and new and old[:2] == new[:2]) or len(found) >= MOST:
                continue
            below = tuple(entry[1] if entry and entry[0] == TREE else "" for entry in (old, new))
            if any(below) and prefix.count("/") < DEEPEST:
                found += self._differences(*below, f"{prefix}{name}/")
                old, new = (None if entry and entry[0] == TREE else entry for entry in (old, new))
            if old or new:
                found.append((prefix + name, old, new))
        return found

    def _change(self, path: str, old: Entry | None, new: Entry | None, look: bool) -> Change:
        status: Literal["added", "modified", "deleted"] = "deleted" if new is None else "modified" if old else "added"
        if new is None or new[0] in (SUBMODULE, TREE):
            return Change(path=path, status=status, mode=new[0] if new else "000000")
        return Change(path=path, status=status, mode=new[0], size=new[2], binary=not look or b"\0" in self._start(new))

    def _start(self, entry: Entry) -> bytes:
        """The first bytes of a blob; of one that is too large to be read, a NUL, so that it passes for binary."""
        return self._blob(entry[1])[:8000] if entry[2] <= BIGGEST else b"\0"

    def _side(self, entry: Entry | None) -> tuple[str, bytes] | None:
        text = entry is not None and entry[0] not in (SUBMODULE, TREE)
        return (entry[0], self._blob(entry[1]) if entry[2] <= BIGGEST else b"\0") if entry and text else None


def _entry(path: str, mode: str, sha: str | None) -> dict[str, Any]:
    """One entry of a new tree; without an object it is taken away."""
    return {"path": path, "mode": mode, "type": "blob", "sha": sha}
