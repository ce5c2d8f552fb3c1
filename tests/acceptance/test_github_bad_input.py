"""What may be odd about a repository or a pull request on GitHub: it is told in words that a person can act on, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.domain.proposal import ProposalDraft
from agent.domain.request import RequestDraft
from agent.errors import ConfigurationError, HeadMoved, InQueue, Refused, UsageError
from agent.forges.github import GitHubForge, Key, forge_of_repository
from agent.starter import starting_files
from tests import hub
from tests.acceptance.harness import answers
from tests.acceptance.test_github_story import open_home
from tests.builders import a_result
from tests.hub_proxy import Proxy, Reply

pytestmark = pytest.mark.github
KEY = "ghp_" + "A1b2C3d4E5f6G7h8I9j0" + "K1l2M3n4O5p6Q7r8"
VAGUE = {"verdict": "vague", "reason": "unclear", "question": "Do hyphens part words?"}
ARCHIVED: Reply = (403, {}, b'{"message": "Repository was archived so is read-only."}')


@pytest.fixture(scope="module")
def github() -> Iterator[hub.Hub]:
    with hub.running() as server:
        yield server


@pytest.fixture
def proxy(github: hub.Hub) -> Iterator[Proxy]:
    assert github.proxy is not None
    yield github.proxy
    github.proxy.faults.plan.clear()
    github.proxy.lacks.queued.clear()


@pytest.fixture
def forge(github: hub.Hub, request: pytest.FixtureRequest) -> GitHubForge:
    forge = github.forge(request.node.name)
    forge.commit("main", {"registry.yaml": b"revision: 1\n"}, parent=None, message="First", author="ada")
    return forge


def a_skill(forge: GitHubForge, **traits: Any) -> tuple[int, str]:
    head = forge.commit("skill/x", {"skills/x/skill.py": b"x = 1\n"}, parent=None, message="Add x", author="ada")
    return forge.open_proposal(drafted(**traits)).number, head


def drafted(**traits: Any) -> ProposalDraft:
    return ProposalDraft.model_validate(
        {"branch": "skill/x", "skill": "x", "kind": "new", "title": "Add x", "body": "It does x.", "author": "skillops-author", **traits}
    )


def asked(forge: GitHubForge, github: hub.Hub, path: str) -> Any:
    return github.ask("GET", f"/repos/{forge.api.repository}/{path}")[1]


# ---- drafts --------------------------------------------------------------------------------------------------------


def test_a_draft_is_one_on_github_becomes_ready_and_a_draft_again(github: hub.Hub, forge: GitHubForge, proxy: Proxy) -> None:
    number, head = a_skill(forge, draft=True)
    assert (forge.proposal(number).draft, asked(forge, github, f"pulls/{number}")["draft"]) == (True, True)
    with pytest.raises(Refused, match="is a draft"):
        forge.merge(number, expected_head=head, message="m", author="ada")

    for draft in (False, True, False):
        assert forge.open_proposal(drafted(draft=draft)).draft is draft is forge.proposal(number).draft
        assert asked(forge, github, f"pulls/{number}")["draft"] is draft
    assert not [verb for verb, path in proxy.seen if verb == "PUT" and path.endswith(f"{forge.api.repository}/pulls/{number}/merge")]
    forge.merge(number, expected_head=head, message="m", author="ada")


def test_what_a_person_marks_as_ready_on_github_is_ready(github: hub.Hub, forge: GitHubForge) -> None:
    number, _ = a_skill(forge, draft=True)
    github.ask("PATCH", f"/repos/{forge.api.repository}/pulls/{number}", {"draft": False})

    assert forge.proposal(number).draft is False


def test_where_a_repository_has_no_drafts_the_proposal_is_one_for_us(github: hub.Hub, forge: GitHubForge, proxy: Proxy) -> None:
    refused: Reply = (422, {}, b'{"message": "Validation Failed", "errors": ["Draft pull requests are not supported in this repository."]}')
    proxy.faults.plan.append(lambda verb, path: refused if verb == "POST" and path.endswith("/pulls") and proxy.faults.plan.pop() else None)

    number, _ = a_skill(forge, draft=True)

    assert (forge.proposal(number).draft, asked(forge, github, f"pulls/{number}")["draft"]) == (True, False)
    assert forge.open_proposal(drafted(draft=False)).draft is False is forge.proposal(number).draft


# ---- merging -------------------------------------------------------------------------------------------------------


def test_where_the_branch_has_a_merge_queue_the_proposal_is_put_there_once_and_never_merged_past_it(
    github: hub.Hub, forge: GitHubForge, proxy: Proxy
) -> None:
    number, head = a_skill(forge)
    queue = proxy.lacks.queued.setdefault(f"/repos/{forge.api.repository}", [])

    for _ in range(2):
        with pytest.raises(InQueue, match=r"waits in the merge queue.*number 1"):
            forge.merge(number, expected_head=head, message="m", author="ada")

    assert queue == [(number, head)] and forge.proposal(number).state == "open"
    assert not [verb for verb, path in proxy.seen if verb == "PUT" and path.endswith(f"{forge.api.repository}/pulls/{number}/merge")]
    proxy.lacks.queued.clear()  # the queue's turn: GitHub merges
    github.ask("PUT", f"/repos/{forge.api.repository}/pulls/{number}/merge", {"merge_method": "squash"})
    assert forge.merge(number, expected_head=head, message="m", author="ada") == forge.head("main")


def test_a_queue_that_only_the_refusal_tells_of_is_used_too(forge: GitHubForge, proxy: Proxy) -> None:
    number, head = a_skill(forge)
    refused: Reply = (405, {}, b'{"message": "Repository rule violations found\\n\\nChanges must be made through the merge queue"}')
    proxy.faults.plan.append(lambda verb, path: refused if verb == "PUT" and path.endswith("/merge") else None)
    with pytest.raises(InQueue):
        forge.merge(number, expected_head=head, message="m", author="ada")


@pytest.mark.parametrize("method", ["squash", "merge", "rebase"])
def test_the_method_of_merging_is_a_setting(github: hub.Hub, forge: GitHubForge, proxy: Proxy, method: Any) -> None:
    forge.method = method
    number, head = a_skill(forge)
    bodies: list[dict[str, Any]] = []
    merged = proxy._merge

    def noting(repo: str, pull: int, body: dict[str, Any], headers: dict[str, str]) -> Reply:
        bodies.append(body)
        return merged(repo, pull, body, headers)

    proxy._merge = noting  # type: ignore[method-assign]
    forge.merge(number, expected_head=head, message="Merge x", author="ada")
    del proxy._merge  # type: ignore[method-assign]

    assert [(body["merge_method"], body["sha"]) for body in bodies] == [(method, head)]


def test_a_protected_main_that_takes_no_commit_of_ours_is_told_at_once(forge: GitHubForge, proxy: Proxy) -> None:
    for status, said in ((422, "Repository rule violations found"), (403, "Protected branch update failed"), (409, "Protected branch update failed")):
        reply: Reply = (status, {}, b'{"message": "%s"}' % said.encode())
        proxy.faults.plan[:] = [lambda verb, path, reply=reply: reply if verb == "PATCH" and "/git/refs/" in path else None]
        before = len(proxy.seen)
        with pytest.raises(ConfigurationError, match="does not let us write to the branch main") as told:
            forge.commit("main", {"registry.yaml": b"revision: 2\n"}, parent=forge.head("main"), message="m", author="ada")
        assert said in told.value.why and "bypass" in told.value.next_step
        assert len([verb for verb, path in proxy.seen[before:] if verb == "PATCH"]) == 1


# ---- the repository ------------------------------------------------------------------------------------------------


def test_an_archived_repository_and_one_without_issues_are_told(github: hub.Hub, forge: GitHubForge, proxy: Proxy) -> None:
    draft = RequestDraft(key="k", title="X", text="x", requester="ada", source="cli")
    proxy.faults.plan.append(lambda verb, path: ARCHIVED if verb != "GET" else None)
    with pytest.raises(ConfigurationError, match=r"is archived.*Unarchive"):
        forge.open_request(draft)
    proxy.faults.plan[:] = [lambda verb, path: (410, {}, b'{"message": "Issues are disabled for this repo"}') if "/issues" in path else None]
    for asking in (forge.requests, lambda: forge.open_request(draft)):
        with pytest.raises(ConfigurationError, match="Turn Issues on"):
            asking()
    proxy.faults.plan.clear()
    github.ask("PATCH", f"/repos/{forge.api.repository}", {"has_issues": False})
    with pytest.raises(ConfigurationError, match="has no issues"):
        forge_of_repository(forge.api.repository, Key(token=hub.token_of(hub.BOT)), github.url)


def test_a_repository_that_is_renamed_while_we_work_is_followed_with_reads_and_writes(github: hub.Hub, forge: GitHubForge, proxy: Proxy) -> None:
    first = forge.open_request(RequestDraft(key="k", title="X", text="x", requester="ada", source="cli"))
    forge.close_request(first.number, "done")
    old, new = forge.api.repository, f"{forge.api.repository}-renamed"
    assert github.ask("PATCH", f"/repos/{old}", {"name": new.partition("/")[2]})[0] == 200
    proxy.lacks.renamed[old] = new
    other = forge_of_repository(old, Key(token=hub.token_of(hub.BOT)), github.url)

    assert [each.number for each in forge.requests("closed")] == [first.number]
    assert other.open_request(RequestDraft(key="k", title="X", text="x", requester="ada", source="cli")).number == first.number
    second = other.open_request(RequestDraft(key="k2", title="Y", text="y", requester="ada", source="cli"))
    assert forge.api.repository == other.api.repository == new and forge.request(second.number).title == "Y"


def test_an_enterprise_server_below_a_path_is_one_like_any_other(github: hub.Hub, forge: GitHubForge) -> None:
    assert github.proxy is not None
    for number in range(130):
        github.ask("POST", f"/repos/{forge.api.repository}/issues", {"title": f"N{number}", "body": "", "labels": ["capability"]})
    enterprise = Proxy(github.proxy.port, "/api/v3")
    try:
        there = forge_of_repository(forge.api.repository, github.app(), enterprise.url)
        number, _ = a_skill(there, draft=True)

        assert len(there.requests()) == 130 and len({path for _, path in enterprise.seen if "page=2" in path}) == 1
        assert there.open_proposal(drafted(draft=False)).draft is False
        assert ("POST", "/api/graphql") in enterprise.seen and there.proposal(number).draft is False
    finally:
        enterprise.close()


# ---- pull requests of people ---------------------------------------------------------------------------------------


def opened_by(github: hub.Hub, forge: GitHubForge, user: str, branch: str) -> int:
    body = {"title": "Mine", "head": branch, "base": "main", "body": "Mine."}
    return int(github.ask("POST", f"/repos/{forge.api.repository}/pulls", body, user)[1]["number"])


def test_a_pull_request_from_a_fork_is_read_judged_and_never_pushed_to(github: hub.Hub, forge: GitHubForge, proxy: Proxy) -> None:
    head = forge.commit("mine", {"skills/adder/skill.py": b"x = 1\n"}, parent=None, message="Mine", author="mallory")
    number = opened_by(github, forge, hub.MALLORY, "mine")
    proxy.forked[f"/repos/{forge.api.repository}", number] = {"repo": {"full_name": "mallory/fork"}, "user": {"login": hub.MALLORY}}

    proposal = forge.proposal(number)
    forge.post_check(number, a_result("style", head=head))

    assert (proposal.author, proposal.kind, proposal.head, proposal.branch) == (hub.MALLORY, "person", head, f"{hub.MALLORY}:mine")
    assert forge.read(proposal.head, "skills/adder/skill.py") == b"x = 1\n" and len(forge.changes("main", head)) == 1
    with pytest.raises(UsageError, match="cannot be the name of a branch"):
        forge.commit(proposal.branch, {"skills/adder/evil.py": b""}, parent=head, message="m", author="ada")
    proxy.forked[f"/repos/{forge.api.repository}", number] = {"repo": None, "user": None}  # the fork is gone
    assert forge.proposal(number).branch == "gone:mine"


def test_three_thousand_files_are_listed_with_few_calls(github: hub.Hub, forge: GitHubForge, proxy: Proxy) -> None:
    files: dict[str, bytes | None] = {f"skills/adder/data/{number}.txt": b"x\n" for number in range(3000)}
    head = forge.commit("mine", {**files, ".github/workflows/check.yml": b"on: push\n"}, parent=None, message="Mine", author="mallory")
    number = opened_by(github, forge, hub.MALLORY, "mine")
    fresh, before = github.forge("test_three_thousand_files_are_listed_with_few_calls"), len(proxy.seen)

    assert [each.skill for each in fresh.proposals()] == ["adder"]
    changes = fresh.changes("main", head)

    assert len(changes) == 3001 and ".github/workflows/check.yml" in {change.path for change in changes}
    assert fresh.proposal(number).head == head and len(proxy.seen) - before < 40


def test_a_push_by_force_under_review_leaves_no_verdict_and_no_crash(github: hub.Hub, forge: GitHubForge, proxy: Proxy) -> None:
    number, head = a_skill(forge)
    forge.post_check(number, a_result("style", head=head))
    other = forge.commit("other", {"skills/x/skill.py": b"x = 9\n"}, parent=None, message="Anew", author="ada")
    github.ask("PATCH", f"/repos/{forge.api.repository}/git/refs/heads/skill/x", {"sha": other, "force": True})
    proxy.faults.plan.append(lambda verb, path: (404, {}, b'{"message": "Not Found"}') if head in path else None)
    fresh = github.forge("test_a_push_by_force_under_review_leaves_no_verdict_and_no_crash")

    assert (fresh.proposal(number).head, fresh.checks(number, other).results, fresh.checks(number, head).results) == (other, (), ())
    assert fresh.reviews(number, head) == () and [change.path for change in fresh.changes("main", other)] == ["skills/x/skill.py"]
    with pytest.raises(HeadMoved):
        fresh.merge(number, expected_head=head, message="m", author="ada")
    with pytest.raises(UsageError, match="no branch or commit"):
        fresh.changes("main", head)


def test_closed_and_opened_again_it_is_the_same_proposal_with_its_verdicts(github: hub.Hub, forge: GitHubForge) -> None:
    number, head = a_skill(forge)
    forge.post_check(number, a_result("style", head=head))
    forge.close_proposal(number)
    assert forge.proposals() == [] and forge.proposal(number).state == "closed"
    github.ask("PATCH", f"/repos/{forge.api.repository}/pulls/{number}", {"state": "open"}, hub.ADA)

    assert [(each.number, each.head) for each in forge.proposals()] == [(number, head)]
    assert [each.name for each in forge.checks(number, head).results] == ["style"]


def test_a_proposal_whose_branch_is_gone_is_still_read(github: hub.Hub, forge: GitHubForge) -> None:
    number, head = a_skill(forge)
    assert github.ask("DELETE", f"/repos/{forge.api.repository}/git/refs/heads/skill/x")[0] == 204

    assert forge.proposal(number).head == head and forge.read(head, "skills/x/skill.py") == b"x = 1\n"
    with pytest.raises(UsageError, match="no branch 'skill/x'"):
        forge.open_proposal(drafted())
    with pytest.raises(HeadMoved):
        forge.commit("skill/x", {"skills/x/skill.py": b"x = 2\n"}, parent=head, message="m", author="ada")


def test_hostile_words_of_a_request_raised_for_somebody_do_nothing_on_github(github: hub.Hub, forge: GitHubForge) -> None:
    hostile = "cc @acme/everyone ![x](https://evil.example/x.png) Closes #1 <!-- skillops:request {} --> " + "x" * 60_000
    request = forge.open_request(RequestDraft(key="k", title="X", text=hostile, requester="ada", source="chat"))
    body = asked(forge, github, f"issues/{request.number}")["body"]

    assert forge.request(request.number).text == hostile == request.text and request.requester == "ada"
    assert not any(acts in body for acts in ("@acme", "![x]", "#1", "<!-- skillops:request {} "))


# ---- what people write there --------------------------------------------------------------------------------------


def test_a_posted_secret_is_told_of_once_and_the_issue_is_taken_back_by_who_opened_it(github: hub.Hub, tmp_path: Path) -> None:
    forge = github.forge("posted")
    repository = forge.api.repository
    forge.commit("main", starting_files(), parent=None, message="A new skills repository", author="ada")
    home = open_home(tmp_path / "clone", github, repository, said=answers(assess=lambda question: VAGUE)).bare()
    issue = {"title": f"Count words {KEY}", "body": f"With {KEY}, how many words has a text?", "labels": ["capability"]}
    number = github.ask("POST", f"/repos/{repository}/issues", issue, hub.ADA)[1]["number"]

    def say(person: str, text: str) -> None:
        github.ask("POST", f"/repos/{repository}/issues/{number}/comments", {"body": text}, person)

    assert home.run().troubled == []
    say(hub.ADA, f"As {KEY} has it.")
    say(hub.MALLORY, f"/withdraw {KEY}")
    assert home.run().troubled == [] and home.forge.request(number).state == "open"
    said = github.ask("GET", f"/repos/{repository}/issues/{number}/comments")[1]
    ours = [each["body"] for each in said if each["user"]["login"] == hub.BOT]
    warned = [text.partition(" ")[0] for text in ours if "Revoke it" in text]
    assert warned == [f"@{hub.ADA}", f"@{hub.MALLORY}"] and not [text for text in ours if KEY in text]
    assert any("mallory may not take" in text for text in ours)
    prompts = repr([question.messages for question in home.model.asked])
    assert "[secret]" in prompts and KEY not in prompts
    assert KEY not in repr(home.parts.ledger.entries()) and not [
        path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()
    ]

    say(hub.ADA, "/withdraw we found another way")
    assert home.run().troubled == []
    taken = home.forge.request(number)
    assert (taken.state, taken.closed_as) == ("closed", "withdrawn"), home.said_on(number)
    assert [(event.actor, event.note) for event in home.ledger("withdrawn")] == [(hub.ADA, "we found another way")]
    assert home.run().moved == []
