"""Who wrote a pull request on GitHub: by its commits, and by who pushed to its branch.

Author and committer of a commit are what its writer says they are; who pushed is what GitHub itself knows. Each counts, so that nobody hides
behind another's address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from agent.domain.proposal import OURS, Proposal, Written
from agent.forges.git_names import made_here
from agent.forges.github_api import PAGE, GitHubApi

_GITHUB = "web-flow"  # who commits what is edited on GitHub's own pages; its author is the person
_UNTOLD = "somebody whom GitHub does not tell us"


class GitHubWriters:
    """Authors, committers and pushers in the repository behind `api`; `login` is who we are. Two calls a proposal."""

    api: GitHubApi
    login: str
    _pull: Callable[[int], dict[str, Any]]

    def written(self, proposal: Proposal) -> tuple[Written, ...]:
        head = self._pull(proposal.number)["head"]
        elsewhere = ":" in proposal.branch
        commits = [self._writers(each, ours=not elsewhere) for each in self.api.pages(f"compare/{proposal.base}...{proposal.head}", "commits")]
        found = [*(commits or [Written(commit=proposal.head, stranger=_UNTOLD)]), self._pushes(head, elsewhere)]
        return tuple(each for each in found if each.people or each.stranger)

    def _writers(self, told: dict[str, Any], *, ours: bool) -> Written:
        """One commit. Where the branch is `ours` to push to, what we write for a login is by that login; GitHub has no account for it."""
        people, stranger = [], ""
        for role in ("author", "committer"):
            name, mail = (str((told["commit"][role] or {}).get(part) or "") for part in ("name", "email"))
            if login := (told[role] or {}).get("login"):
                people.append(str(login))
            elif ours and made_here(name, mail):
                people.append(name)
            else:
                stranger = stranger or f"{name} <{mail}>"[:200]
        return Written(commit=told["sha"], people=self._others(people), stranger=stranger)

    def _pushes(self, head: dict[str, Any], elsewhere: bool) -> Written:
        """Who pushed to the branch, whatever became of it: what cannot be told is by nobody that GitHub knows."""
        told = self._activity(head, elsewhere)
        if told is None or len(told) >= PAGE:
            return Written(stranger=_UNTOLD)
        pushed = [each for each in told if each["activity_type"] in ("push", "force_push", "branch_creation")]
        gone = any(not each["actor"] for each in pushed)
        return Written(people=self._others([each["actor"]["login"] for each in pushed if each["actor"]]), stranger=_UNTOLD if gone else "")

    def _activity(self, head: dict[str, Any], elsewhere: bool) -> list[dict[str, Any]] | None:
        """What was done to the branch, the last first; None where GitHub does not tell us, as of a fork that we may not see."""
        asked = f"ref={quote('refs/heads/' + head['ref'], safe='')}&per_page={PAGE}"
        if not elsewhere:
            return self.api.get(f"activity?{asked}")  # type: ignore[no-any-return]
        place = (head.get("repo") or {}).get("full_name")
        return self.api.get(f"/repos/{place}/activity?{asked}") if place else None

    def _others(self, people: list[str]) -> tuple[str, ...]:
        return tuple(name for name in dict.fromkeys(people) if name not in OURS and name not in (self.login, _GITHUB))
