"""A document that can drift has drifted: the README is held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.domain.progress import TRANSITIONS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def headings(text: str, level: str) -> list[str]:
    return [line.removeprefix(level).strip() for line in text.splitlines() if line.startswith(level + " ")]


def test_the_state_diagram_is_the_table_of_progress() -> None:
    drawn = set(re.findall(r"^    (\w+) --> (\w+)$", README, re.MULTILINE))
    assert drawn == {(state.value, target.value) for state, targets in TRANSITIONS.items() for target in targets}


def test_the_story_has_the_headings_of_its_test() -> None:
    story = README.split("## The story")[1].split("\n## ")[0]
    told = [re.sub(r"[^a-z0-9]+", "_", heading.lower()).strip("_") for heading in headings(story, "###")]
    tests = re.findall(r"^def test_(\w+)\(", (ROOT / "tests/acceptance/test_story.py").read_text(), re.MULTILINE)
    assert told == tests


def test_every_verb_of_the_command_is_in_the_readme_and_every_one_in_the_readme_is_a_verb() -> None:
    import typer

    from agent.cli import app

    group = typer.main.get_command(app)
    verbs = {name for name, command in group.commands.items() if not command.hidden}  # type: ignore[attr-defined]
    table = README.split("| verb | does |")[1].split("\n\n")[0]
    named = {found.split()[0] for found in re.findall(r"`([a-z][^`]*)`", table)}
    assert named == verbs


@pytest.mark.parametrize("path", re.findall(r"^\| [^|]+ \| (`[^|]+`) \|$", README.split("## Where do I change")[1].split("\n## ")[0], re.MULTILINE))
def test_each_place_to_change_something_exists(path: str) -> None:
    for name in re.findall(r"`([^`]+)`", path):
        assert list(ROOT.glob(name.rstrip("/"))), name


def test_the_ten_words_are_the_designs() -> None:
    table = README.split("## The ten words")[1].split("\n## ")[0]
    words = re.findall(r"^\| (\w+) \|", table, re.MULTILINE)
    assert words == ["word", "Request", "Gap", "Skill", "Proposal", "Check", "Review", "Decision", "Release", "Registry", "Invocation"]
