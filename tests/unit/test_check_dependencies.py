"""The check of dependencies under a policy: what is allowed by name, what is old enough, and what the index does not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.checks.dependencies import DependenciesCheck
from agent.domain.check import CheckResult, Outcome
from agent.domain.decision import DependencyRules
from agent.domain.package import Package
from agent.errors import CouldNotTell, InvalidFile
from agent.languages.python import PythonLanguage
from agent.manifest_file import read_policy
from tests.subjects import SKILL_YAML, ToldBench, a_subject, skill_files

LOCKED = "".join(f"{name}==1.0 --hash=sha256:{'0' * 64}\n" for name in ("requests", "idna"))
NOW = datetime(2026, 11, 26, tzinfo=UTC)


class ToldIndex:
    """An index that says what it is told, and notes what it was asked."""

    def __init__(self, **at: datetime | None) -> None:
        self.at, self.asked = at, list[str]()

    def released(self, packages: Sequence[Package]) -> Mapping[Package, datetime | None]:
        self.asked += [package.name for package in packages]
        return {package: self.at.get(package.name) for package in packages}


def checked(tmp_path: Path, index: Any, **rules: Any) -> CheckResult:
    files = skill_files(**{"skill.yaml": SKILL_YAML + "dependencies: [requests==1.0]\n", "requirements.lock": LOCKED})
    check = DependenciesCheck({"python": PythonLanguage()}, {"PyPI": index}, lambda: DependencyRules(**rules), clock=lambda: NOW)
    return check.run(a_subject(tmp_path, files), ToldBench())


def test_what_is_locked_must_be_old_enough_also_what_no_pin_names(tmp_path: Path) -> None:
    just, not_yet = datetime(2026, 11, 12, tzinfo=UTC), datetime(2026, 11, 12, 0, 0, 1, tzinfo=UTC)

    assert checked(tmp_path, ToldIndex(requests=just, idna=just.replace(tzinfo=None))).outcome is Outcome.PASSED
    result = checked(tmp_path, ToldIndex(requests=just, idna=not_yet))
    (found,) = [finding for finding in result.findings if finding.level == "error"]
    assert result.outcome is Outcome.FAILED and found.rule == "too-young"
    assert "idna 1.0 was released on 2026-11-12" in found.message and "14 days" in found.message and "dependencies.allowed" in found.message


def test_of_what_is_allowed_by_name_no_index_is_asked(tmp_path: Path) -> None:
    index = ToldIndex(idna=datetime(2026, 1, 1, tzinfo=UTC))
    assert checked(tmp_path, index, allowed=["requests@1.0"]).outcome is Outcome.PASSED and index.asked == ["idna"]
    silent = ToldIndex()
    assert checked(tmp_path, silent, allowed=["requests", "id*"]).outcome is Outcome.PASSED
    assert checked(tmp_path, silent, min_age_days=0).outcome is Outcome.PASSED and silent.asked == []


def test_where_the_index_does_not_say_it_could_not_be_told(tmp_path: Path) -> None:
    with pytest.raises(CouldNotTell, match="idna") as told:
        checked(tmp_path, ToldIndex(requests=datetime(2026, 1, 1, tzinfo=UTC)))
    assert "dependencies.allowed" in told.value.next_step


@pytest.mark.parametrize(
    "ecosystem, name, pattern, allowed",
    [
        ("PyPI", "typing-extensions", "Typing_Extensions", True),
        ("PyPI", "requests", "requests@2.*", False),
        ("PyPI", "requests", "requests@1.*", True),
        ("npm", "@example/colours", "@example/*", True),
        ("npm", "@example/colours", "@example/*@1.0", True),
        ("npm", "@example/colours", "@example", False),
        ("npm", "@examples/colours", "@example/*", False),
        ("Go", "github.com/example/a", "github.com/example/*", True),
        ("Go", "github.com/Example/a", "github.com/example/*", False),
    ],
)
def test_a_pattern_allows_what_it_names_in_every_notation(ecosystem: Any, name: str, pattern: str, allowed: bool) -> None:
    assert DependencyRules(allowed=(pattern,)).allows(Package(ecosystem=ecosystem, name=name, version="1.0")) is allowed


@pytest.mark.parametrize("text", ["{min_age_days: -1}", "{min_age_days: 1e9}", "{allowed: requests}", "{allowed: ['']}", "{allow: []}"])
def test_a_table_that_says_something_else_is_no_policy(text: str) -> None:
    with pytest.raises(InvalidFile):
        read_policy(f"apiVersion: skillops/v1\ndependencies: {text}\n".encode(), "reviewers/policy.yaml")
