"""What people said in a chat and nobody has acted on yet, and the message of ours that shows what each thing said came to.

It outlives a restart. What came once is not taken again: a platform that had no answer in time sends the same once more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from agent.domain import Frozen
from agent.sqlite_file import SqliteFile

KEPT = 7 * 86_400.0  # seconds that something said is known for; its words go as soon as it is acted on

_SCHEMA = """
CREATE TABLE IF NOT EXISTS said (id TEXT PRIMARY KEY, at REAL NOT NULL, data TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE IF NOT EXISTS thread (key TEXT PRIMARY KEY, conversation TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS shown (id TEXT PRIMARY KEY, at REAL NOT NULL, open INTEGER NOT NULL, data TEXT NOT NULL) STRICT;
"""


class Said(Frozen):
    """Something that a person said, or a button that they pressed. `id` is the platform's, the same each time that it is delivered.

    `thread` is where, as the platform's module writes it; `who` the person on the platform, `person` the same as policy knows them, and `known`
    whether the settings say so. `about` is what a button carries.
    """

    id: str
    kind: Literal["say", "answer", "approve", "reject", "secret", "stop"]
    thread: str
    who: str
    person: str
    known: bool = False
    text: str = ""
    about: dict[str, str | int | float] = {}


class Shown(Frozen):
    """Our message in a thread: `stamp` is the platform's name of it, `as_of` a digest of what it says now. It shows a task of the conversation:
    that of `turn`, or while that is 0 the one that begins after the turn `after`. `trouble` is why there is none, and `sent` how many of its pictures
    were put up beside it."""

    id: str
    thread: str
    conversation: str
    stamp: str
    after: int
    turn: int = 0
    as_of: str = ""
    trouble: str = ""
    sent: int = 0


class Inbox:
    """In the SQLite file at `path`; `clock` gives seconds since 1970. Raises CouldNotTell where the file cannot be used."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._file, self._clock = SqliteFile(path, _SCHEMA), clock

    def take(self, said: Said) -> bool:
        """Queues it; False where it came before."""
        with self._file.writing() as connection:
            old = self._clock() - KEPT
            connection.execute("DELETE FROM said WHERE done AND at < ?", (old,))
            connection.execute("DELETE FROM shown WHERE NOT open AND at < ?", (old,))
            insert = "INSERT OR IGNORE INTO said (id, at, data) VALUES (?, ?, ?)"
            return connection.execute(insert, (said.id, self._clock(), said.model_dump_json())).rowcount == 1

    def waiting(self) -> list[Said]:
        """What was not acted on, the oldest first."""
        with self._file.reading() as connection:
            rows = connection.execute("SELECT data FROM said WHERE NOT done ORDER BY at, rowid").fetchall()
        return [Said.model_validate_json(row["data"]) for row in rows]

    def done(self, said: Said) -> None:
        with self._file.writing() as connection:
            connection.execute("UPDATE said SET done = 1, data = '' WHERE id = ?", (said.id,))

    def conversation(self, thread: str) -> str | None:
        """Which conversation goes on in a thread."""
        with self._file.reading() as connection:
            row = connection.execute("SELECT conversation FROM thread WHERE key = ?", (thread,)).fetchone()
        return str(row["conversation"]) if row else None

    def bind(self, thread: str, conversation: str) -> None:
        with self._file.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO thread (key, conversation) VALUES (?, ?)", (thread, conversation))

    def keep(self, shown: Shown, *, open_: bool = True) -> None:
        """`open_`: what it shows may change yet."""
        with self._file.writing() as connection:
            upsert = """INSERT INTO shown (id, at, open, data) VALUES (?, ?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET open = excluded.open, data = excluded.data"""
            connection.execute(upsert, (shown.id, self._clock(), open_, shown.model_dump_json()))

    def drawn(self, shown: Shown, as_of: str, *, over: bool) -> None:
        """The message says now what `shown` stands for, unless that has changed meanwhile; `over`: it does not change any more."""
        with self._file.writing() as connection:
            row = connection.execute("SELECT data FROM shown WHERE id = ?", (shown.id,)).fetchone()
            if row and Shown.model_validate_json(row["data"]) == shown:
                data = shown.model_copy(update={"as_of": as_of}).model_dump_json()
                connection.execute("UPDATE shown SET open = ?, data = ? WHERE id = ?", (not over, data, shown.id))

    def message(self, id: str) -> Shown | None:
        """The message that was posted for something said."""
        with self._file.reading() as connection:
            row = connection.execute("SELECT data FROM shown WHERE id = ?", (id,)).fetchone()
        return Shown.model_validate_json(row["data"]) if row else None

    def open(self) -> list[Shown]:
        """Our messages that may change yet, the oldest first."""
        with self._file.reading() as connection:
            rows = connection.execute("SELECT data FROM shown WHERE open ORDER BY at, rowid").fetchall()
        return [Shown.model_validate_json(row["data"]) for row in rows]
