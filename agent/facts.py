"""Facts that a person had the agent keep: their own words, shown and forgotten when they say so. Data, never instructions."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from agent.domain import Frozen
from agent.errors import NotFound, Refused
from agent.sqlite_file import SqliteFile

MOST = 200  # of one person: all of them are put before the model each time
LONGEST = 500  # characters

_SCHEMA = """
CREATE TABLE IF NOT EXISTS fact (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL,
    text TEXT NOT NULL,
    at TEXT NOT NULL,
    UNIQUE (user, text)
) STRICT;
"""


class Fact(Frozen):
    """`at` is ISO 8601; a number is never given twice."""

    number: int
    text: str
    at: str


class Facts:
    """The facts in the SQLite file at `path`, each person's apart. Raises CouldNotTell where it cannot be read or written."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._file, self._clock = SqliteFile(path, _SCHEMA), clock

    def of(self, user: str) -> list[Fact]:
        with self._file.reading() as connection:
            rows = connection.execute("SELECT number, text, at FROM fact WHERE user = ? ORDER BY number", (_encodable(user),)).fetchall()
        return [Fact(**dict(row)) for row in rows]

    def keep(self, user: str, text: str) -> None:
        """Keeps it once. Refused where it is too long, or where there are too many."""
        said = " ".join(_encodable(text).split())
        if len(said) > LONGEST:
            raise Refused(f"A fact of {len(said)} characters is not kept.", why=f"One may have {LONGEST}.", next_step="Say it in a sentence.")
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")
        with self._file.writing() as connection:
            (count,) = connection.execute("SELECT COUNT(*) FROM fact WHERE user = ? AND text != ?", (_encodable(user), said)).fetchone()
            if count >= MOST:
                raise Refused(f"{count} facts are kept, and no more are.", next_step="`skillops facts` shows them; --forget N forgets one.")
            connection.execute("INSERT OR IGNORE INTO fact (user, text, at) VALUES (?, ?, ?)", (_encodable(user), said, at))

    def forget(self, user: str, number: int) -> Fact:
        """What is forgotten is gone from the file. NotFound where the person has no such fact."""
        fact = next((fact for fact in self.of(user) if fact.number == number), None)
        if fact is None:
            raise NotFound(f"There is no fact {number}.", next_step="`skillops facts` shows those that are kept.")
        with self._file.writing() as connection:
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("DELETE FROM fact WHERE user = ? AND number = ?", (_encodable(user), number))
        self._file.settle()
        return fact


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()
