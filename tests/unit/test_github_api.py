"""Our manners towards GitHub: what is repeated, what never, what is waited for, and how a fault is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.errors import ConfigurationError, CouldNotTell, NotFound, Refused, SkillOpsError
from agent.forges.github_api import TRIES, Answer, BrokenOff, GitHubApi


class Hub:
    """A scripted GitHub: gives the answers in order (the last one again and again), and notes what it was asked."""

    def __init__(self, *answers: Answer | BrokenOff) -> None:
        self.answers, self.asked, self.slept, self.now = list(answers), list[tuple[str, str, dict[str, str]]](), list[float](), 1000.0

    def send(self, verb: str, path: str, headers: dict[str, str], body: Any) -> Answer:
        self.asked.append((verb, path, headers))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BrokenOff):
            raise answer
        return answer

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def api(self, patience: float = 90.0) -> GitHubApi:
        return GitHubApi("ada/skills", self.send, patience=patience, sleep=self.sleep, clock=lambda: self.now)


def ok(body: Any = None, status: int = 200, **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def no(status: int, message: str = "", **headers: str) -> Answer:
    return ok({"message": message}, status, **headers)


CUT = BrokenOff("the connection failed")


@pytest.mark.parametrize("fault", [CUT, no(500), no(502), no(503)])
def test_reading_is_repeated_where_it_broke_off_or_the_server_failed(fault: Answer | BrokenOff) -> None:
    hub = Hub(fault, fault, ok({"a": 1}))

    assert hub.api().get("issues/1") == {"a": 1}
    assert len(hub.asked) == 3 and hub.slept == sorted(hub.slept)


def test_a_server_that_never_answers_could_not_tell_and_nothing_hangs() -> None:
    hub = Hub(CUT)

    with pytest.raises(CouldNotTell, match=f"in {TRIES} tries"):
        hub.api().get("issues/1")
    assert len(hub.asked) == TRIES


def test_what_did_not_change_is_not_sent_again_and_costs_no_limit() -> None:
    hub = Hub(ok([1], etag='"v1"'), no(304), ok([2], etag='"v2"'))
    api = hub.api()

    assert [api.get("issues") for _ in range(3)] == [[1], [1], [2]]
    assert [headers.get("If-None-Match") for _, _, headers in hub.asked] == [None, '"v1"', '"v1"']


def test_gits_objects_are_asked_for_once() -> None:
    hub = Hub(ok({"sha": "x"}))
    api = hub.api()

    assert api.get("git/commits/x", fixed=True) == api.get("git/commits/x", fixed=True)
    assert len(hub.asked) == 1


def test_pages_are_followed_to_the_end() -> None:
    hub = Hub(ok([1, 2], link='<https://api.github.com/next?page=2>; rel="next", <https://x>; rel="last"'), ok([3]))

    assert list(hub.api().pages("issues?state=open")) == [1, 2, 3]
    assert [path for _, path, _ in hub.asked] == ["/repos/ada/skills/issues?state=open&per_page=100", "https://api.github.com/next?page=2"]


def made_after(times: int) -> tuple[Callable[[], str | None], list[int]]:
    """A look that finds it from the given time on, and how often it looked."""
    looks: list[int] = []

    def made() -> str | None:
        looks.append(1)
        return "found" if len(looks) >= times else None

    return made, looks


@pytest.mark.parametrize("lost", [CUT, no(500), no(502)])
def test_a_write_whose_answer_was_lost_is_looked_for_and_never_done_twice(lost: Answer | BrokenOff) -> None:
    hub, (made, looks) = Hub(lost), made_after(1)

    assert hub.api().once("issues", {}, made, lambda body: "new") == "found"
    assert len(hub.asked) == 1 and len(looks) == 1


def test_a_write_that_did_not_arrive_is_sent_again() -> None:
    hub, (made, looks) = Hub(CUT, ok({}, 201)), made_after(9)

    assert hub.api().once("issues", {}, made, lambda body: "new") == "new"
    assert len(hub.asked) == 2 and len(looks) == 1


def test_what_github_says_exists_already_is_found() -> None:
    hub, (made, _) = Hub(no(422, "A pull request already exists")), made_after(1)

    assert hub.api().once("pulls", {}, made, lambda body: "new", allow=(422,)) == "found"
    with pytest.raises(Refused, match="already exists"):
        hub.api().once("pulls", {}, made, lambda body: "new")


@pytest.mark.parametrize(
    ("limit", "wait"),
    [
        (no(403, "You have exceeded a secondary rate limit", retry_after="7"), 7),
        (no(429, "slow down", retry_after="3"), 3),
        (no(403, "You have exceeded a secondary rate limit"), 60),
        (no(403, "API rate limit exceeded", x_ratelimit_remaining="0", x_ratelimit_reset="1012"), 12),
    ],
)
def test_a_limit_is_waited_for_as_github_says_and_the_write_is_sent_once_more(limit: Answer, wait: float) -> None:
    hub, (made, looks) = Hub(limit, ok({}, 201)), made_after(1)

    assert hub.api().once("issues", {}, made, lambda body: "new") == "new"
    assert hub.slept == [wait] and looks == []  # a request that a limit refused was not carried out: no need to look


def test_a_limit_that_takes_too_long_is_told_with_its_end() -> None:
    hub = Hub(no(403, "API rate limit exceeded", x_ratelimit_remaining="0", x_ratelimit_reset="4600"))

    with pytest.raises(CouldNotTell, match="Try again in 3600 s"):
        hub.api().get("issues")
    assert hub.slept == []


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (no(401, "Bad credentials"), ConfigurationError, "SKILLOPS_GITHUB_TOKEN"),
        (no(403, "Resource not accessible by integration", x_accepted_github_permissions="checks=write"), ConfigurationError, "checks: write"),
        (no(403, "Repository was archived so is read-only."), ConfigurationError, "Unarchive"),
        (no(410, "Issues are disabled for this repo"), ConfigurationError, "Turn Issues on"),
        (no(404, "Not Found"), NotFound, "ada/skills"),
        (no(422, "Validation Failed"), Refused, "Validation Failed"),
        (no(418, "I'm a teapot"), CouldNotTell, "418"),
    ],
)
def test_each_fault_is_told_in_words_that_a_person_can_act_on(answer: Answer, kind: type[SkillOpsError], words: str) -> None:
    with pytest.raises(kind) as told:
        Hub(answer).api().send("POST", "check-runs", {})
    assert words in str(told.value)


@pytest.mark.parametrize("status", [404, 409])
def test_what_is_not_there_is_none(status: int) -> None:
    assert Hub(no(status)).api().get("git/ref/heads/none") is None
    assert list(Hub(no(status)).api().pages("commits?sha=main")) == []
