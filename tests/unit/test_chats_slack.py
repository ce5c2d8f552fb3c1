"""How posts look in Slack, what is made of Slack's answers, and what the desk does that no emulator shows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent import doctor, wiring
from agent.chats.board import NotNow
from agent.chats.confided import own_forms
from agent.chats.desk import Desk
from agent.chats.inbox import Inbox, Said, Shown
from agent.chats.posts import Button, Post, asked
from agent.chats.slack import Slack, SlackBoard, client_of, is_set_up
from agent.chats.slack_blocks import blocks_of, cut, drawing, escaped, plain_of
from agent.domain.question import Question
from agent.domain.skill import Permissions
from agent.drawings import Drawing
from agent.errors import ConfigurationError, CouldNotTell, MissingSecret, NotFound
from agent.halting import pause
from agent.pending import Pending
from agent.settings import Settings
from agent.strict_yaml import load
from agent.workplace import Workplace
from tests.builders import a_manifest
from tests.gateways import a_place, a_place_with

ROOT = Path(__file__).parents[2]
BOB = {"who": "U2", "person": "bob", "known": True}


class Wall:
    """A Board that keeps what is put up."""

    def __init__(self) -> None:
        self.posts, self.whispers, self.down = dict[str, list[Post]](), list[tuple[str, Post]](), False
        self.gone, self.pictures = False, list[tuple[str, bytes]]()

    def post(self, thread: str, post: Post) -> str:
        if self.down:
            raise CouldNotTell("Slack cannot be reached.")
        self.posts[f"{len(self.posts) + 1}"] = [post]
        return f"{len(self.posts)}"

    def edit(self, thread: str, stamp: str, post: Post) -> None:
        if self.gone:
            raise NotFound("The message or its channel is gone.")
        self.posts[stamp].append(post)

    def whisper(self, thread: str, who: str, post: Post) -> None:
        self.whispers.append((who, post))

    def picture(self, thread: str, name: str, data: bytes) -> None:
        self.pictures.append((name, data))
        if self.down:
            raise CouldNotTell("Slack did not take a picture.")


def a_desk(place: Workplace, wall: Wall) -> Desk:
    gateway = wiring.gateway_of(place, "127.0.0.1", work=False)
    return Desk(gateway, Inbox(place.checkout.kept / "slack.sqlite"), wall)


def said(text: str = "Hello?", kind: Any = "say", **more: Any) -> Said:
    return Said(**{"id": f"{kind}/{text}", "kind": kind, "thread": "T/C/1", "who": "U1", "person": "ada", "known": True, "text": text, **more})


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.01)


@contextlib.contextmanager
def answering(*answers: tuple[int, dict[str, str], dict[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """An API that gives these answers in turn, the last again and again: its address, and the methods that were called."""
    called: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            status, headers, told = answers[min(len(called), len(answers) - 1)]
            called.append(self.path.rpartition("/")[2])
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api/", called
    server.shutdown()
    server.server_close()


# ---- how it looks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<!channel> & <@U1>", "&lt;!channel&gt; &amp; &lt;@U1&gt;"),
        ("<https://evil.example|your bank>", "&lt;https://evil.example|your bank&gt;"),
        ("@here, @CHANNEL and @everyone, not ada@hereford.example", "@\u2060here, @\u2060CHANNEL and @\u2060everyone, not ada@hereford.example"),
    ],
)
def test_what_a_model_or_a_skill_said_calls_nobody_and_hides_no_address(text: str, shown: str) -> None:
    assert escaped(text) == shown
    everything = json.dumps(blocks_of(Post(text=text, notes=(text,)), "")) + plain_of(Post(text=text))
    assert "<" not in everything and '"verbatim": false' not in everything


def test_a_long_answer_is_cut_after_escaping_and_says_where_the_rest_is() -> None:
    text, shortened = cut("&" * 5000, 2900)
    assert shortened and len(escaped(text)) <= 2900 < len(escaped(text + "&"))
    blocks = blocks_of(Post(text="&" * 5000, notes=("<" * 9000,) * 20, page="/ask/1"), "https://skills.example.com/")
    assert all(len(block["text"]["text"]) <= 3000 for block in blocks if block["type"] == "section")
    assert len(blocks) <= 50
    assert blocks[-1]["elements"][0]["text"] == "… cut here. <https://skills.example.com/ask/1|All of it>"
    assert "skillops chat" in json.dumps(blocks_of(Post(text="&" * 5000), ""))


def test_an_answer_of_several_sections_loses_nothing_and_breaks_between_words() -> None:
    text = "\n".join(" ".join(f"word-{line}-{number}" for number in range(12)) for line in range(60))
    blocks = blocks_of(Post(text=text, page="/ask/1"), "https://skills.example.com/")
    told = [block["text"]["text"] for block in blocks if block["type"] == "section"]
    assert len(told) == 3 and "".join(told) == text and all(part.endswith("\n") for part in told[:-1])
    assert "cut here" not in json.dumps(blocks)


def test_a_table_is_drawn_in_fixed_width_and_ends_no_block_and_calls_nobody() -> None:
    rows = (("name", "n"), ("``` <!channel>", "1"), ("x" * 80, "22"))
    blocks = blocks_of(Post(text="Here.", tables=(rows,)), "")
    told = blocks[1]["text"]
    assert told["verbatim"] is True and told["text"].count("```") == 2 and "&lt;!channel&gt;" in told["text"]
    head, rule, *lines = told["text"].removeprefix("```\n").removesuffix("\n```").splitlines()
    assert head == "name" + " " * 28 + "n" and rule == "─" * 30 + "  ──" and lines[1] == "x" * 29 + "…  22"

    text, whole = drawing((("a", "b"), *((f"{number}" * 9, "<" * 20) for number in range(100))))
    assert not whole and len(text) <= 2900 and "cut here" in str(blocks_of(Post(text="x", tables=((("a",), *[("b" * 30,)] * 200),)), ""))


def test_the_tables_and_pictures_of_an_answer_are_put_up_once_and_one_that_is_not_taken_keeps_nothing_back(tmp_path: Path) -> None:
    place, wall = a_place(tmp_path, {"plan": lambda question: {"steps": [], "reply": "Drawn."}}), Wall()
    desk, memory = a_desk(place, wall), place.conversations.memory
    desk._do(said())
    drawn = (Drawing(rows=(("a", "b"), ("1", "2"))), Drawing(ending="png", data=b"one"), Drawing(ending="gif", data=b"two"))
    memory.keep_drawings(desk._inbox.open()[0].turn, drawn)
    wall.down = True

    desk._show()

    assert wall.posts["1"][-1].tables == ((("a", "b"), ("1", "2")),)
    assert wall.pictures == [("picture-1.png", b"one"), ("picture-2.gif", b"two")] and desk._inbox.open() == []


def test_a_thread_that_the_agent_was_called_in_needs_no_mention(tmp_path: Path) -> None:
    place = a_place(tmp_path, {})
    desk = a_desk(place, Wall())
    chat = Slack(
        desk, SlackBoard(client_of(Settings(slack_bot_token="xoxb-1"))), "UBOT", Settings(slack_bot_token="xoxb-1", slack_people={"U1": "ada"})
    )
    desk._inbox.bind("T/C/1.0", place.conversations.memory.start("ada"))

    def event(ts: str, text: str, **more: Any) -> None:
        chat._said({"type": "message", "channel": "C", "channel_type": "channel", "user": "U1", "ts": ts, "text": text, **more}, {"team_id": "T"})

    event("2.0", "and these?", thread_ts="1.0")
    event("2.0", "and these?", thread_ts="1.0")  # a delivery again
    event("3.0", "not for you")
    event("4.0", "nor this", thread_ts="0.5")
    event("5.0", "<@U2> what do you think?", thread_ts="1.0")
    event("6.0", "", thread_ts="1.0", subtype="file_share")
    event("7.0", "<@UBOT> and this?", thread_ts="1.0")

    assert [(each.id, each.text) for each in desk._inbox.waiting()] == [("C/2.0", "and these?"), ("C/7.0", "and this?")]


def test_a_question_has_a_button_for_each_choice_and_free_text_has_none() -> None:
    question = Question(text="Which?", choices=("x" * 300, "b"), until=5.0)
    (actions,) = [block for block in blocks_of(asked(question, 7), "") if block["type"] == "actions"]
    assert [len(button["text"]["text"]) for button in actions["elements"]] == [75, 1]
    assert json.loads(actions["elements"][1]["value"]) == {"turn": 7, "until": 5.0, "choice": 2}
    assert len({button["action_id"] for button in actions["elements"]}) == 2
    assert asked(Question(text="When?", expects="date", until=5.0), 7).buttons == ()
    assert [button.label for button in asked(Question(text="Sure?", expects="yes-no", until=5.0), 7).buttons] == ["yes", "no"]


# ---- Slack's answers ------------------------------------------------------------------------------------------------


def test_the_board_waits_as_long_as_slack_says_and_then_goes_on() -> None:
    with answering((429, {"Retry-After": "0"}, {"ok": False, "error": "ratelimited"}), (200, {}, {"ok": True, "ts": "1.2"})) as (api, called):
        board = SlackBoard(client_of(Settings(slack_api=api)))
        assert board.post("T/C/1", Post(text="hello")) == "1.2"
    assert called == ["chat.postMessage", "chat.postMessage"]


def test_an_edit_waits_for_nobody_and_is_tried_when_slack_says(tmp_path: Path) -> None:
    limits = [(429, {"Retry-After": "77"}, {"ok": False, "error": "ratelimited"}), (429, {}, {"ok": False, "error": "ratelimited"})]
    with answering(*limits) as (api, called):
        settings = Settings(slack_api=api)
        board = SlackBoard(client_of(settings), "", client_of(settings, waits=False))
        for seconds in (77, 30):
            with pytest.raises(NotNow, match=r"too often with chat\.update") as told:
                board.edit("T/C/1", "1.2", Post(text="hello"))
            assert told.value.seconds == seconds
        assert called == ["chat.update"] * 2
        wall = Wall()
        wall.edit = board.edit  # type: ignore[method-assign]
        desk = a_desk(a_place(tmp_path, {}), wall)
        desk._do(said())
        desk._show()
    assert 20 < desk._later["1"] - time.monotonic() <= 30 and len(desk._inbox.open()) == 1


def test_what_slack_refuses_says_why() -> None:
    with answering((200, {}, {"ok": False, "error": "not_in_channel"})) as (api, _):
        board = SlackBoard(client_of(Settings(slack_api=api)))
        with pytest.raises(CouldNotTell, match=r"chat\.update.*not_in_channel"):
            board.edit("T/C/1", "1.2", Post(text="hello"))


def test_half_a_set_up_says_what_is_missing() -> None:
    assert not is_set_up(Settings())
    with pytest.raises(ConfigurationError, match="slack_signing_secret"):
        is_set_up(Settings(slack_bot_token="xoxb-1"))
    with pytest.raises(ConfigurationError, match="slack_bot_token"):
        is_set_up(Settings(slack_app_token="xapp-1"))


def test_the_doctor_says_what_to_do_about_a_token_that_slack_does_not_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering((200, {}, {"ok": False, "error": "invalid_auth"})) as (api, _):
        for name, value in {"API": api, "BOT_TOKEN": "xoxb-1", "SIGNING_SECRET": "s"}.items():
            monkeypatch.setenv(f"SKILLOPS_SLACK_{name}", value)
        place = a_place(tmp_path)
        (found,) = [doctor._looked(what, look, place) for what, look in doctor._chats(place).items()]
    assert (found.what, found.ok) == ("slack", False)
    assert "invalid_auth" in found.found and "xoxb-" in found.fix and "docs/slack.md" in found.fix


# ---- the desk -------------------------------------------------------------------------------------------------------


def test_what_was_said_and_never_shown_is_taken_up_by_the_next_process_and_done_once(tmp_path: Path) -> None:
    place, wall = a_place(tmp_path, {"plan": lambda question: {"steps": [], "reply": "Hello, ada."}}), Wall()
    first = a_desk(place, wall)
    assert first.take(said()) and not first.take(said()), "a delivery again is none"

    second = a_desk(place, wall)
    second._pause = 0.01
    second.start()

    until(lambda: any(post.text == "Hello, ada." for post in wall.posts.get("1", [])))
    until(lambda: second._inbox.open() == [] and second._inbox.waiting() == [])
    second.stop()
    assert list(wall.posts) == ["1"]
    assert not second.take(said()), "also when it is done"


def test_a_task_whose_process_ended_is_gone_on_with_in_its_message(tmp_path: Path) -> None:
    place, wall = a_place(tmp_path, {"plan": lambda question: {"steps": [], "reply": "Hello, ada."}}), Wall()
    desk, memory = a_desk(place, wall), place.conversations.memory
    conversation = memory.start("ada")
    desk._inbox.bind("T/C/1", conversation)
    desk.take(said())
    desk._inbox.keep(Shown(id="say/Hello?", thread="T/C/1", conversation=conversation, stamp=wall.post("T/C/1", Post(text="…")), after=0))
    task = Pending.model_validate({"task": {"text": "Hello?", "asked_by": "ada", "conversation": conversation}})
    with memory.begun(conversation, "Hello?", task.kept()):
        pass  # as when the process ends here

    desk._do(said())
    desk._show()

    assert [post.text for post in wall.posts["1"]] == ["…", "Hello, ada."]
    assert [turn.text for turn in memory.turns(conversation) if turn.role == "person"] == ["Hello?"]


@pytest.mark.parametrize(("word", "kind"), [("Stop!", "say"), ("", "stop")], ids=["a word", "the button"])
def test_what_the_agent_is_at_is_stopped_by_a_word_in_the_thread_or_a_button(tmp_path: Path, word: str, kind: str) -> None:
    def hang(question: Any) -> Any:
        pause(60)
        raise AssertionError("nobody broke it off")

    place, wall = a_place(tmp_path, {"plan": hang}), Wall()
    desk = a_desk(place, wall)
    desk._pause = desk._every = 0.01
    desk.start()
    desk.take(said())
    until(lambda: any(button.action == "stop" for post in wall.posts.get("1", []) for button in post.buttons))

    desk.take(said(word, kind, who="U2", person="bob"))

    until(lambda: desk._inbox.open() == [] and desk._inbox.waiting() == [])
    assert wall.posts["1"][-1].text == "Stopped: bob said so. Nothing more is done of it." and not wall.posts["1"][-1].buttons
    desk._do(said("stop", id="later"))
    desk.stop()
    assert wall.whispers == [("U1", Post(text="There is nothing that I am at."))] and list(wall.posts) == ["1"]


def test_a_model_that_is_not_there_is_told_in_the_message(tmp_path: Path) -> None:
    wall = Wall()
    desk = a_desk(a_place(tmp_path, {}), wall)

    desk._do(said())
    desk._show()

    assert "The fake model has no answer left" in wall.posts["1"][-1].text
    assert desk._inbox.open() == []


def test_what_slack_did_not_take_waits_for_another_try(tmp_path: Path) -> None:
    wall = Wall()
    wall.down, desk = True, a_desk(a_place(tmp_path, {}), wall)
    desk.take(said())

    desk._take_on(said(), "T/C/1")

    assert [each.id for each in desk._inbox.waiting()] == ["say/Hello?"]
    assert desk._later["say/Hello?"] > time.monotonic()


def test_a_secret_is_given_by_a_form_whose_link_one_approver_alone_sees(tmp_path: Path) -> None:
    place, wall = a_place_with(tmp_path, a_manifest(permissions=Permissions(secrets=("WEATHER_KEY",)))), Wall()
    place.parts.sync()
    desk, name = a_desk(place, wall), place.parts.catalog.entries()[0].name
    about = {"name": "WEATHER_KEY", "skill": name}

    desk._do(said("", "secret", about=about, **BOB))
    desk._do(said("", "secret", about=about, who="U9", person="slack:T/U9", known=False))

    (who, form), (other, refusal) = wall.whispers
    assert (who, other) == ("U2", "U9")
    assert "http://127.0.0.1:8765/secrets/forms/" in form.text and place.parts.vault.form(form.text.rpartition("/")[2]) is not None
    assert "forms/" not in refusal.text and 'slack_people = {U9 = "their login"}' in refusal.text
    assert wall.posts == {}


def test_a_message_that_somebody_deleted_is_let_go_and_keeps_no_other_from_being_shown(tmp_path: Path) -> None:
    wall = Wall()
    desk = a_desk(a_place(tmp_path, {}), wall)
    desk._do(said())
    wall.gone = True

    desk._show()

    assert desk._inbox.open() == [] and len(wall.posts["1"]) == 1


def test_who_is_nobody_gives_no_leave_for_what_cannot_be_taken_back(tmp_path: Path) -> None:
    place, wall = a_place(tmp_path, {}), Wall()
    desk, memory = a_desk(place, wall), place.conversations.memory
    conversation = memory.start("slack:T/U9")
    desk._inbox.bind("T/C/1", conversation)
    question = {"text": "Delete it?", "expects": "yes-no", "asks_for": "leave", "until": time.time() + 60}
    task = {"task": {"text": "Delete it", "asked_by": "slack:T/U9", "conversation": conversation}, "question": question}
    with memory.begun(conversation, "Delete it", Pending.model_validate(task).kept()):
        pass

    desk._do(said("yes", who="U9", person="slack:T/U9", known=False))

    assert [(who, "slack_people" in post.text) for who, post in wall.whispers] == [("U9", True)]
    assert place.conversations.memory.undone(conversation)[0].pending["question"] is not None


def test_the_manifest_to_paste_asks_for_what_is_used() -> None:
    block = (ROOT / "docs/slack.md").read_text().partition("```yaml")[2].partition("```")[0]
    manifest: Any = load(textwrap.dedent(block), "docs/slack.md")
    settings = manifest["settings"]
    assert settings["event_subscriptions"]["request_url"] == settings["interactivity"]["request_url"]
    assert settings["interactivity"]["request_url"].endswith("/slack/events")
    assert settings["event_subscriptions"]["bot_events"] == ["app_mention", "message.channels", "message.groups", "message.im"]
    scopes = ["app_mentions:read", "channels:history", "chat:write", "files:write", "groups:history", "im:history"]
    assert manifest["oauth_config"]["scopes"]["bot"] == scopes


# ---- socket mode ----------------------------------------------------------------------------------------------------


def test_in_socket_mode_an_event_is_acknowledged_and_kept(tmp_path: Path) -> None:
    """Slack's side of it ("Using Socket Mode"): an address is asked for, then envelopes come over a WebSocket, and are acknowledged by their ids."""
    from aiohttp import web

    desk, acknowledged, loop = a_desk(a_place(tmp_path, {}), Wall()), list[dict[str, Any]](), asyncio.new_event_loop()
    event = {"type": "message", "channel_type": "im", "channel": "D1", "user": "U1", "ts": "1.5", "text": "a &lt; b?"}
    payload = {"type": "event_callback", "team_id": "T", "event_id": "E", "event": event}

    async def opened(request: web.Request) -> web.Response:
        assert request.headers["authorization"] == "Bearer xapp-1"
        return web.json_response({"ok": True, "url": f"ws://127.0.0.1:{port}/link"})

    async def link(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "num_connections": 1})
        await socket.send_json({"type": "events_api", "envelope_id": "one", "accepts_response_payload": False, "payload": payload})
        while not acknowledged:
            message = await socket.receive()
            if message.type is web.WSMsgType.TEXT and message.data.startswith("{"):
                acknowledged.append(json.loads(message.data))
        while not socket.closed:  # the client looks up from its end of the line only when something comes
            with contextlib.suppress(ConnectionError):
                await socket.send_json({"type": "hello"})
            await asyncio.sleep(0.05)
        return socket

    app = web.Application()
    app.add_routes([web.post("/api/apps.connections.open", opened), web.get("/link", link)])
    runner = web.AppRunner(app, shutdown_timeout=1.0)

    async def listen() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    port = loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    settings = Settings(slack_bot_token="xoxb-1", slack_app_token="xapp-1", slack_api=f"http://127.0.0.1:{port}/api/")
    chat = Slack(desk, SlackBoard(client_of(settings)), "U0", settings)
    desk.start = lambda: None  # type: ignore[method-assign]
    chat.start()
    until(lambda: acknowledged)
    chat.stop()
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)

    assert acknowledged[0]["envelope_id"] == "one"
    (kept,) = desk._inbox.waiting()
    assert (kept.text, kept.thread, kept.person, kept.known) == ("a < b?", "T/D1/1.5", "slack:T/U1", False)


def test_a_button_carries_what_it_is_about() -> None:
    button = Button(label="Approve", action="approve", about={"proposal": 3, "head": "abc"}, style="primary")
    (block,) = [block for block in blocks_of(Post(text="x", buttons=(button,)), "") if block["type"] == "actions"]
    assert block["elements"][0]["style"] == "primary"
    assert json.loads(block["elements"][0]["value"]) == {"proposal": 3, "head": "abc"}


def test_a_pasted_secret_is_told_to_who_pasted_it_alone_and_is_on_no_disk(tmp_path: Path) -> None:
    """With the form for what a skill still wants from them, and for no other."""
    own = a_manifest(permissions=Permissions(secrets=("TOKEN", "SHARED"), personal=("TOKEN",)))
    place, wall = a_place_with(tmp_path, own), Wall()
    place.parts.sync()
    desk, key = a_desk(place, wall), "ghp_" + "A1b2C3d4E5f6G7h8I9j0" + "K1l2M3n4O5p6Q7r8"

    assert desk.take(said(f"Here is my token: {key}", id="C/1"))
    (kept,) = desk._inbox.waiting()
    desk._take_on(kept, "T/C/1")

    (who, told), (whose, form) = wall.whispers
    assert (who, whose, wall.posts) == ("U1", "U1", {}) and "GitHub Token" in told.text and "delete it" in told.text
    opened = place.parts.vault.form(form.text.rpartition("/")[2])
    assert opened is not None and (opened.name, opened.skills, opened.person) == ("TOKEN", ("word-count",), "ada")
    assert kept.text == "Here is my token: [secret]" and key not in repr(place.parts.ledger.entries())
    kept_on_disk = b"".join(path.read_bytes() for path in place.checkout.kept.rglob("*") if path.is_file())
    assert key.encode() not in kept_on_disk and desk._inbox.waiting() == []


def test_who_has_no_secret_for_a_skill_yet_is_whispered_the_form_for_their_own(tmp_path: Path) -> None:
    place = a_place_with(tmp_path, a_manifest(permissions=Permissions(secrets=("TOKEN",), personal=("TOKEN",))))
    place.parts.sync()
    missing = MissingSecret("word-count has no TOKEN of slack:T/U9.", skill="word-count", names=["TOKEN"], person="slack:T/U9")
    stranger = said(who="U9", person="slack:T/U9", known=False)

    (post,) = own_forms(stranger, place.parts, missing)
    form = place.parts.vault.form(post.text.partition("/secrets/forms/")[2].partition("\n")[0])

    assert form is not None and (form.person, form.skills) == ("slack:T/U9", ("word-count",))
    assert own_forms(said(), place.parts, missing) == []  # which is somebody else's
