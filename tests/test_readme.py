"""A document that can drift has drifted: the README is held against the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agent.domain import Frozen
from agent.domain.decision import BudgetLimits, DependencyRules, ManifestLimits, MinTier, PerRisk, Policy, RiskRules
from agent.domain.progress import TRANSITIONS
from agent.strict_yaml import load

ROOT = Path(__file__).parent.parent
PARTS: dict[str, type[Frozen]] = {
    "risk": RiskRules, "limits": ManifestLimits, "budget": BudgetLimits, "min_tier": MinTier, "dependencies": DependencyRules, "quorum": PerRisk,
    "approvals": PerRisk,
}  # fmt: skip
TOLD = (".md", ".py", ".html", ".yaml", ".yml", ".txt")
TELLS = r"`(?:[A-Z_]+=\S+ )*(skillops [^`\n]*)`|(?m:^ *(?:run: )?(skillops [a-z].*)$)|Examples?: (.*)"
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


def test_each_message_that_is_explained_is_one_that_is_said() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", README.split("| what you see | what to do |")[1].split("\n\n")[0], re.MULTILINE)
    quoted = [found for row in rows for found in re.findall(r'"([^"]+)"', row) if "command not found" not in found]
    said = " ".join(re.sub(r'"\n\s*f?"', "", path.read_text()) for path in (ROOT / "agent").rglob("*.py"))
    assert len(quoted) > 15
    for text in quoted:
        words = text.split()
        assert any(" ".join(words[at : at + 3]) in said for at in range(max(1, len(words) - 2))), text


def test_each_command_that_a_person_is_told_of_is_one_that_there_is() -> None:
    """In documents, in the next step of an error, in an example of the help: the verb, and each of its options."""
    import typer

    from agent.cli import app

    group = typer.main.get_command(app)
    places = [ROOT / "README.md", *(path for top in ("agent", "docs", "reviewers") for path in (ROOT / top).rglob("*") if path.suffix in TOLD)]
    told, wrong = set[tuple[str, str]](), list[tuple[str, str]]()
    for path in places:
        text = re.sub(r'"\n\s*f?"', "", path.read_text())
        told |= {(path.name, each) for found in re.finditer(TELLS, text) for each in re.findall(r"skillops ([^·`|&#…]+)", found[0])}
    for place, line in told:
        command, words = group, line.split()
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
        known = {option for each in command.params for option in each.opts} | {"--help", "--install-completion"}
        options = {re.split(r"[^\w-]", word)[0] for word in words if re.match(r"--?[a-z]", word)}
        if options - known or (hasattr(command, "commands") and words and words[0][:1].islower()):
            wrong.append((place, line))
    assert len(told) > 250 and wrong == []


def test_the_shipped_policy_names_every_rule_that_there_is() -> None:
    told = load((ROOT / "reviewers/policy.yaml").read_bytes(), "policy.yaml")
    fields: list[tuple[type[Frozen], Any]] = [(Policy, told), *((kind, told[name]) for name, kind in PARTS.items())]
    assert {kind.__name__: set(kind.model_fields) - set(part) for kind, part in fields} == {kind.__name__: set() for kind, _ in fields}


def test_the_ten_words_are_the_designs() -> None:
    table = README.split("## The ten words")[1].split("\n## ")[0]
    words = re.findall(r"^\| (\w+) \|", table, re.MULTILINE)
    assert words == ["word", "Request", "Gap", "Skill", "Proposal", "Check", "Review", "Decision", "Release", "Registry", "Invocation"]
