from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.domain.check import CheckReport, CheckResult, Outcome, Subject
from agent.domain.event import Event
from agent.domain.proposal import Change
from agent.domain.skill import WITNESS_PATH
from agent.errors import CouldNotTell
from agent.ledger import SqliteLedger
from agent.manifest_file import witness_digest
from agent.ports import CommitLine, Workbench
from agent.stages.checking import bench_for, check, recorded_witness
from tests.builders import BASE, HEAD, a_proposal
from tests.subjects import WITNESS, skill_files


@dataclass
class HeldForge:
    """The part of a forge that checking asks: trees by commit, and the results of each head."""

    trees: dict[str, dict[str, bytes]] = field(default_factory=lambda: {BASE: {}, HEAD: skill_files()})
    posted: dict[tuple[str, str], CheckResult] = field(default_factory=dict)
    past: tuple[str, ...] = ()

    def files(self, ref: str, folder: str) -> dict[str, bytes]:
        assert folder == "skills/word-count"
        return self.trees[ref]

    def changes(self, base: str, head: str) -> tuple[Change, ...]:
        return tuple(Change(path=f"skills/word-count/{path}", status="added", mode="100644") for path in self.trees[head])

    def read(self, ref: str, path: str) -> bytes | None:
        return self.trees[ref].get(path.removeprefix("skills/word-count/"))

    def history(self, path: str, limit: int = 50) -> Sequence[CommitLine]:
        return [CommitLine(commit=commit, author="a", at="2025-01-01T00:00:00Z", message="m") for commit in self.past]

    def post_check(self, number: int, result: CheckResult) -> None:
        self.posted[result.head, result.name] = result

    def checks(self, number: int, head: str) -> CheckReport:
        return CheckReport(head=head, results=tuple(result for (at, _), result in self.posted.items() if at == head))


@dataclass
class ACheck:
    name: str
    error: Exception | None = None
    ran: list[Subject] = field(default_factory=list)

    def run(self, subject: Subject, bench: Workbench) -> CheckResult:
        self.ran.append(subject)
        if self.error:
            raise self.error
        return CheckResult(name=self.name, outcome=Outcome.PASSED, head=subject.head, summary="fine")


@pytest.fixture
def ledger(tmp_path: Path) -> SqliteLedger:
    return SqliteLedger(tmp_path / "ledger.sqlite")


def checked(forge: Any, ledger: SqliteLedger, *checks: ACheck, told: list[Event] | None = None, **traits: Any) -> CheckReport:
    proposal, nothing = a_proposal(**traits), object()
    with bench_for(proposal, forge, nothing, nothing, ledger) as opened:  # type: ignore[arg-type]
        return check(proposal, opened, forge, checks, 2, ledger.record, (told if told is not None else []).append)


def lines(ledger: SqliteLedger) -> list[tuple[str, str, str]]:
    return [(entry.event.what, entry.event.data["check"], entry.event.outcome) for entry in ledger.entries(proposal=2)]


def test_each_result_is_posted_and_recorded(ledger: SqliteLedger) -> None:
    forge = HeldForge()
    report = checked(forge, ledger, ACheck("scope"), ACheck("style", CouldNotTell("No ruff.")))
    assert [(r.name, r.outcome) for r in report.results] == [("scope", "passed"), ("style", "could_not_tell")]
    assert set(forge.posted) == {(HEAD, "scope"), (HEAD, "style")}
    assert sorted(lines(ledger)) == [("checked", "scope", "passed"), ("checked", "style", "could_not_tell")]
    entry = ledger.entries(proposal=2)[0].event
    assert (entry.stage, entry.request, entry.skill, entry.commit) == ("checking", 1, "word-count", HEAD)


def test_who_watches_hears_which_checks_begin(ledger: SqliteLedger) -> None:
    told: list[Event] = []
    checked(HeldForge(), ledger, ACheck("scope"), ACheck("style"), told=told)
    assert [(event.what, event.data["check"]) for event in told] == [("started", "scope"), ("started", "style")]


def test_the_subject_is_read_from_git_objects_and_its_snapshot_is_gone_at_the_end(ledger: SqliteLedger) -> None:
    forge, scope = HeldForge(), ACheck("scope")
    forge.trees[BASE] = skill_files(**{"skill.py": "x = 1\n"})
    checked(forge, ledger, scope, kind="extend")
    subject = scope.ran[0]
    assert (subject.files, subject.base_files, subject.kind) == (forge.trees[HEAD], forge.trees[BASE], "extend")
    assert len(subject.changes) == len(subject.files) and not subject.root.exists()


def test_results_that_are_there_stand_and_are_not_run_again(ledger: SqliteLedger) -> None:
    forge, scope, style = HeldForge(), ACheck("scope"), ACheck("style")
    checked(forge, ledger, scope)
    report = checked(forge, ledger, scope, style)
    assert [result.name for result in report.results] == ["scope", "style"]
    assert (len(scope.ran), len(style.ran)) == (1, 1)
    assert len(lines(ledger)) == 2


def test_a_result_that_was_posted_but_not_recorded_when_we_were_killed_is_recorded_once(ledger: SqliteLedger) -> None:
    forge, scope = HeldForge(), ACheck("scope")
    forge.post_check(2, CheckResult(name="scope", outcome=Outcome.FAILED, head=HEAD, summary="bad"))
    for _ in range(2):
        checked(forge, ledger, scope)
    assert lines(ledger) == [("checked", "scope", "failed")] and not scope.ran


def test_a_moved_head_is_checked_anew(ledger: SqliteLedger) -> None:
    forge, scope = HeldForge(), ACheck("scope")
    forge.trees["c" * 40] = skill_files()
    checked(forge, ledger, scope)
    checked(forge, ledger, scope, head="c" * 40)
    assert [subject.head for subject in scope.ran] == [HEAD, "c" * 40]


def test_a_kill_in_the_middle_keeps_what_was_posted(ledger: SqliteLedger) -> None:
    forge, scope = HeldForge(), ACheck("scope")
    with pytest.raises(KeyboardInterrupt):
        checked(forge, ledger, scope, ACheck("style", KeyboardInterrupt()))  # type: ignore[arg-type]
    report = checked(forge, ledger, scope, ACheck("style"))
    assert report.outcome is Outcome.PASSED and set(forge.posted) == {(HEAD, "scope"), (HEAD, "style")}


def test_the_witness_digest_is_the_newest_that_was_recorded_for_the_request(ledger: SqliteLedger) -> None:
    for number, digest in ((1, "sha256:old"), (1, "sha256:new"), (7, "sha256:other")):
        ledger.record(Event(stage="proposing", what="witnessed", actor="skillops-witness", request=number, data={"witness_digest": digest}))
    scope = ACheck("scope")
    checked(HeldForge(), ledger, scope)
    assert scope.ran[0].witness_digest == "sha256:new"


def test_without_a_record_there_is_no_digest(ledger: SqliteLedger) -> None:
    assert recorded_witness(a_proposal(), HeldForge(), ledger) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(("once", "accepted"), [(WITNESS, True), ("cases: []\n", False)])
def test_a_rollback_may_bring_cases_that_main_once_held_and_no_others(ledger: SqliteLedger, once: str, accepted: bool) -> None:
    past = "d" * 40
    trees = {HEAD: skill_files(**{WITNESS_PATH: WITNESS}), BASE: skill_files(), past: skill_files(**{WITNESS_PATH: once})}
    found = recorded_witness(a_proposal(kind="rollback", request=None), HeldForge(trees=trees, past=(past,)), ledger)  # type: ignore[arg-type]
    assert found == (witness_digest(WITNESS.encode()) if accepted else None)
