"""Commits on GitHub by `git push` instead of the Git Data API: the same compare-and-swap, and the same words where it is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from agent.errors import CouldNotTell
from agent.forges.git_remote import Exchange, GitRemote
from agent.forges.github_api import TRIES, Answer
from agent.forges.github_objects import GitHubObjects

_STATUS = {"key": 401, "forbidden": 403, "missing": 404}  # what the API would have answered
Token = Callable[[bool], str]
"""The token that signs now; with True, a new one where it can be renewed, because the last was refused."""


def git_base(api: str) -> str:
    """Where git reaches the repositories of an API: github.com, an Enterprise server (https://HOST/api/v3), or one at GitHub (api.NAME.ghe.com)."""
    parts = urlsplit(api)
    return f"{parts.scheme}://{parts.netloc.removeprefix('api.')}{parts.path.removesuffix('/').removesuffix('/api/v3')}"


class GitHubPushes(GitHubObjects):
    """What GitHubObjects writes, made in `cache` and pushed. Reading, and the ledger's appends, stay with the API."""

    cache: GitRemote
    token: Token

    def _written(self, start: str | None, files: Mapping[str, bytes | None]) -> str:
        with self.cache.alone():
            if start and not self.cache.holds(start):
                told = self._patiently(lambda token: self.cache.fetch(start, token), "fetch")
                if told.went != "done":
                    raise self._fault(told, "git fetch")
            return self.cache.written(start, files)

    def _committed(self, tree: str, parent: str | None, message: str, author: str) -> str:
        with self.cache.alone():
            made = self.cache.committed(tree, parent, message, author)
        self.api.learn(f"git/commits/{made}", {"sha": made, "tree": {"sha": tree}, "parents": [{"sha": parent}] if parent else []})
        return made

    def _made(self, branch: str, commit: str) -> bool:
        return self._pushed(branch, commit, None)

    def _moved(self, branch: str, commit: str, head: str) -> bool:
        return self._pushed(branch, commit, head)

    def _pushed(self, branch: str, commit: str, expected: str | None) -> bool:
        with self.cache.alone():
            told = self._patiently(lambda token: self.cache.push(branch, commit, expected, token), "push")
        self.api.looks.wrote(f"git/refs/heads/{branch}", None)
        if told.went == "done":
            self.api.noted(f"git/ref/heads/{branch}", {"object": {"sha": commit}})
            return True
        if told.went == "refused":  # by a rule, if nobody moved it
            return self._is_at(branch, commit, expected, Answer(422, {}, {"message": told.said}))
        if told.went == "moved":
            return self._head(branch, anew=True) == commit
        raise self._fault(told, "git push")

    def _patiently(self, exchange: Callable[[str], Exchange], what: str) -> Exchange:
        """Repeats what was lost: a push names what it expects, so one that was carried out after all finds everything up to date."""
        renewed = False
        for attempt in range(TRIES):
            told = exchange(self.token(False))
            if told.went == "key" and not renewed:
                renewed = True
                told = exchange(self.token(True))
            if told.went != "lost":
                return told
            self.api._sleep(min(0.2 * 2**attempt, 5.0))
        raise CouldNotTell(
            f"git {what} did not get through to GitHub in {TRIES} tries.", why=f"The last time: {told.said}",
            next_step="Look at the network and at GitHub's status page, then try again: `skillops run` carries on.",
        )  # fmt: skip

    def _fault(self, told: Exchange, doing: str) -> Exception:
        return self.api.fault(Answer(_STATUS.get(told.went, 422), {}, {"message": told.said}), doing, self.cache.address())
