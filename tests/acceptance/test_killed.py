"""kill -9 at every stage: the next run carries on, nothing is lost, and nothing that can be seen happens twice.

One task goes from a person's question to the agent's answer through a chain of processes. Each is killed at the moment
that is named, a little further on than the one before; the last is this one, which is left alone.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.domain.event import Event
from tests.acceptance.harness import CODE, Home, a_draft, answers

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]

TASK = "How many words has “to be or not to be”?"
MOMENTS = (
    # the conversation raises the request
    "after memory.keep", "after forge.open_request",
    # assessing
    "before forge.say", "after forge.say",
    # proposing: the witness, two attempts of the author, the proposal
    "before forge.commit", "after forge.commit", "event attempt", "event attempt", "after forge.commit", "after forge.open_proposal",
    # checking: the verdicts of a head are posted one by one, then entered in the ledger
    "before forge.post_check", "after forge.post_check", "after forge.post_check", "event checked",
    # reviewing and deciding
    "event reviewed", "after forge.post_review", "before forge.post_review", "after forge.say", "event decided",
    # merging: main is moved first, then the forge's own record
    "before forge.merge", "before forge._end", "event merged",
    # releasing and deploying
    "before forge.commit", "after forge.commit", "before runtime.deploy", "after runtime.deploy", "event deployed",
    # reporting, and the answer to the person
    "after forge.say", "after forge.close_request", "event answered", "before memory.answer", "after memory.answer",
)  # fmt: skip


def script() -> dict[str, Any]:
    """The author's first draft fails; what is said depends on the question alone, so that any process can ask it."""
    wrong = a_draft(CODE.replace("len(", "1 + len("))
    return answers(author=lambda question: a_draft() if question.variables["attempt"] else wrong)


def doomed(path: Path, moment: str) -> None:
    """Opens the repository, works on what there is, and dies at the moment."""

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    when, what = moment.split()

    def tell(event: Event) -> None:
        if when == "event" and event.what == what:
            die()

    home = Home(path, script(), tell)
    if when != "event":
        part, name = what.split(".")
        owner = {"forge": home.forge, "runtime": home.parts.runtime, "memory": home.place.conversations.memory}[part]
        _wrap(owner, name, **{when: die})
    if home.place.conversations.memory.latest("ada") is None:
        home.place.ask(TASK, None)
    home.place.work()


def _wrap(owner: Any, name: str, before: Callable[[], None] = lambda: None, after: Callable[[], None] = lambda: None) -> None:
    real = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        before()
        result = real(*arguments, **named)
        after()
        return result

    setattr(owner, name, wrapped)


class Survived(NamedTuple):
    home: Home
    endings: list[tuple[str, int | None]]


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survived]:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.acceptance.harness"])
    home = Home.founded(tmp_path_factory.mktemp("killed") / "skills", script())
    endings = []
    for moment in MOMENTS:
        process = processes.Process(target=doomed, args=(home.path, moment))
        process.start()
        process.join()
        endings.append((moment, process.exitcode))
    home.place.work()
    yield Survived(home, endings)
    home.close()


def test_every_moment_came_and_killed_the_process(survived: Survived) -> None:
    assert [(moment, code) for moment, code in survived.endings if code != -signal.SIGKILL] == []


def test_there_is_one_request_and_it_is_done(survived: Survived) -> None:
    assert [(request.number, request.state, request.closed_as) for request in survived.home.forge.requests("all")] == [(1, "closed", "done")]


def test_there_is_one_proposal_with_one_merge_and_one_branch(survived: Survived) -> None:
    home = survived.home
    assert [(proposal.number, proposal.state) for proposal in home.forge.proposals("all")] == [(2, "merged")]
    assert len(home.git("rev-list", "--merges", "main").split()) == 1
    assert home.git("branch", "--format=%(refname:short)").split() == ["main", home.proposal().branch]
    authors = home.git("log", "--format=%an", f"{home.proposal().base}..{home.proposal().head}").split()
    assert authors == ["skillops-author", "skillops-witness"]


def test_every_verdict_was_given_at_the_head_that_was_merged(survived: Survived) -> None:
    home, proposal = survived.home, survived.home.proposal()
    assert {result.outcome for result in home.forge.checks(2, proposal.head).results} == {"passed"}
    assert home.forge.checks(2, proposal.head).covers(check.name for check in home.parts.checks)
    assert {review.reviewer for review in home.forge.reviews(2, proposal.head)} == {"correctness", "security", "fit"}


def test_the_registry_rose_once_and_the_skill_serves(survived: Survived) -> None:
    home = survived.home
    assert (home.registry().revision, [entry.version for entry in home.registry().skills]) == (1, ["1.0.0"])
    assert [(service.skill, service.version) for service in home.parts.runtime.services()] == [("word-count", "1.0.0")]
    assert home.call("a b c") == {"words": 3}


def test_nothing_is_said_twice(survived: Survived) -> None:
    said = [comment for number in (1, 2) for comment in survived.home.forge.comments(number)]
    assert Counter((comment.number, (comment.marker or "").split("-")[0]) for comment in said) == {
        (1, "gap"): 1,
        (1, "progress"): 1,
        (1, "outcome"): 1,
        (2, "progress"): 1,
    }


def test_the_trail_is_whole_and_has_each_thing_once(survived: Survived) -> None:
    ledger = survived.home.parts.ledger
    events = [entry.event for entry in ledger.entries()]
    assert ledger.tampered() is None
    once = ("raised", "proposed", "merged", "released", "deployed", "answered")
    words = Counter(event.what for event in events)
    assert {word: words[word] for word in once} == dict.fromkeys(once, 1)
    checked = Counter(event.data["check"] for event in events if event.what == "checked")
    assert checked == {check.name: 1 for check in survived.home.parts.checks}
    assert [event.outcome for event in events if event.what == "attempt"] == ["failed", "passed"], "no attempt that was paid for is lost"
    assert [event.outcome for event in events if event.what == "decided"] == ["merge"]


def test_the_person_has_one_answer_with_its_receipt(survived: Survived) -> None:
    memory = survived.home.place.conversations.memory
    conversation = memory.latest("ada")
    assert conversation is not None
    said = [(turn.role, turn.text) for turn in memory.turns(conversation.id)]
    assert said[0] == ("person", TASK)
    assert [text for _, text in said].count("It has 6 words.") == 1
    answered = memory.turns(conversation.id)[-1]
    assert answered.data["receipts"][0]["skill"] == "word-count"
    assert memory.undone() == []


def test_another_run_finds_nothing_left_to_do(survived: Survived) -> None:
    outcome, given = survived.home.place.work()
    assert (outcome.moved, outcome.waiting, outcome.troubled, given) == ([], [], [], [])
