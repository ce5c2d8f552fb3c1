"""Commits that are made in a bare cache on this machine and pushed over HTTPS: what of git needs the network.

The token goes to git in its environment alone (man git-config, GIT_CONFIG_COUNT): it stands on no command line, in no file and in no log.
"""

from __future__ import annotations

import base64
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from agent.errors import ConfigurationError
from agent.forges.git_door import could_not, is_bare, isolated_git, run_git
from agent.forges.git_objects import GitObjects
from agent.forges.git_trees import nested

SECONDS = 120  # that one fetch or push may take
STALLED = 30  # seconds without a byte after which git gives up itself
_BASE = "refs/skillops/base"  # what was fetched last, so that the next fetch brings what differs alone
_SILENT = ("GIT_TRACE", "GIT_TRACE_CURL", "GIT_TRACE_PACKET", "GIT_TRACE_SETUP", "GIT_TRACE2", "GIT_TRACE2_EVENT", "GIT_TRACE2_PERF")
Went = Literal["done", "moved", "refused", "key", "forbidden", "missing", "lost"]
# What git and curl say, in the language C, and what it means; the first that fits counts.
_SAID: tuple[tuple[str, Went], ...] = (
    ("(stale info)", "moved"), ("(fetch first)", "moved"), ("(non-fast-forward)", "moved"), ("failed to update ref", "moved"),
    ("cannot lock ref", "moved"), ("[remote rejected]", "refused"),
    ("Authentication failed", "key"), ("could not read Username", "key"), ("could not read Password", "key"), ("error: 401", "key"),
    ("error: 403", "forbidden"), ("not found", "missing"), ("error: 404", "missing"), ("error: 30", "missing"),
)  # fmt: skip


class Exchange(NamedTuple):
    """How a fetch or a push went, and git's own words about it. `lost`: nobody knows whether it was carried out."""

    went: Went
    said: str = ""


class GitRemote(GitObjects):
    """The bare cache at `folder`, made where there is none, of the repository that `address` tells. One thread and process at a time uses it.

    The cache holds nothing that cannot be fetched again.
    """

    def __init__(self, folder: Path, address: Callable[[], str]) -> None:
        if not is_bare(folder):
            folder.mkdir(parents=True, exist_ok=True)
            status, _, complaint = run_git(isolated_git(folder), "init", "--quiet", "--bare", "--template=", str(folder))
            if status:
                raise ConfigurationError(f"git could not make {folder}.", why=complaint.strip(), next_step="Look at the folder's permissions.")
        super().__init__(folder)
        self.address = address

    @contextmanager
    def alone(self) -> Iterator[None]:
        with (self.origin / "skillops.lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def holds(self, commit: str) -> bool:
        return self.head(commit) is not None

    def written(self, start: str | None, files: Mapping[str, bytes | None]) -> str:
        """The id of the tree of `start`, which is here, with the changes made."""
        return self._trees.write(self._tree_of(start), nested(files))

    def committed(self, tree: str, parent: str | None, message: str, author: str) -> str:
        return self._store_commit(tree, (parent,) if parent else (), message, author)

    def fetch(self, commit: str, token: str) -> Exchange:
        """Brings one commit with its files, without its history."""
        options = ("--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules")
        return self._exchange(token, "fetch", *options, self.address(), f"+{commit}:{_BASE}")

    def push(self, branch: str, commit: str, expected: str | None, token: str) -> Exchange:
        """Moves a branch to `commit` where it is at `expected`, or is not there and nothing is: git compares that on the server."""
        lease = f"--force-with-lease=refs/heads/{branch}:{expected or ''}"
        options = ("--porcelain", "--no-verify", "--no-signed", "--recurse-submodules=no", lease)
        return self._exchange(token, "push", *options, self.address(), f"{commit}:refs/heads/{branch}")

    def _exchange(self, token: str, *arguments: str) -> Exchange:
        """One command of git's with the token."""
        git = isolated_git(self.origin)
        git.update_environment(**{**git.environment(), **_surroundings(self.origin, int(git.environment()["GIT_CONFIG_COUNT"]), token)})
        status, output, complaint = run_git(git, *arguments, seconds=SECONDS)
        return Exchange("done") if status == 0 else _told(status, f"{complaint}\n{output.decode(errors='replace')}".replace(token, "***"))


def _told(status: int, said: str) -> Exchange:
    if status == 124:
        return Exchange("lost", f"git took longer than {SECONDS} s")
    if "No space left" in said:
        raise could_not("exchange commits", said, Path())
    went: Went = next((went for words, went in _SAID if words in said), "lost")
    lines = (" ".join(line.split()) for line in said.splitlines() if not line.startswith(("hint:", "To ", "Done")))
    return Exchange(went, "; ".join(filter(None, lines))[:500])


def _surroundings(git_dir: Path, known: int, token: str) -> dict[str, str]:
    """The environment of one exchange; `known` settings are in it already."""
    signed = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    settings = {
        "http.extraHeader": f"Authorization: Basic {signed}",
        "http.followRedirects": "false",  # the token goes to no other place; a repository that was renamed is followed through the API
        "http.lowSpeedLimit": "1",
        "http.lowSpeedTime": str(STALLED),
        "credential.helper": "",
        "core.askPass": "",
        "push.gpgSign": "false",
    }
    authority = os.environ.get("GIT_SSL_CAINFO") or os.environ.get("REQUESTS_CA_BUNDLE")  # one bundle for the API and for git
    return {
        "GIT_DIR": str(git_dir),
        "GIT_ALLOW_PROTOCOL": "https:http",
        "GIT_ASKPASS": "",
        "GIT_CONFIG_COUNT": str(known + len(settings)),
        **{f"GIT_CONFIG_KEY_{number}": key for number, key in enumerate(settings, known)},
        **{f"GIT_CONFIG_VALUE_{number}": value for number, value in enumerate(settings.values(), known)},
        **dict.fromkeys(_SILENT, "0"),
        **({"GIT_SSL_CAINFO": authority} if authority else {}),
    }
