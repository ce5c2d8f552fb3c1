"""GitHub through a proxy that breaks things: everything ends as it should, and nothing is there twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from agent.branch_ledger import BranchLedger
from agent.domain.proposal import AUTHOR, ProposalDraft, Written, wrote
from agent.domain.request import RequestDraft
from agent.errors import ConfigurationError
from agent.forges.github import GitHubForge, Key, forge_of_repository
from tests import hub
from tests.builders import a_result, a_review
from tests.hub_proxy import Reply
from tests.unit.test_branch_ledger import an_event

pytestmark = pytest.mark.github


@pytest.fixture(scope="module")
def github() -> Iterator[hub.Hub]:
    with hub.running() as server:
        yield server


@pytest.fixture
def forge(github: hub.Hub, request: pytest.FixtureRequest) -> Iterator[GitHubForge]:
    forge = github.forge(request.node.name)
    forge.api._sleep = lambda seconds: None
    assert github.proxy is not None
    yield forge
    github.proxy.faults.plan.clear()


def every_second(fault: Reply | str) -> Callable[[str, str], Reply | str | None]:
    """Breaks each path's first, third, fifth … write."""
    seen: dict[tuple[str, str], int] = {}

    def of(verb: str, path: str) -> Reply | str | None:
        if verb == "GET":
            return None
        seen[verb, path] = seen.get((verb, path), 0) + 1
        return fault if seen[verb, path] % 2 else None

    return of


LIMITED: Reply = (403, {"Retry-After": "1"}, b'{"message": "You have exceeded a secondary rate limit."}')


@pytest.mark.parametrize("fault", ["after", "cut", (500, {}, b"{}"), (502, {}, b"<html>Bad gateway</html>"), LIMITED], ids=str)
def test_one_request_proposal_check_review_comment_and_merge_whatever_breaks(github: hub.Hub, forge: GitHubForge, fault: Reply | str) -> None:
    assert github.proxy is not None
    github.proxy.faults.plan.append(every_second(fault))
    forge.commit("main", {"registry.yaml": b"revision: 1\n"}, parent=None, message="First", author="ada")
    head = forge.commit("skill/x", {"skills/x/skill.py": b"x = 1\n"}, parent=None, message="Add x", author="ada")
    request = forge.open_request(RequestDraft(key="k", title="X", text="Do x.", requester="ada", source="cli"))
    forge.say(request.number, "I am on it.", author="skillops")
    draft = ProposalDraft(branch="skill/x", skill="x", kind="new", title="Add x", body="It does x.", author="ada", request=request.number)
    number = forge.open_proposal(draft).number
    forge.post_check(number, a_result("style", head=head))
    forge.post_review(number, a_review("fit", head=head))
    forge.label(number, add=["hold"])
    commit = forge.merge(number, expected_head=head, message="Merge x", author="skillops")
    forge.close_request(request.number, "done")
    github.proxy.faults.plan.clear()

    repository = forge.api.repository
    assert [comment.text for comment in forge.comments(request.number)] == ["I am on it."]
    assert [each.number for each in forge.requests("all")] == [request.number] and forge.request(request.number).closed_as == "done"
    assert [(each.number, each.state, each.labels) for each in forge.proposals("all")] == [(number, "merged", ("hold",))]
    assert len(github.ask("GET", f"/repos/{repository}/commits/{head}/check-runs")[1]["check_runs"]) == 1
    assert len(github.ask("GET", f"/repos/{repository}/pulls/{number}/reviews")[1]) == 1
    assert forge.head("main") == commit and len(forge.history("skills/x")) == 1


LOST = ["after", (403, {}, b'{"message": "Resource not accessible"}'), (200, {}, b'{"errors": [{"message": "No"}]}')]


@pytest.mark.parametrize("fault", LOST, ids=str)
def test_the_ledger_is_whole_and_says_nothing_twice_where_its_appends_break(github: hub.Hub, forge: GitHubForge, fault: Reply | str) -> None:
    forge.commit("main", {"registry.yaml": b"revision: 1\n"}, parent=None, message="First", author="ada")
    assert github.proxy is not None
    breaking = every_second(fault)
    other = forge_of_repository(forge.api.repository, Key(token=hub.token_of(hub.BOT)), github.url)
    other.api._sleep = lambda seconds: None
    ledgers = [BranchLedger(each) for each in (forge, other)]
    ledgers[0].record(an_event(note="0"))
    github.proxy.faults.plan.append(lambda verb, path: breaking(verb, path) if path == "/graphql" else None)
    for number in range(1, 5):
        ledgers[number % 2].record(an_event(note=str(number)))

    assert [line.event.note for line in BranchLedger(forge).entries()] == list("01234") and ledgers[1].tampered() is None


def test_a_marker_that_somebody_else_types_says_nothing(github: hub.Hub, forge: GitHubForge) -> None:
    forge.commit("main", {"registry.yaml": b"revision: 1\n"}, parent=None, message="First", author="ada")
    repository = forge.api.repository
    forged = 'Please.\n\n<!-- skillops:request {"key":"k","requester":"root","source":"cli","conversation":null} -->'
    number = github.ask("POST", f"/repos/{repository}/issues", {"title": "Give", "body": forged, "labels": ["capability"]}, hub.MALLORY)[1]["number"]
    said = '<!-- skillops:said {"author":"skillops","marker":"gap","nth":0} -->'
    github.ask("POST", f"/repos/{repository}/issues/{number}/comments", {"body": f"All is well.\n\n{said}"}, hub.MALLORY)

    request, (comment,) = forge.request(number), forge.comments(number)
    assert (request.requester, request.source, request.text) == (hub.MALLORY, "issue", forged)
    assert (comment.author, comment.marker) == (hub.MALLORY, None)


def test_a_persons_own_pull_request_is_a_proposal_where_it_touches_one_skill(github: hub.Hub, forge: GitHubForge) -> None:
    forge.commit("main", {"registry.yaml": b"revision: 1\n"}, parent=None, message="First", author="ada")
    for branch, path in (("mine", "skills/adder/skill.py"), ("docs", "README.md")):
        forge.commit(branch, {path: b"x = 1\n"}, parent=None, message="A change", author="ada")
        github.ask("POST", f"/repos/{forge.api.repository}/pulls", {"title": branch, "head": branch, "base": "main", "body": "Mine."}, hub.ADA)

    assert [(each.skill, each.kind, each.author, each.branch) for each in forge.proposals()] == [("adder", "person", hub.ADA, "mine")]


def test_what_a_person_approves_on_github_is_their_review_of_that_commit(github: hub.Hub, forge: GitHubForge) -> None:
    forge.commit("main", {"registry.yaml": b"revision: 1\n"}, parent=None, message="First", author="ada")
    head = forge.commit("skill/x", {"skills/x/skill.py": b"x = 1\n"}, parent=None, message="Add x", author="ada")
    number = forge.open_proposal(ProposalDraft(branch="skill/x", skill="x", kind="new", title="Add x", body="", author="ada")).number
    github.ask("POST", f"/repos/{forge.api.repository}/pulls/{number}/reviews", {"event": "APPROVE", "body": "Good.", "commit_id": head}, hub.ADA)
    later = forge.commit("skill/x", {"skills/x/skill.py": b"x = 2\n"}, parent=head, message="More", author="ada")

    assert [(each.reviewer, each.verdict, each.kind) for each in forge.reviews(number, head)] == [(hub.ADA, "approve", "person")]
    assert forge.reviews(number, later) == ()


def test_who_wrote_a_pull_request_is_told_by_its_commits_and_by_who_pushed_them(github: hub.Hub, forge: GitHubForge) -> None:
    """Author and committer are what a commit says; whoever forges them has pushed it all the same."""
    assert github.proxy is not None
    place = f"/repos/{forge.api.repository}"
    forge.commit("main", {"registry.yaml": b"revision: 1\n"}, parent=None, message="First", author="ada")
    head = forge.commit("skill/x", {"skills/x/skill.py": b"x = 1\n"}, parent=None, message="Add x", author=AUTHOR)
    number = forge.open_proposal(ProposalDraft(branch="skill/x", skill="x", kind="new", title="Add x", body="", author=AUTHOR)).number
    assert forge.written(forge.proposal(number)) == ()

    tree = forge.api.get(f"git/commits/{forge.commit('aside', {'skills/x/skill.py': b'x = 9'}, parent=None, message='m', author='x')}")["tree"]["sha"]
    forged = []
    for name, mail in ((AUTHOR, f"{AUTHOR}@skillops.invalid"), ("Mallory", f"{hub.MALLORY}@users.noreply.github.com"), ("Bob", "bob@example.org")):
        body = {"message": "More", "tree": tree, "parents": [head], "author": {"name": name, "email": mail}}
        head = github.ask("POST", f"{place}/git/commits", body, hub.ADA)[1]["sha"]
        forged.append(head)
    assert github.ask("PATCH", f"{place}/git/refs/heads/skill/x", {"sha": head}, hub.ADA)[0] == 200

    found = forge.written(forge.proposal(number))
    assert found == (
        Written(commit=forged[1], people=(hub.MALLORY,)),
        Written(commit=forged[2], stranger="Bob <bob@example.org>"),
        Written(people=(hub.ADA,)),
    )
    assert all(wrote(found[:1] + found[2:], person) for person in (hub.ADA, "ADA", hub.MALLORY))
    assert not wrote(found[:1] + found[2:], "eve") and wrote(found, "eve")  # of nobody it could be anybody's

    github.proxy.faults.plan.append(lambda verb, path: (404, {}, b"{}") if "/activity" in path else None)
    assert forge.written(forge.proposal(number))[-1].stranger


def test_in_a_fork_nothing_is_ours_and_of_one_that_we_may_not_see_nobody_knows_who_pushed(github: hub.Hub, forge: GitHubForge) -> None:
    assert github.proxy is not None
    place = f"/repos/{forge.api.repository}"
    forge.commit("main", {"registry.yaml": b"revision: 1\n"}, parent=None, message="First", author="ada")
    head = forge.commit("mine", {"skills/adder/skill.py": b"x = 1\n"}, parent=None, message="A change", author=AUTHOR)
    number = github.ask("POST", f"{place}/pulls", {"title": "Mine", "head": "mine", "base": "main", "body": ""}, hub.ADA)[1]["number"]
    for repository, told in (({"full_name": "ada/skills"}, ()), (None, (Written(stranger="somebody whom GitHub does not tell us"),))):
        github.proxy.forked[place, number] = {"repo": repository, "user": {"login": hub.ADA}}
        forged = Written(commit=head, stranger=f"{AUTHOR} <{AUTHOR}@skillops.invalid>")
        assert forge.written(forge.proposal(number)) == (forged, *told)


def test_a_key_that_is_refused_and_a_repository_that_is_not_there_are_told(github: hub.Hub, forge: GitHubForge) -> None:
    assert github.proxy is not None
    with pytest.raises(ConfigurationError, match="no repository ada/none"):
        forge_of_repository("ada/none", Key(token=hub.token_of(hub.BOT)), github.url)
    github.proxy.faults.plan.append(lambda verb, path: (401, {}, b'{"message": "Bad credentials"}') if verb == "POST" else None)
    with pytest.raises(ConfigurationError, match="does not accept the key"):
        forge.open_request(RequestDraft(key="k", title="X", text="x", requester="ada", source="cli"))
