"""One whole story on GitHub: an issue from the form, a pull request, checks, a reviewer's wish, a revision, a person's approval, merge,
release, registry, and the answer in the issue. The pipeline is the one of every day; only the model's words are scripted."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.domain.progress import State
from agent.forges.github_rights import needed
from agent.github_doctor import PERMISSIONS
from agent.starter import starting_files
from tests import hub
from tests.acceptance.harness import Home, a_draft, a_judgement, a_remark, answers
from tests.acceptance.test_pipeline import EXTENDED_CODE, EXTENDED_TESTS

pytestmark = [pytest.mark.github, pytest.mark.bubblewrap, pytest.mark.slow]
CALLS = 300  # of the API, for one request with a revision; a run that needs more has lost its manners


class Told(NamedTuple):
    home: Home
    server: hub.Hub
    seen: list[tuple[str, str]]
    repository: str
    issue: int
    before: list[State]
    approved: list[State]
    waited: list[tuple[State, str]]
    calls: Counter[str]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("github")
    with hub.running() as server:
        forge = server.forge("story")
        repository = forge.api.repository
        policy = b"apiVersion: skillops/v1\nautonomy: manual\n"
        forge.commit("main", {**starting_files(), "reviewers/policy.yaml": policy}, parent=None, message="A new skills repository", author="ada")
        begun = len(server.proxy.seen) if server.proxy else 0
        home = open_home(folder / "clone", server, repository, said=answers(
            author=[a_draft(), a_draft(EXTENDED_CODE, EXTENDED_TESTS)],
            review_correctness=[a_judgement("revise", [a_remark("well-known", 2)]), a_judgement()],
        ))  # fmt: skip
        body = {"title": "Count words", "body": "How many words has a text? `one two` has 2.", "labels": ["capability"]}
        issue = server.ask("POST", f"/repos/{repository}/issues", body, hub.ADA)[1]["number"]
        first = home.run()
        assert first.troubled == []
        comments = f"/repos/{repository}/issues/{home.proposal().number}/comments"
        for person, said in ((hub.MALLORY, "/approve"), (hub.ADA, "Looks good to me."), (hub.ADA, "/approve as agreed")):
            server.ask("POST", comments, {"body": said}, person)
        second = home.run()
        before, approved = ([step.state for _, step in outcome.moved] for outcome in (first, second))
        waited = [(step.state, step.waiting_for) for _, step in first.waiting]
        assert first.troubled == second.troubled == []
        seen = [(verb, _path(path)) for verb, path in server.proxy.seen[begun:]] if server.proxy else []
        yield Told(home, server, seen, repository, issue, before, approved, waited, home.forge.api.calls.copy())  # type: ignore[attr-defined]
        home.close()


def open_home(root: Path, server: hub.Hub, repository: str, said: Any = None, **key: str) -> Home:
    """A clone as `actions/checkout` leaves it, with the forge by setting; signed by a token, where no other `key` is given."""
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", root], check=True)
    (root / "registry.yaml").write_text("")
    key = key or {"github_token": hub.token_of(hub.BOT)}
    return Home(root, said, forge="github", github_repository=repository, github_api=server.url, **key)


def asked(told: Told, path: str) -> Any:
    return told.server.ask("GET", f"/repos/{told.repository}/{path}")[1]


def test_the_issue_became_a_merged_pull_request_that_closes_it(told: Told) -> None:
    proposal = told.home.proposal()
    pull = asked(told, f"pulls/{proposal.number}")

    assert (proposal.state, proposal.request, pull["merged"]) == ("merged", told.issue, True)
    assert f"#{told.issue}" in pull["body"]
    assert told.before[0] is State.REQUESTED and told.approved[-1] is State.DEPLOYED


def test_a_reviewer_asked_for_a_change_and_the_author_made_it(told: Told) -> None:
    proposal = told.home.proposal()
    reviews = asked(told, f"pulls/{proposal.number}/reviews")

    assert State.RETURNED in told.before
    assert len({review["commit_id"] for review in reviews}) == 2
    assert any("'well-known' is counted wrongly." in review["body"] for review in reviews)
    assert told.home.call("well-known") == {"words": 2}


def test_each_check_is_a_check_run_on_the_head_that_was_merged(told: Told) -> None:
    runs = asked(told, f"commits/{told.home.proposal().head}/check-runs")["check_runs"]

    assert {run["name"]: run["conclusion"] for run in runs} == {check.name: "success" for check in told.home.parts.checks}


def test_a_person_approved_before_the_merge_and_the_registry_says_who(told: Told) -> None:
    entry = told.home.registry().entry("word-count")

    assert told.waited == [(State.WAITING, "person")] and State.APPROVED not in told.before
    assert told.approved == [State.APPROVED, State.MERGED, State.RELEASED, State.DEPLOYED]
    assert entry is not None and entry.version == "1.0.0"
    assert hub.ADA in entry.approvals and entry.proposal == told.home.proposal().number


def test_a_slash_command_counts_from_who_may_push_and_is_answered_with_the_reason_otherwise(told: Told) -> None:
    said = told.home.said_on(told.home.proposal().number)

    assert "/approve was refused: mallory may not /approve. That needs write permission on the repository." in said
    assert f"{hub.ADA} says approve, of {told.home.proposal().head[:12]}" in said
    assert hub.MALLORY not in told.home.registry_bytes().decode()


def test_the_issue_is_answered_and_closed(told: Told) -> None:
    request = told.home.forge.request(told.issue)

    assert (request.state, request.closed_as, request.requester, request.source) == ("closed", "done", hub.ADA, "issue")
    assert "`word-count` 1.0.0 is deployed" in told.home.said_on(told.issue)


def test_the_trail_is_on_a_branch_of_its_own_and_whole(told: Told) -> None:
    assert told.home.parts.ledger.tampered() is None
    assert [entry.event.what for entry in told.home.parts.ledger.entries(request=told.issue)][:2] == ["assessed", "witnessed"]
    assert set(told.home.forge.children("skillops-ledger", "")) == {"ledger"}


def test_another_runner_finds_nothing_left_to_do(told: Told, tmp_path: Path) -> None:
    outcome = open_home(tmp_path / "clone", told.server, told.repository).bare(told.home.parts.runtime).run()  # type: ignore[arg-type]

    assert outcome.moved == [] and outcome.troubled == []


def test_it_took_few_calls(told: Told, record_property: pytest.RecordProperty) -> None:
    assert told.server.proxy is not None
    shapes = Counter(f"{verb} {_shape(path)}" for verb, path in told.server.proxy.seen)
    print(f"calls of the API: {dict(told.calls)}, {told.calls.total()} together; most of them", shapes.most_common(12))
    assert told.calls.total() < CALLS


def test_the_doctor_asks_for_the_rights_of_every_call(told: Told) -> None:
    rights = {right for verb, path in told.seen for right in needed(verb, path)}

    assert {name for name, _ in rights} == set(PERMISSIONS)
    assert {name for name, level in rights if level == "write"} == {name for name, level in PERMISSIONS.items() if level == "write"}


def _path(path: str) -> str:
    return re.sub(r"^/repos/[^/]+/[^/?]+/?", "", path)


def _shape(path: str) -> str:
    """The path without the repository and the ids in it."""
    return re.sub(r"[0-9a-f]{40}|\b\d+\b", "N", _path(path))
