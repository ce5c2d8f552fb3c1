"""min_tier of the policy: where it asks for thicker walls than there are, nothing is run and it could not be told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from agent.domain.check import CheckResult, Outcome
from agent.domain.decision import MinTier, Policy
from agent.errors import CouldNotTell, InvalidFile
from agent.manifest_file import read_policy
from agent.parts import Parts
from agent.tiers import required, walled
from agent.workbench import examine
from tests.subjects import a_subject

NAMES = ("scope", "manifest", "style", "security", "secrets", "dependencies", "tests", "contract")
NOTHING = MinTier()


class Ran:
    """A check that passes, and says that it ran."""

    def __init__(self, name: str) -> None:
        self.name, self.ran = name, False

    def run(self, subject: Any, bench: Any) -> CheckResult:
        self.ran = True
        return CheckResult(name=self.name, head=subject.head, outcome=Outcome.PASSED, summary="fine")


@pytest.mark.parametrize(
    "policy, skill, check, wanted",
    [
        (NOTHING, "word-echo", "tests", "bubblewrap"),
        (MinTier(default="docker"), "word-echo", "", "docker"),
        (MinTier(checks={"tests": "docker"}), "word-echo", "tests", "docker"),
        (MinTier(checks={"tests": "docker"}), "word-echo", "contract", "bubblewrap"),
        (MinTier(skills={"word-echo": "gvisor"}, checks={"tests": "docker"}), "word-echo", "tests", "gvisor"),
        (MinTier(default="docker", skills={"word-echo": "bubblewrap"}), "word-echo", "", "docker"),  # a skill may ask for more alone
    ],
)
def test_the_thickest_walls_that_are_asked_for_count(policy: MinTier, skill: str, check: str, wanted: str) -> None:
    assert policy.at(skill, check) == wanted


@pytest.mark.parametrize(
    "wanted, runners, weak",
    [
        ("bubblewrap", ("anything",), ""),
        ("docker", ("docker", "docker"), ""),
        ("docker", ("bubblewrap", "docker"), "bubblewrap"),
        ("docker", ("docker", "bubblewrap"), "bubblewrap"),
        ("docker", ("anything",), "anything"),
        ("gvisor", ("docker", "docker"), "docker"),
    ],
)
def test_every_part_that_runs_the_code_must_be_behind_them(wanted: Any, runners: tuple[str, ...], weak: str) -> None:
    if not weak:
        required(MinTier(default=wanted), "word-echo", "tests", *runners)
        return
    with pytest.raises(CouldNotTell, match=f"would run in {weak}") as told:
        required(MinTier(default=wanted), "word-echo", "tests", *runners)
    assert told.value.next_step and f"asks for {wanted}" in told.value.why


def test_checks_that_run_code_could_not_tell_and_the_others_are_made(tmp_path: Any) -> None:
    checks = [Ran(name) for name in NAMES]
    report = examine(walled(checks, MinTier(default="docker"), "word-echo", "bubblewrap", "bubblewrap"), a_subject(tmp_path), None, 2)  # type: ignore[arg-type]
    assert [result.name for result in report.results] == list(NAMES)
    assert {result.name for result in report.results if result.outcome is Outcome.COULD_NOT_TELL} == {"tests", "contract"}
    assert {check.name for check in checks if not check.ran} == {"tests", "contract"}
    told = next(result for result in report.results if result.name == "tests")
    assert "min_tier" in told.summary and "sandbox" in " ".join([told.summary, *(finding.message for finding in told.findings)])


def parts(policy: Policy, *, sandbox: str, runtime: str) -> Any:
    """As much of Parts as looks at walls."""
    made = SimpleNamespace(policy=lambda: policy, sandbox=SimpleNamespace(name=sandbox), runtime=SimpleNamespace(name=runtime), checks=())
    made._trying, made._serving = lambda: Parts._trying(made), lambda: Parts._serving(made)
    return made


@pytest.mark.parametrize(
    "wanted, sandbox, runtime, tries, serves",
    [
        ("docker", "bubblewrap", "process", False, False),
        ("docker", "docker", "process", True, False),
        ("docker", "bubblewrap", "docker", False, True),
        ("docker", "docker", "docker", True, True),
        ("docker", "gvisor", "process", True, True),
        ("gvisor", "gvisor", "process", True, True),
        ("gvisor", "gvisor", "docker", False, False),
        ("gvisor", "docker", "docker", False, False),
    ],
)
def test_what_tries_and_what_serves_is_looked_at(wanted: Any, sandbox: str, runtime: str, tries: bool, serves: bool) -> None:
    made = parts(Policy(min_tier=MinTier(default=wanted)), sandbox=sandbox, runtime=runtime)
    for may, allowed in ((Parts.may_try, tries), (Parts.may_serve, serves)):
        if allowed:
            may(made, "word-echo")
        else:
            with pytest.raises(CouldNotTell):
                may(made, "word-echo")


@pytest.mark.parametrize("text", ["min_tier: {default: chroot}", "min_tier: {checks: {style: docker}}", "min_tier: {skills: {'No Name': docker}}"])
def test_a_policy_that_asks_for_what_there_is_not_is_no_policy(text: str) -> None:
    with pytest.raises(InvalidFile):
        read_policy(f"apiVersion: skillops/v1\n{text}\n".encode(), "reviewers/policy.yaml")
