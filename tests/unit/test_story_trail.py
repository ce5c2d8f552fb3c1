"""The words of the trail: each has a sentence, and each sentence is used; and the story that they tell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

import agent
from agent.conversation import Result
from agent.domain.decision import Problem
from agent.domain.event import Event
from agent.domain.proposal import ProposalDraft
from agent.domain.request import RequestDraft
from agent.errors import NotFound
from agent.forges.local import LocalForge
from agent.ledger import SqliteLedger
from agent.story import SHORT, WORDS, event_sentence, story
from reviewers.human import Said

SOURCES = sorted(Path(agent.__file__).parent.rglob("*.py"))
WATCHED = {"started", "finished"}  # told to who watches, never recorded
SPOKEN = {*get_args(Result.model_fields["kind"].annotation), *get_args(Said)}  # recorded as the value that they are


def constants(node: ast.expr | None) -> Iterator[str]:
    """The strings that an expression may be: itself, or the arms of a conditional."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from constants(node.body)
        yield from constants(node.orelse)


def words_of(tree: ast.Module) -> Iterator[str]:
    """What a module gives as `what`: to Event, to its own functions that pass it on, or as an update of an event."""
    makers = {"Event": -1, "opening": 2}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = [argument.arg for argument in node.args.args]
            if "what" in names and any(isinstance(call, ast.Call) and ast.unparse(call.func) == "Event" for call in ast.walk(node)):
                makers[node.name] = names.index("what")
                for name, default in zip(reversed(names), reversed(node.args.defaults), strict=False):
                    yield from constants(default if name == "what" else None)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (place := makers.get(ast.unparse(node.func).rpartition(".")[2])) is not None:
            yield from constants(next((keyword.value for keyword in node.keywords if keyword.arg == "what"), None))
            yield from constants(node.args[place] if 0 <= place < len(node.args) else None)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "what":
            yield from constants(node.value)
        elif isinstance(node, ast.Dict):
            keys = [next(constants(key), "") for key in node.keys]
            yield from (word for key, value in zip(keys, node.values, strict=True) if key == "what" for word in constants(value))


def recorded() -> set[str]:
    return {word for source in SOURCES for word in words_of(ast.parse(source.read_text()))} | SPOKEN


def test_every_word_that_the_code_records_has_a_sentence() -> None:
    found = recorded() - WATCHED
    assert {"attempt", "unanswered", "gave_up", "removed", "held", "decided"} <= found
    assert found - WORDS == set()


def test_every_sentence_is_for_a_word_that_the_code_records() -> None:
    assert WORDS - recorded() == set()


def an_event(what: str, **traits: Any) -> Event:
    return Event(stage="proposing", what=what, actor="ada", **traits)


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (an_event("held", note="until Monday"), "ada put it on hold: until Monday"),
        (an_event("held"), "ada put it on hold"),
        (an_event("merged", proposal=2, commit="abcdef0123456789"), "merged #2 as abcdef01"),
        (an_event("checked", outcome="could_not_tell", note="No sandbox.", data={"check": "tests"}), "tests: could not tell. No sandbox."),
        (an_event("invoked", skill="word-count", outcome="failed", note="It timed out."), "called word-count: It timed out."),
        (an_event("asked", data={"model": "openai/gpt-5"}), "proposing: asked openai/gpt-5"),
    ],
)
def test_an_event_reads_as_a_sentence(event: Event, sentence: str) -> None:
    assert event_sentence(event) == sentence


def test_a_long_note_of_many_lines_is_one_line_and_is_cut_only_where_a_width_is_given() -> None:
    event = an_event("stumbled", note="The disk is full.\n\n" + "word " * 100)
    assert event_sentence(event).count("word") == 100
    assert "\n" not in event_sentence(event)
    shown = event_sentence(event, SHORT)
    assert len(shown) <= len("could not go on: ") + SHORT
    assert shown.endswith("…")


def test_a_failed_draft_tells_two_problems_in_short_and_counts_the_rest() -> None:
    problems = [Problem(source="tests", message=f"problem {number}\n" + "x" * 5000, path="skills/a/skill.py", line=3) for number in range(5)]
    event = an_event("attempt", outcome="failed", data={"attempt": 2, "problems": [problem.model_dump() for problem in problems]})
    told = event_sentence(event)
    assert told.startswith("draft 2 failed; tests: skills/a/skill.py:3: problem 0 xxx")
    assert "problem 1" in told and "problem 2" not in told
    assert told.endswith("; and 3 more")
    assert len(told) < 2 * SHORT + 60


@pytest.mark.parametrize("note", ["{actor}", "{0}", "{", "%s {note}"])
def test_a_note_is_told_as_it_is_whatever_braces_it_has(note: str) -> None:
    assert event_sentence(an_event("gave_up", note=note)) == f"out of budget: {note}"


@pytest.fixture
def world(tmp_path: Path) -> tuple[LocalForge, SqliteLedger]:
    forge, ledger = LocalForge.found(tmp_path / "origin.git"), SqliteLedger(tmp_path / "ledger.sqlite")
    forge.commit("main", {"README.md": b"skills\n"}, parent=None, message="Start", author="ada")
    forge.open_request(RequestDraft(key="k", title="Count words", text="How many?", requester="ada", source="cli"))
    forge.commit("skillops/1-word-count", {"skills/word-count/skill.yaml": b"x"}, parent=None, message="Draft", author="ada")
    draft = {"branch": "skillops/1-word-count", "skill": "word-count", "kind": "new", "title": "Add word-count", "body": "", "author": "ada"}
    forge.open_proposal(ProposalDraft.model_validate({**draft, "request": 1}))
    ledger.record(an_event("assessed", request=1, seconds=1.5, tokens=10, cost=0.01))
    ledger.record(an_event("merged", proposal=2, seconds=0.5))
    ledger.record(an_event("held", proposal=9))
    return forge, ledger


def test_a_story_is_the_same_by_the_number_of_the_request_or_of_its_proposal(world: tuple[LocalForge, SqliteLedger]) -> None:
    by_request, by_proposal = story(1, *world), story(2, *world)
    assert [entry.event.what for entry in by_request.entries] == ["assessed", "merged"]
    assert by_proposal == by_request.model_copy(update={"number": 2})
    assert (by_request.title, by_request.state, by_request.request, by_request.proposals) == ("Count words", "open", 1, (2,))


def test_a_story_sums_what_its_steps_took(world: tuple[LocalForge, SqliteLedger]) -> None:
    told = story(1, *world)
    assert (told.seconds, told.tokens, told.cost, told.tampered) == (2.0, 10, 0.01, None)


def test_a_number_that_is_nobodys_has_no_story(world: tuple[LocalForge, SqliteLedger]) -> None:
    with pytest.raises(NotFound, match="no request or proposal #7"):
        story(7, *world)
