"""Tests: the author's own in the sandbox, how much they would notice, and the witness's cases from outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import get_args

from agent.caller import Trouble, anybodys, execute
from agent.checks import concluded, language_of
from agent.checks.before import marked, named
from agent.domain.capability import Capability, told
from agent.domain.check import CheckResult, Finding, Outcome, Subject, TestReport
from agent.domain.release import Endpoint
from agent.domain.schema import violations
from agent.domain.skill import Case, Manifest, tree_digest
from agent.domain.wording import counted
from agent.errors import CouldNotTell, Refused
from agent.ports import Check, Language, Sandbox, Workbench

LISTED = 10  # missed places and surviving mutants that are told
_NO_ANSWER = frozenset(get_args(Trouble))


class TestsCheck(Check):
    """`coverage` is the least share of lines that the tests run, `threshold` the least share of `mutants` that they
    notice. The author's own trial asks for less: no mutants, no gutting, and never the witness."""

    __test__ = False  # pytest collects classes called Test…
    name = "tests"

    def __init__(
        self, languages: Mapping[str, Language], sandbox: Sandbox, *, mutants: int = 40, threshold: float = 0.6, coverage: float = 0.9,
        gut: bool = True, witness: bool = True,
    ) -> None:  # fmt: skip
        self._languages, self._sandbox = languages, sandbox
        self._mutants, self._threshold, self._coverage, self._gut, self._witness = mutants, threshold, coverage, gut, witness

    def run(self, subject: Subject, bench: Workbench) -> CheckResult:
        language = language_of(subject, self._languages)
        if isinstance(language, Finding) or subject.manifest is None:
            return concluded(self.name, subject, [language] if isinstance(language, Finding) else [], "")
        seed = int(tree_digest(subject.files).removeprefix("sha256:")[:8], 16)
        report = language.run_tests(subject.root, subject.manifest, self._sandbox, mutants=self._mutants, seed=seed, gut=self._gut)
        if report.problem and report.outcome is Outcome.COULD_NOT_TELL:
            raise CouldNotTell("The tests could not be run.", why=report.problem, next_step="`skillops doctor` looks at the sandbox.")
        findings = [*self._own(report)]
        if self._witness:
            findings += _witness_findings(subject, subject.manifest, bench)
        findings += [_attempt(one) for one in report.tried if not one.declared]
        tried = marked(subject, language, report.tried)
        result = concluded(self.name, subject, findings, self._passed(subject, report))
        gained = told(one for one in tried if one.gained)
        summary = f"In the sandbox it tried more than {named(subject)} could: {gained}. {result.summary}" if gained else result.summary
        return result.model_copy(update={"capabilities": tried, "summary": summary}).with_tests(report.tests)

    def _own(self, report: TestReport) -> Iterator[Finding]:
        """What the author's tests show. Where they fail, what they would notice is beside the point."""
        failing = [test for test in report.tests if test.outcome in ("failed", "error")]
        if report.from_outside:
            message = "none of its own tests is run: it is tested by its examples (see the check contract) and the witness's cases, from outside"
            yield Finding(message=message, rule="tests", level="note")
            return
        if report.problem:
            yield Finding(message=report.problem, rule="tests")
        for test in failing:
            yield Finding(message=f"{test.id}: {test.message or test.outcome}", rule="test", path=test.path, line=test.line)
        if report.problem or failing:
            return
        if not any(test.outcome == "passed" for test in report.tests):
            yield Finding(message="no test ran", rule="tests")
            return
        yield from self._uncovered(report)
        if report.gutted_passes:
            message = "the tests still pass where each public function returns the least value that its schema allows; test what it does"
            yield Finding(message=message, rule="gutted")
        yield from self._survivors(report)

    def _uncovered(self, report: TestReport) -> Iterator[Finding]:
        if report.coverage is None or report.coverage >= self._coverage:
            return
        yield Finding(message=f"the tests run {report.coverage:.0%} of the lines; {self._coverage:.0%} are wanted", rule="coverage")
        for path, first, last in _ranges(report.missed)[:LISTED]:
            lines = f"line {first} is" if first == last else f"lines {first} to {last} are"
            yield Finding(message=f"{lines} run by no test", rule="coverage", path=path, line=first)

    def _survivors(self, report: TestReport) -> Iterator[Finding]:
        survivors = [mutant for mutant in report.mutants if not mutant.killed]
        killed = len(report.mutants) - len(survivors)
        if not report.mutants or killed / len(report.mutants) >= self._threshold:
            return
        yield Finding(message=f"the tests notice {killed} of {len(report.mutants)} mutants; {self._threshold:.0%} are wanted", rule="mutants")
        for mutant in survivors[:LISTED]:
            yield Finding(message=f"no test notices this change: {mutant.change}", rule="mutants", path=mutant.path, line=mutant.line)

    def _passed(self, subject: Subject, report: TestReport) -> str:
        own = counted(sum(test.outcome == "passed" for test in report.tests), "test") + " passed"
        parts = ["It is tested from outside alone" if report.from_outside else own]
        if report.coverage is not None:
            parts.append(f"{report.coverage:.0%} of the lines run")
        if report.mutants:
            parts.append(f"{sum(mutant.killed for mutant in report.mutants)} of {len(report.mutants)} mutants noticed")
        if self._witness and subject.witness:
            parts.append(counted(len(subject.witness), "witness case") + (" holds" if len(subject.witness) == 1 else " hold"))
        return ", ".join(parts) + "."


def _attempt(tried: Capability) -> Finding:
    message = f"in the sandbox it tried {tried.kind} ({tried.what}), which its manifest does not declare"
    return Finding(message=message, rule="tried", path=tried.path, line=tried.line)


def _witness_findings(subject: Subject, manifest: Manifest, bench: Workbench) -> Iterator[Finding]:
    """Names the clause of the request that failed, and the numbers of its cases, never what is in them: the author reads this."""
    if not subject.witness:
        yield Finding(message="there are no witness cases", rule="witness", level="note")
        return
    try:
        endpoint = bench.trial()
    except Refused:
        yield Finding(message="the skill does not start (see the check contract), so no witness case holds", rule="witness")
        return
    failed: dict[str, list[int]] = {}
    for number, case in enumerate(subject.witness, 1):
        if not _holds(case, manifest, endpoint):
            failed.setdefault(case.clause, []).append(number)
    for clause, numbers in failed.items():
        yield Finding(message=f"the skill does not do what the request asks: {clause}", rule="witness", cases=tuple(numbers))


def _holds(case: Case, manifest: Manifest, endpoint: Endpoint) -> bool:
    """Whether a caller gets what the case expects. Inputs that break the schema never reach the skill: the gateway refuses them."""
    if violations(manifest.inputs, case.inputs, limit=1):
        return case.expect.error is not None
    timeout = manifest.resources.timeout_seconds
    reply = execute(endpoint, anybodys(manifest.name, case.inputs, timeout))
    if reply.error_code in _NO_ANSWER:  # a case that expects any error does not expect a crash
        return False
    fits = not reply.success or not violations(manifest.outputs, reply.outputs, limit=1)
    return fits and case.expect.unmet(reply.success, reply.outputs, reply.error_code) is None


def _ranges(missed: tuple[tuple[str, int], ...]) -> list[tuple[str, int, int]]:
    """Neighbouring lines of a file as (path, first, last)."""
    found = []
    numbered = enumerate(sorted(set(missed)))
    for _, group in groupby(numbered, key=lambda item: (item[1][0], item[1][1] - item[0])):
        lines = [line for _, line in group]
        found.append((lines[0][0], lines[0][1], lines[-1][1]))
    return found
