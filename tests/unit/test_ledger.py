"""The audit trail: append-only, and each line sealed with the hash of the line before it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agent.branch_ledger import BranchLedger
from agent.domain.event import Event
from agent.errors import CouldNotTell
from agent.forges.local import LocalForge
from agent.ledger import GENESIS, SqliteLedger
from agent.ports import Ledger

UNREAD = "".join(f"ALTER TABLE entry DROP COLUMN {name};" for name in ("request", "proposal", "key"))
SWAP = " ".join(f"UPDATE entry SET number = {new} WHERE number = {old};" for old, new in ((2, 99), (3, 2), (99, 3)))


def an_event(**traits: Any) -> Event:
    return Event.model_validate({"stage": "checking", "what": "checked", "actor": "ada", **traits})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> SqliteLedger:
    return SqliteLedger(path, clock=lambda: 1_700_000_000.5)


def test_what_is_recorded_is_read_back_by_another_process(path: Path, ledger: SqliteLedger) -> None:
    event = an_event(note="naïve ☃ \udc80", data={"deep": [{"a": None}]}, seconds=0.1, cost=0.25)

    entered = ledger.record(event)

    assert SqliteLedger(path).entries() == [entered]
    assert (entered.number, entered.at, entered.event, entered.previous) == (1, "2023-11-14T22:13:20.500+00:00", event, GENESIS)


def test_each_entry_follows_the_hash_of_the_one_before(ledger: SqliteLedger) -> None:
    entered = [ledger.record(an_event(note=str(number))) for number in range(3)]

    assert [entry.previous for entry in entered] == [GENESIS, entered[0].hash, entered[1].hash]
    assert ledger.head() == entered[2].hash
    assert ledger.tampered() is None


def test_an_empty_ledger_has_the_first_hash_for_a_head(ledger: SqliteLedger) -> None:
    assert (ledger.head(), ledger.tampered(), ledger.entries()) == (GENESIS, None, [])


def test_a_key_is_recorded_once(ledger: SqliteLedger) -> None:
    first = ledger.record(an_event(key="merged:2", note="first"))

    again = ledger.record(an_event(key="merged:2", note="second"))

    assert again == first
    assert len(ledger.entries()) == 1


def test_entries_are_found_by_request_and_by_proposal(ledger: SqliteLedger) -> None:
    for request, proposal in ((1, None), (1, 2), (3, 2), (None, None)):
        ledger.record(an_event(request=request, proposal=proposal))

    assert [entry.number for entry in ledger.entries(request=1)] == [1, 2]
    assert [entry.number for entry in ledger.entries(proposal=2)] == [2, 3]
    assert [entry.number for entry in ledger.entries(request=1, proposal=2)] == [2]
    assert ledger.entries(request=99) == []


@pytest.mark.parametrize("where", ["file", "branch"])
def test_a_part_of_the_entries_and_the_last_one_are_read_without_the_rest(where: str, ledger: SqliteLedger, tmp_path: Path) -> None:
    read: Ledger = ledger if where == "file" else BranchLedger(LocalForge.found(tmp_path / "origin.git"))
    assert read.last() is None
    for request in (1, 2, 1, 2, 1):
        read.record(an_event(request=request))

    assert [entry.number for entry in read.entries(after=1, most=3)] == [2, 3, 4]
    assert [entry.number for entry in read.entries(request=1, after=1, most=1)] == [3]
    assert [entry and entry.number for entry in (read.last(), read.last(request=2), read.last(request=9))] == [5, 4, None]


def test_what_a_request_spent_counts_from_the_last_retry(ledger: SqliteLedger) -> None:
    ledger.record(an_event(request=1, what="attempt", tokens=900, cost=9, seconds=900))
    ledger.record(an_event(request=1, what="retried"))
    ledger.record(an_event(request=1, what="attempt", tokens=100, cost=0.5, seconds=60))
    ledger.record(an_event(request=1, what="attempt", tokens=50, cost=0.25, seconds=30))
    ledger.record(an_event(request=1, what="reviewed", tokens=5, seconds=30))
    ledger.record(an_event(request=2, what="attempt", tokens=7000))

    spent = ledger.spent(1)

    assert (spent.attempts, spent.tokens, spent.cost, spent.minutes) == (2, 155, 0.75, 2.0)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE entry SET event = '{}' WHERE number = 2",
        "DELETE FROM entry WHERE number = 3",
        "INSERT OR REPLACE INTO entry (number, at, event, previous, hash) VALUES (2, '', '{}', '', '')",
        "INSERT INTO entry (number, at, event, previous, hash) VALUES (9, '', '{}', '', '')",
    ],
)
def test_the_file_refuses_a_change_of_what_is_written(path: Path, ledger: SqliteLedger, sql: str) -> None:
    for number in range(3):
        ledger.record(an_event(note=str(number)))

    with pytest.raises(sqlite3.IntegrityError, match="append-only"), sqlite3.connect(path) as connection:
        connection.execute(sql)

    assert ledger.tampered() is None


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("UPDATE entry SET event = replace(event, 'ada', 'eve') WHERE number = 2", 2),
        (f"{UNREAD} UPDATE entry SET event = 'not JSON: ' || event WHERE number = 2", 2),
        ("UPDATE entry SET at = '2020-01-01' WHERE number = 3", 3),
        ("UPDATE entry SET hash = 'f' || substr(hash, 2), at = at || ' ' WHERE number = 4", 4),
        ("UPDATE entry SET previous = 'x' WHERE number = 5", 5),
        ("DELETE FROM entry WHERE number = 1", 1),
        ("DELETE FROM entry WHERE number IN (2, 3)", 2),
        ("DELETE FROM entry WHERE number = 2; UPDATE entry SET number = number - 1 WHERE number > 2", 2),
        (SWAP, 2),
        ("INSERT INTO entry (number, at, event, previous, hash) SELECT 0, at, event, previous, hash FROM entry WHERE number = 1", 1),
    ],
)
def test_a_change_behind_the_triggers_is_found_at_its_line(path: Path, ledger: SqliteLedger, sql: str, found: int) -> None:
    for number in range(5):
        ledger.record(an_event(note=str(number)))

    tamper(path, sql)

    assert ledger.tampered() == found


def test_a_line_sealed_anew_breaks_the_line_after_it(path: Path, ledger: SqliteLedger, tmp_path: Path) -> None:
    for number in range(3):
        ledger.record(an_event(note=str(number)))
    forged = SqliteLedger(tmp_path / "forged.sqlite", clock=lambda: 1_700_000_000.5)
    forged.record(an_event(note="0"))
    line = forged.record(an_event(note="forged"))

    tamper(path, f'UPDATE entry SET event = replace(event, \'"note":"1"\', \'"note":"forged"\'), hash = \'{line.hash}\' WHERE number = 2')

    assert ledger.entries()[1].event.note == "forged"
    assert ledger.tampered() == 3


def test_entries_cut_off_at_the_end_show_in_the_head(path: Path, ledger: SqliteLedger) -> None:
    for number in range(3):
        ledger.record(an_event(note=str(number)))
    kept = ledger.head()

    tamper(path, "DELETE FROM entry WHERE number = 3")

    assert ledger.tampered() is None
    assert ledger.head() != kept


def tamper(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(
        "DROP TRIGGER entry_is_kept; DROP TRIGGER entry_is_fixed; DROP TRIGGER entry_is_next;"
        "DROP INDEX entry_key; DROP INDEX entry_request; DROP INDEX entry_proposal;" + sql
    )
    connection.close()


WRITER = """
import sys
from pathlib import Path
from agent.domain.event import Event
from agent.ledger import SqliteLedger
ledger = SqliteLedger(Path(sys.argv[1]))
for number in range(20):
    ledger.record(Event(stage="s", what="w", actor=sys.argv[2], key=f"shared:{number}" if number % 2 else None))
"""


def test_processes_that_write_at_once_never_fork_the_chain(path: Path, ledger: SqliteLedger) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), f"writer {number}"]) for number in range(3)]

    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    assert [entry.number for entry in ledger.entries()] == list(range(1, 3 * 10 + 10 + 1)), "each shared key once, all else from each"
    assert ledger.tampered() is None


def test_threads_that_write_at_once_never_fork_the_chain(ledger: SqliteLedger) -> None:
    record: Callable[[int], Any] = lambda number: ledger.record(an_event(note=str(number)))  # noqa: E731
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(record, range(40)))

    assert len(ledger.entries()) == 40
    assert ledger.tampered() is None


def test_a_file_that_is_no_ledger_could_not_be_told(path: Path, ledger: SqliteLedger) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database " * 1000)

    with pytest.raises(CouldNotTell, match="not a database"):
        ledger.record(an_event())


def test_a_folder_that_cannot_be_made_could_not_be_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(CouldNotTell, match="could not be read or written"):
        SqliteLedger(tmp_path / "file" / "ledger.sqlite").record(an_event())


def test_what_failed_half_way_leaves_no_line(ledger: SqliteLedger) -> None:
    with pytest.raises(ValueError):
        ledger.record(an_event().model_copy(update={"seconds": float("nan")}))

    assert ledger.entries() == []
