"""What every check keeps to, whatever it looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.checks.contract import ContractCheck
from agent.checks.dependencies import DependenciesCheck
from agent.checks.manifest import ManifestCheck
from agent.checks.scope import ScopeCheck
from agent.checks.secrets import SecretsCheck
from agent.checks.security import SecurityCheck
from agent.checks.style import StyleCheck
from agent.checks.tests import TestsCheck
from agent.domain.check import Finding, Outcome, Subject, TestReport, TestRun
from agent.domain.proposal import Change
from agent.domain.release import Endpoint
from agent.ports import Check
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from agent.workbench import examine
from tests.builders import HEAD
from tests.subjects import SKILL_YAML, ToldBench, ToldLanguage, a_subject, served, skill_files

SHELF: dict[str, Callable[[dict[str, ToldLanguage]], Check]] = {
    "scope": lambda languages: ScopeCheck(),
    "manifest": ManifestCheck,
    "style": StyleCheck,
    "security": SecurityCheck,
    "secrets": lambda languages: SecretsCheck(),
    "dependencies": DependenciesCheck,
    "tests": lambda languages: TestsCheck(languages, BubblewrapSandbox()),
    "contract": lambda languages: ContractCheck(),
}
BAD_FILE = Finding(message="bad", path="skill.py", line=1)
BAD_TEST = TestRun(id="test_skill.py::test_one", outcome="failed", path="tests/test_skill.py", line=1)
AWS = "AKIA" + "QYLPMN5HHHFPZAM2"
HOSTILE = {
    "nothing": {},
    "a broken manifest": skill_files(**{"skill.yaml": "a: [\x00"}),
    "an alias bomb": skill_files(**{"skill.yaml": "a: &a [1]\nb: [*a, *a]\n"}),
    "no text anywhere": dict.fromkeys(skill_files(), b"\xff\xfe\x00"),
    "odd paths": skill_files() | {"../../x": b"x", "a\nb": b"", "": b"", "tests": b"file and folder"},
    "deep nesting": skill_files(**{"SKILL.md": "---\nname: " + "[" * 5000 + "\n---\n"}),
    "an odd runtime": skill_files(**{"skill.yaml": SKILL_YAML.replace("version: 1.0.0", "version: 1.0.0\nruntime: container")}),
    "a long line": skill_files(**{"skill.py": "password = '" * 10_000}),
}


@pytest.fixture(params=SHELF)
def check(request: pytest.FixtureRequest) -> Check:
    return SHELF[request.param]({"python": ToldLanguage()})


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with served() as found:
        yield found


def test_it_has_the_name_that_the_design_gives_it(check: Check) -> None:
    assert SHELF[check.name]({}).name == check.name


def test_a_good_skill_passes_at_its_head(check: Check, tmp_path: Path, endpoint: Endpoint) -> None:
    result = check.run(a_subject(tmp_path), ToldBench(endpoint))
    assert (result.name, result.head, result.outcome) == (check.name, HEAD, Outcome.PASSED)
    assert result.summary


BROKEN: dict[str, dict[str, bytes]] = {
    "scope": skill_files(**{".hidden": "x\n"}),
    "manifest": skill_files(**{"SKILL.md": None}),
    "secrets": skill_files(**{"skill.py": f'KEY = "{AWS}"\n'}),
    "contract": skill_files(**{"skill.yaml": SKILL_YAML.replace("{words: 2}", "{words: 3}")}),
}


@pytest.mark.parametrize("name", SHELF)
def test_a_bad_skill_fails_with_a_finding_at_its_place(name: str, tmp_path: Path, endpoint: Endpoint) -> None:
    language = ToldLanguage(findings=(BAD_FILE,), report=TestReport(tests=(BAD_TEST,)))
    result = SHELF[name]({"python": language}).run(a_subject(tmp_path, BROKEN.get(name)), ToldBench(endpoint))
    errors = [finding for finding in result.findings if finding.level == "error"]
    assert result.outcome is Outcome.FAILED and errors
    assert all(finding.path and finding.path.startswith("skills/word-count/") for finding in errors)


@pytest.mark.parametrize("files", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_end_in_an_outcome_the_same_each_time(check: Check, files: dict[str, bytes], tmp_path: Path, endpoint: Endpoint) -> None:
    def looked(name: str) -> object:
        changes = [Change(path=f"skills/word-count/{path}", status="added", mode="100644") for path in files]
        subject = a_subject(tmp_path / name, files, changes=changes)
        report = examine([check], subject, ToldBench(endpoint), workers=1)
        tests = [tuple(test.model_copy(update={"seconds": 0}) for test in result.tests) for result in report.results]
        return [result.model_copy(update={"seconds": 0, "tests": each}) for result, each in zip(report.results, tests, strict=True)]

    first, second = looked("first"), looked("second")
    assert first == second
    assert str(tmp_path) not in str(first)


def test_it_leaves_the_snapshot_alone(check: Check, tmp_path: Path, endpoint: Endpoint) -> None:
    subject = a_subject(tmp_path)
    before = _content(subject)
    check.run(subject, ToldBench(endpoint))
    assert _content(subject) == before


def _content(subject: Subject) -> dict[str, bytes]:
    return {path.relative_to(subject.root).as_posix(): path.read_bytes() for path in subject.root.rglob("*") if path.is_file()}
