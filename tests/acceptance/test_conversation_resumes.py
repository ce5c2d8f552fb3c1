"""A task that waited for a skill is finished by whatever process comes next, and answered once."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from agent.errors import ModelUnavailable
from tests.acceptance.conftest import Founding
from tests.acceptance.harness import Home, answers

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]

TASK = "How many words has “to be or not to be”?"


def asked(home: Home, text: str = TASK) -> str:
    """A person asks, and the request that this raises is left to others. Returns the conversation."""
    result = home.place.conversations.turn(None, text, "ada")
    assert result.kind == "waits", result
    return result.conversation


def said(home: Home, conversation: str) -> list[str]:
    """What the agent said, in order."""
    return [turn.text for turn in home.place.conversations.memory.turns(conversation) if turn.role == "agent"]


def work(path: Path) -> None:
    Home(path).place.work()


def test_one_command_answers_what_another_asked(founded: Founding) -> None:
    home = founded()
    conversation = asked(home)

    outcome, given = home.reopened().place.work()

    assert outcome.exit_code == 0
    assert [(answer.conversation, answer.text) for answer in given] == [(conversation, "It has 6 words.")]
    receipt = given[0].receipts[0]
    entry = home.registry().skills[0]
    assert (receipt.skill, receipt.version, receipt.digest) == (entry.name, entry.version, entry.digest)
    assert (receipt.proposal, set(receipt.approvers)) == (entry.proposal, {"correctness", "fit", "security"})
    assert said(home, conversation)[-1] == "It has 6 words."


def test_ask_does_the_whole_of_it_and_a_second_question_needs_no_request(founded: Founding) -> None:
    home = founded()

    first, outcome = home.place.ask(TASK, None)
    second, _ = home.place.ask("And “to be or not to be” again?", first.conversation)

    assert (first.kind, outcome.exit_code) == ("answered", 0)
    assert (second.kind, second.text) == ("answered", "It has 6 words.")
    assert len(home.forge.requests("all")) == 1
    assert (home.place.checkout.root / "skills/word-count/skill.py").is_file(), "the clone is brought up to date"


def test_two_processes_at_once_give_one_answer(founded: Founding) -> None:
    home = founded()
    conversation = asked(home)
    processes = multiprocessing.get_context("forkserver")
    workers = [processes.Process(target=work, args=(home.path,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [worker.exitcode for worker in workers] == [0, 0]
    assert said(home, conversation).count("It has 6 words.") == 1
    assert len(home.ledger("answered")) == 1
    assert home.registry().revision == 1


def test_two_people_who_wait_for_the_same_skill_are_both_answered(founded: Founding) -> None:
    covered: dict[str, Any] = {"verdict": "covered", "reason": "it counts words", "skill": "word-count", "call": {"text": "a b"}}
    usual = answers()
    home = founded(answers(assess=lambda question: covered if question.variables["skills"] else usual["assess"](question)))
    conversations = [asked(home), asked(home)]

    _, given = home.place.work()

    assert sorted(answer.conversation for answer in given) == sorted(conversations)
    assert {answer.text for answer in given} == {"It has 6 words."}
    assert [request.closed_as for request in home.forge.requests("all")] == ["done", "covered"]


def test_what_cannot_be_answered_now_goes_on_waiting(founded: Founding) -> None:
    home = founded()
    conversation = asked(home)

    outcome, given = home.reopened(answers(answer=[ModelUnavailable("The model is down.")])).place.work()

    assert (given, outcome.exit_code) == ([], 4)
    assert [error.what for _, error in outcome.troubled] == ["The model is down."]
    assert home.registry().revision == 1, "the skill is there all the same"
    _, given = home.reopened().place.work()
    assert [(answer.conversation, answer.text) for answer in given] == [(conversation, "It has 6 words.")]


def test_a_person_whose_request_is_refused_is_told_why(founded: Founding) -> None:
    home = founded(answers(assess=[{"verdict": "refused", "reason": "nobody may count words"}]))
    conversation = asked(home)

    _, given = home.place.work()

    assert [answer.kind for answer in given] == ["failed"]
    assert "nobody may count words" in said(home, conversation)[-1]
