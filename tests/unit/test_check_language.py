"""The checks that a language answers: style, security, dependencies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.checks.dependencies import DependenciesCheck
from agent.checks.security import SecurityCheck
from agent.checks.style import StyleCheck
from agent.domain.check import Finding, Outcome
from tests.subjects import SKILL_YAML, ToldBench, ToldLanguage, a_subject, skill_files

CHECKS = (StyleCheck, SecurityCheck, DependenciesCheck)


@pytest.mark.parametrize("check", CHECKS)
def test_what_the_language_finds_fails_at_its_place_in_the_repository(tmp_path: Path, check: Any) -> None:
    language = ToldLanguage(findings=(Finding(message="bad", path="skill.py", line=2, rule="X1"),))
    result = check({"python": language}).run(a_subject(tmp_path), ToldBench())
    assert (result.outcome, result.summary) == (Outcome.FAILED, "skills/word-count/skill.py:2: bad")


@pytest.mark.parametrize("check", CHECKS)
def test_notes_are_told_and_block_nothing(tmp_path: Path, check: Any) -> None:
    language = ToldLanguage(findings=(Finding(message="so-so", path="skill.py", level="note"),))
    result = check({"python": language}).run(a_subject(tmp_path), ToldBench())
    assert result.outcome is Outcome.PASSED and len(result.findings) == 1


@pytest.mark.parametrize("check", CHECKS)
def test_a_language_that_is_not_on_the_shelf_fails_and_those_that_are_are_named(tmp_path: Path, check: Any) -> None:
    files = skill_files(**{"skill.yaml": SKILL_YAML.replace("version: 1.0.0", "version: 1.0.0\nruntime: go")})
    result = check({"python": ToldLanguage(), "bash": ToldLanguage()}).run(a_subject(tmp_path, files), ToldBench())
    assert result.outcome is Outcome.FAILED
    assert result.summary == "skills/word-count/skill.yaml:4: the runtime 'go' is not on the shelf; there are bash, python"


@pytest.mark.parametrize("check", CHECKS)
def test_without_a_manifest_they_point_to_it(tmp_path: Path, check: Any) -> None:
    result = check({"python": ToldLanguage()}).run(a_subject(tmp_path, {}), ToldBench())
    assert result.outcome is Outcome.FAILED and "see the check manifest" in result.summary


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("DATA = '" + "QUJD" * 200 + "'", "payload"),
        ("DATA = b'" + "\\x41" * 120 + "'", "payload"),
        ("CASES = open('tests/witness.yaml')", "witness"),
        ("URL = 'http://169.254.169.254/latest'", "metadata-service"),
    ],
)
def test_what_is_suspicious_in_any_language_fails_at_its_line(tmp_path: Path, line: str, rule: str) -> None:
    files = skill_files(**{"skill.py": f"import os\n{line}\n"})
    result = SecurityCheck({"python": ToldLanguage()}).run(a_subject(tmp_path, files), ToldBench())
    found = [(f.rule, f.path, f.line) for f in result.findings if f.level == "error"]
    assert found == [(rule, "skills/word-count/skill.py", 2)]


def test_hosts_that_are_not_declared_are_noted(tmp_path: Path) -> None:
    code = "A = 'https://api.stats.io/x'\nB = 'https://declared.io/y'\nC = 'http://www.example.com', 'http://127.0.0.1:8080'\n"
    yaml = SKILL_YAML.replace("version: 1.0.0", "version: 1.0.0\npermissions: {network: ['declared.io:443']}")
    files = skill_files(**{"skill.py": code, "skill.yaml": yaml})
    result = SecurityCheck({"python": ToldLanguage()}).run(a_subject(tmp_path, files), ToldBench())
    assert result.outcome is Outcome.PASSED
    assert [(f.rule, f.line) for f in result.findings] == [("undeclared-host", 1)]


def test_very_many_findings_are_counted_and_not_all_told(tmp_path: Path) -> None:
    language = ToldLanguage(findings=tuple(Finding(message=f"bad {number}", path="skill.py", line=number) for number in range(1, 81)))
    result = StyleCheck({"python": language}).run(a_subject(tmp_path), ToldBench())
    assert len(result.findings) == 51 and result.findings[-1].message == "and 30 more"
    assert result.summary == "skills/word-count/skill.py:1: bad 1 (and 79 more)"
