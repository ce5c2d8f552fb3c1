"""Proposing, on the local forge: the witness, the author's commit, the proposal, and what a kill leaves behind."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.author import Author
from agent.domain.decision import BudgetLimits, Problem
from agent.domain.event import Event
from agent.domain.gap import Gap
from agent.domain.proposal import AUTHOR, DEPLOYER, OUT_OF_BUDGET, WITNESS, Proposal
from agent.domain.request import RequestDraft
from agent.domain.skill import WITNESS_PATH, Case, Expectation, Manifest
from agent.errors import HeadMoved, InvalidFile, ModelUnavailable, NotFound, Refused, UnusableAnswer, UsageError, WaitsForPerson
from agent.forges.local import LocalForge
from agent.ledger import SqliteLedger
from agent.manifest_file import read_manifest, read_witness, witness_digest, write_manifest, write_witness
from agent.stages import proposing
from agent.witness import witness
from tests.builders import a_contract, a_gap, a_manifest
from tests.fakes import FakeModel
from tests.unit.test_author import CODE, TEST, Plain, a_draft

FOLDER = "skills/word-count"
WRONG = Problem(source="tests", message="expected 2, got 3", path=f"{FOLDER}/skill.py", line=2)
CASES = [{"name": f"case {n}", "clause": 1, "inputs": {"text": "a " * n}, "expect": {"outputs": {"words": n}}} for n in range(3, 9)]
CASE = Case(name="case 3", clause="words are parted by white space", inputs={"text": "a " * 3}, expect=Expectation(outputs={"words": 3}))
ANSWER = {"cases": CASES}


class Killed(BaseException):
    """What kill -9 looks like from inside: nothing catches it."""


class Office:
    """A forge, a ledger and a model for one test; `found` is what the author's tries find, in turn."""

    def __init__(self, folder: Path) -> None:
        self.forge = LocalForge.found(folder / "origin.git")
        self.ledger = SqliteLedger(folder / "ledger.sqlite")
        self.drafts = folder / "drafts"
        self.forge.commit("main", {"README.md": b"skills\n"}, parent=None, message="begin", author="ada")
        self.request = self.forge.open_request(RequestDraft(key="k", title="Count words", text="How many words?", requester="ada", source="cli"))
        self.model, self.found = FakeModel(), []  # type: ignore[var-annotated]

    def answers(self, *drafts: Any, cases: Any = ANSWER) -> None:
        self.model = FakeModel({"witness": [cases], "author": list(drafts)})

    def propose(
        self, gap: Gap | None = None, proposal: Proposal | None = None, problems: tuple[Problem, ...] = (), record: Any = None, **limits: Any
    ) -> Proposal:
        author = Author(self.model, {"python": Plain()}, self._try, self.ledger.record, self.drafts)  # type: ignore[dict-item]
        return proposing.propose(
            self.request,
            gap or a_gap(),
            proposal,
            problems,
            self.forge,
            self.model,
            author,
            self.ledger,
            BudgetLimits(**limits),
            record or self.ledger.record,
        )

    def _try(self, files: Mapping[str, bytes], manifest: Manifest) -> tuple[Problem, ...]:
        return self.found.pop(0) if self.found else ()

    def events(self, what: str) -> list[Event]:
        return [entry.event for entry in self.ledger.entries() if entry.event.what == what]

    def release(self, version: str = "1.0.0", cases: tuple[Case, ...] = (CASE,), code: str = CODE, **traits: Any) -> str:
        """Puts a version of word-count on main."""
        files = {"skill.yaml": write_manifest(a_manifest(version=version, **traits)), "skill.py": code.encode(), "tests/test_skill.py": TEST.encode()}
        files[WITNESS_PATH] = write_witness("sha256:" + "1" * 64, cases)
        named = {f"{FOLDER}/{path}": data for path, data in files.items()}
        return self.forge.commit("main", named, parent=self.forge.head("main"), message=version, author="ada")

    def manifest(self, ref: str) -> Manifest:
        return read_manifest(self.forge.read(ref, f"{FOLDER}/skill.yaml") or b"", "skill.yaml")

    def cases(self, ref: str) -> tuple[Case, ...]:
        return read_witness(self.forge.read(ref, f"{FOLDER}/{WITNESS_PATH}") or b"", "witness.yaml")[1]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


# ---- the witness ---------------------------------------------------------------------------------------------------


def test_the_witness_sees_the_contract_alone() -> None:
    model = FakeModel({"witness": [ANSWER]})
    cases = witness(a_contract(), (), model).answer.cases
    assert model.asked[0].variables.keys() == {"contract", "clauses", "earlier"}
    assert [case.clause for case in cases] == ["words are parted by white space"] * 6


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ([{**CASES[0], "inputs": {"text": 3}}, *CASES[1:]], "do not fit the schema"),
        ([{**CASES[0], "expect": {"outputs": {"words": -1}}}, *CASES[1:]], "do not fit the schema"),
        ([{**CASES[0], "expect": {"properties": {"type": "nonsense"}}}, *CASES[1:]], "no schema"),
        ([{**CASES[0], "inputs": {"text": "one two"}}, *CASES[1:]], "contradicts an example"),
        ([{**CASES[0], "clause": 0} for _ in CASES], "same"),
        ([{**case, "clause": 0} for case in CASES], "no case tests the clauses 1"),
        ([{**CASES[0], "clause": 7}, *CASES[1:]], "names clause 7"),
        ([*CASES, {**CASES[0], "inputs": {"text": "z"}}], "two cases have the name"),
        ([*CASES, {**CASES[0], "name": "again"}], "the same inputs"),
        (CASES[:5], "5 cases"),
    ],
)
def test_cases_that_no_right_skill_could_meet_are_asked_for_again(bad: list[Any], told: str) -> None:
    model = FakeModel({"witness": [{"cases": bad}, ANSWER]})
    assert len(witness(a_contract(), (), model).answer.cases) == 6
    assert told in model.asked[1].variables["problem"] or told == "same"
    with pytest.raises(UnusableAnswer):
        witness(a_contract(), (), FakeModel({"witness": [{"cases": bad}, {"cases": bad}]}))


def test_an_error_may_be_expected_of_inputs_that_do_not_fit() -> None:
    wrong = {"name": "no text", "clause": 1, "inputs": {}, "expect": {"error": "*"}}
    assert len(witness(a_contract(), (), FakeModel({"witness": [{"cases": [*CASES, wrong]}]})).answer.cases) == 7


def test_an_extension_keeps_the_earlier_cases_but_for_those_it_rules_out() -> None:
    superseded = CASE.model_copy(update={"name": "told to go", "inputs": {"text": "q"}})
    ruled_out = CASE.model_copy(update={"name": "of another schema", "inputs": {"line": "q"}})
    model = FakeModel({"witness": [{"cases": CASES[1:2], "superseded": ["told to go"]}]})
    cases = witness(a_contract(), (CASE, superseded, ruled_out), model).answer.cases
    assert [case.name for case in cases] == ["case 3", "case 4"]
    assert [case["name"] for case in model.asked[0].variables["earlier"]] == ["case 3", "told to go"]


# ---- a new skill ---------------------------------------------------------------------------------------------------


def test_of_a_skill_that_asks_hosts_only_what_no_reply_decides_is_tested() -> None:
    """The replies are scripted by the author, so that a case about them could stop good work."""
    contract = a_contract(permissions={"network": ["api.example.com:443"]}, acceptance=("The words are the host's.", "Empty texts are an error."))
    model = FakeModel({"witness": [{"cases": [{**CASES[0], "clause": 2}]}]})

    assert len(witness(contract, (), model).answer.cases) == 1
    prompt = model.of("witness")[0].messages[0].content
    assert "Write 1 to 15 cases." in prompt and "but for those that only a host's reply can show" in prompt


def test_a_new_skill_is_proposed_by_the_author_with_the_witness_before_it(office: Office) -> None:
    office.answers(a_draft())
    proposal = office.propose()
    assert (proposal.branch, proposal.kind, proposal.author, proposal.draft) == (f"skillops/{office.request.number}-word-count", "new", AUTHOR, False)
    assert office.manifest(proposal.head).version == "1.0.0"
    assert len(office.cases(proposal.head)) == 6
    assert {change.path for change in office.forge.changes("main", proposal.head)} == {
        f"{FOLDER}/{path}" for path in ("skill.yaml", "SKILL.md", "skill.py", "tests/test_skill.py", WITNESS_PATH)
    }


def test_the_witness_digest_is_recorded_before_the_file_is_committed_and_before_drafting(office: Office) -> None:
    office.answers(a_draft())
    branch = f"skillops/{office.request.number}-word-count"
    seen: list[tuple[str | None, int]] = []

    def record(event: Event) -> None:
        if event.what == "witnessed":
            seen.append((office.forge.head(branch), len(office.model.of("author"))))
        office.ledger.record(event)

    proposal = office.propose(record=record)
    assert seen == [(None, 0)]
    data = office.forge.read(proposal.head, f"{FOLDER}/{WITNESS_PATH}") or b""
    assert office.events("witnessed")[0].data["witness_digest"] == witness_digest(data)


def test_the_author_is_never_asked_with_a_witness_case(office: Office) -> None:
    telling = [{**CASES[0], "name": "the-secret-case", "inputs": {"text": "unguessable words"}, "expect": {"outputs": {"words": 2}}}, *CASES[1:]]
    office.answers(a_draft(), a_draft(), cases={"cases": telling})
    office.found = [(WRONG,)]
    office.propose()
    assert "unguessable" not in repr(office.model.of("author")) and "the-secret-case" not in repr(office.model.of("author"))


def test_a_skill_that_came_in_between_is_not_overwritten(office: Office) -> None:
    office.release()
    office.answers(a_draft())
    with pytest.raises(Refused, match="already"):
        office.propose()


def test_a_gap_without_a_contract_cannot_be_built(office: Office) -> None:
    with pytest.raises(UsageError):
        office.propose(a_gap(verdict="refused", contract=None))


# ---- extending and revising ----------------------------------------------------------------------------------------


def test_an_extension_is_the_next_minor_version_with_the_earlier_cases(office: Office) -> None:
    office.release("1.2.3")
    office.answers(a_draft(), cases={"cases": CASES[1:3]})
    proposal = office.propose(a_gap(verdict="extend", skill="word-count", base_version="1.2.3"))
    assert (proposal.kind, office.manifest(proposal.head).version) == ("extend", "1.3.0")
    assert [case.name for case in office.cases(proposal.head)] == ["case 3", "case 4", "case 5"]
    assert office.model.of("author")[0].variables["files"]["skill.py"] == CODE


def test_a_revision_keeps_the_version_and_the_witness_and_mends(office: Office) -> None:
    office.answers(a_draft())
    first = office.propose()
    office.answers(a_draft({"skill.py": CODE + "\n\nLIMIT = 10\n"}), cases=None)
    second = office.propose(proposal=first, problems=(WRONG,))
    assert second.number == first.number and second.head != first.head
    assert office.manifest(second.head).version == "1.0.0"
    assert office.cases(second.head) == office.cases(first.head)
    assert office.model.of("witness") == []
    assert office.model.of("author")[0].variables["mend"][0]["message"] == WRONG.message
    assert [event.what for event in (*office.events("proposed"), *office.events("pushed"))] == ["proposed", "pushed"]


def test_a_witness_file_that_somebody_changed_is_for_a_person(office: Office) -> None:
    office.answers(a_draft())
    proposal = office.propose()
    office.forge.commit(proposal.branch, {f"{FOLDER}/{WITNESS_PATH}": b"cases: []"}, parent=proposal.head, message="ease", author="mallory")
    with pytest.raises(WaitsForPerson):
        office.propose(proposal=office.forge.proposal(proposal.number), problems=(WRONG,))


def test_a_push_in_between_is_not_overwritten(office: Office) -> None:
    office.answers(a_draft())
    proposal = office.propose()

    def push_meanwhile(question: Any) -> Any:
        office.forge.commit(proposal.branch, {f"{FOLDER}/skill.py": b"mine"}, parent=proposal.head, message="mine", author="ada")
        return a_draft({"skill.py": CODE + "\nX = 1\n"})

    office.model = FakeModel({"author": push_meanwhile})
    with pytest.raises(HeadMoved):
        office.propose(proposal=proposal, problems=(WRONG,))
    assert office.forge.read(proposal.branch, f"{FOLDER}/skill.py") == b"mine"


# ---- out of budget -------------------------------------------------------------------------------------------------


def test_out_of_budget_the_work_is_pushed_as_a_draft_that_says_what_failed(office: Office) -> None:
    office.answers(a_draft(), a_draft())
    office.found = [(WRONG,), (WRONG,)]
    proposal = office.propose(attempts=2)
    assert proposal.draft and OUT_OF_BUDGET in proposal.labels
    assert "expected 2, got 3" in proposal.body and "attempts: 2 of 2" in proposal.body
    assert office.manifest(proposal.head).version == "1.0.0"
    assert office.events("gave_up")[0].note == "attempts: 2 of 2 used"


def test_out_of_budget_without_any_files_there_is_still_a_draft(office: Office) -> None:
    office.answers("no", "no")
    proposal = office.propose(attempts=1)
    assert proposal.draft and len(office.cases(proposal.head)) == 6


def test_a_draft_taken_up_again_is_told_what_failed_and_is_a_draft_no_more(office: Office) -> None:
    office.answers(a_draft())
    office.found = [(WRONG,)]
    draft = office.propose(attempts=1)
    office.ledger.record(Event(stage="people", what="retried", actor="ada", request=office.request.number))
    office.answers(a_draft({"skill.py": CODE + "\nX = 1\n"}))
    proposal = office.propose(proposal=draft, attempts=1)
    assert office.model.of("author")[0].variables["mend"][0]["message"] == WRONG.message
    assert not proposal.draft and OUT_OF_BUDGET not in proposal.labels and proposal.number == draft.number


def test_a_model_out_of_reach_leaves_nothing_but_the_witness(office: Office) -> None:
    office.answers()
    with pytest.raises(ModelUnavailable):
        office.propose()
    assert office.forge.proposals("all") == []
    office.answers(a_draft())
    assert office.propose().state == "open"
    assert office.model.of("witness") == []


# ---- kill -9 -------------------------------------------------------------------------------------------------------


def killed_after(office: Office, effects: int, monkeypatch: pytest.MonkeyPatch, **limits: Any) -> None:
    """Proposes, and dies after the nth effect: an event recorded, a commit, a proposal opened, a label."""
    left = [effects]

    def dying(real: Any) -> Any:
        def effect(*args: Any, **named: Any) -> Any:
            done = real(*args, **named)
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return done

        return effect

    with monkeypatch.context() as patched:
        for place, name in ((office.ledger, "record"), (office.forge, "commit"), (office.forge, "open_proposal"), (office.forge, "label")):
            patched.setattr(place, name, dying(getattr(place, name)))
        with pytest.raises(Killed):
            office.propose(**limits)
    office.answers(*office.model.left("author"))


@pytest.mark.parametrize("effects", range(1, 7))
def test_killed_anywhere_it_goes_on_and_nothing_happens_twice(office: Office, monkeypatch: pytest.MonkeyPatch, effects: int) -> None:
    office.answers(a_draft(), a_draft({"skill.py": CODE + "X = 1\n"}))
    office.found = [(WRONG,)]
    killed_after(office, effects, monkeypatch)
    opened = office.forge.proposals("all")
    proposal = opened[0] if opened else office.propose()

    assert [each.number for each in office.forge.proposals("all")] == [proposal.number] and not proposal.draft
    assert [event.outcome for event in office.events("attempt")] == ["failed", "passed"]
    recorded = [event.data["witness_digest"] for event in office.events("witnessed")]
    assert recorded[-1] == witness_digest(office.forge.read(proposal.head, f"{FOLDER}/{WITNESS_PATH}") or b"")
    assert "X = 1" in (office.forge.read(proposal.head, f"{FOLDER}/skill.py") or b"").decode()


@pytest.mark.parametrize("effects", range(3, 7))
def test_killed_while_it_gives_up_it_still_says_so(office: Office, monkeypatch: pytest.MonkeyPatch, effects: int) -> None:
    office.answers(a_draft())
    office.found = [(WRONG,)]
    killed_after(office, effects, monkeypatch, attempts=1)
    opened = office.forge.proposals("all")
    proposal = office.propose(proposal=opened[0] if opened else None, attempts=1)
    assert proposal.draft and OUT_OF_BUDGET in proposal.labels and "expected 2, got 3" in proposal.body
    assert len(office.events("attempt")) == 1


# ---- people's skills, rollback, retirement, revert -------------------------------------------------------------------


def a_folder(version: str = "1.0.0", code: str = CODE, **more: bytes) -> dict[str, bytes]:
    return {"skill.yaml": write_manifest(a_manifest(version=version)), "skill.py": code.encode(), "tests/test_skill.py": TEST.encode(), **more}


def test_a_persons_skill_is_theirs_and_gets_a_witness_of_its_own(office: Office) -> None:
    model = FakeModel({"witness": [ANSWER]})
    brought = a_folder(**{WITNESS_PATH: b"cases: [mine]"})
    proposal = proposing.propose_folder(brought, "ada", office.forge, model, office.ledger.record)
    assert (proposal.branch, proposal.kind, proposal.author) == ("people/word-count-1.0.0", "person", "ada")
    assert len(office.cases(proposal.head)) == 6
    event = office.events("witnessed")[0]
    assert event.proposal == proposal.number
    assert event.data["witness_digest"] == witness_digest(office.forge.read(proposal.head, f"{FOLDER}/{WITNESS_PATH}") or b"")


def test_proposing_the_same_folder_again_changes_nothing(office: Office) -> None:
    model = FakeModel({"witness": [ANSWER]})
    first = proposing.propose_folder(a_folder(), "ada", office.forge, model, office.ledger.record)
    again = proposing.propose_folder(a_folder(), "ada", office.forge, model, office.ledger.record)
    assert (again.number, again.head) == (first.number, first.head) and len(model.asked) == 1


@pytest.mark.parametrize("model", [FakeModel(), FakeModel({"witness": ["no", "no"]}), FakeModel({"witness": []})])
def test_without_a_model_a_persons_skill_keeps_the_witness_that_main_has(office: Office, model: FakeModel) -> None:
    office.release()
    proposal = proposing.propose_folder(a_folder("1.1.0", CODE + "X = 1\n"), "ada", office.forge, model, office.ledger.record)
    assert office.cases(proposal.head) == (CASE,)
    assert office.events("witnessed") == []


def test_a_broken_manifest_or_an_unchanged_folder_is_refused(office: Office) -> None:
    with pytest.raises(InvalidFile):
        proposing.propose_folder({"skill.yaml": b"name: ["}, "ada", office.forge, FakeModel(), office.ledger.record)
    office.release()
    same = office.forge.files("main", FOLDER)
    with pytest.raises(Refused, match="exactly like this"):
        proposing.propose_folder(same, "ada", office.forge, FakeModel(), office.ledger.record)
    merged = proposing.propose_folder(a_folder("2.0.0"), "ada", office.forge, FakeModel(), office.ledger.record)
    office.forge.merge(merged.number, expected_head=merged.head, message="Merge", author="ada")
    with pytest.raises(Refused, match="exactly like this"):
        proposing.propose_folder(a_folder("2.0.0"), "ada", office.forge, FakeModel(), office.ledger.record)
    with pytest.raises(UsageError):
        proposing.propose_folder(a_folder("2.0.0"), AUTHOR, office.forge, FakeModel(), office.ledger.record)


def test_a_rollback_restores_the_whole_tree_under_a_new_patch_version(office: Office) -> None:
    old = office.release("1.0.0", code="OLD = 1\n")
    office.release("1.1.0", cases=(CASE, CASE.model_copy(update={"name": "newer"})), code="NEW = 1\n")
    files = office.forge.files(old, FOLDER)
    proposal = proposing.propose_rollback("word-count", "1.0.0", files, "ada", office.forge, "it is slow")
    assert (proposal.kind, proposal.author) == ("rollback", "ada")
    assert office.manifest(proposal.head).version == "1.1.1"
    restored = office.forge.files(proposal.head, FOLDER)
    assert {path: data for path, data in restored.items() if path != "skill.yaml"} == {
        path: data for path, data in files.items() if path != "skill.yaml"
    }
    assert "it is slow" in proposal.body
    assert proposing.propose_rollback("word-count", "1.0.0", files, "ada", office.forge).number == proposal.number


def test_retiring_changes_version_and_status_alone(office: Office) -> None:
    office.release("1.0.0")
    proposal = proposing.propose_retire("word-count", "ada", office.forge)
    assert (office.manifest(proposal.head).version, office.manifest(proposal.head).status) == ("1.0.1", "retired")
    assert [change.path for change in office.forge.changes("main", proposal.head)] == [f"{FOLDER}/skill.yaml"]
    assert len([line for line in office.forge.diff("main", proposal.head).splitlines() if line.startswith("+") and "+++" not in line]) == 2


def test_what_is_not_there_cannot_be_retired(office: Office) -> None:
    with pytest.raises(NotFound):
        proposing.propose_retire("nothing", "ada", office.forge)


def a_merged(office: Office, version: str, code: str) -> Proposal:
    proposal = proposing.propose_folder(a_folder(version, code), "ada", office.forge, FakeModel(), office.ledger.record)
    office.forge.merge(proposal.number, expected_head=proposal.head, message="merge", author=DEPLOYER)
    return office.forge.proposal(proposal.number)


def test_a_revert_restores_the_version_before(office: Office) -> None:
    a_merged(office, "1.0.0", "OLD = 1\n")
    merged = a_merged(office, "1.1.0", "NEW = 1\n")
    revert = proposing.propose_revert(merged, office.forge, "it crashed.")
    assert revert is not None and (revert.kind, revert.author) == ("revert", DEPLOYER)
    assert office.forge.read(revert.head, f"{FOLDER}/skill.py") == b"OLD = 1\n"
    assert office.manifest(revert.head).version == "1.1.1" and "it crashed." in revert.body


def test_a_revert_of_the_first_version_retires_it(office: Office) -> None:
    revert = proposing.propose_revert(a_merged(office, "1.0.0", CODE), office.forge, "it crashed.")
    assert revert is not None and office.manifest(revert.head).status == "retired"


def test_what_main_has_left_behind_is_not_reverted_nor_a_revert_itself(office: Office) -> None:
    first = a_merged(office, "1.0.0", "OLD = 1\n")
    second = a_merged(office, "1.1.0", "NEW = 1\n")
    assert proposing.propose_revert(first, office.forge, "late") is None
    assert proposing.propose_revert(second.model_copy(update={"kind": "revert"}), office.forge, "again") is None


def test_the_witness_writes_as_itself(office: Office) -> None:
    office.answers(a_draft())
    proposal = office.propose()
    log = ["git", "--git-dir", office.forge.origin, "log", "--format=%an", proposal.branch, "--", f"{FOLDER}/{WITNESS_PATH}"]
    assert subprocess.run(log, capture_output=True, text=True, check=True).stdout.split() == [WITNESS]
