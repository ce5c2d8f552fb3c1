"""A person's working clone of the skills repository. We read where it comes from, and move it forward where that loses nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from agent.errors import ConfigurationError, CouldNotTell
from agent.forges.git_door import GitDoor, common_dir, is_bare, isolated_git, run_git

State = Literal["clean", "dirty", "detached", "elsewhere"]
REGISTRY = "registry.yaml"
_INIT = "`skillops init DIR` makes a new skills repository."


class Checkout:
    """The clone at `root`, whose own branch is `main`. `kept` is the folder for what belongs to the repository and is not in git:
    inside its bare `origin`, or, where that is on another machine (None), inside the clone's own git folder."""

    def __init__(self, root: Path, origin: Path | None, main: str = "main") -> None:
        self.root, self.main, self._origin = root, main, origin
        self.kept = (origin or common_dir(_git_dir(root))) / "skillops"
        self._door = GitDoor(_git_dir(root), work_tree=root)

    @property
    def origin(self) -> Path:
        """The bare repository on this machine that it came from."""
        if self._origin is None:
            raise ConfigurationError(f"The origin of {self.root} is not on this machine.", next_step="This needs the local forge.")
        return self._origin

    @classmethod
    def find(cls, path: Path, main: str = "main", *, remote: bool = False) -> Checkout:
        """The clone that `path` is or lies in; with `remote`, its origin may be anywhere. ConfigurationError says what is missing, and what to do."""
        root = cls.root_of(path, main)
        try:
            return cls(root, _origin_of(root), main)
        except ConfigurationError:
            if not remote:
                raise
            return cls(root, None, main)

    @staticmethod
    def root_of(path: Path, main: str = "main") -> Path:
        """The top of the skills repository that `path` is or lies in. ConfigurationError where it lies in none."""
        start = path.absolute()
        root = next((folder for folder in (start, *start.parents) if (folder / ".git").exists()), None)
        if root is None:
            missing = "" if start.exists() else "There is nothing at that path."
            raise ConfigurationError(
                f"{start} is not in a git clone.", why=missing, next_step=f"Go to the clone of your skills repository, or: {_INIT}"
            )
        if not (root / REGISTRY).is_file():
            raise ConfigurationError(
                f"{root} is not a skills repository.",
                why=f"It has no {REGISTRY}.",
                next_step=f"Go to the clone of your skills repository (if this is it: `git checkout {main} -- {REGISTRY}`), or: {_INIT}",
            )
        return root

    @classmethod
    def make(cls, origin: Path, folder: Path, main: str = "main") -> Checkout:
        """Clones `origin` into `folder`; the clone that is there already is found."""
        if not is_bare(origin):
            raise ConfigurationError(f"{origin} is not a bare git repository.", next_step=_INIT)
        if (folder / ".git").exists() and _origin_of(folder) == origin.resolve():
            return cls(folder.absolute(), origin.resolve(), main)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigurationError(f"{folder} is there already, and is no clone of {origin}.", next_step="Name a folder that does not exist.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".skillops-clone-", dir=folder.parent) as place:  # so that what has its name is whole
            here = folder.absolute() if folder.exists() else Path(place) / folder.name
            status, _, complaint = run_git(isolated_git(folder.parent), "clone", "--quiet", "--template=", "--", str(origin.resolve()), str(here))
            if status:
                raise CouldNotTell(f"git could not clone {origin}.", why=complaint.strip(), next_step="Name a folder that you may write in.")
            if not folder.exists():
                here.rename(folder)
        return cls(folder.absolute(), origin.resolve(), main)

    def of_base(self, path: str) -> bytes | None:
        """A file of the base as this machine has it, whatever lies in the work tree or on the branch that is checked out."""
        door, refs = self._door, [f"refs/remotes/origin/{self.main}", "HEAD"]
        if self._origin:
            door, refs = GitDoor(self._origin), [f"refs/heads/{self.main}"]
        for ref in refs:
            if door.header(ref):
                found = door.header(f"{ref}:{path}")
                return door.data(found[0]) if found and found[1] == "blob" else None
        return None

    def state(self) -> State:
        """`detached` and `elsewhere` (another branch) come before `dirty`; files that git does not know yet are no dirt."""
        status, output, _ = self._door.run("symbolic-ref", "--quiet", "--short", "HEAD")
        if status:
            return "detached"
        if output.decode(errors="replace").strip() != self.main:
            return "elsewhere"
        return "dirty" if self._door.output("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=none") else "clean"

    def update(self) -> str:
        """Moves a clean checkout of main forward to the origin's, and tells what it did or why it left it alone."""
        state, tracking = self.state(), f"refs/remotes/origin/{self.main}"
        if state != "clean":
            why = {"dirty": "it has changes that are not committed", "detached": "it is on no branch", "elsewhere": f"it is not on {self.main}"}
            return f"{self.root} was left alone: {why[state]}."
        status, _, complaint = self._door.run(
            "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "origin", f"+refs/heads/{self.main}:{tracking}"
        )
        if status:
            return self._left_alone(complaint)
        before, after = self._commit("HEAD"), self._commit(tracking)
        if before == after:
            return f"{self.root} is up to date."
        if before and self._door.run("merge-base", "--is-ancestor", tracking, "HEAD")[0] == 0:
            return f"{self.root} was left alone: it has commits of its own; propose them with `skillops propose --from DIR`."
        if before and self._door.run("merge-base", "--is-ancestor", "HEAD", tracking)[0]:
            return f"{self.root} was left alone: it and the origin each have commits of their own; `git rebase origin/{self.main}` joins them."
        status, _, complaint = self._door.run("merge", "--quiet", "--ff-only", "--no-verify", "--no-stat", tracking)
        return self._left_alone(complaint) if status else f"{self.root} was moved forward to {after[:12]}."

    def _commit(self, ref: str) -> str:
        return self._door.run("rev-parse", "--quiet", "--verify", f"{ref}^{{commit}}")[1].decode().strip()

    def _left_alone(self, complaint: str) -> str:
        said = " ".join(complaint.split()).removeprefix("error: ").removeprefix("fatal: ").rstrip(".")
        return f"{self.root} was left alone: git says “{said}”."


def _git_dir(root: Path) -> Path:
    """`.git`, or what it points to for a linked work tree (man gitrepository-layout)."""
    dot = root / ".git"
    return (root / dot.read_text().removeprefix("gitdir:").strip()).resolve() if dot.is_file() else dot


def _origin_of(root: Path) -> Path:
    """The bare repository on this machine that the clone at `root` came from. ConfigurationError where it is none."""
    config = common_dir(_git_dir(root)) / "config"
    status, output, _ = run_git(isolated_git(root), "config", "--file", str(config), "--get", "remote.origin.url")
    url = output.decode(errors="replace").strip()
    if status or not url:
        raise ConfigurationError(
            f"{root} has no remote named origin.",
            next_step=f"`git -C {root} remote add origin PATH`, where PATH is the bare repository, or: {_INIT}",
        )
    parts = urlsplit(url)
    if parts.scheme not in ("", "file") or (not parts.scheme and ":" in url.split("/")[0]):
        raise ConfigurationError(
            f"The origin of {root} is {url}, which is not on this machine.",
            why="The local forge needs a bare repository on this machine.",
            next_step=f"`git clone --bare {url} ORIGIN`, then `git -C {root} remote set-url origin ORIGIN`.",
        )
    origin = (root / (unquote(parts.path) if parts.scheme else url)).resolve()
    if not is_bare(origin):
        why = "It is no bare git repository." if origin.exists() else "There is nothing at that path."
        raise ConfigurationError(
            f"The origin of {root} should be at {origin}.",
            why=why,
            next_step=f"Where it was moved: `git -C {root} remote set-url origin PATH`. Else: {_INIT}",
        )
    return origin
