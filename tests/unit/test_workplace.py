"""Whoever asks gets the whole answer in one go, however often their task needs one more skill, and whoever gives it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.errors import ModelUnavailable
from agent.memory import Memory
from agent.pipeline import Outcome
from agent.situation import Work
from agent.workplace import Workplace
from tests.builders import a_contract, a_manifest
from tests.unit.test_conversation import NEED, TASK, Model, World, a_world, calls, die, killed, needs


class Pipeline:
    """Builds a skill for each request that it is given, unless it is one of the `stuck`."""

    def __init__(self, world: World, stuck: tuple[int, ...] = ()) -> None:
        self.world, self.stuck = world, stuck
        self.ran: list[int | None] = []

    def run(self, only: Work | None = None, *, once: bool = False) -> Outcome:
        self.ran.append(only.request if only else None)
        numbers = [only.request] if only else [request.number for request in self.world.forge.held.values() if request.state == "open"]
        for number in numbers:
            if number not in self.stuck and number is not None:
                self.world.catalog.held[f"skill-{number}"] = a_manifest(name=f"skill-{number}")
                self.world.forge.close(number, "done", contract=a_contract(name=f"skill-{number}"))
        return Outcome()


class Parts:
    user = "ada"

    def sync(self) -> None: ...


class Checkout:
    def update(self) -> None: ...


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


def place_of(world: World, stuck: tuple[int, ...] = ()) -> Any:
    return Workplace(Parts(), Checkout(), Pipeline(world, stuck), world.conversations())  # type: ignore[arg-type]


def test_a_task_that_needs_one_skill_after_the_other_is_answered_in_one_go(world: World) -> None:
    world.model = Model(needs(NEED), needs({**NEED, "title": "Count letters"}), calls(a="one two"))
    place = place_of(world)

    result, outcome = place.ask(TASK, None)

    assert (result.kind, result.outputs, outcome.exit_code) == ("answered", {"a": {"words": 2}}, 0)
    assert place.pipeline.ran == [1, 2]


def test_a_task_with_two_needs_is_answered_once_both_are_met(world: World) -> None:
    world.model = Model(needs(NEED, {**NEED, "title": "Count letters"}), calls(a="one two"))

    result, _ = place_of(world).ask(TASK, None)

    assert result.kind == "answered"


def test_a_task_whose_request_is_stuck_waits(world: World) -> None:
    world.model = Model(needs(NEED, {**NEED, "title": "Count letters"}))
    place = place_of(world, stuck=(2,))

    result, _ = place.ask(TASK, None)

    assert (result.kind, result.requests, place.pipeline.ran) == ("waits", (1, 2), [1, 2])


def test_a_model_that_always_wants_one_more_skill_is_stopped(world: World) -> None:
    world.model = Model(*(needs({**NEED, "title": f"Count {number}"}) for number in range(9)))
    place = place_of(world)

    result, _ = place.ask(TASK, None)

    assert (result.kind, place.pipeline.ran) == ("failed", [1, 2, 3])


def test_the_answer_is_that_of_the_task_asked_though_another_of_the_conversation_ends_with_it(world: World) -> None:
    first = world.waits()
    world.model = Model(needs(NEED), calls(a="a"), calls(a="b b"), answers=('{"text": "first"}', '{"text": "second"}'))

    result, _ = place_of(world).ask(TASK, first.conversation)

    assert result.text == "second"
    assert world.told(first.conversation)[-2:] == ["first", "second"]


def test_the_answer_that_another_process_gave_meanwhile_is_the_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.model = Model(needs(NEED), calls(a="one two"))
    place = place_of(world)
    run = place.pipeline.run

    def overtaken(*arguments: Any, **named: Any) -> Outcome:
        outcome: Outcome = run(*arguments, **named)
        world.resume()
        return outcome

    monkeypatch.setattr(place.pipeline, "run", overtaken)

    result, _ = place.ask(TASK, None)

    assert (result.kind, result.text, [receipt.skill for receipt in result.receipts]) == ("answered", "Two.", ["word-count"])


def test_a_run_goes_on_with_what_its_answers_raise(world: World) -> None:
    world.waits()
    world.model = Model(needs({**NEED, "title": "Count letters"}), calls(a="one two"))
    place = place_of(world)

    _, answers = place.work()

    assert [answer.kind for answer in answers] == ["waits", "answered"]
    assert place.pipeline.ran == [None, 2]


def test_one_step_of_a_run_leaves_what_its_answers_raise(world: World) -> None:
    world.waits()
    world.model = Model(needs({**NEED, "title": "Count letters"}))

    _, answers = place_of(world).work(once=True)

    assert [answer.kind for answer in answers] == ["waits"]
    assert world.forge.held[2].state == "open"


def test_a_task_that_cannot_be_told_about_keeps_no_other_from_its_answer(world: World) -> None:
    first, _ = world.waits(), world.waits()
    world.model = Model(ModelUnavailable("gone"), calls(a="one two"))

    outcome, answers = place_of(world).work()

    assert [str(work) for work, _ in outcome.troubled] == ["#1"]
    assert [answer.kind for answer in answers] == ["answered"]
    assert [undone.turn for undone in Memory(world.path).undone()] == [first.turn]


def test_a_run_answers_what_a_killed_process_was_asked(world: World) -> None:
    world.model = Model(die)
    killed(world, world.turn)
    world.model = Model(calls(a="one two"))

    _, answers = place_of(world).work()

    assert [answer.text for answer in answers] == ["Two."]
