"""JSON as it goes over a wire: as the standard library has it, and no number that JSON does not have."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.domain.wire import written


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, True, "naïve ☃"]}, 2**80, 1e16, 1e-7, "Infinity and NaN", {"NaN": 1}, "half of a pair \ud83d", nested(400),
        "a\u2028\x00\"\\",
    ],
)  # fmt: skip
def test_whatever_is_json_comes_back_as_it_was(value: Any) -> None:
    assert json.loads(written(value)) == value


@pytest.mark.parametrize("value", [float("inf"), {"a": [float("nan")]}, ["\ud83d", -float("inf")]])
def test_a_number_that_json_does_not_have_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        written(value)
