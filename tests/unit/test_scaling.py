"""How many instances a skill should have, from what is seen of its load."""

from __future__ import annotations

from agent.scaling import BUSY, LOOKS, SELDOM, SOON, Scale


def steps(*under_way: float, instances: int = 1, most: int = 2, patience: float = 1.0) -> list[str]:
    """A look every half second."""
    scale = Scale()
    return [scale.weigh(calls, instances, most, number * 0.5, patience) for number, calls in enumerate(under_way)]


def test_another_is_wanted_only_when_it_is_busy_for_some_looks() -> None:
    assert steps(*[BUSY] * LOOKS) == ["stay"] * (LOOKS - 1) + ["more"]
    assert "more" not in steps(BUSY, BUSY, BUSY - 1, BUSY, BUSY)
    assert "more" not in steps(*[BUSY * 2 - 1] * 10, instances=2, most=3)
    assert "more" in steps(*[BUSY * 2] * 10, instances=2, most=3)


def test_there_are_never_more_than_allowed() -> None:
    assert set(steps(*[100] * 10, instances=2)) == {"stay"}
    assert steps(100, instances=3)[0] == "stay"


def test_one_goes_when_the_others_would_not_have_been_busy_for_a_while() -> None:
    assert steps(0, 0, 0, instances=2) == ["stay", "stay", "fewer"]
    assert steps(0, 0, BUSY, 0, 0, instances=2) == ["stay"] * 5
    assert set(steps(*[0] * 10)) == {"stay"}


def test_what_is_above_the_limit_goes_at_once() -> None:
    assert steps(0, instances=3, most=2) == ["fewer"]


def test_a_skill_without_calls_is_looked_at_ever_less_often() -> None:
    scale, pauses = Scale(), []
    for number in range(8):
        scale.weigh(0, 1, 2, float(number), 1.0)
        pauses.append(scale.pause)
    assert pauses[0] > SOON and pauses[-1] == SELDOM and pauses == sorted(pauses)
    scale.weigh(1, 1, 2, 9.0, 1.0)
    assert scale.pause == SOON
