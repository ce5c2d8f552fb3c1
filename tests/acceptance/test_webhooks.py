"""GitHub's webhooks into a gateway that works: signed deliveries wake it, forged ones do not, and none is lost or acted on twice."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from agent import wiring
from agent.deliveries import Deliveries, Delivery
from agent.gateway.server import listen, url_of
from agent.gateway.worker import Worker
from agent.starter import starting_files
from tests import hub
from tests.acceptance.harness import Home
from tests.acceptance.test_github_story import open_home

pytestmark = pytest.mark.github
SECRET = "it is a secret to everybody"
VAGUE = {"verdict": "vague", "reason": "it could mean two things", "question": "Do hyphens part words?"}


class Served:
    """A gateway on a real socket, whose worker looks by itself only once an hour: what happens, a webhook brought about."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.gateway = wiring.gateway_of(home.place, "127.0.0.1", work=True)
        self.queue = Deliveries(home.place.checkout.kept / "deliveries.sqlite")
        self.gateway.worker = Worker(home.place, every=3600.0, deliveries=self.queue)
        listening = listen("127.0.0.1", 0)
        self.url = url_of(listening)
        self.server = uvicorn.Server(uvicorn.Config(wiring.app_of(self.gateway), log_level="warning", lifespan="on"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listening]}, daemon=True)
        self.thread.start()
        until(lambda: self.server.started)

    def deliver(self, body: bytes, signature: str | None = None, event: str = "issues") -> tuple[int, dict[str, Any]]:
        signed = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-GitHub-Event": event, "X-Hub-Signature-256": signed if signature is None else signature}
        request = urllib.request.Request(f"{self.url}/webhooks/github", data=body, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def close(self) -> None:
        assert self.gateway.worker is not None
        self.gateway.worker.stop()
        self.server.should_exit = True
        self.thread.join(10)


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def github() -> Iterator[hub.Hub]:
    with hub.running() as server:
        yield server


@pytest.fixture
def served(github: hub.Hub, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("SKILLOPS_GITHUB_WEBHOOK_SECRET", SECRET)
    forge = github.forge(request.node.name)
    forge.commit("main", starting_files(), parent=None, message="A new skills repository", author="ada")
    served = Served(open_home(tmp_path / "clone", github, forge.api.repository, said={"assess": lambda question: VAGUE}))
    yield served
    served.close()


def an_issue(number: int = 1, sender: str = hub.ADA, **more: Any) -> bytes:
    return json.dumps({"action": "opened", "issue": {"number": number}, "sender": {"login": sender}, **more}).encode()


def test_an_issue_on_github_is_looked_at_at_once(github: hub.Hub, served: Served) -> None:
    repository = served.home.forge.api.repository  # type: ignore[attr-defined]
    config = {"url": f"{served.url}/webhooks/github", "content_type": "json", "secret": SECRET}
    assert github.ask("POST", f"/repos/{repository}/hooks", {"name": "web", "active": True, "events": ["*"], "config": config})[0] == 201
    assert served.gateway.worker is not None
    served.gateway.worker.start()
    until(lambda: served.gateway.worker and not served.gateway.worker._wake.is_set())

    body = {"title": "Count", "body": "Count words.", "labels": ["capability"]}
    number = github.ask("POST", f"/repos/{repository}/issues", body, hub.ADA)[1]["number"]

    until(lambda: "Do hyphens part words?" in served.home.said_on(number))
    until(lambda: served.queue.waiting() == [])


@pytest.mark.parametrize("signature", ["", "sha256=", "sha256=" + "0" * 64, "sha1=abc", "sha256=é"])
def test_a_delivery_that_is_not_signed_right_is_turned_away(served: Served, signature: str) -> None:
    status, told = served.deliver(an_issue(), signature.encode().decode("latin-1"))

    assert (status, told["code"]) == (401, "unauthorized")
    assert served.queue.waiting() == []


def test_a_delivery_counts_once_whatever_its_id(served: Served) -> None:
    first, again = served.deliver(an_issue()), served.deliver(an_issue())

    assert first == (202, {"queued": True, "why": ""})
    assert again == (202, {"queued": False, "why": "It was taken before."})
    assert len(served.queue.waiting()) == 1


def test_what_we_did_ourselves_and_what_nothing_is_done_on_is_no_news(served: Served) -> None:
    assert served.deliver(an_issue(sender=hub.BOT))[1]["queued"] is False
    assert served.deliver(an_issue(), event="star")[1]["queued"] is False
    assert served.queue.waiting() == []


def test_a_delivery_whose_parts_are_of_another_kind_is_harmless(served: Served) -> None:
    body = json.dumps({"action": "rerequested", "check_run": "text", "sender": [], "issue": 3}).encode()
    assert served.deliver(body, event="check_run")[0] == 202


@pytest.mark.parametrize("body", [b"", b"[]", b"nothing", b"[" * 20_000])
def test_a_delivery_that_is_no_json_object_is_refused(served: Served, body: bytes) -> None:
    assert served.deliver(body)[0] == 400


def test_a_delivery_that_is_too_large_is_refused(served: Served) -> None:
    assert served.deliver(an_issue(padding="x" * (9 * 2**20)))[0] == 413


def test_odd_fields_of_a_signed_delivery_harm_nothing(served: Served) -> None:
    body = json.dumps({"action": {"deep": [1]}, "sender": "ada", "check_run": [1]}).encode()
    assert served.deliver(body, event="check_run") == (202, {"queued": True, "why": ""})
    assert [delivery.check_run for delivery in served.queue.waiting()] == [None]


def test_deliveries_are_taken_at_once_while_the_worker_waits_for_github(github: hub.Hub, served: Served) -> None:
    repository, held, goes_on = served.home.forge.api.repository, threading.Event(), threading.Event()  # type: ignore[attr-defined]

    def hang(verb: str, path: str) -> None:
        if repository in path and not goes_on.is_set():
            held.set()
            goes_on.wait(60)

    assert github.proxy is not None and served.gateway.worker is not None
    github.proxy.faults.plan.append(hang)
    try:
        served.gateway.worker.start()
        assert held.wait(60)
        took = []
        for number in range(40):
            begun = time.monotonic()
            assert served.deliver(an_issue(number)) == (202, {"queued": True, "why": ""})
            took.append(time.monotonic() - begun)
        assert sorted(took)[20] < 0.1, sorted(took)  # seconds; half of them, so that a busy machine is not taken for a slow gateway
        assert len(served.queue.waiting()) == 40
    finally:
        goes_on.set()
        github.proxy.faults.plan.clear()
    until(lambda: served.queue.waiting() == [])


def test_looking_now_and_then_heals_what_no_delivery_told_and_order_does_not_matter(github: hub.Hub, served: Served) -> None:
    repository = served.home.forge.api.repository  # type: ignore[attr-defined]
    body = {"title": "Count", "body": "Count words.", "labels": ["capability"]}
    told, missed = (github.ask("POST", f"/repos/{repository}/issues", body, hub.ADA)[1]["number"] for _ in range(2))
    for action in ("closed", "opened"):  # the wrong way round, and nothing at all of the other issue
        assert served.deliver(an_issue(told, action=action))[0] == 202
    worker = Worker(served.home.place, every=0.05, deliveries=served.queue)

    worker.start()
    until(lambda: all("Do hyphens part words?" in served.home.said_on(number) for number in (told, missed)))
    late = github.ask("POST", f"/repos/{repository}/issues", body, hub.ADA)[1]["number"]
    until(lambda: "Do hyphens part words?" in served.home.said_on(late))
    until(lambda: served.queue.waiting() == [])
    worker.stop()

    assert [len(served.home.forge.comments(number)) for number in (told, missed, late)] == [1, 1, 1]


def test_what_was_queued_when_it_was_killed_is_done_by_the_next(served: Served) -> None:
    served.deliver(an_issue())
    other = Deliveries(served.home.place.checkout.kept / "deliveries.sqlite")
    waiting = other.waiting()
    worker = Worker(served.home.place, every=3600.0, deliveries=other)

    worker.start()
    until(lambda: other.waiting() == [])
    worker.stop()

    assert [delivery.event for delivery in waiting] == ["issues"]
    assert served.deliver(an_issue())[1]["queued"] is False


def test_old_deliveries_are_forgotten_and_waiting_ones_never(tmp_path: Path) -> None:
    now = [0.0]
    queue = Deliveries(tmp_path / "deliveries.sqlite", clock=lambda: now[0])
    done, open_ = Delivery(digest="a", event="push"), Delivery(digest="b", event="push")
    for each in (done, open_):
        queue.take(each)
    queue.done([done])
    now[0] = 8 * 86_400.0

    assert queue.take(Delivery(digest="c", event="push")) and queue.take(done)
    assert not queue.take(open_)


def test_a_run_that_a_person_asks_for_again_is_forgotten_where_it_is_ours(github: hub.Hub, served: Served) -> None:
    from tests.builders import a_result
    from tests.contracts.test_forge import a_proposal_draft

    forge = served.home.forge
    head = forge.commit("skill/word-count-1", {"skills/word-count/skill.py": b"x = 1\n"}, parent=None, message="Add", author="ada")
    number = forge.open_proposal(a_proposal_draft()).number
    for name in ("style", "tests"):
        forge.post_check(number, a_result(name, head=head))
    runs = github.ask("GET", f"/repos/{forge.api.repository}/commits/{head}/check-runs")[1]["check_runs"]  # type: ignore[attr-defined]
    run = next(run["id"] for run in runs if run["name"] == "style")

    body = json.dumps({"action": "rerequested", "check_run": {"id": run}, "sender": {"login": hub.ADA}}).encode()
    assert served.deliver(body, event="check_run")[1]["queued"] is True
    (hint,) = served.queue.waiting()
    assert hint.check_run == run
    forge.forget_run(run)
    assert [result.name for result in forge.checks(number, head).results] == ["tests"]
