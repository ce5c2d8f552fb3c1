"""The audit trail on a branch: appended by compare-and-swap, sealed line by line, read back by another runner."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent import branch_ledger
from agent.branch_ledger import BRANCH, BranchLedger
from agent.domain.event import Event
from agent.errors import CouldNotTell
from agent.forges.local import LocalForge


@pytest.fixture
def forge(tmp_path: Path) -> LocalForge:
    forge = LocalForge.found(tmp_path / "origin.git")
    forge.commit("main", {"README.md": b"Skills.\n"}, parent=None, message="First", author="ada")
    return forge


def an_event(what: str = "raised", **traits: object) -> Event:
    return Event.model_validate({"stage": "assessing", "what": what, "actor": "ada", **traits})


def test_another_runner_reads_what_was_recorded(forge: LocalForge) -> None:
    recorded = BranchLedger(forge).record(an_event(request=1, tokens=5, seconds=60))

    assert BranchLedger(forge).entries() == [recorded]
    assert BranchLedger(forge).entries(request=2) == []
    assert (BranchLedger(forge).spent(1).tokens, BranchLedger(forge).spent(1).minutes) == (5, 1)


def test_the_branch_holds_the_trail_and_nothing_of_main(forge: LocalForge) -> None:
    BranchLedger(forge).record(an_event())

    assert set(forge.children(BRANCH, "")) == {"ledger"}
    assert "ledger" not in forge.children("main", "")


def test_a_key_is_recorded_once(forge: LocalForge) -> None:
    first, again = (BranchLedger(forge).record(an_event(key="k")) for _ in range(2))

    assert first == again and len(BranchLedger(forge).entries()) == 1


def test_runners_that_write_at_once_lose_nothing_and_never_fork_the_chain(forge: LocalForge) -> None:
    ledgers = [BranchLedger(forge) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: ledgers[number % 4].record(an_event(note=str(number))), range(24)))

    lines = BranchLedger(forge).entries()
    assert {line.event.note for line in lines} == {str(number) for number in range(24)}
    assert [line.number for line in lines] == list(range(1, 25)) and BranchLedger(forge).tampered() is None


def test_pages_that_are_full_are_left_alone(forge: LocalForge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branch_ledger, "PAGE", 3)
    ledger = BranchLedger(forge)
    for number in range(3):
        ledger.record(an_event(note=str(number)))
    full = forge.object_id(BRANCH, "ledger/000000000.jsonl")
    for number in range(3, 7):
        ledger.record(an_event(note=str(number)))

    assert set(forge.children(BRANCH, "ledger")) == {"000000000.jsonl", "000000003.jsonl", "000000006.jsonl"}
    assert forge.object_id(BRANCH, "ledger/000000000.jsonl") == full
    assert [line.event.note for line in BranchLedger(forge).entries()] == [str(number) for number in range(7)]


def test_a_line_that_was_changed_or_taken_out_is_found(forge: LocalForge) -> None:
    ledger = BranchLedger(forge)
    for number in range(3):
        ledger.record(an_event(note=f"note {number}"))
    path = "ledger/000000000.jsonl"
    page = forge.read(BRANCH, path) or b""
    head = forge.commit(BRANCH, {path: page.replace(b"note 1", b"note 9")}, parent=forge.head(BRANCH), message="Tamper", author="mallory")
    changed = ledger.tampered()
    forge.commit(BRANCH, {path: b"".join(page.splitlines(keepends=True)[1:])}, parent=head, message="Tamper", author="mallory")

    assert (changed, ledger.tampered()) == (2, 1)


def test_a_page_that_is_no_page_could_not_tell(forge: LocalForge) -> None:
    ledger = BranchLedger(forge)
    ledger.record(an_event())
    forge.commit(BRANCH, {"ledger/000000000.jsonl": b"{}\n"}, parent=forge.head(BRANCH), message="Break", author="mallory")

    with pytest.raises(CouldNotTell, match="cannot be read"):
        ledger.entries()
