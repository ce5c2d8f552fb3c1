from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent import widening
from agent.checks.tests import TestsCheck
from agent.domain.capability import Capability
from agent.domain.check import CheckReport, CheckResult, Mutant, Outcome, TestReport, TestRun
from agent.domain.decision import Policy
from agent.domain.risk import risk_of
from agent.domain.skill import WITNESS_PATH, Case, Expectation
from agent.errors import CouldNotTell, Refused
from agent.manifest_file import read_manifest, write_witness
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from tests.subjects import SKILL_YAML, ToldBench, ToldLanguage, a_subject, count_words, served, skill_files

PASSED = TestRun(id="test_skill.py::test_one", outcome="passed")


def run(
    tmp_path: Path, report: TestReport | None = None, cases: tuple[Case, ...] = (), bench: ToldBench | None = None, **options: Any
) -> CheckResult:
    language = ToldLanguage() if report is None else ToldLanguage(report=report)
    files = skill_files(**{WITNESS_PATH: write_witness("sha256:" + "0" * 64, cases)}) if cases else skill_files()
    check = TestsCheck({"python": language}, BubblewrapSandbox(), **options)
    return check.run(a_subject(tmp_path, files), bench or ToldBench())


def a_case(expect: Expectation, clause: str = "words are counted", text: str = "hush-hush a b") -> Case:
    return Case(name="a case", clause=clause, inputs={"text": text}, expect=expect)


def mutants(killed: int, survived: int) -> tuple[Mutant, ...]:
    return tuple(Mutant(path="skill.py", line=n + 1, change=f"{n} becomes {n + 1}", killed=n < killed) for n in range(killed + survived))


def test_tests_that_pass_and_notice_enough_pass(tmp_path: Path) -> None:
    report = TestReport(tests=(PASSED,), coverage=0.95, gutted_passes=False, mutants=mutants(3, 2))
    result = run(tmp_path, report)
    assert result.outcome is Outcome.PASSED
    assert result.summary == "1 test passed, 95% of the lines run, 3 of 5 mutants noticed."


def test_what_each_test_came_to_is_kept_within_bounds_the_failures_first(tmp_path: Path) -> None:
    passed = tuple(TestRun(id=f"{number}::{'n' * 500}", outcome="passed", seconds=0.1) for number in range(300))
    failed = TestRun(id="test_skill.py::test_two", outcome="failed", message="m" * 5000, seconds=0.2)
    result = run(tmp_path, TestReport(tests=(*passed, failed), coverage=1.0))
    assert (result.tests[0].id, result.tests[0].outcome, result.tests[0].seconds) == (failed.id, "failed", 0.2)
    assert (len(result.tests), result.untold) == (200, 101)
    assert len(result.model_dump_json()) < 64 * 2**10


def test_the_language_is_asked_for_mutants_by_a_seed_that_follows_the_tree_alone(tmp_path: Path) -> None:
    language = ToldLanguage()
    check = TestsCheck({"python": language}, BubblewrapSandbox(), mutants=7, witness=False)
    for name, files in (("a", skill_files()), ("b", skill_files()), ("c", skill_files(**{"skill.py": "x = 1\n"}))):
        check.run(a_subject(tmp_path / name, files), ToldBench())
    seeds = [asked["seed"] for asked in language.asked]
    assert seeds[0] == seeds[1] != seeds[2]
    assert (language.asked[0]["mutants"], language.asked[0]["gut"]) == (7, True)


def test_a_failing_test_is_told_at_its_line_and_the_rest_is_not(tmp_path: Path) -> None:
    failing = TestRun(id="test_skill.py::test_two", outcome="failed", message="assert 1 == 2", path="tests/test_skill.py", line=5)
    result = run(tmp_path, TestReport(tests=(PASSED, failing), coverage=0.1, gutted_passes=True))
    errors = [(f.message, f.path, f.line) for f in result.findings if f.level == "error"]
    assert errors == [("test_skill.py::test_two: assert 1 == 2", "skills/word-count/tests/test_skill.py", 5)]


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (TestReport(), "no test ran"),
        (TestReport(tests=(TestRun(id="t", outcome="skipped"),), coverage=1.0), "no test ran"),
        (TestReport(problem="the tests did not end within 60 s", outcome=Outcome.FAILED), "did not end within 60 s"),
        (TestReport(tests=(PASSED,), coverage=0.89), "run 89% of the lines; 90% are wanted"),
        (TestReport(tests=(PASSED,), coverage=1.0, gutted_passes=True), "least value"),
        (TestReport(tests=(PASSED,), coverage=1.0, mutants=mutants(5, 5)), "notice 5 of 10 mutants; 60% are wanted"),
    ],
)
def test_tests_that_would_not_notice_fail(tmp_path: Path, report: TestReport, said: str) -> None:
    result = run(tmp_path, report)
    assert result.outcome is Outcome.FAILED and any(said in finding.message for finding in result.findings)


def test_missed_lines_are_told_as_ranges_and_survivors_by_their_change(tmp_path: Path) -> None:
    report = TestReport(tests=(PASSED,), coverage=0.5, missed=(("skill.py", 2), ("skill.py", 1), ("skill.py", 4)), mutants=mutants(1, 20))
    result = run(tmp_path, report)
    places = [(f.line, f.message) for f in result.findings if f.rule == "coverage" and f.line]
    survivors = [finding for finding in result.findings if finding.rule == "mutants" and finding.line]
    assert places == [(1, "lines 1 to 2 are run by no test"), (4, "line 4 is run by no test")]
    assert len(survivors) == 10 and survivors[0].message == "no test notices this change: 1 becomes 2"


def test_what_the_sandbox_could_not_tell_is_not_held_against_the_tests(tmp_path: Path) -> None:
    with pytest.raises(CouldNotTell, match="bubblewrap is missing"):
        run(tmp_path, TestReport(problem="bubblewrap is missing", outcome=Outcome.COULD_NOT_TELL))


def test_without_witness_cases_there_is_a_note(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.outcome is Outcome.PASSED
    assert [(f.level, f.message) for f in result.findings] == [("note", "there are no witness cases")]


def test_the_light_variant_asks_nothing_of_the_witness(tmp_path: Path) -> None:
    cases = (a_case(Expectation(outputs={"words": 99})),)
    result = run(tmp_path, cases=cases, bench=ToldBench(AssertionError("no trial is wanted")), witness=False)
    assert result.outcome is Outcome.PASSED and result.findings == ()


@pytest.mark.parametrize(
    ("expect", "holds"),
    [
        (Expectation(outputs={"words": 3}), True),
        (Expectation(outputs={"words": 4}), False),
        (Expectation(properties={"type": "object", "properties": {"words": {"minimum": 2}}}), True),
        (Expectation(properties={"type": "object", "properties": {"words": {"minimum": 9}}}), False),
        (Expectation(error="*"), False),
    ],
)
def test_witness_cases_run_from_outside_and_a_failing_one_names_its_clause_alone(tmp_path: Path, expect: Expectation, holds: bool) -> None:
    with served() as endpoint:
        result = run(tmp_path, cases=(a_case(expect),), bench=ToldBench(endpoint))
    assert result.outcome is (Outcome.PASSED if holds else Outcome.FAILED)
    assert [f.message for f in result.findings] == ([] if holds else ["the skill does not do what the request asks: words are counted"])
    assert "hush-hush" not in result.model_dump_json()


def test_cases_of_one_clause_are_told_once(tmp_path: Path) -> None:
    cases = (a_case(Expectation(outputs={"words": 8})), a_case(Expectation(outputs={"words": 9})))
    with served() as endpoint:
        assert [finding.cases for finding in run(tmp_path, cases=cases, bench=ToldBench(endpoint)).findings] == [(1, 2)]


def test_an_expected_error_is_an_answer_and_not_a_crash(tmp_path: Path) -> None:
    case = a_case(Expectation(error="*"))

    def broken(inputs: dict[str, Any]) -> dict[str, Any]:
        raise ValueError

    with served(broken) as clean, served(broken, strict=False) as crashing:
        assert run(tmp_path / "clean", cases=(case,), bench=ToldBench(clean)).outcome is Outcome.PASSED
        assert run(tmp_path / "crashing", cases=(case,), bench=ToldBench(crashing)).outcome is Outcome.FAILED
    assert run(tmp_path / "gone", cases=(case,), bench=ToldBench(clean)).outcome is Outcome.FAILED


def test_inputs_that_the_schema_refuses_never_reach_the_skill(tmp_path: Path) -> None:
    wrong = Case(name="a number", clause="a text is needed", inputs={"text": 7}, expect=Expectation(error="*"))
    assert run(tmp_path, cases=(wrong,)).outcome is Outcome.PASSED


def test_outputs_that_break_the_schema_do_not_hold(tmp_path: Path) -> None:
    loose = a_case(Expectation(properties={"type": "object"}))
    with served(lambda inputs: count_words(inputs) | {"more": 1}) as endpoint:
        assert run(tmp_path, cases=(loose,), bench=ToldBench(endpoint)).outcome is Outcome.FAILED


def test_a_skill_that_does_not_start_holds_no_case(tmp_path: Path) -> None:
    result = run(tmp_path, cases=(a_case(Expectation(error="*")),), bench=ToldBench(Refused("It does not become healthy.")))
    assert result.outcome is Outcome.FAILED and "does not start" in result.summary


NETWORK = Capability(kind="network", what="socket.connect", path="skill.py", line=3, declared=True, source="sandbox")


@pytest.mark.parametrize(("before", "gained"), [("", True), ("permissions: {network: [api.example.com:443]}\n", False)])
def test_what_only_the_sandbox_saw_tried_is_gained_where_the_version_before_had_nothing_of_it(tmp_path: Path, before: str, gained: bool) -> None:
    """In no syntax tree; a library does it. A person sees it first, and the risk is that of a widening."""
    base = skill_files(**{"skill.yaml": SKILL_YAML + before})
    files = skill_files(**{"skill.yaml": SKILL_YAML.replace("1.0.0", "1.1.0") + "permissions: {network: [api.example.com:443]}\n"})
    language = ToldLanguage(report=TestReport(tests=(PASSED,), coverage=1.0, tried=(NETWORK,)))
    result = TestsCheck({"python": language}, BubblewrapSandbox(), witness=False).run(a_subject(tmp_path, files, base_files=base), ToldBench())
    report = CheckReport(head=result.head, results=(result,))

    assert [one.gained for one in result.capabilities] == [gained]
    assert ("tried in the sandbox" in widening.of_report(report)) is gained
    assert ("it tried more than word-count 1.0.0 could" in result.summary) is gained
    manifest = read_manifest(files["skill.yaml"], "skill.yaml")
    assert risk_of(manifest, manifest, Policy(), report.gained)[0] == ("high" if gained else "medium")
