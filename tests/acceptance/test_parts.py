"""A request that needs several skills is divided: each part is a request of its own, and the whole is answered when all are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.domain.progress import Stage, State
from agent.domain.request import RequestDraft
from agent.errors import CouldNotTell
from agent.gateway.pages.attention import attention
from agent.gateway.pages.requests import _AT, progress
from agent.starter import starting_files
from tests import hub
from tests.acceptance.harness import Home, an_assessment, answers
from tests.acceptance.test_github_story import open_home

PARTS = [{"title": "Count words", "text": "How many words has a text?"}, {"title": "Count lines", "text": "How many lines has a text?"}]
DIVIDED = {"verdict": "several", "reason": "two things are counted", "parts": PARTS}
NAMES = {"Count words": "word-count", "Count lines": "line-count", "Count letters": "letter-count"}


def assessed(whole: Any = DIVIDED, **parts: Any) -> Callable[[Any], Any]:
    """`whole` of what is no part, and of the parts a new skill, unless `parts` has another answer by the last word of the title."""

    def assess(question: Any) -> Any:
        title = question.variables["title"]
        if question.variables["whole"]:
            return whole(question) if callable(whole) else whole
        return parts.get(title.split()[-1], an_assessment(NAMES[title]))

    return assess


REFUSED = {"verdict": "refused", "reason": "lines are nobody's business"}


def divided(tmp_path: Path, assess: Any, **said: Any) -> tuple[Home, int]:
    home = Home.founded(tmp_path / "skills", answers(assess=assess, **said)).bare()
    return home, home.request("Count things", "Count the words of a text, and its lines.")


def closed(home: Home) -> dict[str, str]:
    return {request.title: request.closed_as for request in home.forge.requests("all")}


def test_each_part_becomes_a_request_and_the_whole_is_answered_when_all_are_deployed(tmp_path: Path) -> None:
    home, number = divided(tmp_path, assessed())

    outcome = home.run(number)  # one work's run takes its parts along

    assert (outcome.exit_code, outcome.troubled) == (0, [])
    assert closed(home) == {"Count things": "done", "Count words": "done", "Count lines": "done"}
    assert [(request.parent, request.requester) for request in home.forge.requests("all")] == [(None, "ada"), (number, "ada"), (number, "ada")]
    assert sorted(entry.name for entry in home.registry().skills) == ["line-count", "word-count"]
    (progress,) = [comment.text for comment in home.forge.comments(number) if comment.marker == "parts"]
    assert "- [x] #2 Count words\n- [x] #3 Count lines\n\n2 of 2 are there." in progress
    assert "Every part of this is there" in home.said_on(number)
    assert [event.data["part"] for event in home.ledger("divided")] == [2, 3]


def test_while_a_part_waits_for_a_person_its_whole_waits_for_it_and_shows_what_is_there(tmp_path: Path) -> None:
    home, number = divided(tmp_path, assessed(lines={"verdict": "vague", "reason": "it is open", "question": "Does an empty line count?"}))

    outcome = home.run()

    assert {str(work): step.waiting_for for work, step in outcome.waiting} == {f"#{number}": "parts", "#3": "requester"}
    assert outcome.exit_code == 3 and "- [x] #2 Count words\n- [ ] #3 Count lines\n\n1 of 2 are there." in home.said_on(number)


def test_a_refused_part_is_told_once_and_a_persons_word_has_the_whole_assessed_anew(tmp_path: Path) -> None:
    letters = {**DIVIDED, "parts": [PARTS[0], {"title": "Count letters", "text": "How many letters has a text?"}]}
    home, number = divided(tmp_path, assessed(lambda question: letters if "letters" in str(question.variables["said"]) else DIVIDED, lines=REFUSED))

    first = home.run()
    again = home.run()

    assert [(str(work), step.waiting_for) for work, step in first.waiting] == [(f"#{number}", "person")] and first.exit_code == 3
    assert again.moved == [] and home.said_on(number).count("cannot be done without it") == 1
    assert "#3 (Count lines) was refused" in home.said_on(number) and "#3 (Count lines)" in first.waiting[0][1].why

    (shown,) = attention(home.parts)["person"]
    assert (shown.kind, shown.address, progress(home.parts, number).waiting_for) == ("requester", f"/requests/{number}", "person")

    home.forge.say(number, "Count its letters, not its lines.", author="ada")
    assert home.run().exit_code == 0
    assert closed(home) == {"Count things": "done", "Count words": "done", "Count lines": "refused", "Count letters": "done"}


def test_every_state_has_its_place_on_the_road_that_the_pages_show() -> None:
    assert set(_AT) == set(State)


def test_the_same_parts_again_do_not_turn_in_a_circle(tmp_path: Path) -> None:
    home, number = divided(tmp_path, assessed(lines=REFUSED))
    home.run()
    home.forge.say(number, "I want it all the same.", author="ada")

    outcome = home.run()

    assert [(work.request, step.waiting_for) for work, step in outcome.waiting] == [(number, "person")] and outcome.troubled == []
    assert len(home.model.of("assess")) == 4 and len(home.forge.requests("all")) == 3


def test_a_part_is_not_divided_again(tmp_path: Path) -> None:
    home, number = divided(tmp_path, assessed(words=DIVIDED))

    outcome = home.run(number)

    assert [(str(work), "usable answer" in str(error)) for work, error in outcome.troubled] == [("#2", True)]
    assert "is not divided again" in str(home.model.of("assess")[2].variables["problem"])
    assert len(home.forge.requests("all")) == 3 and outcome.exit_code == 4


def test_a_run_that_was_killed_while_it_divided_leaves_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, number = divided(tmp_path, assessed())
    plain, seen = home.forge.open_request, list[str]()

    def killed(draft: Any) -> Any:
        seen.append(draft.title)
        if len(seen) == 2:
            raise CouldNotTell("It was killed.")
        return plain(draft)

    monkeypatch.setattr(home.forge, "open_request", killed)
    assert [str(work) for work, _ in home.run(number).troubled] == [f"#{number}"]
    monkeypatch.undo()

    assert home.run().exit_code == 0
    assert closed(home) == {"Count things": "done", "Count words": "done", "Count lines": "done"}
    assert [event.data["part"] for event in home.ledger("divided")] == [2, 3]


def test_who_asked_is_answered_when_every_part_is_there(tmp_path: Path) -> None:
    def plan(question: Any) -> dict[str, Any]:
        skills = {skill["name"] for skill in question.variables["skills"]}
        need = {"title": "Count things", "text": "Count the words of a text, and its lines."}
        return {"reply": "Both are there."} if skills >= {"word-count", "line-count"} else {"steps": [{"id": "count", "need": need}]}

    home = Home.founded(tmp_path / "skills", answers(assess=assessed(), plan=plan)).bare()

    result, outcome = home.place.ask("How many words and lines has this?", None)

    assert (result.kind, result.text, outcome.exit_code) == ("answered", "Both are there.", 0)
    assert closed(home) == {"Count things": "done", "Count words": "done", "Count lines": "done"}


# ---- on GitHub -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def github() -> Iterator[hub.Hub]:
    with hub.running() as server:
        yield server


@pytest.mark.github
def test_on_github_the_parts_are_sub_issues_of_the_issue(github: hub.Hub, tmp_path: Path) -> None:
    assert github.proxy is not None
    forge = github.forge("parts")
    repository = forge.api.repository
    forge.commit("main", starting_files(), parent=None, message="A new skills repository", author="ada")
    home = open_home(tmp_path / "clone", github, repository, said=answers(assess=assessed())).bare()
    body = {"title": "Count things", "body": "Count the words of a text, and its lines.", "labels": ["capability"]}
    number = github.ask("POST", f"/repos/{repository}/issues", body, hub.ADA)[1]["number"]

    outcome = home.run()

    assert (outcome.exit_code, outcome.troubled) == (0, [])
    assert closed(home) == {"Count things": "done", "Count words": "done", "Count lines": "done"}
    assert outcome.moved[1][1].state is State.DIVIDED and outcome.moved[1][1].stage is Stage.DIVIDE
    parts = [github.ask("GET", f"/repos/{repository}/issues/{each.number}")[1]["id"] for each in home.forge.requests("all") if each.parent == number]
    assert github.proxy.lacks.sub_issues[f"/repos/{repository}", number] == parts and len(parts) == 2
    assert github.ask("GET", f"/repos/{repository}/issues/{number}")[1]["body"] == body["body"]


@pytest.mark.github
@pytest.mark.parametrize("ours", [True, False])
def test_where_github_has_no_sub_issues_the_parts_are_a_task_list_in_the_issue(github: hub.Hub, ours: bool) -> None:
    assert github.proxy is not None
    forge = github.forge(f"a list {ours}")
    place = f"/repos/{forge.api.repository}"
    github.proxy.lacks.without_sub_issues.add(place)
    drafted = RequestDraft(key="k", title="Count things", text="Count @all words <!-- and lines -->", requester="ada", source="chat")
    body = {"title": drafted.title, "body": drafted.text, "labels": ["capability"]}
    number = forge.open_request(drafted).number if ours else github.ask("POST", f"{place}/issues", body, hub.ADA)[1]["number"]
    whole = forge.request(number)

    for each in (*PARTS, PARTS[0]):
        part = forge.open_request(RequestDraft(key=each["title"], **each, requester="ada", source="chat", parent=number))
    forge.close_request(part.number, "done")

    text = github.ask("GET", f"{place}/issues/{number}")[1]["body"]
    assert f"- [x] #{number + 1}\n- [ ] #{number + 2}\n<!-- /skillops:parts -->" in text and text.count("- [") == 2
    assert forge.request(number) == whole and whole.text == drafted.text
