"""Verdicts of checks where check runs are not allowed: GitHub lets Apps alone make those, and a person's token sets commit statuses.

A status holds 140 characters, so the results themselves lie in one comment of ours for each head, in its hidden marker; only that is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from agent.domain.check import CheckResult, Finding, Outcome
from agent.forges.github_api import GitHubApi
from agent.forges.github_marks import fitted, unmarked
from agent.markdown import plain

VERDICTS = "verdicts"  # the kind of the marker
DESCRIPTION = 140  # characters of a status
_STATES = {Outcome.PASSED: "success", Outcome.FAILED: "failure", Outcome.COULD_NOT_TELL: "error"}


class GitHubStatuses:
    """Commit statuses of the repository behind `api`; `login` is who we are."""

    api: GitHubApi
    login: str
    raising: threading.Lock
    _ours: Callable[[dict[str, Any]], bool]

    @property
    def is_app(self) -> bool:
        """Whether we act as an App, which may make check runs; the token of a workflow is one, too."""
        return self.login.endswith("[bot]")

    def post_status(self, number: int, result: CheckResult) -> None:
        with self.raising:
            self._keep(number, result.head, {**self.statuses(number, result.head), result.name: result})
        self._set(result.head, result.name, _STATES[result.outcome], result.summary)

    def statuses(self, number: int, head: str) -> dict[str, CheckResult]:
        """The results on a head, by name."""
        found = self._kept(number, head)
        told = unmarked(found["body"], VERDICTS)[1] if found else None
        return {name: CheckResult.model_validate(result) for name, result in told["results"].items()} if told else {}

    def forget_statuses(self, number: int, head: str) -> None:
        """Drops what could not be told."""
        with self.raising:
            known = self.statuses(number, head)
            kept = {name: result for name, result in known.items() if result.outcome is not Outcome.COULD_NOT_TELL}
            if kept != known:
                self._keep(number, head, kept)
        for name in known.keys() - kept.keys():
            self._set(head, name, "pending", "It is looked at again.")

    def _kept(self, number: int, head: str) -> dict[str, Any] | None:
        for each in self.api.pages(f"issues/{number}/comments"):
            told = unmarked(each["body"], VERDICTS)[1] if self._ours(each) else None
            if told and told.get("head") == head:
                return dict(each)
        return None

    def _keep(self, number: int, head: str, results: Mapping[str, CheckResult]) -> None:
        lines = [f"- **{name}**: {results[name].outcome.replace('_', ' ')}. {plain(results[name].summary, 500)}" for name in sorted(results)]
        body = fitted("\n".join([f"Checks of {head[:12]}", "", *lines])[:10_000], VERDICTS, _shorter(head, results))
        if known := self._kept(number, head):
            self.api.send("PATCH", f"issues/comments/{known['id']}", {"body": body})
        else:
            self.api.once(f"issues/{number}/comments", {"body": body}, lambda: self._kept(number, head), lambda made: made)

    def _set(self, head: str, name: str, state: str, description: str) -> None:
        """The newest status of a context is the one that counts, so setting it twice harms nothing."""
        told = {"state": state, "context": f"skillops/{name}", "description": description[:DESCRIPTION]}
        self.api.send("POST", f"statuses/{head}", told)


def _shorter(head: str, results: Mapping[str, CheckResult]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The results whole, and then with ever fewer of their tests and findings."""
    for kept, tests in ((10_000, 10_000), (10_000, 20), (20, 5), (5, 0), (0, 0)):
        told = {}
        for name, each in results.items():
            less = shortened(each, tests).model_copy(update={"findings": first(each.findings, kept), "summary": each.summary[:500]})
            told[name] = less.model_dump(mode="json")
        yield "" if kept > 100 else "Some findings are not shown.", {"head": head, "results": told}


def first(findings: Sequence[Finding], most: int) -> tuple[Finding, ...]:
    """As many; of those for a person one in any case, cut: whoever writes much would be rid of it."""
    return tuple(findings[:most]) or tuple(each.model_copy(update={"message": each.message[:100]}) for each in findings if each.level == "person")[:1]


def shortened(result: CheckResult, tests: int) -> CheckResult:
    """The result with fewer of its tests; those that failed come first."""
    return result.model_copy(update={"tests": result.tests[:tests], "untold": result.untold + len(result.tests[tests:])})
