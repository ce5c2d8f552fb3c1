"""The agent in Slack, against npm's emulate: asked by a mention, shown in one message of the thread, decided by buttons."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from agent import wiring
from agent.chats.posts import Post
from agent.gateway.pages.feed import Feed
from agent.gateway.server import listen, url_of
from agent.gateway.worker import Worker
from agent.starter import found
from tests import slack_hub
from tests.acceptance.harness import Home, answers
from tests.acceptance.test_webhooks import until
from tests.gateways import FakeRuntime, SkillServer
from tests.slack_hub import ADA, BOB, BOT, EVE, SlackHub

pytestmark = [pytest.mark.github, pytest.mark.slow]
TASK = "How many words has “to be or not to be”?"


@pytest.fixture(scope="module")
def slack() -> Iterator[SlackHub]:
    with slack_hub.running() as server:
        yield server


@pytest.fixture(scope="module")
def skill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a skill that counts words."""
    path, loop = tmp_path_factory.mktemp("skill") / "s", asyncio.new_event_loop()
    loop.run_until_complete(asyncio.start_unix_server(SkillServer().talk, str(path)))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield path
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


class Served:
    """A gateway on a real socket with its chat, as one process has it."""

    def __init__(self, home: Home, feed: Feed, slack: SlackHub) -> None:
        self.home, self.slack = home, slack
        self.gateway = wiring.gateway_of(home.place, "127.0.0.1", work=True, feed=feed)
        self.gateway.worker = Worker(home.place, every=3600.0)
        chat = wiring.chat_of(self.gateway)
        assert chat is not None
        self.chat, self.desk, self.whispers = chat, chat._desk, list[tuple[str, str]]()
        whisper = chat._board.whisper  # the emulator takes what one person alone sees, and shows it to nobody

        def heard(thread: str, who: str, post: Post) -> None:
            whisper(thread, who, post)
            self.whispers.append((who, post.text))

        chat._board.whisper = heard  # type: ignore[method-assign]
        self.desk._pause, self.desk._every = 0.05, 0.5
        listening = listen("127.0.0.1", 0)
        self.server = uvicorn.Server(uvicorn.Config(wiring.app_of(self.gateway, chat), log_level="warning", lifespan="on"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listening]}, daemon=True)
        self.thread.start()
        until(lambda: self.server.started)
        slack.front.target = f"{url_of(listening)}/slack/events"
        slack.front.sent.clear()
        self.gateway.worker.start()
        chat.start()

    def shows(self, ts: str, words: str) -> dict[str, Any]:
        """Waits until our one message in the thread says this."""

        def seen() -> dict[str, Any] | None:
            found = [message for message in self.slack.thread(ts) if words in json.dumps(message, ensure_ascii=False)]
            return found[0] if found else None

        until(seen, 30)
        message = seen()
        assert message is not None
        return message

    def close(self) -> None:
        assert self.gateway.worker is not None
        self.slack.front.target = ""
        self.gateway.worker.stop()
        self.chat.stop()
        self.server.should_exit = True
        self.thread.join(10)


Serving = Callable[..., Served]


@pytest.fixture
def serving(slack: SlackHub, skill: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    people = json.dumps({slack.ids[ADA]: "ada", slack.ids[BOB]: "bob"})
    given = {"BOT_TOKEN": f"xox-{BOT}", "SIGNING_SECRET": slack_hub.SECRET, "API": slack.api, "PEOPLE": people}
    for name, value in given.items():
        monkeypatch.setenv(f"SKILLOPS_SLACK_{name}", value)
    monkeypatch.setenv("SKILLOPS_GATEWAY_URL", "https://skills.example.com")
    open_: list[Served] = []

    def serve(said: Any = None, path: Path | None = None) -> Served:
        feed = Feed()
        home = Home(path or found(tmp_path / "skills").root, said, feed).bare(FakeRuntime(skill))  # type: ignore[arg-type]
        open_.append(Served(home, feed, slack))
        return open_[-1]

    yield serve
    for served in open_:
        served.close()


def test_a_gap_becomes_a_request_that_bob_approves_and_the_answer_comes_in_the_same_message(slack: SlackHub, serving: Serving) -> None:
    served = serving()
    served.home.write_policy(autonomy="manual", approvers=["bob"])

    ts = slack.says(ADA, TASK)

    waiting = served.shows(ts, "waits for a person")
    proposal = served.home.proposal()
    assert proposal.head[:8] in json.dumps(waiting)
    assert f"https://skills.example.com/proposals/{proposal.number}|" in json.dumps(waiting), "which bob can open, unlike ada's talk"
    for nobody, why in ((EVE, "nobody that the policy could know"), (ADA, "ada may not approve")):
        assert slack.press(nobody, waiting, "Approve").status == 200
        until(lambda why=why: why in str(served.whispers))
    stale = json.loads(json.dumps(waiting).replace(proposal.head, "0" * 40))
    assert slack.press(BOB, stale, "Approve").status == 200
    until(lambda: "has changed since it was shown" in str(served.whispers))
    assert [review for review in served.home.forge.reviews(proposal.number, proposal.head) if review.kind == "person"] == []
    assert slack.press(BOB, waiting, "Approve", secret="another").status == 401
    assert slack.press(BOB, waiting, "Approve", at=time.time() - 600).status == 401, "older than five minutes"

    assert slack.press(BOB, waiting, "Approve").status == 200

    done = served.shows(ts, "It has 6 words.")
    assert [message["ts"] for message in slack.thread(ts)] == [waiting["ts"]] == [done["ts"]], "one message, edited in place"
    assert "word-count 1.0.0" in json.dumps(done)
    assert "bob" in str(served.home.registry().skills[0].approvals)
    assert len(served.home.forge.requests("all")) == 1, "each event came twice, and the task was begun once"
    assert {sent.status for sent in slack.front.sent} == {200}


def test_bob_rejects_with_a_reason_that_a_form_asks_for(slack: SlackHub, serving: Serving) -> None:
    served = serving()
    served.home.write_policy(autonomy="manual", approvers=["bob"])
    waiting = served.shows(slack.says(ADA, TASK), "waits for a person")
    number, head, opened = served.home.proposal().number, served.home.proposal().head, list[dict[str, Any]]()
    call = served.chat._board._call

    def noted(method: str, *client: Any, **arguments: Any) -> Any:
        told = call(method, *client, **arguments)
        opened.append({**told.get("view", {}), "private_metadata": arguments.get("view", {}).get("private_metadata")})
        return told

    served.chat._board._call = noted  # type: ignore[method-assign]

    assert slack.press(BOB, waiting, "Reject").status == 200
    until(lambda: any(view.get("id") for view in opened))
    form = next(view for view in opened if view.get("id"))
    given = {"why": {"why": {"type": "plain_text_input", "value": "Not needed."}}}
    view = {**form, "type": "modal", "callback_id": "reject", "state": {"values": given}}
    payload = {"type": "view_submission", "team": {"id": slack_hub.TEAM}, "user": {"id": slack.ids[BOB], "team_id": slack_hub.TEAM}, "view": view}
    assert slack.front.interaction(payload).status == 200

    until(lambda: [review.summary for review in served.home.forge.reviews(number, head) if review.reviewer == "bob"] == ["Not needed."])


def test_a_question_is_answered_by_a_button_also_after_a_restart_and_nobody_is_called_by_an_answer(slack: SlackHub, serving: Serving) -> None:
    hostile = "<!channel> @here & <https://evil.example|bank>"
    plans = [{"steps": [], "question": "Tea or coffee?", "choices": ["Tea", "Coffee"]}, {"steps": [], "reply": hostile}]
    first = serving(answers(plan=plans[:1]))
    ts = slack.says(ADA, "Order something.")
    question = first.shows(ts, "Tea or coffee?")
    first.close()
    second = serving(answers(plan=plans[1:]), first.home.path)

    assert slack.press(ADA, question, "Coffee").status == 200

    done = second.shows(ts, "evil.example")
    assert done["ts"] == question["ts"]
    text = done["blocks"][0]["text"]
    assert text["text"] == "&lt;!channel&gt; @\u2060here &amp; &lt;https://evil.example|bank&gt;" and text["verbatim"] is True
    assert second.home.model.of("plan")[0].variables["task"] == "Coffee"
    assert slack.press(ADA, question, "Tea").status == 200
    until(lambda: "no longer open" in str(second.whispers))


def test_it_is_acknowledged_at_once_while_the_model_hangs_and_a_delivery_again_is_no_second_task(slack: SlackHub, serving: Serving) -> None:
    goes_on = threading.Event()

    def hangs(question: Any) -> dict[str, Any]:
        assert goes_on.wait(60)
        return {"steps": [], "reply": "Here I am."}

    served = serving(answers(plan=hangs))
    ts = slack.says(ADA, "Are you there?")
    served.shows(ts, "I am on it")
    event = {"type": "message", "user": slack.ids[ADA], "channel": slack.channel, "ts": ts, "text": f"<@{slack.ids[BOT]}> Are you there?"}
    again = slack.front.event(event, **{"X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "http_timeout"})
    forged = slack_hub.send(slack.front.target, json.dumps({"type": "event_callback", "event": event}), slack_hub.signed("another body"))
    goes_on.set()

    served.shows(ts, "Here I am.")
    assert again.status == 200 and forged.status == 401
    assert max(sent.seconds for sent in (*slack.front.sent, again)) < 3
    assert len(slack.thread(ts)) == 1
    assert len(served.home.model.of("plan")) == 1

    slack.ask(BOB, "chat.postMessage", channel=slack.channel, thread_ts=ts, text=f"<@{slack.ids[EVE]}> is it of use?")
    slack.ask(BOB, "chat.postMessage", channel=slack.channel, thread_ts=ts, text="Still there?")  # no mention: it takes part in the thread
    until(lambda: len(slack.thread(ts)) == 2 and "Here I am." in json.dumps(slack.thread(ts)[1]))
    assert [question.variables["task"] for question in served.home.model.of("plan")] == ["Are you there?", "Still there?"]


def test_a_picture_is_put_into_the_thread_as_a_file(slack: SlackHub, serving: Serving) -> None:
    served = serving(answers(plan=[{"steps": [], "reply": "Drawn."}]))
    ts = slack.says(ADA, "Draw.")
    served.shows(ts, "Drawn.")

    served.chat._board.picture(f"{slack_hub.TEAM}/{slack.channel}/{ts}", "picture-1.png", b"\x89PNG-of-a-test")

    files = [file for message in slack.thread(ts) for file in message.get("files", ())]
    assert [(file["name"], file["size"], file["mimetype"]) for file in files] == [("picture-1.png", 14, "image/png")]
