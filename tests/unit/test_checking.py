from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.domain.check import CheckReport, CheckResult, Outcome, Subject
from agent.domain.event import Event
from agent.domain.proposal import Proposal, ProposalDraft
from agent.domain.skill import WITNESS_PATH
from agent.errors import CouldNotTell
from agent.forges.local import LocalForge
from agent.ledger import SqliteLedger
from agent.manifest_file import witness_digest
from agent.ports import Workbench
from agent.stages.checking import bench_for, check, recorded_witness
from tests.subjects import WITNESS, skill_files

BRANCH = "skill/word-count-1"


@dataclass
class ACheck:
    """Passes, or raises `error`; keeps the subjects that it saw."""

    name: str
    error: BaseException | None = None
    ran: list[Subject] = field(default_factory=list)

    def run(self, subject: Subject, bench: Workbench) -> CheckResult:
        self.ran.append(subject)
        if self.error:
            raise self.error
        return CheckResult(name=self.name, outcome=Outcome.PASSED, head=subject.head, summary="fine")


@pytest.fixture
def forge(tmp_path: Path) -> LocalForge:
    forge = LocalForge.found(tmp_path / "origin.git")
    write(forge, "main", skill_files())
    return forge


@pytest.fixture
def ledger(tmp_path: Path) -> SqliteLedger:
    return SqliteLedger(tmp_path / "ledger.sqlite")


def write(forge: LocalForge, branch: str, files: Mapping[str, bytes | None]) -> str:
    below = {f"skills/word-count/{path}": data for path, data in files.items()}
    return forge.commit(branch, below, parent=forge.head(branch), message="A change", author="ada")


def proposed(forge: LocalForge, files: Mapping[str, bytes | None] | None = None, **traits: str) -> Proposal:
    write(forge, BRANCH, files or {"skill.py": b"x = 2\n"})
    draft = {"branch": BRANCH, "skill": "word-count", "kind": "extend", "title": "Extend", "body": "", "author": "ada", **traits}
    return forge.open_proposal(ProposalDraft.model_validate(draft))


def checked(proposal: Proposal, forge: LocalForge, ledger: SqliteLedger, *checks: ACheck, told: list[Event] | None = None) -> CheckReport:
    nothing = object()
    with bench_for(proposal, forge, nothing, nothing, ledger) as opened:  # type: ignore[arg-type]
        return check(proposal, opened, forge, checks, 2, ledger.record, (told if told is not None else []).append)


def lines(ledger: SqliteLedger, proposal: Proposal) -> list[tuple[str, str, str]]:
    events = [entry.event for entry in ledger.entries(proposal=proposal.number)]
    return sorted((event.what, event.data["check"], event.outcome) for event in events)


def test_each_result_is_posted_and_recorded(forge: LocalForge, ledger: SqliteLedger) -> None:
    proposal = proposed(forge)
    report = checked(proposal, forge, ledger, ACheck("scope"), ACheck("style", CouldNotTell("No ruff.")))
    assert [(r.name, r.outcome) for r in report.results] == [("scope", "passed"), ("style", "could_not_tell")]
    assert {result.name for result in forge.checks(proposal.number, proposal.head).results} == {"scope", "style"}
    assert lines(ledger, proposal) == [("checked", "scope", "passed"), ("checked", "style", "could_not_tell")]
    event = ledger.entries(proposal=proposal.number)[0].event
    assert (event.stage, event.skill, event.commit) == ("checking", "word-count", proposal.head)


def test_who_watches_hears_which_checks_begin(forge: LocalForge, ledger: SqliteLedger) -> None:
    told: list[Event] = []
    checked(proposed(forge), forge, ledger, ACheck("scope"), ACheck("style"), told=told)
    assert [(event.what, event.data["check"]) for event in told] == [("started", "scope"), ("started", "style")]


def test_the_subject_is_read_from_git_objects_and_its_snapshot_is_gone_at_the_end(forge: LocalForge, ledger: SqliteLedger) -> None:
    scope = ACheck("scope")
    checked(proposed(forge), forge, ledger, scope)
    subject = scope.ran[0]
    assert (subject.base_files, subject.kind) == (skill_files(), "extend")
    assert subject.files == skill_files(**{"skill.py": "x = 2\n"})
    assert [change.path for change in subject.changes] == ["skills/word-count/skill.py"]
    assert not subject.root.exists()


def test_results_that_are_there_stand_and_are_not_run_again(forge: LocalForge, ledger: SqliteLedger) -> None:
    proposal, scope, style = proposed(forge), ACheck("scope"), ACheck("style")
    checked(proposal, forge, ledger, scope)
    report = checked(proposal, forge, ledger, scope, style)
    assert [result.name for result in report.results] == ["scope", "style"]
    assert (len(scope.ran), len(style.ran), len(lines(ledger, proposal))) == (1, 1, 2)


def test_a_result_that_was_recorded_but_not_posted_when_we_were_killed_is_found_again_and_leaves_one_line(
    forge: LocalForge, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposal, scope = proposed(forge), ACheck("scope")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(forge, "post_check", _killed)
        checked(proposal, forge, ledger, scope)
    checked(proposal, forge, ledger, scope)
    assert lines(ledger, proposal) == [("checked", "scope", "passed")]
    assert len(scope.ran) == 2


def test_a_moved_head_is_checked_anew(forge: LocalForge, ledger: SqliteLedger) -> None:
    first, scope = proposed(forge), ACheck("scope")
    checked(first, forge, ledger, scope)
    second = proposed(forge, {"skill.py": b"x = 3\n"})
    checked(second, forge, ledger, scope)
    assert [subject.head for subject in scope.ran] == [first.head, second.head] and first.head != second.head


def test_a_kill_in_the_middle_keeps_what_was_posted(forge: LocalForge, ledger: SqliteLedger) -> None:
    proposal, scope = proposed(forge), ACheck("scope")
    with pytest.raises(KeyboardInterrupt):
        checked(proposal, forge, ledger, scope, ACheck("style", KeyboardInterrupt()))
    assert checked(proposal, forge, ledger, scope, ACheck("style")).outcome is Outcome.PASSED
    assert len(lines(ledger, proposal)) == 2


def test_the_witness_digest_is_the_newest_that_was_recorded(forge: LocalForge, ledger: SqliteLedger) -> None:
    proposal, scope = proposed(forge), ACheck("scope")
    for number, digest in ((proposal.number, "sha256:old"), (proposal.number, "sha256:new"), (99, "sha256:other")):
        ledger.record(Event(stage="proposing", what="witnessed", actor="skillops-witness", proposal=number, data={"witness_digest": digest}))
    checked(proposal, forge, ledger, scope)
    assert scope.ran[0].witness_digest == "sha256:new"


def test_without_a_record_there_is_no_digest(forge: LocalForge, ledger: SqliteLedger) -> None:
    assert recorded_witness(proposed(forge), forge, ledger) is None


@pytest.mark.parametrize(("once", "accepted"), [(WITNESS.encode(), True), (b"cases: []\n", False)])
def test_a_rollback_may_bring_cases_that_main_once_held_and_no_others(forge: LocalForge, ledger: SqliteLedger, once: bytes, accepted: bool) -> None:
    write(forge, "main", {WITNESS_PATH: once})
    write(forge, "main", {WITNESS_PATH: b"later\n"})
    found = recorded_witness(proposed(forge, {WITNESS_PATH: WITNESS.encode()}, kind="rollback"), forge, ledger)
    assert found == (witness_digest(WITNESS.encode()) if accepted else None)


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
