"""A chat turn: answered, asked back, waiting for a request, or failed; and what waited is finished once."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import agent.conversation as conversation
from agent import messages
from agent.catalog import Hit
from agent.conversation import Conversations, Result
from agent.domain.event import Event
from agent.domain.proposal import AGENT
from agent.domain.registry import Entry
from agent.domain.release import Endpoint
from agent.domain.request import Comment, Request, RequestDraft
from agent.domain.skill import Manifest
from agent.errors import CouldNotTell, MissingSecret, ModelUnavailable, NotFound, SandboxUnavailable
from agent.halting import Halts, pause
from agent.memory import Memory
from agent.ports import Availability, Completion, Question
from agent.story import event_sentence
from tests.builders import a_contract, a_gap, a_manifest, an_entry

TASK = "How many words has 'one two'?"
NEED = {"title": "Count words", "text": "Count the words of a text that is given."}


class Forge:
    """The requests of a forge, in memory."""

    def __init__(self) -> None:
        self.by_key: dict[str, int] = {}
        self.held: dict[int, Request] = {}
        self.said: list[Comment] = []

    def open_request(self, draft: RequestDraft) -> Request:
        number = self.by_key.setdefault(draft.key, len(self.by_key) + 1)
        return self.held.setdefault(number, Request(number=number, **draft.model_dump(exclude={"key"})))

    def request(self, number: int) -> Request:
        return self.held[number]

    def comments(self, number: int) -> list[Comment]:
        return [comment for comment in self.said if comment.number == number]

    def close(self, number: int, closed_as: str, **gap: Any) -> None:
        request = self.held[number] = self.held[number].model_copy(update={"state": "closed", "closed_as": closed_as})
        text = messages.gap_comment(a_gap(request=number, **gap), request)
        self.said.append(Comment(id=len(self.said), number=number, author=AGENT, text=text, marker="gap-0"))


class Catalog:
    """What the agent can do: `found` is what a search gives, `held` what there is."""

    def __init__(self, *manifests: Manifest) -> None:
        self.held = {manifest.name: manifest for manifest in manifests}
        self.found = list(self.held)

    def entry(self, name: str) -> Entry | None:
        return an_entry(name=name, version=self.held[name].version) if name in self.held else None

    def manifest(self, name: str) -> Manifest | None:
        return self.held.get(name)

    def entries(self) -> list[Entry]:
        return [entry for name in self.held if (entry := self.entry(name))]

    def trees(self) -> dict[str, str]:
        return {name: entry.tree for name in self.held if (entry := self.entry(name))}

    def search(self, text: str, limit: int = 8) -> list[Hit]:
        return [Hit(entry, 1.0) for name in self.found if (entry := self.entry(name))][:limit]


class Model:
    """Says what is scripted for each purpose, in turn; an exception is raised, a callable is called first."""

    name = "scripted"

    def __init__(self, *plans: Any, answers: tuple[Any, ...] = ('{"text": "Two."}',) * 9) -> None:
        self.says: dict[str, list[Any]] = {"plan": list(plans), "answer": list(answers)}
        self.asked: list[Question] = []

    def available(self) -> Availability:
        return Availability(ok=True)

    def complete(self, question: Question) -> Completion:
        self.asked.append(question)
        said = self.says[question.purpose].pop(0)
        if isinstance(said, BaseException):
            raise said
        text = said() if callable(said) else said
        return Completion(text=text if isinstance(text, str) else json.dumps(text), model=self.name, tokens_in=3, tokens_out=2, cost=0.5)


class Runtime:
    """Skills that answer over HTTP on loopback: the last part of the base URL is the skill's name."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], dict[str, Any]] = lambda inputs: {"words": len(inputs["text"].split())}
        runtime = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                runtime.calls.append(body)
                try:
                    reply = {"success": True, "outputs": runtime.answer(body["inputs"])}
                except ValueError as error:
                    reply = {"success": False, "error": {"code": "invalid-input", "message": str(error)}}
                data = json.dumps(reply).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def endpoint(self, skill: str, person: str = "") -> Endpoint:
        return Endpoint(url=f"http://127.0.0.1:{self.server.server_port}")


class World:
    """Everything that a conversation stands on; `conversations` may be made anew, as in a new process."""

    def __init__(self, folder: Path, runtime: Runtime) -> None:
        self.path, self.runtime = folder / "conversations.sqlite", runtime
        self.forge, self.catalog, self.model = Forge(), Catalog(a_manifest()), Model()
        self.events: list[Event] = []

        self.more: dict[str, Any] = {}  # further Means

    def conversations(self) -> Conversations:
        memory = Memory(self.path)
        return Conversations(self.forge, self.catalog, self.runtime, self.model, memory, self.events.append, 4, **self.more)  # type: ignore[arg-type]

    def turn(self, text: str = TASK, ident: str | None = None, user: str = "ada", agent: str | None = None) -> Result:
        return self.conversations().turn(ident, text, user, agent)

    def waits(self, ident: str | None = None, **need: str) -> Result:
        """A turn whose plan needs a skill; another need where words of it are given."""
        self.model.says["plan"].insert(0, needs({**NEED, **need}))
        return self.turn(ident=ident)

    def resume(self) -> list[Result]:
        """What `skillops run` does in the end."""
        conversations = self.conversations()
        return [result for turn in conversations.unanswered() if (result := conversations.resume(turn))]

    def undone(self) -> list[dict[str, Any]]:
        return [undone.pending for undone in Memory(self.path).undone()]

    def told(self, ident: str) -> list[str]:
        return [turn.text for turn in Memory(self.path).turns(ident) if turn.role == "agent"]


@contextmanager
def a_world(folder: Path) -> Iterator[World]:
    runtime = Runtime()
    threading.Thread(target=runtime.server.serve_forever, args=(0.02,), daemon=True).start()
    yield World(folder, runtime)
    runtime.server.shutdown()
    runtime.server.server_close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


def needs(*wanted: dict[str, str]) -> dict[str, Any]:
    return {"steps": [{"id": f"n{number}", "need": need} for number, need in enumerate(wanted)]}


def calls(**steps: Any) -> dict[str, Any]:
    """A plan that calls word-count for each step, with this text."""
    return {"steps": [{"id": ident, "skill": "word-count", "inputs": {"text": text}} for ident, text in steps.items()]}


def test_what_a_skill_that_is_not_called_twice_gave_is_told_also_where_no_model_can_say_it(world: World) -> None:
    """Else the person said it again, and it was done again. One that may be called twice is: nothing else is lost then."""
    world.model = Model(calls(a="one two"), calls(a="one two"), answers=(ModelUnavailable("The model is gone."),) * 2)
    with pytest.raises(ModelUnavailable):
        world.turn()
    world.catalog = Catalog(a_manifest(annotations={"readOnly": False, "idempotent": False}))
    result = world.turn()
    assert (result.kind, result.outputs, len(result.receipts)) == ("failed", {"a": {"words": 2}}, 1)
    assert result.text.startswith("The model is gone.") and 'gave: {"a": {"words": 2}}' in result.text and world.undone() == []


# ---- a turn -----------------------------------------------------------------------------------------------------------


def test_a_task_is_planned_invoked_and_answered_with_its_receipt(world: World) -> None:
    world.model = Model(calls(a="one two"))

    result = world.turn()

    assert (result.kind, result.text, result.outputs) == ("answered", "Two.", {"a": {"words": 2}})
    assert [(receipt.skill, receipt.proposal, receipt.approvers) for receipt in result.receipts] == [
        ("word-count", 2, ("correctness", "security", "fit"))
    ]
    assert world.model.asked[1].variables["results"] == [{"skill": "word-count", "inputs": {"text": "one two"}, "outputs": {"words": 2}}]
    assert [(turn.role, turn.text) for turn in Memory(world.path).turns(result.conversation)] == [("person", TASK), ("agent", "Two.")]
    assert [(event.stage, event.what, event.tokens) for event in world.events] == [
        ("planning", "asked", 5), ("invoking", "invoked", 0), ("answering", "asked", 5), ("conversation", "answered", 0),
    ]  # fmt: skip


def test_steps_that_do_not_refer_to_one_another_run_side_by_side(world: World) -> None:
    together = threading.Barrier(3, timeout=60)
    world.runtime.answer = lambda inputs: {"words": together.wait() and 0}
    world.model = Model(calls(a="x", b="y", c="z"))

    assert world.turn().kind == "answered"


def test_a_step_takes_an_earlier_output(world: World) -> None:
    world.catalog = Catalog(a_manifest(inputs={"type": "object", "properties": {"text": {}}}))
    world.runtime.answer = lambda inputs: {"words": inputs["text"] + 1 if isinstance(inputs["text"], int) else 1}
    world.model = Model(calls(b={"$step": "a", "path": "/words"}, a="x"))

    result = world.turn()

    assert result.outputs == {"a": {"words": 1}, "b": {"words": 2}}


def test_a_question_waits_in_the_conversation_and_the_next_turn_goes_on(world: World) -> None:
    world.model = Model({"question": "Which text?"}, calls(a="one two"))
    asked = world.turn("Count the words.")

    result = world.turn("one two", asked.conversation)

    assert (asked.kind, asked.text, result.kind) == ("asks", "Which text?", "answered")
    assert world.model.asked[1].variables["history"] == ["person: Count the words.", "agent: Which text?"]


def test_talk_is_answered_without_a_skill(world: World) -> None:
    world.model = Model({"reply": "Hello."})

    result = world.turn("Hi")

    assert (result.kind, result.text, result.receipts) == ("answered", "Hello.", ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", conversation.EMPTY),
        (" \n", conversation.EMPTY),
        ("x" * 20_001, conversation.ENORMOUS),
        ("\x00\x01", conversation.BINARY),
        ("\ud800", conversation.BINARY),
    ],
)
def test_what_nobody_can_read_is_asked_back_without_a_model(world: World, text: str, said: str) -> None:
    result = world.turn(text)

    assert (result.kind, result.text, world.model.asked) == ("asks", said, [])


def test_a_pasted_secret_reaches_no_model_no_memory_and_no_trail(world: World) -> None:
    key = "ghp_" + "A1b2C3d4E5f6G7h8I9j0" + "K1l2M3n4O5p6Q7r8"

    result = world.turn(f"Open an issue with {key}")

    assert (result.kind, world.model.asked) == ("asks", []) and "GitHub Token" in result.text and "revoke it" in result.text
    everything = repr((result, Memory(world.path).turns(result.conversation), world.events, world.path.read_bytes()))
    assert key not in everything and "one-time form" in result.text


def test_a_conversation_that_is_not_there_is_said_so(world: World) -> None:
    with pytest.raises(NotFound):
        world.turn(TASK, "nowhere")


def test_a_request_is_taken_back_in_a_talk_as_its_door_sees_to_it(world: World) -> None:
    """A task that only begins with the word is planned like any."""
    taken: list[tuple[int, str, str]] = []
    world.more["take_back"] = lambda *given: taken.append(given)

    said = [world.turn(text) for text in ("/withdraw 3", "withdraw #4: we found another way", "/Withdraw #5")]

    assert taken == [(3, "ada", ""), (4, "ada", "we found another way"), (5, "ada", "")] and world.model.asked == []
    assert [(each.kind, each.text) for each in said] == [("answered", f"#{number} is taken back.") for number in (3, 4, 5)]
    world.model = Model(calls(a="one two"))
    assert world.turn("withdraw 300 from my account").turn is not None and len(taken) == 3


def test_without_a_model_nobody_can_tell_and_what_it_cost_is_kept(world: World) -> None:
    """In the trail, and in what the conversation took: also where the question after one that was answered could not be told."""
    world.model = Model(calls(a="one two"), "prose", "prose", calls(a="one two"), answers=('{"text": "Two."}', "prose", "prose"))
    talk = world.turn().conversation
    del world.events[:]

    with pytest.raises(ModelUnavailable):
        world.turn(ident=talk)
    assert [(event.what, event.outcome, event.tokens, event.cost) for event in world.events] == [("unanswered", "could_not_tell", 10, 1.0)]
    assert world.conversations().spent(talk) == (20, 2.0)
    with pytest.raises(ModelUnavailable):
        world.turn(ident=talk)
    assert world.conversations().spent(talk) == (35, 3.5)


# ---- steps that fail --------------------------------------------------------------------------------------------------


def fail(message: str) -> dict[str, Any]:
    raise ValueError(message)


def test_a_step_that_fails_is_planned_anew_once_with_what_went_wrong(world: World) -> None:
    world.runtime.answer = lambda inputs: fail("no digits") if inputs["text"] == "1" else {"words": 1}
    world.model = Model(calls(good="one", bad="1"), calls(a="one"))

    result = world.turn()

    failure = world.model.asked[1].variables["failure"]
    assert result.outputs == {"a": {"words": 1}}
    assert (failure["skill"], failure["inputs"]) == ("word-count", {"text": "1"})
    assert "invalid-input" in failure["error"] and "no digits" in failure["error"]
    assert failure["done"] == [{"skill": "word-count", "inputs": {"text": "one"}, "outputs": {"words": 1}}]
    assert world.runtime.calls[-1]["context"]["request_id"] == f"{result.conversation}-{result.turn}-1-2-a"


def test_a_second_failure_is_told(world: World) -> None:
    world.runtime.answer = lambda inputs: fail("no digits")
    world.model = Model(calls(a="1"), calls(a="2"))

    result = world.turn()

    assert result.kind == "failed" and "no digits" in result.text
    assert [event.outcome for event in world.events if event.stage == "invoking"] == ["failed", "failed"]


def test_an_output_that_is_not_there_is_a_failure_of_the_step(world: World) -> None:
    world.model = Model(calls(a="x", b={"$step": "a", "path": "/letters"}), {"reply": "I cannot."})

    assert world.turn().text == "I cannot."
    assert "no output at '/letters'" in world.model.asked[1].variables["failure"]["error"]


def test_outputs_that_break_the_schema_are_a_failure_of_the_step(world: World) -> None:
    world.runtime.answer = lambda inputs: {"words": "many"}
    world.model = Model(calls(a="x"), {"reply": "I cannot."})

    assert world.turn().text == "I cannot."


def test_a_runtime_that_cannot_tell_is_not_planned_around(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def endpoint(skill: str, person: str) -> Endpoint:
        raise SandboxUnavailable("bubblewrap is missing")

    monkeypatch.setattr(world.runtime, "endpoint", endpoint)
    world.model = Model(calls(a="x"))

    with pytest.raises(SandboxUnavailable):
        world.turn()


# ---- requests ---------------------------------------------------------------------------------------------------------


def test_a_need_raises_a_request_and_the_conversation_waits(world: World) -> None:
    result = world.waits()

    request = world.forge.held[1]
    assert (result.kind, result.requests) == ("waits", (1,))
    assert (request.title, request.text, request.requester, request.source) == (NEED["title"], NEED["text"], "ada", "chat")
    assert request.conversation == result.conversation
    assert "#1 (Count words)" in result.text
    assert (world.conversations().unanswered(), world.resume()) == ({result.turn: 1}, [])


def test_nothing_is_invoked_while_a_part_of_the_plan_is_missing(world: World) -> None:
    world.model = Model({"steps": [*calls(a="x")["steps"], *needs(NEED)["steps"]]})

    assert world.turn().kind == "waits"
    assert world.runtime.calls == []


@pytest.mark.parametrize("closed_as", ["done", "covered"])
def test_when_its_request_is_closed_the_task_is_finished_with_the_new_skill(world: World, closed_as: str) -> None:
    first = world.waits()
    world.catalog.held["letter-count"] = a_manifest(name="letter-count")
    world.forge.close(1, closed_as, contract=a_contract(name="letter-count"))
    world.model = Model({"steps": [{"id": "a", "skill": "letter-count", "inputs": {"text": "one two"}}]})

    results = world.resume()

    assert [(result.kind, result.conversation, result.turn, result.text) for result in results] == [
        ("answered", first.conversation, first.turn, "Two.")
    ]
    assert results[0].receipts[0].skill == "letter-count"
    assert [skill["name"] for skill in world.model.asked[0].variables["skills"]] == ["letter-count", "word-count"]
    assert world.model.asked[0].variables["history"] == []
    assert world.told(first.conversation)[-1] == "Two."
    assert (world.conversations().unanswered(), world.resume(), world.undone()) == ({}, [], [])


def test_a_new_skill_that_wants_the_persons_own_secret_says_so_when_the_task_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = world.waits()
    own = {"secrets": ["TOKEN"], "personal": ["TOKEN"]}
    world.catalog.held["letter-count"] = a_manifest(name="letter-count", permissions=own)
    world.forge.close(1, "done", contract=a_contract(name="letter-count"))
    world.model = Model({"steps": [{"id": "a", "skill": "letter-count", "inputs": {"text": "one two"}}]})

    def endpoint(skill: str, person: str = "") -> Endpoint:
        raise MissingSecret(f"{skill} has no TOKEN of {person}.", skill=skill, names=["TOKEN"], person=person)

    monkeypatch.setattr(world.runtime, "endpoint", endpoint)

    (result,) = world.resume()

    assert (result.kind, result.turn) == ("failed", first.turn) and "no TOKEN of ada" in result.text and "say it again" in result.text
    assert (world.resume(), world.undone()) == ([], [])


def test_a_retired_skill_is_no_candidate_even_where_a_request_brought_it(world: World) -> None:
    world.waits()
    world.catalog.held["letter-count"] = a_manifest(name="letter-count", status="retired")
    world.forge.close(1, "done", contract=a_contract(name="letter-count"))
    world.model = Model({"reply": "It is gone."})

    world.resume()

    assert [skill["name"] for skill in world.model.asked[0].variables["skills"]] == ["word-count"]


def test_a_request_that_is_refused_ends_the_task_and_the_person_is_told_why(world: World) -> None:
    world.waits()
    world.forge.close(1, "refused", verdict="refused", reason="It would harm.", contract=None)

    results = world.resume()

    assert [result.kind for result in results] == ["failed"]
    assert "#1 (Count words) was refused" in results[0].text and "It would harm." in results[0].text
    assert world.undone() == []


def test_a_task_with_two_needs_waits_for_both(world: World) -> None:
    world.model = Model(needs(NEED, {**NEED, "title": "Count letters"}), calls(a="x"))
    assert world.turn().requests == (1, 2)
    world.forge.close(2, "done")
    assert world.resume() == []
    world.forge.close(1, "done")

    assert [result.kind for result in world.resume()] == ["answered"]


def test_a_skill_that_is_still_missing_after_its_request_was_done_is_told(world: World) -> None:
    world.waits()
    world.forge.close(1, "done")
    world.model = Model(needs(NEED))

    results = world.resume()

    assert [result.kind for result in results] == ["failed"]
    assert "#1 (Count words)" in results[0].text
    assert (world.undone(), len(world.forge.held)) == ([], 1)


def test_a_task_may_need_another_skill_but_not_for_ever(world: World) -> None:
    first = world.waits()
    kinds = []
    for number in range(1, 4):
        world.forge.close(number, "done", contract=a_contract(name=f"count-{number}"))
        world.catalog.held[f"count-{number}"] = a_manifest(name=f"count-{number}")
        world.model = Model(needs({**NEED, "title": f"Count more {number}"}))
        kinds += [result.kind for result in world.resume()]

    assert kinds == ["waits", "waits", "failed"]
    assert (world.undone(), len(world.forge.held)) == ([], 3), "the last need raised nothing that nobody would wait for"
    assert len(world.told(first.conversation)) == 4
    assert "#1 (Count words) and #2 (Count more 1) and #3 (Count more 2)" in world.told(first.conversation)[-1]
    offered = {skill["name"] for skill in world.model.asked[0].variables["skills"]}
    assert offered == {"word-count", "count-1", "count-2", "count-3"}, "what an earlier request brought is still there"


def test_what_cannot_be_told_goes_on_waiting_and_is_not_held(world: World) -> None:
    world.waits()
    world.forge.close(1, "done")
    world.model = Model(ModelUnavailable("gone"), calls(a="x"))
    with pytest.raises(ModelUnavailable):
        world.resume()

    assert [result.kind for result in world.resume()] == ["answered"]


def test_what_cannot_be_told_in_a_turn_is_said_again(world: World) -> None:
    world.model = Model(ModelUnavailable("gone"), calls(a="x"))
    with pytest.raises(ModelUnavailable):
        world.turn()

    assert world.undone() == []
    assert world.turn().kind == "answered"


def test_a_turn_that_raised_one_of_two_requests_goes_on_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = world.forge.open_request

    def open_request(draft: RequestDraft) -> Request:
        if draft.title == "Count letters":
            raise CouldNotTell("The forge is gone.")
        return real(draft)

    monkeypatch.setattr(world.forge, "open_request", open_request)
    world.model = Model(needs(NEED, {**NEED, "title": "Count letters"}))
    with pytest.raises(CouldNotTell):
        world.turn()
    monkeypatch.undo()

    results = world.resume()

    assert [(result.kind, result.requests) for result in results] == [("waits", (1, 2))]


# ---- a conversation that waits ----------------------------------------------------------------------------------------


def test_two_tasks_of_one_conversation_wait_side_by_side(world: World) -> None:
    first = world.waits()
    second = world.waits(first.conversation, title="Count letters")
    world.model = Model(calls(a="b b"), calls(a="a"), answers=('{"text": "second"}', '{"text": "first"}'))

    world.forge.close(2, "done")
    assert [(result.turn, result.text) for result in world.resume()] == [(second.turn, "second")]
    world.forge.close(1, "done")
    assert [(result.turn, result.text) for result in world.resume()] == [(first.turn, "first")]

    assert world.told(first.conversation)[-2:] == ["second", "first"]


def test_two_tasks_that_wait_for_the_same_request_are_both_answered(world: World) -> None:
    first = world.waits()
    second = world.waits(first.conversation)
    assert (first.requests, second.requests, len(world.forge.held)) == ((1,), (1,), 1)
    world.forge.close(1, "done")
    world.model = Model(calls(a="a"), calls(a="b b"), answers=('{"text": "first"}', '{"text": "second"}'))

    results = world.resume()

    assert [(result.turn, result.text) for result in results] == [(first.turn, "first"), (second.turn, "second")]
    assert world.undone() == []


def test_a_task_that_needs_what_was_deployed_a_moment_ago_is_planned_with_it(world: World) -> None:
    first = world.waits()
    world.forge.close(1, "done")
    second = world.waits(first.conversation)
    world.model = Model(calls(a="a"), calls(a="b b"))

    assert (second.kind, second.requests) == ("waits", (1,))
    assert [result.kind for result in world.resume()] == ["answered", "answered"]


def test_the_same_need_in_a_later_task_of_a_conversation_is_requested_anew(world: World) -> None:
    first = world.waits()
    world.forge.close(1, "refused")
    world.resume()

    again = world.waits(first.conversation)

    assert (again.kind, again.requests) == ("waits", (2,))


def test_while_a_task_waits_another_is_answered_and_knows_that_it_does(world: World) -> None:
    first = world.waits()
    world.model = Model({"reply": "Not yet."})

    assert world.turn("Is it done?", first.conversation).text == "Not yet."

    assert world.model.asked[0].variables["history"] == [f"person: {TASK}", f"agent: {conversation.WAITING}"]


def test_once_it_is_answered_nothing_is_left_of_the_waiting(world: World) -> None:
    first = world.waits()
    world.forge.close(1, "done")
    world.model = Model(calls(a="one two"), {"reply": "Gladly."})
    world.resume()

    world.turn("Thanks", first.conversation)

    assert world.model.asked[-1].variables["history"] == [f"person: {TASK}", "agent: Two."]


def test_what_a_turn_came_to_later_is_found_by_whoever_asked(world: World) -> None:
    first = world.waits()
    assert world.conversations().latest(first).model_dump() == first.model_dump()
    world.forge.close(1, "done")
    world.model = Model(calls(a="one two"))
    (result,) = world.resume()

    assert world.conversations().latest(first).model_dump() == {**result.model_dump(), "outputs": {}}


# ---- the trail --------------------------------------------------------------------------------------------------------


def test_the_trail_of_a_request_tells_the_persons_side(world: World) -> None:
    first = world.waits()
    world.forge.close(1, "done")
    world.model = Model(calls(a="one two"))
    world.resume()

    assert [(event.stage, event.what, event.note, event.tokens, event.request) for event in world.events] == [
        ("planning", "asked", "", 5, 1),
        ("conversation", "raised", "Count words", 0, 1),
        ("conversation", "waits", "#1 (Count words)", 0, 1),
        ("planning", "asked", "", 5, 1),
        ("invoking", "invoked", "", 0, 1),
        ("answering", "asked", "", 5, 1),
        ("conversation", "answered", "word-count 1.0.0", 0, 1),
    ]
    told = [event for event in world.events if event.stage == "conversation"]
    assert {(event.data["asked_by"], event.data["conversation"]) for event in told} == {("ada", first.conversation)}
    assert [event_sentence(event) for event in told] == [
        "raised request #1 for ada: Count words", "waits for #1 (Count words)", "answered ada: word-count 1.0.0",
    ]  # fmt: skip


def test_what_is_private_stays_out_of_the_trail(world: World) -> None:
    world.runtime.answer = lambda inputs: fail("my-secret")
    world.model = Model({"question": "my-secret?"}, {"reply": "my-secret"}, calls(a="my-secret"), calls(a="my-secret"))
    for _ in range(3):
        world.turn("my-secret")

    assert "my-secret" not in "".join(event.model_dump_json() for event in world.events)
    assert [event_sentence(event) for event in world.events if event.stage == "conversation"] == [
        "asked ada a question", "answered ada", "could not do what ada asked: word-count did not answer: invalid-input.",
    ]  # fmt: skip


# ---- once, whoever does it --------------------------------------------------------------------------------------------


def start(world: World, act: Callable[[], Any] | None = None) -> multiprocessing.Process:
    """Another process that does this, or goes on with what can be gone on with."""
    gc.collect()  # a forked process must not inherit open databases: closing one there breaks the locks of the others
    process = multiprocessing.get_context("fork").Process(target=act or world.resume)
    process.start()
    return process  # type: ignore[return-value]


def die(*arguments: Any, **named: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(world: World, act: Callable[[], Any] | None = None) -> None:
    """Another process that does this and is killed on its way."""
    process = start(world, act)
    process.join(30)
    assert process.exitcode == -signal.SIGKILL


def test_two_processes_answer_once(world: World) -> None:
    first = world.waits()
    world.forge.close(1, "done")
    world.model = Model(lambda: time.sleep(0.3) or calls(a="one two"))

    processes = [start(world), start(world)]
    for process in processes:
        process.join(30)

    assert [process.exitcode for process in processes] == [0, 0]
    assert world.told(first.conversation)[1:] == ["Two."]
    assert len(world.runtime.calls) == 1


def test_a_task_in_a_living_processs_hands_is_left_to_it_at_once(world: World, tmp_path: Path) -> None:
    first = world.waits()
    world.forge.close(1, "done")
    begun, go_on = tmp_path / "begun", tmp_path / "go-on"

    def slowly() -> dict[str, Any]:
        begun.touch()
        wait_for(go_on)
        return calls(a="one two")

    world.model = Model(slowly)
    owner = start(world)
    wait_for(begun)

    assert world.resume() == []
    go_on.touch()
    assert world.conversations().latest(first).text == "Two.", "whoever asked may wait for the owner's answer"
    owner.join(30)
    assert world.told(first.conversation)[1:] == ["Two."]


def wait_for(path: Path) -> None:
    until = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_process_killed_while_it_plans_leaves_the_task_to_the_next(world: World) -> None:
    first = world.waits()
    world.forge.close(1, "done")
    world.model = Model(die)
    killed(world)
    world.model = Model(calls(a="one two"))

    assert [result.text for result in world.resume()] == ["Two."]
    assert world.told(first.conversation)[1:] == ["Two."]


def test_a_turn_killed_before_it_raised_anything_is_gone_on_with(world: World) -> None:
    world.model = Model(die)
    killed(world, world.turn)
    world.model = Model(calls(a="one two"))

    results = world.resume()

    assert [(result.kind, result.text) for result in results] == [("answered", "Two.")]
    assert [turn.text for turn in Memory(world.path).turns(results[0].conversation)] == [TASK, "Two."]


def test_a_turn_that_is_stopped_is_gone_on_with(world: World) -> None:
    world.model = Model(KeyboardInterrupt(), calls(a="one two"))
    with pytest.raises(KeyboardInterrupt):
        world.turn()

    assert [result.kind for result in world.resume()] == ["answered"]


@pytest.mark.parametrize("opened_before", [True, False])
def test_a_turn_killed_while_it_raises_opens_no_request_twice(world: World, monkeypatch: pytest.MonkeyPatch, opened_before: bool) -> None:
    """The request may be there (the forge outlives the process) or not; the model would word its need differently now."""
    if opened_before:
        monkeypatch.setattr(Memory, "answer", die)
        killed(world, world.waits)
        (undone,) = world.undone()
        world.forge.open_request(RequestDraft.model_validate(undone["drafts"][0]))
    else:
        monkeypatch.setattr(world.forge, "open_request", die)
        killed(world, world.waits)
    monkeypatch.undo()
    world.model = Model(needs({**NEED, "title": "Tell how many words there are"}))

    (result,) = world.resume()

    assert (result.kind, result.requests, world.model.asked) == ("waits", (1,), [])
    assert [request.title for request in world.forge.held.values()] == ["Count words"]
    assert [event.tokens for event in world.events if event.stage == "planning"] == [5], "what planning took is entered all the same"


def test_a_request_that_was_built_before_its_turn_was_gone_on_with_is_not_raised_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Memory, "answer", die)
    killed(world, world.waits)
    monkeypatch.undo()
    world.forge.open_request(RequestDraft.model_validate(world.undone()[0]["drafts"][0]))
    world.forge.close(1, "done")
    world.model = Model(calls(a="one two"))

    kinds = [[result.kind for result in world.resume()] for _ in range(2)]

    assert kinds == [["waits"], ["answered"]]
    assert len(world.forge.held) == 1


def test_a_process_killed_after_the_calls_makes_the_same_again_under_the_same_ids(world: World) -> None:
    world.model = Model(calls(a="one two"), answers=(die,))
    killed(world, world.turn)
    world.model = Model()

    (result,) = world.resume()

    assert (result.kind, world.model.says["plan"]) == ("answered", [])
    ids = [call["context"]["request_id"] for call in world.runtime.calls]
    assert ids == [f"{result.conversation}-{result.turn}-1-1-a"] * 2


def test_what_acts_each_time_is_not_called_twice(world: World) -> None:
    world.catalog = Catalog(a_manifest(annotations={"readOnly": False, "idempotent": False}))
    world.model = Model(calls(a="one two"), answers=(die,))
    killed(world, world.turn)

    (result,) = world.resume()

    assert result.kind == "failed" and "word-count may have been called already" in result.text
    assert len(world.runtime.calls) == 1
    assert world.undone() == []


def test_a_process_killed_as_it_answers_leaves_one_answer_and_one_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = world.waits()
    world.forge.close(1, "done")
    world.model = Model(calls(a="one two"))
    monkeypatch.setattr(Memory, "answer", die)
    killed(world)
    monkeypatch.undo()

    assert [result.text for result in world.resume()] == ["Two."]
    assert world.told(first.conversation)[1:] == ["Two."]
    (answered,) = [event for event in world.events if event.what == "answered"]
    assert answered.key == f"answered:{first.conversation}-{first.turn}-2-1:1", "the ledger enters a key once"


# ---- stopped by a person ------------------------------------------------------------------------------------------------


def stops(world: World, who: str = "ada") -> Callable[[], str]:
    """An answer of the model's that never comes: while it is waited for, somebody says stop, in another process."""

    def hang() -> str:
        conversation = Memory(world.path).undone()[-1].conversation
        Halts(world.path.with_name("halts.sqlite")).stop(conversation, who)
        pause(60)
        raise AssertionError("nobody broke it off")

    return hang


def test_a_call_of_the_model_breaks_off_when_somebody_says_stop_and_what_it_took_so_far_is_counted(world: World) -> None:
    world.model = Model("no plan at all", stops(world))

    result = world.turn()

    assert (result.kind, result.tokens, result.cost) == ("stopped", 5, 0.5), "the first of its two answers came, and was of no use"
    assert result.text == "Stopped: ada said so. Nothing more is done of it." == world.told(result.conversation)[-1]
    assert world.undone() == [] and world.resume() == []
    assert [(event.what, event.tokens) for event in world.events] == [("unanswered", 5), ("stopped", 0)]
    assert world.conversations().spent(result.conversation) == (5, 0.5)


def test_a_plan_that_is_stopped_lets_its_calls_finish_and_begins_no_more(world: World) -> None:
    world.catalog = Catalog(a_manifest(inputs={"type": "object", "properties": {"text": {}}}))
    world.model = Model(calls(a="one", b={"$step": "a", "path": "/words"}))
    answer = world.runtime.answer

    def stopping(inputs: dict[str, Any]) -> dict[str, Any]:
        world.conversations().stop(Memory(world.path).undone()[-1].conversation, "bob")
        return answer(inputs)

    world.runtime.answer = stopping

    result = world.turn()

    assert (result.kind, len(world.runtime.calls)) == ("stopped", 1)
    assert result.turn is not None
    (run,) = world.conversations().runs(result.turn)
    assert [kept.state for kept in run.steps] == ["done", "not begun"]


def test_what_waits_for_a_skill_is_let_go_by_the_word_alone_and_its_request_stays(world: World) -> None:
    waiting = world.waits()

    stopped = world.turn("Stop.", ident=waiting.conversation)

    assert (stopped.kind, world.undone()) == ("stopped", [])
    assert stopped.text.endswith("Nothing more is done of it. #1 (Count words) goes on without you; `/withdraw 1` takes it back.")
    asked = len(world.model.asked)
    again = world.turn("stop", ident=waiting.conversation)
    assert (again.kind, again.text, len(world.model.asked)) == ("stopped", "There is nothing that I am at.", asked), "and no model is asked"
    assert world.told(waiting.conversation)[-1] == again.text and world.undone() == []


def test_a_stop_counts_for_what_is_under_way_and_for_nothing_that_begins_later(world: World) -> None:
    world.model = Model(stops(world), {"reply": "Here I am."})
    ident = world.turn().conversation

    assert world.turn("And now?", ident=ident).text == "Here I am."
    assert world.conversations().stop(ident, "ada").turn is None
