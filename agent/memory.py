"""Conversations, kept so that one that waits for a skill goes on when it is deployed, also in another process."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from agent.domain import Frozen
from agent.domain.schema import Json
from agent.errors import NotFound
from agent.sqlite_file import SqliteFile

LEASE = 300.0  # seconds that a claim holds: longer than an answer takes, shorter than a person's patience

_SCHEMA = """
CREATE TABLE IF NOT EXISTS conversation (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    user TEXT NOT NULL,
    owner TEXT,
    until REAL NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS turn (
    id INTEGER PRIMARY KEY,
    conversation TEXT NOT NULL REFERENCES conversation (id),
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    at TEXT NOT NULL,
    data TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS wait (
    number INTEGER PRIMARY KEY,
    conversation TEXT NOT NULL REFERENCES conversation (id),
    request INTEGER NOT NULL,
    pending TEXT NOT NULL,
    UNIQUE (conversation, request)
) STRICT;
CREATE INDEX IF NOT EXISTS conversation_user ON conversation (user);
CREATE INDEX IF NOT EXISTS turn_conversation ON turn (conversation);
"""


class Turn(Frozen):
    """One thing said; `at` is ISO 8601, `data` what a page or a later step needs."""

    id: int
    conversation: str
    role: Literal["person", "agent"]
    text: str
    at: str
    data: Json = None


class Conversation(Frozen):
    """One person's talk with the agent."""

    id: str
    user: str


class Wait(Frozen):
    """A conversation goes on when `request` is closed; `pending` is the task as far as it went."""

    conversation: str
    request: int
    pending: Json


class Memory:
    """The conversations in the SQLite file at `path`; `clock` gives seconds since 1970.

    Raises NotFound for a conversation that is not there, CouldNotTell where the file cannot be read or written.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._file, self._clock, self._me = SqliteFile(path, _SCHEMA), clock, uuid.uuid4().hex

    def start(self, user: str) -> str:
        """A new conversation of this person; returns its id."""
        id = uuid.uuid4().hex
        with self._file.writing() as connection:
            connection.execute("INSERT INTO conversation (id, user) VALUES (?, ?)", (id, _encodable(user)))
        return id

    def get(self, id: str) -> Conversation:
        with self._file.reading() as connection:
            return _conversation(_row(connection, id))

    def latest(self, user: str) -> Conversation | None:
        """The conversation that this person started last."""
        with self._file.reading() as connection:
            row = connection.execute("SELECT * FROM conversation WHERE user = ? ORDER BY number DESC LIMIT 1", (_encodable(user),)).fetchone()
        return _conversation(row) if row else None

    def say(self, conversation: str, role: Literal["person", "agent"], text: str, data: Json = None) -> Turn:
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        values = (conversation, role, _encodable(text), at, json.dumps(data))
        with self._file.writing() as connection:
            _row(connection, conversation)
            number = connection.execute("INSERT INTO turn (conversation, role, text, at, data) VALUES (?, ?, ?, ?, ?)", values).lastrowid
        return Turn(id=number or 0, conversation=conversation, role=role, text=values[2], at=at, data=data)

    def turns(self, id: str) -> list[Turn]:
        """What was said, in order."""
        with self._file.reading() as connection:
            _row(connection, id)
            rows = connection.execute("SELECT * FROM turn WHERE conversation = ? ORDER BY id", (id,)).fetchall()
        return [Turn(**{**row, "data": json.loads(row["data"])}) for row in map(dict, rows)]

    def wait(self, id: str, request: int, pending: Json) -> None:
        """Waits for a request too. A conversation that was claimed has gone on since: what it waited for until then is
        dropped, and with it the claim."""
        with self._file.writing() as connection:
            if _row(connection, id)["owner"] is not None:
                _forget(connection, id)
            connection.execute(
                "INSERT INTO wait (conversation, request, pending) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET pending = excluded.pending",
                (id, request, json.dumps(pending)),
            )

    def waiting(self, request: int | None = None) -> list[Wait]:
        """What is waited for, the oldest first: of `request` or, where it is None, of all."""
        with self._file.reading() as connection:
            sql = "SELECT conversation, request, pending FROM wait WHERE :request IS NULL OR request = :request ORDER BY number"
            rows = connection.execute(sql, {"request": request}).fetchall()
        return [Wait(conversation=row["conversation"], request=row["request"], pending=json.loads(row["pending"])) for row in rows]

    def claim(self, id: str, owner: str | None = None, lease: float = LEASE) -> bool:
        """Whether `owner` (None: this object) alone may go on with a conversation that waits, for `lease` seconds.

        Claiming one's own again renews it; the claim of a killed owner runs out by itself.
        """
        now, owner = self._clock(), owner or self._me
        with self._file.writing() as connection:
            _row(connection, id)
            changed = connection.execute(
                "UPDATE conversation SET owner = :owner, until = :until WHERE id = :id AND (owner IS NULL OR owner = :owner OR until <= :now) "
                "AND EXISTS (SELECT 1 FROM wait WHERE conversation = :id)",
                {"id": id, "owner": owner, "until": now + lease, "now": now},
            )
        return changed.rowcount == 1

    def release(self, id: str, owner: str | None = None) -> None:
        """Gives a claim back, where its owner could not go on; the conversation waits on."""
        with self._file.writing() as connection:
            connection.execute("UPDATE conversation SET owner = NULL, until = 0 WHERE id = ? AND owner = ?", (id, owner or self._me))

    def resolve(self, id: str, owner: str | None = None) -> bool:
        """Ends all waiting, once. False where it was ended already, or where somebody else has the claim."""
        with self._file.writing() as connection:
            if _row(connection, id)["owner"] not in (None, owner or self._me):
                return False
            return _forget(connection, id) > 0


def _forget(connection: sqlite3.Connection, id: str) -> int:
    connection.execute("UPDATE conversation SET owner = NULL, until = 0 WHERE id = ?", (id,))
    return connection.execute("DELETE FROM wait WHERE conversation = ?", (id,)).rowcount


def _row(connection: sqlite3.Connection, id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute("SELECT * FROM conversation WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise NotFound(f"There is no conversation {id!r}.", next_step="`skillops chat --new` starts one.")
    return row


def _conversation(row: sqlite3.Row) -> Conversation:
    return Conversation(id=row["id"], user=row["user"])


def _encodable(text: str) -> str:
    """A terminal or a model may hand us lone surrogates, which no file can hold."""
    return text.encode(errors="replace").decode()
