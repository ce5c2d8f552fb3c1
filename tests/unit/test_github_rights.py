"""Every call of the GitHub forge is in the table of rights, so that the doctor asks for all that is needed, and for no more."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import forges, github_doctor
from agent.forges.github_rights import needed, of_the_app

_VERBS = {"get": "GET", "pages": "GET", "once": "POST"}


def calls() -> Iterator[tuple[str, str]]:
    """What the source asks GitHub for: each call on an `api`, its path with 1 in place of what is filled in."""
    for path in sorted(Path(forges.__path__[0]).glob("github*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_api(node.func.value)):
                continue
            texts = [text for argument in node.args[:2] if (text := _text(argument)) is not None]
            if node.func.attr in _VERBS and texts:
                yield _VERBS[node.func.attr], texts[0]
            elif node.func.attr == "send":
                yield texts[0], texts[1]


def _is_api(node: ast.expr) -> bool:
    return getattr(node, "attr", getattr(node, "id", "")) == "api" or (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "GitHubApi")


def _text(node: ast.expr) -> str | None:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def test_every_call_of_the_forge_is_in_the_table_and_the_table_asks_for_nothing_else() -> None:
    found = set(calls())
    rights = {right for verb, path in found for right in needed(verb, path)}

    assert len(found) > 40 and ("POST", "issues/1/sub_issues") in found and ("PUT", "pulls/1/merge") in found
    assert {name for name, level in rights if level == "write"} == {name for name, level in of_the_app().items() if level == "write"} | {"statuses"}
    assert {name for name, _ in rights} == set(of_the_app()) | {"statuses"}
    assert of_the_app() == github_doctor.PERMISSIONS


def test_a_call_that_nobody_thought_of_is_found() -> None:
    with pytest.raises(LookupError):
        needed("PUT", "collaborators/ada")
