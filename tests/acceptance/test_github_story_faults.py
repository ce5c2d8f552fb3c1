"""The whole story on GitHub while everything breaks that can: it ends right, and nothing is there twice.

A schedule with a seed spreads the faults over the story's calls, reads and writes; after a run that ran into trouble there is another one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.branch_ledger import BranchLedger
from agent.domain.check import CheckResult, Subject
from agent.ports import Workbench
from agent.registry_file import revision_of
from agent.situation import OURS
from agent.starter import starting_files
from tests import hub
from tests.acceptance.harness import Home, PassingCheck, a_draft, answers
from tests.acceptance.test_github_story import open_home
from tests.acceptance.test_pipeline import EXTENDED_CODE, EXTENDED_TESTS
from tests.builders import a_result
from tests.hub_proxy import Proxy, Reply

pytestmark = pytest.mark.github
LIMITED: Reply = (403, {"Retry-After": "1"}, b'{"message": "You have exceeded a secondary rate limit."}')
CONFLICT: Reply = (409, {}, b'{"message": "Conflict"}')
INVALID: Reply = (422, {}, b'{"message": "Validation Failed"}')
ANY: list[tuple[str, Reply | str]] = [
    ("500", (500, {}, b"{}")), ("502", (502, {}, b"<html>Bad gateway</html>")), ("limit", LIMITED), ("cut", "cut"), ("after", "after"),
    ("slow", "slow"), ("401", "revoke"),
]  # fmt: skip
WRITES: list[tuple[str, Reply | str]] = [*ANY, ("late", "late"), ("409", CONFLICT), ("422", INVALID)]
RUNS = 12


class Wanting(PassingCheck):
    """Returns the first draft, so that the story has a revision."""

    def run(self, subject: Subject, bench: Workbench) -> CheckResult:
        if subject.files["skill.py"] == EXTENDED_CODE.encode():
            return super().run(subject, bench)
        return a_result(self.name, "failed", head=subject.head, summary="A word may hold a hyphen.")


class Schedule:
    """Breaks a call now and then, on reads and on writes by a deck of their own, each kind in turn; `broke` is what it did."""

    def __init__(self, proxy: Proxy, seed: int) -> None:
        self._proxy, self._random = proxy, random.Random(seed)
        self._decks = {True: list(WRITES), False: list(ANY)}
        self._left = {True: 2, False: 3}
        self._gone, self._lost = "", {True, False}
        self.broke = Counter[tuple[str, bool]]()

    def renamed(self, repository: str) -> None:
        """From now on the first read at the old name and the next write find nothing."""
        self._gone = f"/repos/{repository}/"

    def __call__(self, verb: str, path: str) -> Reply | str | None:
        writes = verb != "GET"
        if "/access_tokens" in path or path.startswith("/app"):
            return None
        if self._gone and (writes or path.startswith(self._gone)) and writes in self._lost:
            self._lost.discard(writes)
            self.broke["404", writes] += 1
            return 404, {}, b'{"message": "Not Found"}'
        self._left[writes] -= 1
        if self._left[writes] >= 0:
            return None
        self._left[writes] = self._random.randint(2, 4) if writes else self._random.randint(5, 9)
        if not self._decks[writes]:
            self._decks[writes] = [each for each in (WRITES if writes else ANY) if each[0] != "late"]  # which takes seconds
        deck = self._decks[writes]
        name, fault = deck.pop(self._random.randrange(len(deck)))
        self.broke[name, writes] += 1
        if fault == "revoke":  # the token that signs is good no more
            self._proxy.revoked |= {token for token in self._proxy.tokens if token.startswith("ghs_")}
            return None
        return fault


@pytest.fixture(scope="module")
def server() -> Iterator[hub.Hub]:
    with hub.running() as running:
        yield running


@pytest.mark.parametrize("seed", [7])
def test_the_story_ends_right_and_nothing_is_there_twice_whatever_breaks(
    server: hub.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("agent.forges.github.TIMEOUT", 2)
    proxy = server.proxy
    assert proxy is not None
    founder = server.forge(f"story-faults-{seed}")
    repository, policy = founder.api.repository, b"apiVersion: skillops/v1\nautonomy: manual\n"
    founder.commit("main", {**starting_files(), "reviewers/policy.yaml": policy}, parent=None, message="A new skills repository", author="ada")
    begun, revision = len(founder.history("registry.yaml")), revision_of((founder.read("main", "registry.yaml") or b"").decode())
    body = {"title": "Count words", "body": "How many words has a text? `one two` has 2.", "labels": ["capability"]}
    issue = server.ask("POST", f"/repos/{repository}/issues", body, hub.ADA)[1]["number"]
    home = open_home(tmp_path / "clone", server, repository, answers(
        author=[a_draft(), *[a_draft(EXTENDED_CODE, EXTENDED_TESTS)] * 6],
    ), github_app_id=str(hub.APP_IDS[1]), github_app_key=server.app_key).bare()  # fmt: skip
    first, *others = home.parts.checks
    home.change(checks=(Wanting(first.name), *others))
    home.forge.api._sleep = lambda seconds: None  # type: ignore[attr-defined]
    schedule = Schedule(proxy, seed)
    proxy.faults.plan.append(schedule)
    proxy.faults.late = 2.6
    try:
        ran(home)
        proxy.faults.plan.clear()  # while people do their part
        pull = max(proposal.number for proposal in founder.proposals("all"))
        proxy.rename(repository, f"{repository}-renamed")
        schedule.renamed(repository)
        for _ in range(3):  # where the answer is that it was refused, and why, she says it again
            server.ask("POST", f"/repos/{repository}-renamed/issues/{pull}/comments", {"body": "/approve as agreed"}, hub.ADA)
            proxy.faults.plan.append(schedule)
            ran(home)
            proxy.faults.plan.clear()
            if "/approve was refused" not in home.forge.comments(pull)[-1].text:
                break
    finally:
        proxy.faults.plan.clear()

    assert {name for name, writes in schedule.broke if writes} == {*(name for name, _ in WRITES), "404"}, schedule.broke
    assert {name for name, writes in schedule.broke if not writes} == {*(name for name, _ in ANY), "404"}, schedule.broke
    the_story_ended_right_and_once(home, server, f"{repository}-renamed", issue, pull)
    assert len(home.forge.history("registry.yaml")) == begun + 1
    assert revision_of((home.forge.read("main", "registry.yaml") or b"").decode()) == revision + 1


def ran(home: Home) -> None:
    """Runs until nothing can move and nothing is in trouble. What was in the way each time is printed."""
    for number in range(RUNS):
        outcome = home.run()
        print(number, [str(step.state) for _, step in outcome.moved], [f"{error} {error.why}" for _, error in outcome.troubled])
        if not outcome.troubled and not outcome.moved:
            return
    raise AssertionError(f"it did not end in {RUNS} runs")


def the_story_ended_right_and_once(home: Home, server: hub.Hub, repository: str, issue: int, pull: int) -> None:
    def asked(path: str) -> Any:
        return server.ask("GET", f"/repos/{repository}/{path}{'&' if '?' in path else '?'}per_page=100")[1]

    forge, proposals = home.forge, home.forge.proposals("all")
    assert {each["number"] for each in asked("issues?state=all") if "pull_request" not in each} == {issue}
    assert [(each.number, each.state, each.request) for each in proposals] == [(pull, "merged", issue)]
    assert forge.request(issue).closed_as == "done" and "`word-count` 1.0.0 is deployed" in home.said_on(issue)
    for number in (issue, pull):
        said = Counter(comment.marker or comment.text for comment in forge.comments(number) if comment.author in OURS)
        assert said and max(said.values()) == 1, said
    ledger = BranchLedger(forge)
    heads = {line.event.commit for line in ledger.entries() if line.event.what == "decided"}
    reviews = Counter((review["commit_id"], review["body"].partition(":")[0]) for review in asked(f"pulls/{pull}/reviews"))
    assert reviews and max(reviews.values()) == 1, reviews
    assert len(heads) == 2
    for commit in heads:
        checks = Counter(run["name"] for run in asked(f"commits/{commit}/check-runs")["check_runs"])
        assert set(checks) == {check.name for check in home.parts.checks} and max(checks.values()) == 1, checks
    assert len(forge.history("skills/word-count")) == 1
    keys = Counter(line.event.key for line in ledger.entries() if line.event.key)
    assert ledger.tampered() is None and keys and max(keys.values()) == 1, keys
