"""The Repository port over a bare git repository: objects are read and written, and there is never a work tree.

Reading asks one lasting `git cat-file`; writing stores loose objects and moves the branch by `git update-ref`. So a
commit of two files costs the same few milliseconds in a tree of ten folders and of ten thousand.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from agent.domain.proposal import OURS, Change, Written
from agent.errors import ConfigurationError, HeadMoved, Refused, UsageError
from agent.forges.git_beyond import Beyond
from agent.forges.git_door import GitDoor, could_not, is_bare
from agent.forges.git_names import address, branch_problem, commit_problem, inside, is_commit_id, made_here
from agent.forges.git_trees import LOOKED_INTO, MOST, SUBMODULE, TREE, Entry, Nested, Trees, nested
from agent.ports import CommitLine

RACES = 20  # times that a merge is tried on a main that moves
KEPT = 4096  # answers of each kind about what never changes
FEW = 100  # files that differ between two commits; of more, nothing is kept
_NONE = "0" * 40
_SHOWN = 2**23  # bytes of a diff
_SNIFFED = 8000  # bytes that git itself looks at to tell binary from text (buffer_is_binary in xdiff-interface.c)


class GitObjects:
    """Git content of the bare repository `origin`. Safe for several threads and processes."""

    def __init__(self, origin: Path, main: str = "main") -> None:
        if not is_bare(origin):
            raise ConfigurationError(
                f"{origin} is not a bare git repository.",
                why="A folder with HEAD, objects and refs was expected there." if origin.exists() else "There is nothing at that path.",
                next_step="`skillops init DIR` makes a skills repository with its origin beside it.",
            )
        self.origin, self.main = origin.resolve(), main
        self._door = GitDoor(self.origin)
        self._trees, self._beyond = Trees(self._door), Beyond(self._door)
        # What is kept never changes: what lies at a path of a commit, what differs between two, and which ids are commits'.
        self._place = lru_cache(maxsize=KEPT)(self._at)
        self._between = dict[tuple[str, str], tuple[Change, ...]]()
        self._commits = dict[str, None]()

    # ---- reading --------------------------------------------------------------------------------------------------

    def looking(self) -> AbstractContextManager[None]:
        return nullcontext()  # what lies on this machine is read as it is

    def head(self, ref: str) -> str | None:
        if ref in self._commits:
            return ref
        if is_commit_id(ref):
            found = self._door.header(ref)
        elif branch_problem(ref):
            return None
        else:
            name = f"refs/heads/{ref}"
            if (at := self._door.loose(name)) in self._commits:
                return at
            found = self._door.header(name) or self._pointed_at(name)
        if not found or found[1] != "commit":
            return None
        self._commits[found[0]] = None
        _bounded(self._commits)
        return found[0]

    def read(self, ref: str, path: str) -> bytes | None:
        found = self._object(ref, path)
        return self._door.data(found[0]) if found and found[1] == "blob" else None

    def object_id(self, ref: str, path: str) -> str | None:
        found = self._object(ref, path)
        return found[0] if found else None

    def children(self, ref: str, folder: str) -> dict[str, str]:
        found = self._object(ref, folder)
        if not found or found[1] != "tree":
            return {}
        return self._trees.names(found[0])

    def files(self, ref: str, folder: str) -> dict[str, bytes]:
        found = self._object(ref, folder)
        return self._trees.files(found[0]) if found and found[1] == "tree" else {}

    def changes(self, base: str, head: str) -> tuple[Change, ...]:
        ends = self._ends(base, head)
        if (found := self._between.get(ends)) is None:
            found = self._changed(*ends)
            if len(found) <= FEW:
                self._between[ends] = found
                _bounded(self._between)
        return found

    def diff(self, base: str, head: str, folder: str = "") -> str:
        options = ("-p", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--full-index")
        ends = self._ends(base, head)
        if len(self._trees.differences(*map(self._tree_of, ends))) >= MOST:
            return f"{MOST:,} files differ, or more.\n"
        found, _ = self._door.beginning(_SHOWN, "diff-tree", *options, *ends, "--", *([folder] if folder else []))
        return found.decode(errors="replace")

    def history(self, path: str, limit: int = 50) -> Sequence[CommitLine]:
        main = self.head(self.main)
        if main is None or limit < 1:
            return ()
        form = "--format=%H%x00%an%x00%aI%x00%s%x00%(trailers:key=Ledger,valueonly=true,separator=%x20)"
        lines = self._door.output("rev-list", "--first-parent", "--no-commit-header", f"--max-count={limit}", form, main, "--", path)
        parts = (line.split("\0") for line in lines.decode(errors="replace").split("\n") if line)
        return tuple(CommitLine(commit=commit, author=author, at=at, message=message, ledger=ledger) for commit, author, at, message, ledger in parts)

    def _written(self, base: str, head: str) -> tuple[Written, ...]:
        """Who wrote each commit that `head` adds to `base`, as those say it themselves; those that are ours alone left out."""
        form = "--format=%H%x00%an%x00%ae%x00%cn%x00%ce"
        found = []
        for line in self._door.output("rev-list", "--no-commit-header", form, head, f"^{base}").decode(errors="replace").splitlines():
            commit, *told = line.split("\0")
            who = dict.fromkeys(zip(told[::2], told[1::2], strict=True))
            people = tuple(name for name, mail in who if made_here(name, mail) and name not in OURS)
            stranger = next((f"{name} <{mail}>"[:200] for name, mail in who if not made_here(name, mail)), "")
            found += [Written(commit=commit, people=people, stranger=stranger)] if people or stranger else []
        return tuple(found)

    # ---- writing --------------------------------------------------------------------------------------------------

    def commit(self, branch: str, files: Mapping[str, bytes | None], *, parent: str | None, message: str, author: str, orphan: bool = False) -> str:
        if problem := branch_problem(branch):
            raise UsageError(f"{branch!r} cannot be the name of a branch.", why=problem, next_step="Name it like skill/word-count-1.")
        changes = nested(files)
        for _ in range(2):  # the second time looks at who won
            head, start = self.head(branch), None if orphan and parent is None else self._start(branch, parent)
            if head != parent:
                if head is not None and self._repeats(branch, head, parent, changes):
                    return head
                break
            tree = self._trees.write(self._tree_of(start), changes)
            if start is not None and tree == self._tree_of(start):
                if head is not None or self._move({branch: (start, _NONE)}):
                    return start
                continue
            made = self._store_commit(tree, (start,) if start else (), message, author)
            if self._move({branch: (made, head or _NONE)}):
                return made
        raise self._moved(branch, parent)

    def _start(self, branch: str, parent: str | None) -> str | None:
        """The commit to build on; None for the first of all."""
        if parent is not None or branch == self.main:
            return parent
        if (main := self.head(self.main)) is None:
            raise ConfigurationError(f"{self.origin} has no commit on {self.main} yet.", next_step="`skillops init DIR` makes a skills repository.")
        return main

    def _repeats(self, branch: str, head: str, parent: str | None, changes: Nested) -> bool:
        """Whether `head` is what this very commit left when it was made before."""
        parents, tree = self._parents(head), self._tree_of(head)
        if parent is not None or branch == self.main:
            return parents == ((parent,) if parent else ()) and self._trees.write(self._tree_of(parent), changes) == tree
        main = self.head(self.main)
        if main and len(parents) == 1 and self._trees.write(self._tree_of(parents[0]), changes) == tree and self._is_ancestor(parents[0], main):
            return True
        return main is not None and self._trees.write(tree, changes) == tree and self._is_ancestor(head, main)

    def _merge(self, branch: str, head: str, message: str, author: str) -> str:
        """Joins `head`, where `branch` must be at it, into main; the merge that there is already is found, not repeated."""
        for _ in range(RACES):
            main = self.head(self.main)
            if main is None:
                raise ConfigurationError(f"{self.origin} has no branch {self.main}.", next_step="`skillops init DIR` makes a skills repository.")
            if found := self._merge_of(head, main):
                return found
            made = self._store_commit(self._merged_tree(main, head), (main, head), message, author)
            if self._move({self.main: (made, main)}, verify={branch: head}):
                return made
            if self.head(branch) != head:
                break
        raise self._moved(branch, head)

    def _merge_of(self, head: str, main: str) -> str | None:
        """The merge commit of main's own line that brought `head` in, or None."""
        lines = self._door.output("rev-list", "--first-parent", "--merges", "--parents", "--reverse", f"{head}..{main}").decode().splitlines()
        joined = (line.split() for line in lines)
        return next((commit for commit, _, *others in joined if head in others), None)

    def _merged_tree(self, ours: str, theirs: str) -> str:
        options = ("--write-tree", "-z", "--name-only", "--no-messages")
        status, output, complaint = self._door.run("merge-tree", *options, ours, theirs)
        tree, *paths = output.decode(errors="replace").split("\0")
        if status == 0:
            return tree
        if status == 1:
            why = f"Both sides changed {', '.join(path for path in paths if path)}."
        elif "unrelated histories" in complaint:
            why = "They share no commit."
        elif status == 129:  # usage: git before 2.38 knows no --write-tree
            raise ConfigurationError("This git cannot merge without a work tree.", next_step="Install git 2.38 or newer, then try again.")
        else:
            raise could_not("merge", complaint, self.origin)
        raise Refused(f"{theirs[:12]} cannot be merged into {self.main}.", why=why, next_step="Bring the branch up to main, and push it again.")

    # ---- objects --------------------------------------------------------------------------------------------------

    def _pointed_at(self, name: str) -> tuple[str, str, int] | None:
        """None where there is no such ref; one that points to nothing must not pass for that."""
        status, output, _ = self._door.run("rev-parse", "--verify", "--quiet", name)
        return None if status else self._door.there(self._door.header(output.decode().strip()), name)

    def _object(self, ref: str, path: str) -> tuple[str, str, int] | None:
        commit = self.head(ref) if inside(path := path.strip("/")) else None
        return self._place(commit, path) if commit else None

    def _at(self, commit: str, path: str) -> tuple[str, str, int] | None:
        """What lies at a path. A lost object must not pass for a path that is not there: git's `missing` means both."""
        if found := self._door.header(f"{commit}:{path}"):
            return found
        folder, _, name = path.rpartition("/")
        above = self._at(commit, folder) if path else self._door.there(None, f"{commit}:")
        if above and above[1] == "tree" and self._trees.entries(above[0]).get(name.encode(), (SUBMODULE, ""))[0] != SUBMODULE:
            return self._door.there(None, f"{commit}:{path}")
        return None

    def _changed(self, base: str, head: str) -> tuple[Change, ...]:
        found = self._trees.differences(self._tree_of(base), self._tree_of(head))
        return tuple(self._change(*each, len(found) <= LOOKED_INTO) for each in sorted(found, key=lambda each: each[0].encode()))

    def _change(self, path: str, old: Entry | None, new: Entry | None, look: bool) -> Change:
        status: Literal["added", "modified", "deleted"] = "deleted" if new is None else "modified" if old else "added"
        if new is None or new[0] in (SUBMODULE, TREE):
            return Change(path=path, status=status, mode=new[0] if new else "000000")
        size, binary = (self._door.size(new[1]), b"\0" in self._door.start_of(new[1], _SNIFFED)) if look else (0, True)
        return Change(path=path, status=status, mode=new[0], size=size, binary=binary)

    def _ends(self, base: str, head: str) -> tuple[str, str]:
        """The merge base (`base` itself where there is none) and the head, as commits."""
        left, right = self._known(base), self._known(head)
        if shared := self._beyond.left_at(left, right) or self._beyond.left_at(right, left):
            return shared, right
        _, found, _ = self._door.run("merge-base", left, right)
        return found.decode().strip() or left, right

    def _known(self, ref: str) -> str:
        if (commit := self.head(ref)) is None:
            raise UsageError(f"There is no branch or commit {ref!r}.", next_step=f"`git -C {self.origin} branch` lists the branches.")
        return commit

    def _tree_of(self, commit: str | None) -> str | None:
        return self._door.there(self._door.header(f"{commit}:"), commit)[0] if commit else None

    def _parents(self, commit: str) -> tuple[str, ...]:
        lines = self._door.data(commit).split(b"\n\n", 1)[0].decode(errors="replace").splitlines()
        return tuple(line.removeprefix("parent ") for line in lines if line.startswith("parent "))

    def _is_ancestor(self, old: str, new: str) -> bool:
        return self._door.run("merge-base", "--is-ancestor", old, new)[0] == 0

    def _store_commit(self, tree: str, parents: Sequence[str], message: str, author: str) -> str:
        commit_problem(author, message)
        who = f"{author.strip()} <{address(author)}> {int(time.time())} +0000"
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {who}", f"committer {who}", "", message.rstrip("\n"), ""]
        return self._door.store("commit", "\n".join(lines).encode())

    def _move(self, moves: Mapping[str, tuple[str, str]], verify: Mapping[str, str] | None = None) -> bool:
        """Compare-and-swap of branches, all or none: branch to (new, old). False where one is not where it should be."""
        lines = [f"update refs/heads/{branch} {new} {old}\n" for branch, (new, old) in moves.items()]
        lines += [f"verify refs/heads/{branch} {at}\n" for branch, at in (verify or {}).items()]
        status, _, complaint = self._door.run("update-ref", "--stdin", stdin="".join(lines).encode())
        expected = {branch: old for branch, (_, old) in moves.items()} | dict(verify or {})
        if status and all((self.head(branch) or _NONE) == at for branch, at in expected.items()):
            raise could_not(f"move {', '.join(moves)}", complaint, self.origin)
        return status == 0

    def _moved(self, branch: str, expected: str | None) -> HeadMoved:
        where = f"It is at {head[:12]}" if (head := self.head(branch)) else "It does not exist"
        return HeadMoved(
            f"The branch {branch} is not where it was.",
            why=f"{where}, and {expected[:12] if expected else 'no such branch'} was expected.",
            next_step="Look again: `skillops run` carries on from where it is now.",
        )


def _bounded(kept: dict[Any, Any]) -> None:
    """Leaves the newer half where there are too many."""
    if len(kept) > KEPT:
        for key in list(kept)[: KEPT // 2]:
            kept.pop(key, None)
