"""docs/security.md and this folder say the same."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.redteam.threats import threats


def marked() -> dict[int, str]:
    """Each test that is marked as the one of a row, by the row's number."""
    found: dict[int, str] = {}
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "threat":
                    number = ast.literal_eval(mark.args[0])
                    assert number not in found, f"row {number} has two tests: {found[number]} and {node.name}"
                    found[number] = f"{path.stem}::{node.name}"
    return found


def test_each_row_of_the_threat_model_has_its_test_and_each_test_its_row() -> None:
    rows = threats()
    numbers = [row.number for row in rows]
    assert numbers == sorted(set(numbers)), "a number is given once, and for good"
    assert {row.number: row.test for row in rows} == marked()


def test_the_threat_model_has_its_forty_four_attacks() -> None:
    assert len(threats()) >= 44
