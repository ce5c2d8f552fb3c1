"""What every LanguageModel does, and what LiteLLM's errors become. The endpoint is a server of our own on loopback."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent.domain import Frozen
from agent.domain.plan import Plan
from agent.errors import ModelLimit, ModelUnavailable, Stopped
from agent.halting import Halts
from agent.llms import litellm as live
from agent.llms.recorded import NoModel, RecordedModel, RecordingModel, RekeyingModel
from agent.llms.tended import Spending, TendedModel
from agent.ports import LanguageModel, Message, Question
from agent.prompts import ask
from agent.settings import Settings
from agent.wiring_models import embedder_of

pytestmark = pytest.mark.slow

KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OLLAMA_API_BASE", "OPENAI_API_BASE", "OPENAI_BASE_URL")


class Count(Frozen):
    words: int


class Desk:
    """An endpoint that speaks OpenAI's protocol. `replies` are used up in order, the last again and again: a text, a
    status to answer with, or a whole message."""

    def __init__(self) -> None:
        self.replies: list[str | int | dict[str, Any] | bytes] = ['{"words": 2}']
        self.bodies: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}  # of every reply
        self.refused_formats: set[str] = set()
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                desk.bodies.append(body)
                status, data = desk.reply(self.path, body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                for name, value in desk.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *of_a_client_that_left: None  # type: ignore[method-assign]
        self.base = f"http://127.0.0.1:{self.server.server_port}/v1"

    def reply(self, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        if path.endswith("/embeddings"):
            rows = [{"object": "embedding", "index": n, "embedding": [float(len(text)), 1.0]} for n, text in enumerate(body["input"])]
            return 200, json.dumps({"object": "list", "model": "desk", "data": rows[::-1], "usage": {"prompt_tokens": 1, "total_tokens": 1}}).encode()
        if body.get("response_format", {}).get("type") in self.refused_formats:
            return 400, b'{"error": {"message": "response_format is not supported", "type": "invalid_request_error"}}'
        said = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(said, bytes):
            return 200, said
        if isinstance(said, int):
            return said, json.dumps({"error": {"message": f"no, {said}", "type": "error"}}).encode()
        message = said if isinstance(said, dict) else {"role": "assistant", "content": said}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
        return 200, json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "x", "choices": [choice], "usage": usage}).encode()


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    desk = Desk()
    thread = threading.Thread(target=desk.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield desk
    desk.server.shutdown()
    desk.server.server_close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts are as short as they can be; the attempts stay."""
    import stamina

    monkeypatch.setattr(
        stamina, "retry_context", lambda real=stamina.retry_context, **given: real(**{**given, "wait_initial": 0.001, "wait_max": 0.001})
    )


def a_model(desk: Desk, **settings: Any) -> live.LiteLLMModel:
    return live.LiteLLMModel(Settings(**{"model": "openai/desk", "api_base": desk.base, "model_timeout": 20.0, **settings}))


def a_question(purpose: str = "count", schema: dict[str, Any] | None = None) -> Question:
    return Question(
        purpose=purpose,
        variables={"text": "one two"},
        messages=(Message(role="user", content="How many? JSON."),),
        answer_schema=schema or Count.model_json_schema(),
    )


Maker = Callable[[Desk, Path], LanguageModel]


def recorded(desk: Desk, folder: Path) -> Path:
    RecordingModel(a_model(desk), folder / "session.json").complete(a_question())
    return folder / "session.json"


ADAPTERS: dict[str, Maker] = {
    "litellm": lambda desk, folder: a_model(desk),
    "recording": lambda desk, folder: RecordingModel(a_model(desk), folder / "new.json"),
    "recorded": lambda desk, folder: RecordedModel(recorded(desk, folder)),
    "rekeying": lambda desk, folder: RekeyingModel(recorded(desk, folder)),
}


@pytest.mark.parametrize("make", ADAPTERS.values(), ids=ADAPTERS)
def test_a_model_that_is_available_answers_with_what_it_took(make: Maker, desk: Desk, tmp_path: Path) -> None:
    model = make(desk, tmp_path)

    said = model.complete(a_question())

    assert model.available().ok
    assert (said.text, said.model, said.tokens_in, said.tokens_out, said.cost) == ('{"words": 2}', model.name, 7, 5, 0.0)
    assert model.name == "openai/desk"


@pytest.mark.parametrize("make", ADAPTERS.values(), ids=ADAPTERS)
def test_a_model_that_cannot_answer_could_not_tell_and_says_what_to_do(make: Maker, desk: Desk, tmp_path: Path) -> None:
    model = make(desk, tmp_path)
    desk.replies = [401]

    with pytest.raises(ModelUnavailable) as caught:
        model.complete(a_question("another"))

    assert "SKILLOPS_" in caught.value.next_step


def test_without_a_model_nothing_is_available() -> None:
    assert not NoModel().available().ok


# ---- LiteLLM: what is asked, and what its errors become ---------------------------------------------------------------


def test_a_typed_answer_comes_over_the_real_path(desk: Desk) -> None:
    desk.replies = ["It has two words.", '```json\n{"words": 2}\n```']

    asked = ask(a_model(desk), "count", Count, {"text": "one two"}, template="Count.\n--- user ---\n{{ text | data('text') }}")

    assert asked.answer == Count(words=2)
    assert asked.tokens == 24
    assert [message["role"] for message in desk.bodies[1]["messages"]] == ["system", "user", "assistant", "user"]
    assert "temperature" not in desk.bodies[0]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_trouble_that_passes_is_tried_again(desk: Desk, status: int) -> None:
    desk.replies = [status, status, '{"words": 2}']

    assert a_model(desk).complete(a_question()).text == '{"words": 2}'
    assert len(desk.bodies) == 3


def test_a_provider_that_says_when_to_try_again_is_tried_then(desk: Desk) -> None:
    """Or not again, where that is longer than a call may take: a person is told when instead."""
    desk.replies, desk.headers = [429, '{"words": 2}'], {"Retry-After": "0.3"}
    started = time.monotonic()
    assert a_model(desk).complete(a_question()).text == '{"words": 2}'
    assert time.monotonic() - started > 0.25 and len(desk.bodies) == 2

    desk.replies, desk.headers = [429], {"Retry-After": "3600"}
    with pytest.raises(ModelUnavailable, match="Try again in 3600 s"):
        a_model(desk).complete(a_question())
    desk.headers = {"Retry-After": "Fri, 31 Dec 2027 23:59:59 GMT"}
    with pytest.raises(ModelUnavailable, match="Try again later"):
        a_model(desk).complete(a_question())
    assert len(desk.bodies) == 3 + live.ATTEMPTS


@pytest.mark.parametrize(
    ("status", "what", "fix", "calls"),
    [
        (401, "the key was refused", "SKILLOPS_API_KEY", 1),
        (403, "the key was refused", "SKILLOPS_API_KEY", 1),
        (404, "not known there", "SKILLOPS_MODEL", 1),
        (429, "quota", "Try again later", live.ATTEMPTS),
        (500, "could not be reached", "SKILLOPS_API_BASE", live.ATTEMPTS),
    ],
)
def test_trouble_that_stays_is_explained(desk: Desk, status: int, what: str, fix: str, calls: int) -> None:
    desk.replies = [status]

    with pytest.raises(ModelUnavailable) as caught:
        a_model(desk).complete(a_question())

    assert what in caught.value.what and "openai/desk" in caught.value.what
    assert f"no, {status}" in caught.value.why
    assert fix in caught.value.next_step
    assert len(desk.bodies) == calls


@pytest.mark.parametrize("data", [b"", b"<html>busy</html>", b"{}", b'{"choices": []}'])
def test_an_endpoint_that_answers_nonsense_could_not_tell(desk: Desk, data: bytes) -> None:
    desk.replies = [data]

    with pytest.raises(ModelUnavailable):
        a_model(desk).complete(a_question())


def test_an_endpoint_that_is_not_there_could_not_tell(desk: Desk) -> None:
    gone = "http://127.0.0.1:9/v1"

    with pytest.raises(ModelUnavailable) as caught:
        a_model(desk, api_base=gone).complete(a_question())

    assert gone in caught.value.next_step


def test_an_endpoint_that_says_a_byte_now_and_then_ends_in_time_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each read of it succeeds; the call as a whole does not."""
    monkeypatch.setattr(live, "GRACE", 0.1)
    over = threading.Event()

    def drip() -> None:
        line, _ = listening.accept()
        with line, suppress(OSError):
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not over.wait(0.1):
                line.sendall(b"1\r\n \r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=drip, daemon=True).start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        with pytest.raises(ModelUnavailable, match=r"took longer than 0\.5 s"):
            live.LiteLLMModel(Settings(model="openai/desk", api_base=address, model_timeout=0.5)).complete(a_question())
    over.set()


@pytest.mark.parametrize(("finish", "stopped"), [("length", "length"), ("content_filter", "content_filter"), ("stop", "")])
def test_why_a_model_said_no_more_is_known(desk: Desk, finish: str, stopped: str) -> None:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": '{"wor'}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    desk.replies = [json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}).encode()]

    assert a_model(desk).complete(a_question()).stopped == stopped


def test_a_question_that_is_too_long_is_told_as_that(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"error": {"message": "This model's maximum context length is 8192 tokens", "code": "context_length_exceeded"}}
    monkeypatch.setattr(desk, "reply", lambda path, body: (400, json.dumps(said).encode()))

    with pytest.raises(ModelUnavailable, match="longer than it can take") as caught:
        a_model(desk).complete(a_question())

    assert "Start a new conversation" in caught.value.next_step and len(desk.bodies) == 1


def test_ollama_is_asked_for_a_window_that_our_questions_fit_in(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would cut a longer question without a word."""
    monkeypatch.setattr(desk, "reply", lambda path, body: (400, b'{"error": "no"}'))

    with pytest.raises(ModelUnavailable):
        live.LiteLLMModel(Settings(model="ollama_chat/qwen3", api_base=desk.base)).complete(a_question())

    assert desk.bodies[-1]["options"]["num_ctx"] == live.OLLAMA_WINDOW


def test_an_endpoint_that_does_not_answer_in_time_is_not_asked_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(desk, "reply", lambda path, body: (release.wait(20), (200, b"{}"))[1])

    with pytest.raises(ModelUnavailable, match="took longer than"):
        a_model(desk, model_timeout=0.2).complete(a_question())

    release.set()
    assert len(desk.bodies) == 1


def test_a_call_that_somebody_stops_is_broken_off_and_its_connection_closed(desk: Desk, tmp_path: Path) -> None:
    """At an endpoint that never answers; who is stopped is told within a moment, and no other model is asked in its stead."""
    asked, left, halts = threading.Event(), threading.Event(), Halts(tmp_path / "halts.sqlite")

    def hang() -> None:
        line, _ = listening.accept()
        while data := line.recv(2**16):
            if b"How many?" in data:
                asked.set()
        left.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=hang, daemon=True).start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        model = live.LiteLLMModel(Settings(model="openai/desk", api_base=address, model_timeout=60.0))
        spare = a_model(desk)
        threading.Thread(target=lambda: asked.wait(30) and halts.stop("a task", "ada"), daemon=True).start()
        with pytest.raises(Stopped, match="ada said stop"), halts.heeding("a task"):
            TendedModel([model, spare], Spending(tmp_path / "spending.sqlite")).complete(a_question())
        assert left.wait(5), "the endpoint still works for nobody"
    assert desk.bodies == []


def test_a_refusal_is_what_the_model_said(desk: Desk) -> None:
    desk.replies = [{"role": "assistant", "content": None, "refusal": "I will not."}]

    said = a_model(desk).complete(a_question())
    assert (said.text, said.stopped) == ("I will not.", "refusal")


def test_a_model_that_says_nothing_has_said_nothing(desk: Desk) -> None:
    desk.replies = [{"role": "assistant", "content": None}]

    assert a_model(desk).complete(a_question()).text == ""


def test_the_strictest_form_that_the_endpoint_takes_is_asked_for_and_remembered(desk: Desk) -> None:
    model = a_model(desk, model="openai/gpt-4o-mini")
    desk.refused_formats = {"json_schema"}

    model.complete(a_question())
    model.complete(a_question())

    assert [body.get("response_format", {}).get("type") for body in desk.bodies] == ["json_schema", "json_object", "json_object"]
    assert desk.bodies[0]["response_format"]["json_schema"]["schema"] == Count.model_json_schema()


def test_an_endpoint_that_takes_no_form_is_asked_plainly(desk: Desk) -> None:
    desk.refused_formats = {"json_schema", "json_object"}

    assert a_model(desk).complete(a_question()).text == '{"words": 2}'
    assert "response_format" not in desk.bodies[-1]


def test_a_schema_with_open_objects_is_not_decoded_by(desk: Desk) -> None:
    model = a_model(desk, model="openai/gpt-4o-mini")

    model.complete(a_question(schema=Plan.model_json_schema()))

    assert desk.bodies[0]["response_format"] == {"type": "json_object"}


def test_a_known_model_has_a_cost(desk: Desk) -> None:
    said = a_model(desk, model="openai/gpt-4o-mini").complete(a_question())

    assert 0 < said.cost < 0.001


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("openai/gpt-5", "OPENAI_API_KEY"),
        ("anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
        ("nonsense", "openai/gpt-5, anthropic/claude-sonnet-4-5 or ollama/qwen3"),
    ],
)
def test_a_model_that_cannot_work_here_is_known_without_a_call(model: str, hint: str, desk: Desk) -> None:
    able = live.LiteLLMModel(Settings(model=model)).available()

    assert not able.ok
    assert hint in able.fix
    with pytest.raises(ModelUnavailable, match=hint.split(" ")[0]):
        live.LiteLLMModel(Settings(model=model)).complete(a_question())


@pytest.mark.parametrize(
    "settings", [{"model": "ollama/qwen3"}, {"model": "openai/gpt-5", "api_key": "k"}, {"model": "openai/x", "api_base": "http://127.0.0.1:9/v1"}]
)
def test_what_needs_no_key_or_has_one_is_available(settings: dict[str, str], desk: Desk) -> None:
    assert live.LiteLLMModel(Settings(**settings)).available().ok  # type: ignore[arg-type]


def test_embeddings_come_in_the_order_of_the_texts(desk: Desk) -> None:
    embed = live.embedder(Settings(embedding_model="openai/desk", api_base=desk.base))

    assert embed(["a", "bbb"]).vectors == [[1.0, 1.0], [3.0, 1.0]]


def test_embeddings_are_counted_with_every_other_call(desk: Desk, tmp_path: Path) -> None:
    settings = Settings(embedding_model="openai/desk", api_base=desk.base, model_rate=1)
    embed = embedder_of(settings, tmp_path)
    assert embed(["a", "bbb"]) == [[1.0, 1.0], [3.0, 1.0]]
    assert Spending(tmp_path / "spending.sqlite").today()[0] > 0
    with pytest.raises(ModelLimit):
        embed(["a"])


def test_embeddings_that_cannot_be_had_could_not_tell(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "reply", lambda path, body: (401, b'{"error": {"message": "no"}}'))

    with pytest.raises(ModelUnavailable, match="key was refused"):
        live.embedder(Settings(embedding_model="openai/desk", api_base=desk.base))(["a"])


def test_nothing_is_printed(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    desk.replies = [500, 500, 500, 401]

    with pytest.raises(ModelUnavailable):
        a_model(desk).complete(a_question())
    a_model(desk, model="openai/unheard-of").available()
    live.LiteLLMModel(Settings(model="nonsense")).available()

    assert capfd.readouterr().out == ""
