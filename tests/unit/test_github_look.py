"""One look at GitHub: what it saw is not asked for again, unless it is old or something was written to it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from agent.forges.github_api import Answer, GitHubApi
from agent.forges.github_look import AGE, Looks


class Counting:
    """A GitHub whose answers tell how often it was asked."""

    def __init__(self) -> None:
        self.asked = list[str]()
        self.now = 0.0
        self.api = GitHubApi("ada/skills", self.send)
        self.api.looks = Looks(lambda: self.now)

    def send(self, verb: str, path: str, headers: dict[str, str], body: Any) -> Answer:
        self.asked.append(f"{verb} {path.removeprefix('/repos/ada/skills/')}")
        return Answer(200, {}, len(self.asked))


@pytest.fixture
def hub() -> Counting:
    return Counting()


def test_outside_a_look_everything_is_asked_and_inside_once(hub: Counting) -> None:
    assert [hub.api.get("issues/1") for _ in range(2)] == [1, 2]
    with hub.api.looks.looking():
        assert [hub.api.get("issues/1") for _ in range(2)] == [3, 3]
        with hub.api.looks.looking():  # within another it is that one
            assert hub.api.get("issues/1") == 3
        assert hub.api.get("issues/1", anew=True) == 4 == hub.api.get("issues/1")
    assert hub.api.get("issues/1") == 5


def test_what_is_old_is_asked_for_again(hub: Counting) -> None:
    with hub.api.looks.looking():
        hub.api.get("issues/1")
        hub.now = AGE + 1
        assert hub.api.get("issues/1") == 2


SEEN = ("issues/1", "issues/1/comments?per_page=100", "issues/2/comments?per_page=100", "issues?state=open&per_page=100", "pulls/3",
        "pulls/3/reviews?per_page=100", "pulls?state=all&per_page=100", "commits/abc/check-runs?per_page=100", "git/ref/heads/main",
        "git/ref/heads/skillops-ledger", "commits?sha=main&path=x&per_page=100", "collaborators/ada/permission",
        "https://api.github.com/repositories/7/issues?state=open&per_page=100&page=2")  # fmt: skip
LISTS = {"issues/1", "pulls/3", "issues?state=open&per_page=100", "pulls?state=all&per_page=100", SEEN[-1]}
LEDGER = {"query": "", "variables": {"branch": "skillops-ledger"}}


@pytest.mark.parametrize(("path", "body", "old"), [
    ("git/trees", {}, set()),
    ("issues/1/comments", {}, {"issues/1/comments?per_page=100"}),
    ("issues/comments/9", {}, {"issues/1/comments?per_page=100", "issues/2/comments?per_page=100"}),
    ("issues/comments/9/reactions", {}, set()),
    ("issues/3/labels", {}, LISTS),
    ("issues", {}, LISTS),
    ("pulls/3/reviews", {}, {"pulls/3/reviews?per_page=100"}),
    ("check-runs/5", {}, {"commits/abc/check-runs?per_page=100"}),
    ("git/refs/heads/main", {}, {"git/ref/heads/main", "commits?sha=main&path=x&per_page=100"} | LISTS),
    ("git/refs", {"ref": "refs/heads/main"}, {"git/ref/heads/main", "commits?sha=main&path=x&per_page=100"} | LISTS),
    ("/graphql", LEDGER, {"git/ref/heads/skillops-ledger"}),
    ("/graphql", {"query": "", "variables": {"pull": "N"}}, set(SEEN)),
    ("pulls/3/merge", {}, set(SEEN)),
])  # fmt: skip
def test_a_write_makes_old_what_it_may_have_changed_and_that_alone(hub: Counting, path: str, body: Any, old: set[str]) -> None:
    with hub.api.looks.looking():
        for each in SEEN:
            hub.api.get(each)
        hub.api.send("POST", path, body)
        hub.asked.clear()
        for each in SEEN:
            hub.api.get(each)

    assert {each.removeprefix("GET ") for each in hub.asked} == old


def test_a_write_of_another_thread_counts_also_while_we_are_asking(hub: Counting) -> None:
    plain, done = hub.send, threading.Event()

    def write_meanwhile(verb: str, path: str, headers: dict[str, str], body: Any) -> Answer:
        answer = plain(verb, path, headers, body)
        if verb == "GET" and not done.is_set():
            done.set()
            other = threading.Thread(target=hub.api.send, args=("PATCH", "issues/1", {}))
            other.start()
            other.join()
        return answer

    hub.api._send = write_meanwhile
    with hub.api.looks.looking():
        first = hub.api.get("issues/1")
        assert hub.api.get("issues/1") != first
