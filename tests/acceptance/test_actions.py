"""The jobs of the workflows on GitHub, each with its own rights: who drafts cannot write, who writes runs nothing and believes little."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent import actions
from agent.domain.check import Outcome
from agent.domain.progress import Stage
from agent.errors import HeadMoved, Refused
from agent.forges.github import GitHubForge
from agent.journal import Journal, Reviewed, read_journal
from agent.starter import starting_files
from tests import hub
from tests.acceptance.harness import CODE, Home, a_draft, a_judgement, a_remark, answers
from tests.acceptance.test_pipeline import EXTENDED_CODE, EXTENDED_TESTS
from tests.builders import a_review
from tests.fakes import FakeModel

pytestmark = [pytest.mark.github, pytest.mark.bubblewrap, pytest.mark.slow]
POLICY = b"apiVersion: skillops/v1\nautonomy: manual\n"


class Desk(NamedTuple):
    """A repository on GitHub with one open request, and a place for the clones of its jobs."""

    server: hub.Hub
    forge: GitHubForge
    folder: Path
    issue: int

    def clone(self, **refs: str) -> Path:
        """What a job checks out: main, and for a pull request its head, and the ledger."""
        ledger = self.forge.head("skillops-ledger")
        more = {"refs/remotes/origin/skillops-ledger": ledger} if ledger else {}
        return hub.clone(self.forge, self.folder / f"clone-{len(list(self.folder.iterdir()))}", **refs, **more)

    def clone_of_proposal(self, number: int) -> Path:
        return self.clone(**{f"refs/remotes/pull/{number}/merge": self.forge.proposal(number).head})

    def event(self, number: int) -> Path:
        """The file of a pull_request event."""
        pull = self.server.ask("GET", f"/repos/{self.forge.api.repository}/pulls/{number}")[1]
        path = self.folder / f"event-{len(list(self.folder.iterdir()))}.json"
        path.write_text(json.dumps({"action": "synchronize", "pull_request": pull}))
        return path

    def draft(self, **said: Any) -> Journal:
        clone = self.clone(**{f"refs/pull/{each.number}": each.head for each in self.forge.proposals("open")})
        return read_journal(actions.draft(clone, self.issue, FakeModel(answers(**said))).model_dump_json().encode())


@pytest.fixture(scope="module")
def server() -> Iterator[hub.Hub]:
    with hub.running() as running:
        yield running


@pytest.fixture
def desk(server: hub.Hub, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Desk:
    forge = server.forge(request.node.name)
    forge.commit("main", {**starting_files(), "reviewers/policy.yaml": POLICY}, parent=None, message="A new skills repository", author="ada")
    for name, value in {
        "FORGE": "github", "GITHUB_REPOSITORY": forge.api.repository, "GITHUB_API": server.url, "GITHUB_TOKEN": hub.token_of(hub.BOT),
        "GITHUB_LOGIN": hub.BOT, "MUTANTS": "6",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"SKILLOPS_{name}", value)
    body = {"title": "Count words", "body": "How many words has a text? `one two` has 2.", "labels": ["capability"]}
    issue = server.ask("POST", f"/repos/{forge.api.repository}/issues", body, hub.ADA)[1]["number"]
    return Desk(server, forge, tmp_path, issue)


def test_a_request_goes_from_job_to_job_to_a_merge(desk: Desk) -> None:
    forge = desk.forge
    assert desk.server.proxy is not None
    before = len(desk.server.proxy.seen)
    drafted = desk.draft()
    writes = [each for each in desk.server.proxy.seen[before:] if each[0] != "GET"]
    assert writes == []  # who holds the model's key writes nothing
    actions.enter(desk.clone(), drafted)
    (proposal,) = forge.proposals("open")
    number = proposal.number
    assert (proposal.request, proposal.skill, proposal.author) == (desk.issue, "word-count", "skillops-author")

    seen = len(desk.server.proxy.seen)
    event, clone = desk.event(number), desk.clone_of_proposal(number)
    asked = len(desk.server.proxy.seen)
    checked = actions.check(clone, event)
    assert asked >= seen and len(desk.server.proxy.seen) == asked  # checks ask nobody
    actions.enter(desk.clone(), checked, head=proposal.head)
    assert {result.outcome for result in forge.checks(number, proposal.head).results} == {Outcome.PASSED}

    with_remark = {"review_correctness": [a_judgement("revise", [a_remark("well-known", 2)])]}
    said = actions.review(desk.clone_of_proposal(number), number, FakeModel(answers(**with_remark)))
    with pytest.raises(Refused, match="was not tried"):
        actions.enter(desk.clone(), said)
    walled = desk.clone_of_proposal(number)
    (walled / "reviewers" / "policy.yaml").write_bytes(POLICY + b"\nmin_tier: {default: docker}\n")
    for command in (("add", "reviewers"), ("-c", "user.name=ada", "-c", "user.email=ada@example.org", "commit", "--quiet", "--message", "Walls")):
        subprocess.run(["git", "-C", walled, *command], check=True)
    untried = [line.review for line in actions.reproduce(walled, said).lines if isinstance(line, Reviewed)]
    assert {each.reviewer: each.verdict for each in untried} == {"correctness": "could_not_tell", "fit": "approve", "security": "approve"}
    tried = actions.reproduce(desk.clone_of_proposal(number), said)
    actions.enter(desk.clone(), tried)
    verdicts = {review.reviewer: review.verdict for review in forge.reviews(number, proposal.head)}
    assert verdicts == {"correctness": "revise", "fit": "approve", "security": "approve"}

    mended = desk.draft(author=[a_draft(EXTENDED_CODE, EXTENDED_TESTS)])
    actions.enter(desk.clone(), mended)
    again = forge.proposal(number)
    assert again.head != proposal.head and forge.read(again.head, "skills/word-count/skill.py") == EXTENDED_CODE.encode()

    actions.enter(desk.clone(), actions.check(desk.clone_of_proposal(number), desk.event(number)), head=again.head)
    said = actions.review(desk.clone_of_proposal(number), number, FakeModel(answers()))
    actions.enter(desk.clone(), actions.reproduce(desk.clone_of_proposal(number), said))
    comments = f"/repos/{forge.api.repository}/issues/{number}/comments"
    desk.server.ask("POST", comments, {"body": "/approve"}, hub.ADA)
    home = Home(desk.clone())
    stages = frozenset((Stage.MERGE, Stage.CLOSE, Stage.WAIT, Stage.NOTHING))
    outcome, _ = home.place.limited_to(stages).work()
    assert outcome.troubled == [] and forge.proposal(number).state == "merged"
    assert forge.read("main", "registry.yaml") == starting_files()["registry.yaml"]  # releasing is another job's


def test_a_push_voids_what_was_found_before_it(desk: Desk) -> None:
    actions.enter(desk.clone(), desk.draft())
    (proposal,) = desk.forge.proposals("open")
    checked = actions.check(desk.clone_of_proposal(proposal.number), desk.event(proposal.number))
    desk.forge.commit(proposal.branch, {"skills/word-count/skill.py": b"x = 1\n"}, parent=proposal.head, message="Push", author="mallory")

    with pytest.raises(HeadMoved):
        actions.enter(desk.clone(), checked)
    with pytest.raises(Refused, match="its run was of"):
        actions.enter(desk.clone(), checked, head="0" * 40)
    assert desk.forge.checks(proposal.number, desk.forge.proposal(proposal.number).head).results == ()


def test_a_pull_request_that_changes_what_judges_it_gets_no_verdict(desk: Desk) -> None:
    actions.enter(desk.clone(), desk.draft())
    (proposal,) = desk.forge.proposals("open")
    gates = {".github/workflows/check.yml": b"on: push\n"}
    head = desk.forge.commit(proposal.branch, gates, parent=proposal.head, message="Gates", author="mallory")
    forged = Journal(job="check", request=desk.issue, proposal=proposal.number, head=head)

    with pytest.raises(Refused, match="outside skills/word-count/"):
        actions.enter(desk.clone(), forged)


def test_checks_that_left_no_result_could_not_be_told(desk: Desk) -> None:
    actions.enter(desk.clone(), desk.draft())
    (proposal,) = desk.forge.proposals("open")
    checked = actions.check(desk.clone_of_proposal(proposal.number), desk.event(proposal.number))
    cut = checked.model_copy(update={"lines": checked.lines[:2]})

    actions.enter(desk.clone(), cut)

    outcomes = [result.outcome for result in desk.forge.checks(proposal.number, proposal.head).results]
    assert len(outcomes) == 8 and outcomes.count(Outcome.COULD_NOT_TELL) == 7


def _forged(journal: Journal, **changes: Any) -> Journal:
    """The journal with every line of one kind changed."""
    told = journal.model_dump(mode="json")
    for line in told["lines"]:
        if line["kind"] == changes["kind"]:
            line.update(changes)
    return read_journal(json.dumps(told).encode())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"kind": "committed", "branch": "main"}, "commits to main"),
        ({"kind": "committed", "author": "skillops-deployer"}, "commits as skillops-deployer"),
        ({"kind": "committed", "files": {".github/workflows/x.yml": base64.b64encode(b"on: push").decode()}}, "outside skills/"),
        ({"kind": "said", "number": 99}, "on #99"),
        ({"kind": "said", "author": "ada"}, "speaks as ada"),
    ],
)  # fmt: skip
def test_a_draft_job_that_was_turned_can_only_be_refused(desk: Desk, change: dict[str, Any], why: str) -> None:
    forged = _forged(desk.draft(), **change)

    with pytest.raises(Refused) as refused:
        actions.enter(desk.clone(), forged)

    assert why in refused.value.why
    assert list(desk.forge.proposals("all")) == [] and list(desk.forge.comments(desk.issue)) == []


def test_a_check_job_cannot_speak_for_a_reviewer_or_a_person(desk: Desk) -> None:
    actions.enter(desk.clone(), desk.draft())
    (proposal,) = desk.forge.proposals("open")
    for job, kind in (("check", "model"), ("review", "person")):
        line = Reviewed(number=proposal.number, review=a_review("ada", kind=kind, head=proposal.head))
        with pytest.raises(Refused, match="void"):
            actions.enter(desk.clone(), Journal(job=job, proposal=proposal.number, head=proposal.head, lines=(line,)))  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"job": "deploy"}', b"x" * (17 * 2**20)])
def test_what_is_no_journal_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        read_journal(data)


def test_entering_twice_does_nothing_twice(desk: Desk) -> None:
    drafted = desk.draft()
    actions.enter(desk.clone(), drafted)
    comments, proposals = len(desk.forge.comments(desk.issue)), desk.forge.proposals("all")

    with pytest.raises(HeadMoved):
        actions.enter(desk.clone(), desk.draft().model_copy(update={"lines": drafted.lines[::-1]}))
    assert (len(desk.forge.comments(desk.issue)), desk.forge.proposals("all")) == (comments, proposals)
    assert CODE.encode() == desk.forge.read(proposals[0].head, "skills/word-count/skill.py")
