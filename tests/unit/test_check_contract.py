from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.checks.contract import ContractCheck
from agent.domain.check import CheckResult, Outcome
from agent.domain.release import Endpoint
from agent.errors import CouldNotTell, Refused
from tests.subjects import SKILL_YAML, ToldBench, a_subject, count_words, served, skill_files


def run(tmp_path: Path, endpoint: Endpoint | Exception, files: dict[str, bytes] | None = None, **traits: Any) -> CheckResult:
    return ContractCheck().run(a_subject(tmp_path, files, **traits), ToldBench(endpoint))


def rules(result: CheckResult) -> set[str]:
    return {finding.rule for finding in result.findings}


def test_a_skill_that_keeps_the_contract_passes(tmp_path: Path) -> None:
    with served() as endpoint:
        result = run(tmp_path, endpoint)
    assert (result.outcome, result.findings) == (Outcome.PASSED, ())


def test_outputs_other_than_an_examples_fail_at_the_example(tmp_path: Path) -> None:
    with served(lambda inputs: {"words": 2.5}) as endpoint:
        result = run(tmp_path, endpoint)
    example = next(finding for finding in result.findings if finding.rule == "example")
    assert example.message == 'example 1: expected {"words": 2}, got {"words": 2.5}'
    assert (example.path, example.line) == ("skills/word-count/skill.yaml", 9)


def test_malformed_calls_that_get_a_bare_500_fail(tmp_path: Path) -> None:
    with served(strict=False) as endpoint:
        result = run(tmp_path, endpoint)
    assert rules(result) == {"malformed"}
    assert "half a JSON document: expected an error of the contract's form, got status 500 with another body" in [f.message for f in result.findings]


def test_answers_that_mix_up_callers_fail(tmp_path: Path) -> None:
    calls: list[int] = []

    def forgetful(inputs: dict[str, Any]) -> dict[str, Any]:
        calls.append(1)
        return count_words(inputs) if len(calls) < 6 else {"words": 0}

    with served(forgetful) as endpoint:
        result = run(tmp_path, endpoint)
    assert rules(result) == {"concurrency"}


def test_a_skill_that_is_ill_after_bad_calls_fails(tmp_path: Path) -> None:
    with served(dies_after=5) as endpoint:
        result = run(tmp_path, endpoint)
    assert rules(result) == {"health"}


@pytest.mark.parametrize(
    ("metrics", "passes"),
    [
        ('# HELP calls_total Calls.\n# TYPE calls_total counter\n\ncalls_total{outcome="ok",why="a b"} 1.0 1395066363000\nup NaN\n', True),
        ('h_bucket{le="+Inf"} 3\nload 1.5e-03\n', True),
        ("<html>hello</html>\n", False),
        ('{"calls": 1}', False),
        ("", False),
    ],
)
def test_metrics_are_prometheus_text(tmp_path: Path, metrics: str, passes: bool) -> None:
    with served(metrics=metrics) as endpoint:
        assert rules(run(tmp_path, endpoint)) == (set() if passes else {"metrics"})


def test_a_skill_that_does_not_start_fails_with_its_reason(tmp_path: Path) -> None:
    log = 'Its log ends: Traceback (most recent call last):\n  File "/some/where/x.py", line 1\nImportError: no module named x'
    result = run(tmp_path, Refused("It did not become healthy.", why=log, next_step="Look at x."))
    assert "Look at x." in result.summary + str(result.findings)
    assert result.outcome is Outcome.FAILED and "no module named x" in result.summary
    assert "/some/where" not in result.model_dump_json()


def test_a_skill_that_could_not_be_started_here_could_not_tell(tmp_path: Path) -> None:
    with pytest.raises(CouldNotTell):
        run(tmp_path, CouldNotTell("No sandbox."))


def test_an_extension_still_gives_the_outputs_of_the_old_examples(tmp_path: Path) -> None:
    old = SKILL_YAML + '  - inputs: {text: "a b c"}\n    outputs: {words: 3}\n'
    new = SKILL_YAML.replace("1.0.0", "1.1.0")
    base = skill_files(**{"skill.yaml": old})

    def forgets(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"words": min(2, count_words(inputs)["words"])}

    with served(forgets) as endpoint:
        minor = run(tmp_path / "minor", endpoint, skill_files(**{"skill.yaml": new}), base_files=base)
        major = run(tmp_path / "major", endpoint, skill_files(**{"skill.yaml": new.replace("1.1.0", "2.0.0")}), base_files=base)
        back = run(tmp_path / "back", endpoint, skill_files(**{"skill.yaml": new}), base_files=base, kind="rollback")
    assert rules(minor) == {"compatibility"} and "example 2 of 1.0.0" in minor.summary
    assert rules(major) == rules(back) == set()


def test_findings_are_the_same_each_time(tmp_path: Path) -> None:
    results = []
    for name in ("a", "b"):
        with served(lambda inputs: {"words": -1}, strict=False) as endpoint:
            results.append(run(tmp_path / name, endpoint))
    assert results[0].findings == results[1].findings and results[0].summary == results[1].summary
    assert [(test.id, test.outcome) for test in results[0].tests] == [("example 1", "failed")]


def test_a_skill_that_is_gone_is_told_without_the_place_on_this_machine(tmp_path: Path) -> None:
    result = run(tmp_path, Endpoint(socket=str(tmp_path / "skill.sock")))
    assert {"example", "malformed", "metrics", "health"} == rules(result)
    assert str(tmp_path) not in result.model_dump_json()
