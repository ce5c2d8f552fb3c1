"""Who we are on GitHub: an App, whose tokens end and are renewed, or a person's token, which may make no check runs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from agent.domain.check import CheckResult, Finding
from agent.domain.proposal import ProposalDraft
from agent.domain.request import RequestDraft
from agent.errors import ConfigurationError
from agent.forges.github import GitHubForge, Key, forge_of_repository
from tests import hub
from tests.builders import a_result, a_review
from tests.hub_proxy import Proxy, Reply

pytestmark = pytest.mark.github
NO_CHECKS: Reply = (403, {}, b'{"message": "You must authenticate via a GitHub App."}')


@pytest.fixture(scope="module")
def github() -> Iterator[hub.Hub]:
    with hub.running() as server:
        yield server


@pytest.fixture
def proxy(github: hub.Hub) -> Iterator[Proxy]:
    assert github.proxy is not None
    yield github.proxy
    github.proxy.faults.plan.clear()


@pytest.fixture
def forge(github: hub.Hub, request: pytest.FixtureRequest) -> GitHubForge:
    """A repository with a first commit, as the App."""
    forge = forge_of_repository(github.repository(request.node.name), github.app(), github.url)
    forge.commit("main", {"registry.yaml": b"revision: 1\n"}, parent=None, message="First", author="ada")
    return forge


def a_skill(forge: GitHubForge) -> tuple[int, str]:
    head = forge.commit("skill/x", {"skills/x/skill.py": b"x = 1\n"}, parent=None, message="Add x", author="ada")
    draft = ProposalDraft(branch="skill/x", skill="x", kind="new", title="Add x", body="It does x.", author="skillops-author")
    return forge.open_proposal(draft).number, head


def findings(count: int, text: str = "It is wrong.") -> tuple[Finding, ...]:
    return tuple(Finding(message=f"{text} {number}", rule="r", path="skills/x/skill.py", line=number) for number in range(1, count + 1))


def many_findings(head: str, count: int = 120, text: str = "It is wrong.") -> CheckResult:
    return a_result("style", "failed", head=head).model_copy(update={"findings": findings(count, text)})


# ---- the App -------------------------------------------------------------------------------------------------------


def test_what_the_app_wrote_is_ours_under_its_own_name(github: hub.Hub, forge: GitHubForge) -> None:
    request = forge.open_request(RequestDraft(key="k", title="X", text="Do x.", requester="ada", source="cli"))
    forge.say(request.number, "I am on it.", author="skillops", marker="progress")
    number, head = a_skill(forge)
    forge.post_review(number, a_review("fit", head=head))
    opened = github.ask("GET", f"/repos/{forge.api.repository}/issues/{request.number}")[1]

    assert forge.login == "skillops-app[bot]" == opened["user"]["login"]
    assert (forge.request(request.number).requester, forge.proposal(number).author) == ("ada", "skillops-author")
    assert [(each.author, each.marker) for each in forge.comments(request.number)] == [("skillops", "progress")]
    assert [each.reviewer for each in forge.reviews(number, head)] == ["fit"]


def test_a_token_that_ended_is_renewed_once_and_nothing_is_asked_twice(github: hub.Hub, forge: GitHubForge, proxy: Proxy) -> None:
    proxy.revoked |= {token for token in proxy.tokens if token.startswith("ghs_")}
    before = len(proxy.seen)

    with ThreadPoolExecutor(4) as pool:
        numbers = set(pool.map(
            lambda number: forge.open_request(RequestDraft(key=f"k{number}", title="X", text="x", requester="ada", source="cli")).number, range(4)
        ))  # fmt: skip

    renewals = [path for verb, path in proxy.seen[before:] if path.endswith("/access_tokens")]
    assert len(numbers) == 4 == len(github.ask("GET", f"/repos/{forge.api.repository}/issues")[1])
    assert len(renewals) == 1


def test_git_is_signed_with_the_apps_token_and_with_a_new_one_where_that_is_refused(github: hub.Hub) -> None:
    line = github.app().line(github.url, github.repository("tokens"))
    first = line.token(False)

    assert first.startswith("ghs_") and line.token(False) == first
    assert line.token(True) not in ("", first)


def test_a_key_that_is_refused_after_the_renewal_too_is_told_and_not_tried_for_ever(forge: GitHubForge, proxy: Proxy) -> None:
    before = len(proxy.seen)
    proxy.faults.plan.append(lambda verb, path: (401, {}, b'{"message": "Bad credentials"}') if "/issues" in path else None)

    with pytest.raises(ConfigurationError, match="does not accept the key"):
        forge.requests()
    assert len([path for _, path in proxy.seen[before:] if "/issues" in path]) == 2


def test_another_apps_check_run_of_the_same_name_counts_for_nothing(github: hub.Hub, forge: GitHubForge) -> None:
    rival = forge_of_repository(forge.api.repository, github.app(2), github.url)
    number, head = a_skill(forge)
    rival.post_check(number, a_result("style", head=head))
    assert forge.checks(number, head).results == ()

    forge.post_check(number, a_result("style", "failed", head=head))

    assert [(each.name, each.outcome) for each in forge.checks(number, head).results] == [("style", "failed")]


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda key: Key(app_id="1001", private_key="-----BEGIN RSA PRIVATE KEY-----\nnone\n-----END RSA PRIVATE KEY-----"), "private key cannot"),
        (lambda key: Key(app_id="4711", private_key=key), "does not accept the key"),
        (lambda key: Key(app_id="my-app", private_key=key), "is no App's id"),
        (lambda key: Key(token="ghp_wrong"), "does not accept the key"),
        (lambda key: Key(app_id="1001", private_key=""), "There is no key"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_told_with_what_to_set(github: hub.Hub, proxy: Proxy, made: object, why: str) -> None:
    repository = github.repository("wrong-keys")
    proxy.revoked.add("ghp_wrong")
    with pytest.raises(ConfigurationError, match=why) as told:
        forge_of_repository(repository, made(github.app_key), github.url)  # type: ignore[operator]
    assert told.value.next_step and github.app_key[60:100] not in str(told.value)


def test_an_app_that_is_not_installed_there_is_told(github: hub.Hub) -> None:
    github.ask("POST", "/user/repos", {"name": "elsewhere"}, hub.ADA)
    with pytest.raises(ConfigurationError, match=f"not installed on {hub.ADA}/elsewhere"):
        forge_of_repository(f"{hub.ADA}/elsewhere", github.app(), github.url)


# ---- annotations ---------------------------------------------------------------------------------------------------


def test_annotations_go_out_in_batches_of_fifty_and_all_arrive(forge: GitHubForge, proxy: Proxy) -> None:
    number, head = a_skill(forge)
    before = len(proxy.seen)
    forge.post_check(number, many_findings(head))

    kept = next(iter(proxy.lacks.annotations[key] for key in proxy.lacks.annotations if key[0] == f"/repos/{forge.api.repository}"))
    assert [each["start_line"] for each in kept] == list(range(1, 121))
    assert len([verb for verb, path in proxy.seen[before:] if "/check-runs" in path and verb in ("POST", "PATCH")]) == 3
    assert len(forge.checks(number, head).results[0].findings) == 120


@pytest.mark.parametrize("text", ["x" * 5000, "<" * 3000, "\u2028" * 3000])
def test_giant_findings_and_remarks_are_cut_to_what_github_takes_and_the_verdict_stays(forge: GitHubForge, text: str) -> None:
    number, head = a_skill(forge)
    forge.post_check(number, many_findings(head, 60, text))
    remarks = [{"message": text[:2000], "path": "skills/x/skill.py", "line": 1, "blocking": True} for _ in range(40)]
    forge.post_review(number, a_review("fit", "revise", head=head, remarks=remarks, summary=text))

    (result,), (review,) = forge.checks(number, head).results, forge.reviews(number, head)
    assert result.outcome == "failed" and result.findings and review.verdict == "revise" and review.blocking == () and review.remarks[0].blocking


# ---- a person's token ----------------------------------------------------------------------------------------------


@pytest.fixture
def person(github: hub.Hub, forge: GitHubForge, proxy: Proxy) -> GitHubForge:
    """The repository as a person's token has it: GitHub lets Apps alone make check runs."""
    proxy.faults.plan.append(lambda verb, path: NO_CHECKS if verb == "POST" and path.endswith("/check-runs") else None)
    return forge_of_repository(forge.api.repository, Key(token=hub.token_of(hub.ADA)), github.url)


def test_where_checks_are_not_allowed_verdicts_are_commit_statuses_and_are_read_whole(github: hub.Hub, person: GitHubForge) -> None:
    number, head = a_skill(person)
    for result in (a_result("tests", head=head), many_findings(head, 60), a_result("contract", "could_not_tell", head=head)):
        person.post_check(number, result)
    person.post_check(number, a_result("style", head=head, summary="Now it is fine. " * 20))

    report = person.checks(number, head)
    told = github.ask("GET", f"/repos/{person.api.repository}/commits/{head}/statuses")[1]
    newest = {each["context"]: each["state"] for each in reversed(told)}
    assert {each.name: each.outcome for each in report.results} == {"contract": "could_not_tell", "style": "passed", "tests": "passed"}
    assert newest == {"skillops/tests": "success", "skillops/style": "success", "skillops/contract": "error"}
    assert max(len(each["description"]) for each in told) <= 140
    assert len(github.ask("GET", f"/repos/{person.api.repository}/issues/{number}/comments")[1]) == 1 and person.comments(number) == []


def test_statuses_are_of_one_head_and_those_that_could_not_be_told_are_forgotten(github: hub.Hub, person: GitHubForge) -> None:
    number, head = a_skill(person)
    person.post_check(number, a_result("style", head=head))
    person.post_check(number, a_result("tests", "could_not_tell", head=head))
    later = person.commit("skill/x", {"skills/x/skill.py": b"x = 2\n"}, parent=head, message="More", author="ada")

    person.forget_verdicts(number, head)

    assert [each.name for each in person.checks(number, head).results] == ["style"] and person.checks(number, later).results == ()
    assert github.ask("GET", f"/repos/{person.api.repository}/commits/{head}/statuses")[1][0]["state"] == "pending"


def test_a_status_or_a_comment_that_somebody_else_sets_says_nothing(github: hub.Hub, person: GitHubForge) -> None:
    number, head = a_skill(person)
    person.post_check(number, a_result("style", "failed", head=head))
    ours = github.ask("GET", f"/repos/{person.api.repository}/issues/{number}/comments")[1][0]["body"]
    forged = ours.replace('"failed"', '"passed"')
    github.ask("POST", f"/repos/{person.api.repository}/statuses/{head}", {"state": "success", "context": "skillops/style"}, hub.MALLORY)
    github.ask("POST", f"/repos/{person.api.repository}/issues/{number}/comments", {"body": forged}, hub.MALLORY)

    assert forged != ours and [each.outcome for each in person.checks(number, head).results] == ["failed"]


def test_an_app_that_lacks_the_permission_is_told_which_and_sets_no_status(forge: GitHubForge, proxy: Proxy) -> None:
    number, head = a_skill(forge)
    lacking: Reply = (403, {"X-Accepted-GitHub-Permissions": "checks=write"}, b'{"message": "Resource not accessible by integration"}')
    proxy.faults.plan.append(lambda verb, path: lacking if verb == "POST" and path.endswith("/check-runs") else None)

    with pytest.raises(ConfigurationError, match="checks: write"):
        forge.post_check(number, a_result("style", head=head))
