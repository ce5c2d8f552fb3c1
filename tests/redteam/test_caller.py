"""A skill that has come in and wants others to work for it: through the address at which it reaches those that it requires."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agent.domain.requirement import DEEPEST
from tests.callers import Place
from tests.redteam.threats import threat
from tests.runtimes import ProcessBench

pytestmark = pytest.mark.bubblewrap


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    bench = ProcessBench(tmp_path_factory.mktemp("place"))
    found = Place(bench)
    yield found
    found.board.close()
    bench.close()


def raw(ticket: str = "TICKET", path: str = "/skills/word-count/execute", verb: str = "POST", more: str = "", **body: Any) -> str:
    text = json.dumps({"inputs": {"text": "a"}, "context": {"call": ticket}, **body})
    return f"{verb} {path} HTTP/1.1\r\nHost: gateway.skillops.internal\r\n{more}Content-Length: {len(text)}\r\n\r\n{text}"


def said(place: Place, request: str) -> str:
    """What comes back to these bytes of thief's."""
    return str(place.call("thief", how="raw", text=request).outputs["told"])


@threat(70)
def test_a_skill_calls_none_that_it_does_not_require(place: Place) -> None:
    """thief requires asks alone, and its call is under way: neither another path, method or host nor a word of its own about itself helps."""
    odd = ("/skills/word-count/execute", "/skills/asks/../word-count/execute", "/skills/asks%2f..%2fword-count/execute", "/execute", "/table",
           "/skills//word-count/execute", "http://127.0.0.1:8765/skills/word-count/execute", "/skills/word-count@1.0.0/execute")  # fmt: skip
    told = [said(place, raw(path=path)) for path in odd] + [said(place, raw(verb=verb)) for verb in ("GET", "CONNECT", "PUT")]
    told.append(said(place, raw(more="X-SkillOps-Skill: asks\r\n")))
    assert not any('"success": true' in each for each in told), told
    assert all(each.startswith("HTTP/1.1 ") for each in told) and place.call().outputs["told"]["success"], "the way is open, and leads nowhere else"


@threat(71)
def test_the_ticket_of_another_skills_call_or_of_one_that_is_over_is_worth_nothing(place: Place) -> None:
    tickets = list[str]()
    opened = place.board._lines
    with place.board.line(_Anybodys("asks")) as ticket:
        assert ticket in opened
        forged = [ticket, ticket[:-1] + ("0" if ticket[-1] != "0" else "1"), ticket.replace("-", "-0", 1), f"../{ticket}", ticket.upper()]
        tickets += [place.code("thief", whom="asks", how="stolen", call=each) for each in forged]
        told = said(place, raw(ticket, "/skills/asks/execute", more="X-SkillOps-Skill: asks\r\n"))
    over = place.call().outputs["context"]["call"]
    tickets.append(place.code(how="stolen", call=over))
    assert set(tickets) == {"no-call"} and '"no-call"' in told and not opened


@threat(72)
def test_skills_that_call_one_another_in_a_circle_come_to_an_end(place: Place) -> None:
    """asks and thief require one another, as two proposals may have brought it about that were judged side by side."""
    told, deep = place.call(text="a", whom="thief", how="round").outputs["told"], 1
    while told["success"]:
        told, deep = told["outputs"]["told"], deep + 1
    assert (told["error"]["code"], deep) == ("too-deep", DEEPEST)


class _Anybodys:
    """A line over which everything is answered."""

    def __init__(self, skill: str) -> None:
        self.skill = skill

    def carry(self, name: str, inputs: Any, seconds: float | None) -> Any:
        raise AssertionError("it was used")
