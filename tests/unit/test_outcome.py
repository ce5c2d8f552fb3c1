"""What a run came to, as an exit code."""

from __future__ import annotations

import pytest

from agent.domain.progress import NextStep, Stage, State
from agent.errors import CouldNotTell, SkillOpsError
from agent.pipeline import Outcome
from agent.situation import Work


def waits(whom: str) -> tuple[Work, NextStep]:
    return Work(request=1), NextStep(state=State.WAITING, stage=Stage.WAIT, why="because", waiting_for=whom)


@pytest.mark.parametrize(("whom", "code"), [("person", 3), ("requester", 3), ("author", 3), ("machine", 4)])
def test_what_waits_for_a_person_is_three_and_what_waits_for_the_machine_is_four(whom: str, code: int) -> None:
    assert Outcome(waiting=[waits(whom)]).exit_code == code


def test_trouble_outweighs_waiting_and_nothing_left_is_zero() -> None:
    trouble: SkillOpsError = CouldNotTell("No.")
    assert Outcome(waiting=[waits("person")], troubled=[(Work(request=2), trouble)]).exit_code == 4
    assert Outcome().exit_code == 0
