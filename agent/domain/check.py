"""A Check states a fact about a proposal: passed, failed, or could not tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import Field

from agent.domain import Frozen
from agent.domain.capability import Capability
from agent.domain.proposal import Change
from agent.domain.skill import Case, Manifest, SkillName

NO_WITNESS = "none"
FILES = 200  # that a skill may have
TESTS, TEST_NAME, TEST_MESSAGE = 200, 160, 300  # tests that are kept with a verdict, and the characters of their names and messages


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    COULD_NOT_TELL = "could_not_tell"


class Finding(Frozen):
    """One thing found. `path` is relative to the repository's root, `line` counts from 1. A note blocks nothing; what is for a person
    blocks nothing either, and no proposal with it is merged without an approval. `cases` are the numbers of the witness cases that show it."""

    message: str
    rule: str = ""
    path: str | None = None
    line: int | None = None
    level: Literal["error", "person", "note"] = "error"
    cases: tuple[int, ...] = Field(default=(), exclude_if=lambda cases: not cases)


class TestRun(Frozen):
    """One test of the author's: `id` is the language's own (pytest: file::name). `seconds` is wall time, None where it was not measured."""

    __test__ = False  # no test case of pytest's, for all its name

    id: str
    outcome: Literal["passed", "failed", "error", "skipped"]
    message: str = ""
    path: str | None = None
    line: int | None = None
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class CheckResult(Frozen):
    """What one check found at `head`. `seconds` is wall time; `capabilities` is what it saw that the code can do. `tests` are those that it
    ran, as far as they are kept (`with_tests`), and `untold` is how many more there were."""

    name: str
    outcome: Outcome
    head: str
    summary: str
    seconds: float = 0.0
    findings: tuple[Finding, ...] = ()
    capabilities: tuple[Capability, ...] = ()
    tests: tuple[TestRun, ...] = ()
    untold: int = 0

    def with_tests(self, tests: Iterable[TestRun], most: int = TESTS) -> CheckResult:
        """The same with what its tests came to: `most` of them, those that failed before the others, their names and messages cut."""
        ran = sorted(tests, key=lambda test: test.outcome not in ("failed", "error"))
        kept = [test.model_copy(update={"id": test.id[:TEST_NAME], "message": test.message[:TEST_MESSAGE]}) for test in ran[:most]]
        return self.model_copy(update={"tests": tuple(kept), "untold": len(ran) - len(kept)})


class CheckReport(Frozen):
    """The results of one head."""

    head: str
    results: tuple[CheckResult, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Failed beats could-not-tell beats passed; a report without results could not tell."""
        found = {result.outcome for result in self.results}
        for outcome in (Outcome.FAILED, Outcome.COULD_NOT_TELL):
            if outcome in found:
                return outcome
        return Outcome.PASSED if self.results else Outcome.COULD_NOT_TELL

    def of(self, outcome: Outcome) -> tuple[CheckResult, ...]:
        return tuple(result for result in self.results if result.outcome is outcome)

    @property
    def for_person(self) -> tuple[tuple[str, Finding], ...]:
        """What a person is to look at, with the check that found it."""
        return tuple((result.name, finding) for result in self.results for finding in result.findings if finding.level == "person")

    @property
    def gained(self) -> tuple[Capability, ...]:
        """What the code can do of a kind that the version on the base had nothing of."""
        return tuple(one for result in self.results for one in result.capabilities if one.gained)

    def covers(self, names: Iterable[str]) -> bool:
        return {result.name for result in self.results}.issuperset(names)


class Subject(Frozen):
    """What the checks look at: one skill at one commit, as read from git objects.

    `files` and `base_files` map paths relative to `skills/<name>/` to their bytes (blobs over 1 MiB are left out;
    `changes` still names them). `root` is a snapshot of `files` on disk, read-only to checks, in which the witness
    cases are absent. `witness_digest` is what the ledger recorded before drafting: NO_WITNESS where there may be no cases,
    None where they must be as on the base.
    `others` are the skills that the base has beside it, by name.
    `manifest` is None where skill.yaml is missing or invalid; `manifest_error` then says why.
    """

    skill: SkillName
    head: str
    base: str | None = None
    files: Mapping[str, bytes]
    base_files: Mapping[str, bytes] = {}
    changes: tuple[Change, ...] = ()
    root: Path
    manifest: Manifest | None = None
    manifest_error: Finding | None = None
    base_manifest: Manifest | None = None
    others: tuple[str, ...] = ()
    witness: tuple[Case, ...] = ()
    witness_digest: str | None = None
    kind: str = "person"


class Mutant(Frozen):
    """One small change to the skill's own code. A mutant that no test notices has survived."""

    path: str
    line: int
    change: str
    killed: bool


class TestReport(Frozen):
    """What running the author's tests in the sandbox showed.

    `coverage` is the share of the skill's own lines that ran, 0 to 1, None where it was not measured. `gutted_passes`
    tells whether the tests still passed with a gutted implementation (they must not). `problem` is set where the run
    as a whole went wrong (a crash, a timeout, no tests), with the outcome that this means. `from_outside`: nothing was
    run, as the skill can only be tested by calling it. `tried`: what the sandbox saw the code try, declared or not.
    """

    __test__ = False

    tests: tuple[TestRun, ...] = ()
    coverage: float | None = None
    missed: tuple[tuple[str, int], ...] = ()
    gutted_passes: bool | None = None
    mutants: tuple[Mutant, ...] = ()
    problem: str | None = None
    outcome: Outcome = Outcome.PASSED
    from_outside: bool = False
    tried: tuple[Capability, ...] = ()
