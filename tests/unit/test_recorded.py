"""Recorded sessions: what is found, what is served, what is said where nothing is."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from agent.errors import InvalidFile, ModelUnavailable, NoRecording
from agent.llms.recorded import NoModel, RecordedModel, RecordingModel, RekeyingModel, Session, key_of, normal
from agent.ports import Availability, Completion, Message, Question


class Echo:
    """A live model that numbers its answers."""

    name = "live/echo"

    def __init__(self) -> None:
        self.count, self._lock = 0, threading.Lock()

    def available(self) -> Availability:
        return Availability(ok=True)

    def complete(self, question: Question) -> Completion:
        with self._lock:
            self.count += 1
            return Completion(text=f"{question.purpose} {self.count}", model=self.name, tokens_in=3, tokens_out=4, cost=0.5, seconds=9.0)


def a_question(purpose: str = "plan", wording: str = "Plan!", **variables: Any) -> Question:
    return Question(purpose=purpose, variables=variables, messages=(Message(role="user", content=wording),), answer_schema={})


def a_recording(path: Path, *questions: Question) -> Path:
    model = RecordingModel(Echo(), path)
    for question in questions:
        model.complete(question)
    return path


def test_what_was_recorded_is_answered_the_same_and_costs_the_same(tmp_path: Path) -> None:
    path = a_recording(tmp_path / "deep" / "session.json", a_question(task="a"), a_question(task="b"))

    model = RecordedModel(path)

    assert model.name == "live/echo"
    said = model.complete(a_question(task="b"))
    assert (said.text, said.tokens_in, said.tokens_out, said.cost) == ("plan 2", 3, 4, 0.5)


def test_the_file_has_the_documented_form(tmp_path: Path) -> None:
    path = a_recording(tmp_path / "session.json", a_question(task="ä"))

    document = json.loads(path.read_text())

    key = key_of(a_question(task="ä"))
    exchange = {"purpose": "plan", "key": key, "variables": {"task": "ä"}, "text": "plan 1", "tokens_in": 3, "tokens_out": 4, "cost": 0.5}
    assert document == {"format": 1, "model": "live/echo", "exchanges": [exchange]}


def test_the_wording_of_a_prompt_does_not_count(tmp_path: Path) -> None:
    path = a_recording(tmp_path / "s.json", a_question(wording="Plan!", task="a"))

    assert RecordedModel(path).complete(a_question(wording="Please plan.", task="a")).text == "plan 1"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("see /tmp/abc/x.py:3", "see /tmp/xyz/deep/x.py:3"),
        ("at 2025-01-02T03:04:05.678Z", "at 2026-11-12T13:14:15+00:00"),
        ("1 failed in 0.31s", "1 failed in 12.05s"),
        ("sha256:" + "0a" * 32, "sha256:" + "1b" * 32),
        ("commit 1a2b3c4d5e", "commit ff00ff11aa"),
        ("<object at 0x7f0011223344>", "<object at 0x7fffeeddccbb>"),
        ("http://127.0.0.1:4567/execute", "http://localhost:9999/execute"),
        ("a line  \nand more \n", "a line\nand more"),
    ],
)
def test_what_differs_from_run_to_run_does_not_count(one: str, other: str) -> None:
    assert key_of(a_question(problem={"at": [one]})) == key_of(a_question(problem={"at": [other]}))


@pytest.mark.parametrize(
    ("one", "other"),
    [("90 minutes", "30 minutes"), ("1234567", "7654321"), ("defaced", "effaced"), ("a/b", "a/c"), ("  x", "x"), ("wait 2 s", "wait 3 s"), (1, 2)],
)
def test_what_people_mean_counts(one: object, other: object) -> None:
    assert key_of(a_question(task=one)) != key_of(a_question(task=other))


def test_normalising_keeps_the_shape() -> None:
    assert normal({"a": (1, None, True, "x ")}) == {"a": [1, None, True, "x"]}


def test_an_exact_recording_goes_before_one_that_is_alike(tmp_path: Path) -> None:
    one, other = a_question(task="is 2025-01-01T00:00:00Z early?"), a_question(task="is 2030-01-01T00:00:00Z early?")
    model = RecordedModel(a_recording(tmp_path / "s.json", one, other))

    assert [model.complete(other).text, model.complete(one).text, model.complete(other).text] == ["plan 2", "plan 1", "plan 2"]


def test_a_question_recorded_twice_is_answered_in_order_and_then_by_the_last(tmp_path: Path) -> None:
    model = RecordedModel(a_recording(tmp_path / "s.json", a_question(task="a"), a_question(task="a")))

    assert [model.complete(a_question(task="a")).text for _ in range(3)] == ["plan 1", "plan 2", "plan 2"]


def test_a_question_without_a_recording_says_which_variable_differs_and_how_to_set_a_model(tmp_path: Path) -> None:
    path = a_recording(tmp_path / "s.json", a_question(task="a", skills=["x"]), a_question(task="b", skills=["y"]))

    with pytest.raises(NoRecording) as caught:
        RecordedModel(path).complete(a_question(task="b", skills=["z"]))

    assert "'plan'" in caught.value.what and 'task="b"' in caught.value.what
    assert "['skills']" in caught.value.why
    for hint in ("SKILLOPS_MODEL=openai/", "SKILLOPS_MODEL=anthropic/", "SKILLOPS_MODEL=ollama/", "SKILLOPS_API_BASE="):
        assert hint in caught.value.next_step


def test_a_purpose_without_a_recording_says_so(tmp_path: Path) -> None:
    path = a_recording(tmp_path / "s.json", a_question(task="a"))

    with pytest.raises(NoRecording) as caught:
        RecordedModel(path).complete(a_question("review", task="a"))

    assert "No question of the purpose 'review'" in caught.value.why


@pytest.mark.parametrize(
    "content", [None, "", "prose", "[]", '{"format": 1}', '{"format": 2, "model": "x", "exchanges": []}', '{"model": "x", "exchanges": [{}]}']
)
def test_a_file_that_is_no_session_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "s.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(InvalidFile, match=r"s\.json"):
        RecordedModel(path)


def test_recording_side_by_side_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    model = RecordingModel(Echo(), path)
    threads = [threading.Thread(target=model.complete, args=(a_question(task=str(number)),)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {exchange.variables["task"] for exchange in Session.read(path).exchanges} == {str(number) for number in range(20)}
    assert [each.name for each in tmp_path.iterdir()] == ["s.json"]


def test_rekeying_makes_an_old_session_fit_new_variables(tmp_path: Path) -> None:
    path = a_recording(tmp_path / "s.json", a_question(task="a"), a_question("answer", task="a"), a_question(task="b"), a_question("review"))
    model = RekeyingModel(path)
    asked = [a_question(task="a", failure=None), a_question("answer", results=[], task="a"), a_question(task="b", failure=None)]
    said = [model.complete(question).text for question in asked]

    dropped = model.save()

    assert dropped == ("review",)
    again = RecordedModel(path)
    assert [again.complete(question).text for question in asked] == said == ["plan 1", "answer 2", "plan 3"]
    with pytest.raises(NoRecording):
        again.complete(a_question(task="a"))


def test_rekeying_says_where_more_is_asked_than_was_recorded(tmp_path: Path) -> None:
    model = RekeyingModel(a_recording(tmp_path / "s.json", a_question(task="a")))
    model.complete(a_question(task="b"))

    with pytest.raises(NoRecording, match="'plan'"):
        model.complete(a_question(task="c"))


def test_rekeying_leaves_side_by_side_questions_with_their_own_answers(tmp_path: Path) -> None:
    path = a_recording(tmp_path / "s.json", a_question(task="a"), a_question(task="b"))
    model = RekeyingModel(path)

    assert [model.complete(a_question(task="b")).text, model.complete(a_question(task="a")).text] == ["plan 2", "plan 1"]


def test_no_model_says_how_to_set_one() -> None:
    model = NoModel()

    assert not model.available().ok and "SKILLOPS_MODEL=" in model.available().fix
    with pytest.raises(ModelUnavailable, match="SKILLOPS_MODEL="):
        model.complete(a_question())
