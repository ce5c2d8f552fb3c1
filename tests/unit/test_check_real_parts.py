"""The checks on the real shelf: the Python language, the sandbox, the builder and a trial of the process runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from agent.builders.directory import DirectoryBuilder
from agent.checks.contract import ContractCheck
from agent.checks.dependencies import DependenciesCheck
from agent.checks.manifest import ManifestCheck
from agent.checks.scope import ScopeCheck
from agent.checks.secrets import SecretsCheck
from agent.checks.security import SecurityCheck
from agent.checks.style import StyleCheck
from agent.checks.tests import TestsCheck
from agent.domain.check import CheckReport, Outcome
from agent.domain.skill import WITNESS_PATH, Case, Expectation
from agent.languages.python.language import PythonLanguage
from agent.manifest_file import witness_digest, write_witness
from agent.ports import Check
from agent.runtimes.process import ProcessRuntime
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from agent.workbench import Bench, TryOut, examine
from tests.builders import a_manifest
from tests.subjects import CODE, TESTS, WITNESS, a_subject, skill_files

pytestmark = pytest.mark.bubblewrap

LANGUAGES = {"python": PythonLanguage()}
SANDBOX = BubblewrapSandbox()
TESTS_CHECK = TestsCheck(LANGUAGES, SANDBOX, mutants=5)
STATIC: tuple[Check, ...] = (
    ScopeCheck(), ManifestCheck(LANGUAGES), StyleCheck(LANGUAGES), SecurityCheck(LANGUAGES), SecretsCheck(),
    DependenciesCheck(LANGUAGES),
)  # fmt: skip


def examined(tmp_path: Path, files: Mapping[str, bytes], *checks: Check) -> CheckReport:
    cases = files.get(WITNESS_PATH)
    subject = a_subject(tmp_path, files, witness_digest=witness_digest(cases) if cases else None)
    builder, runtime = DirectoryBuilder(tmp_path / "store", LANGUAGES), ProcessRuntime(tmp_path / "state", SANDBOX, LANGUAGES, ())
    with Bench(subject, builder, runtime) as bench:
        return examine(checks, subject, bench, workers=4)


def test_a_good_skill_passes_all_eight(tmp_path: Path) -> None:
    report = examined(tmp_path, skill_files(**{WITNESS_PATH: WITNESS}), *STATIC, TESTS_CHECK, ContractCheck())
    assert [(result.name, result.summary) for result in report.results if result.outcome is not Outcome.PASSED] == []
    assert len(report.results) == 8


def test_a_skill_that_does_not_start_fails_the_contract_with_the_reason(tmp_path: Path) -> None:
    report = examined(tmp_path, skill_files(**{"skill.py": "import nothing_of_this_name\n" + CODE}), ContractCheck())
    assert report.outcome is Outcome.FAILED and "nothing_of_this_name" in report.results[0].summary


def test_a_skill_that_ends_its_own_process_fails_the_contract(tmp_path: Path) -> None:
    code = 'import os\n\n\ndef execute(inputs: dict, context: dict) -> dict:\n    os._exit(3)\n    return {"words": 2}\n'
    report = examined(tmp_path, skill_files(**{"skill.py": code}), ContractCheck())
    assert report.outcome is Outcome.FAILED and any(finding.rule == "example" for finding in report.results[0].findings)


def test_a_witness_case_that_fails_tells_the_author_the_clause_and_nothing_of_the_case(tmp_path: Path) -> None:
    case = Case(name="hush", clause="hyphens part words", inputs={"text": "quite-secret"}, expect=Expectation(outputs={"words": 4321}))
    report = examined(tmp_path, skill_files(**{WITNESS_PATH: write_witness("sha256:" + "0" * 64, [case])}), TESTS_CHECK)
    assert report.outcome is Outcome.FAILED
    assert [finding.message for finding in report.results[0].findings] == ["the skill does not do what the request asks: hyphens part words"]
    assert not any(word in report.model_dump_json() for word in ("quite-secret", "4321", "hush"))


SEARCH = """\
import os


def found() -> list[str]:
    places = []
    for top, folders, files in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(top, name) not in ("/proc", "/sys", "/usr")]
        places += [os.path.join(top, name) for name in files if "witness" in name]
    return places
"""


def test_code_under_test_and_the_running_skill_find_no_witness_cases(tmp_path: Path) -> None:
    code = SEARCH + '\n\ndef execute(inputs: dict, context: dict) -> dict:\n    return {"words": 2 + len(found())}\n'
    tests = "from skill import found\n\n\ndef test_nothing_is_found():\n    assert found() == []\n"
    files = skill_files(**{"skill.py": code, "tests/test_skill.py": tests, WITNESS_PATH: WITNESS})
    light = TestsCheck(LANGUAGES, SANDBOX, mutants=0, gut=False, witness=False, coverage=0.0)
    report = examined(tmp_path, files, light, ContractCheck())
    assert [(result.name, result.summary) for result in report.results if result.outcome is not Outcome.PASSED] == []


def test_weak_tests_are_told_what_they_would_not_notice(tmp_path: Path) -> None:
    weak = "from skill import execute\n\n\ndef test_it_runs() -> None:\n    execute({'text': 'a'}, {})\n"
    report = examined(tmp_path, skill_files(**{"tests/test_skill.py": weak}), TESTS_CHECK)
    assert {finding.rule for finding in report.results[0].findings if finding.level == "error"} == {"gutted", "mutants"}


def test_a_draft_is_tried_as_the_author_will_hear_of_it(tmp_path: Path) -> None:
    checks = (StyleCheck(LANGUAGES), TestsCheck(LANGUAGES, SANDBOX, mutants=0, gut=False, witness=False))
    runtime = ProcessRuntime(tmp_path / "state", SANDBOX, LANGUAGES, ())
    try_out = TryOut(checks, DirectoryBuilder(tmp_path / "store", LANGUAGES), runtime, 2)
    wrong = skill_files(**{"skill.py": CODE.replace(".split()", ""), "tests/test_skill.py": TESTS})
    problems = try_out(wrong, a_manifest())
    assert problems == try_out(wrong, a_manifest())
    assert {(problem.source, problem.path) for problem in problems} == {("tests", "skills/word-count/tests/test_skill.py")}
    assert try_out(skill_files(), a_manifest()) == ()
