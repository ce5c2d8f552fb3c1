"""The audit trail in one SQLite file: append-only, and each line sealed with the hash of the line before it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.chain import GENESIS, canonical, seal, sealed_event, spent_by
from agent.domain.decision import Spent
from agent.domain.event import Entered, Event
from agent.ports import Ledger
from agent.sqlite_file import SqliteFile

_LINES = "SELECT number, at, event, previous, hash FROM entry"

# Requests, proposals and keys are read out of the event itself, so that there is no second copy to tamper with.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    number INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    event TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL,
    request INTEGER GENERATED ALWAYS AS (json_extract(event, '$.request')) VIRTUAL,
    proposal INTEGER GENERATED ALWAYS AS (json_extract(event, '$.proposal')) VIRTUAL,
    key TEXT GENERATED ALWAYS AS (json_extract(event, '$.key')) VIRTUAL
) STRICT;
CREATE INDEX IF NOT EXISTS entry_request ON entry (request);
CREATE INDEX IF NOT EXISTS entry_proposal ON entry (proposal);
CREATE UNIQUE INDEX IF NOT EXISTS entry_key ON entry (key);
CREATE TRIGGER IF NOT EXISTS entry_is_kept BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entry_is_fixed BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entry_is_next BEFORE INSERT ON entry
WHEN new.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM entry)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""


class SqliteLedger(Ledger):
    """The ledger at `path`; `clock` gives seconds since 1970. Several processes may write: the chain never forks.

    The triggers stop a slip; what somebody changes on purpose is found by the chain. Raises CouldNotTell where the file
    cannot be read or written.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._file, self._clock = SqliteFile(path, _SCHEMA), clock

    def record(self, event: Event) -> Entered:
        with self._file.writing() as connection:
            if event.key is not None and (known := connection.execute(f"{_LINES} WHERE key = ?", (event.key,)).fetchone()):
                return _entered(known)
            last = connection.execute("SELECT number, hash FROM entry ORDER BY number DESC LIMIT 1").fetchone()
            number, previous = (last["number"] + 1, last["hash"]) if last else (1, GENESIS)
            entered = sealed_event(event, number, previous, self._clock())
            row = (number, entered.at, canonical(event.model_dump(mode="json")), previous, entered.hash)
            connection.execute("INSERT INTO entry (number, at, event, previous, hash) VALUES (?, ?, ?, ?, ?)", row)
        return entered

    def entries(self, *, request: int | None = None, proposal: int | None = None, after: int = 0, most: int | None = None) -> Sequence[Entered]:
        """In order; with both given, those that belong to both. Of those with a number above `after` the first `most`."""
        where, values = _wanted(request, proposal)
        values |= {"after": after, "most": -1 if most is None else most}
        with self._file.reading() as connection:
            found = connection.execute(f"{_LINES} WHERE {where} AND number > :after ORDER BY number LIMIT :most", values)
            return [_entered(row) for row in found]

    def last(self, *, request: int | None = None, proposal: int | None = None) -> Entered | None:
        """The newest of those that `entries` gives; the number of the newest of all is how many there are."""
        where, values = _wanted(request, proposal)
        with self._file.reading() as connection:
            row = connection.execute(f"{_LINES} WHERE {where} ORDER BY number DESC LIMIT 1", values).fetchone()
        return _entered(row) if row else None

    def tampered(self) -> int | None:
        previous, expected = GENESIS, 1
        with self._file.reading() as connection:
            for row in connection.execute(f"{_LINES} ORDER BY number"):
                held = row["hash"] == _lying(row) or row["hash"] == _sealed(row)  # the first takes a tenth of the time
                if row["number"] != expected or row["previous"] != previous or not held:
                    return expected
                previous, expected = row["hash"], expected + 1
        return None

    def head(self) -> str:
        """The last hash. Kept elsewhere, it shows whether entries were cut off at the end, which no chain can (`agent/anchors.py`)."""
        with self._file.reading() as connection:
            last = connection.execute("SELECT hash FROM entry ORDER BY number DESC LIMIT 1").fetchone()
        return str(last["hash"]) if last else GENESIS

    def spent(self, request: int) -> Spent:
        return spent_by(self.entries(request=request))


def _wanted(request: int | None, proposal: int | None) -> tuple[str, dict[str, int]]:
    values = {name: value for name, value in (("request", request), ("proposal", proposal)) if value is not None}
    return " AND ".join(f"{name} = :{name}" for name in values) or "true", values


def _lying(row: sqlite3.Row) -> str:
    """The hash that a row ought to have, its event being written as we write it: what is hashed is `canonical`, put together of what lies there."""
    text = f'{row["previous"]}{{"at":{json.dumps(row["at"])},"event":{row["event"]},"number":{row["number"]}}}'
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _sealed(row: sqlite3.Row) -> str | None:
    """The hash that a row ought to have, or None where its event is not even JSON."""
    try:
        return seal(row["previous"], row["number"], row["at"], json.loads(row["event"]))
    except ValueError:
        return None


def _entered(row: sqlite3.Row) -> Entered:
    event = Event.model_validate(json.loads(row["event"]))
    return Entered(number=row["number"], at=row["at"], event=event, previous=row["previous"], hash=row["hash"])
