"""Conversations, kept so that one that waits for a skill resumes when it is deployed, also in another process."""

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
    state TEXT NOT NULL DEFAULT 'open',
    waiting_for_request INTEGER,
    pending TEXT NOT NULL DEFAULT 'null',
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
CREATE INDEX IF NOT EXISTS conversation_user ON conversation (user);
CREATE INDEX IF NOT EXISTS turn_conversation ON turn (conversation);
"""


class Turn(Frozen):
    """One thing said; `at` is ISO 8601, `data` what a page or a later step needs (a receipt, a plan)."""

    id: int
    conversation: str
    role: Literal["user", "agent"]
    text: str
    at: str
    data: Json = None


class Conversation(Frozen):
    """`waiting`: `pending` (the task, its plan so far) goes on when request `waiting_for_request` is deployed or, where
    that is None, when the person answers."""

    id: str
    user: str
    state: Literal["open", "waiting"] = "open"
    waiting_for_request: int | None = None
    pending: Json = None


class Memory:
    """The conversations in the SQLite file at `path`; `clock` gives seconds since 1970.

    Raises NotFound for a conversation that is not there, CouldNotTell where the file cannot be read or written.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._file, self._clock = SqliteFile(path, _SCHEMA), clock

    def start(self, user: str) -> Conversation:
        conversation = Conversation(id=uuid.uuid4().hex, user=_encodable(user))
        with self._file.writing() as connection:
            connection.execute("INSERT INTO conversation (id, user) VALUES (?, ?)", (conversation.id, conversation.user))
        return conversation

    def get(self, id: str) -> Conversation:
        with self._file.reading() as connection:
            return _conversation(_row(connection, id))

    def latest(self, user: str) -> Conversation | None:
        """The conversation that this person started last."""
        with self._file.reading() as connection:
            row = connection.execute("SELECT * FROM conversation WHERE user = ? ORDER BY number DESC LIMIT 1", (_encodable(user),)).fetchone()
        return _conversation(row) if row else None

    def say(self, conversation_id: str, role: Literal["user", "agent"], text: str, data: Json = None) -> Turn:
        with self._file.writing() as connection:
            _row(connection, conversation_id)
            return self._said(connection, conversation_id, role, text, data)

    def turns(self, id: str) -> list[Turn]:
        """What was said, in order."""
        with self._file.reading() as connection:
            _row(connection, id)
            rows = connection.execute("SELECT * FROM turn WHERE conversation = ? ORDER BY id", (id,)).fetchall()
        return [Turn(**{**row, "data": json.loads(row["data"])}) for row in map(dict, rows)]

    def wait(self, id: str, request: int | None, pending: Json) -> Conversation:
        """Puts the conversation aside until `resolve`; waiting anew replaces what it waited for and frees any claim."""
        with self._file.writing() as connection:
            _row(connection, id)
            connection.execute(
                "UPDATE conversation SET state = 'waiting', waiting_for_request = ?, pending = ?, owner = NULL, until = 0 WHERE id = ?",
                (request, json.dumps(pending), id),
            )
            return _conversation(_row(connection, id))

    def waiting(self, request: int | None = None) -> list[Conversation]:
        """Those that wait, the longest known first: for `request` or, where it is None, for anything."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM conversation WHERE state = 'waiting' AND (:request IS NULL OR waiting_for_request = :request) ORDER BY number",
                {"request": request},
            ).fetchall()
        return [_conversation(row) for row in rows]

    def claim(self, id: str, owner: str, lease: float = LEASE) -> bool:
        """Whether `owner` alone may go on with a waiting conversation, for `lease` seconds. Claiming one's own again
        renews it; that of a killed owner runs out by itself."""
        now = self._clock()
        with self._file.writing() as connection:
            _row(connection, id)
            changed = connection.execute(
                "UPDATE conversation SET owner = ?, until = ? WHERE id = ? AND state = 'waiting' AND (owner IS ? OR until <= ?)",
                (owner, now + lease, id, owner, now),
            )
            return changed.rowcount == 1

    def release(self, id: str, owner: str) -> None:
        """Gives a claim back before it runs out, where `owner` could not go on."""
        with self._file.writing() as connection:
            connection.execute("UPDATE conversation SET owner = NULL, until = 0 WHERE id = ? AND owner = ?", (id, owner))

    def resolve(self, id: str, owner: str | None = None, answer: str | None = None, data: Json = None) -> bool:
        """Ends the waiting, once, and with it says `answer`. False, and nothing said, where it was resolved already or
        the claim is no longer `owner`'s (None: no claim was made)."""
        with self._file.writing() as connection:
            _row(connection, id)
            changed = connection.execute(
                "UPDATE conversation SET state = 'open', waiting_for_request = NULL, pending = 'null', owner = NULL, until = 0 "
                "WHERE id = ? AND state = 'waiting' AND owner IS ?",
                (id, owner),
            )
            if changed.rowcount == 1 and answer is not None:
                self._said(connection, id, "agent", answer, data)
            return changed.rowcount == 1

    def _said(self, connection: sqlite3.Connection, id: str, role: Literal["user", "agent"], text: str, data: Json) -> Turn:
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        values = (id, role, _encodable(text), at, json.dumps(data))
        number = connection.execute("INSERT INTO turn (conversation, role, text, at, data) VALUES (?, ?, ?, ?, ?)", values).lastrowid
        return Turn(id=number or 0, conversation=id, role=role, text=values[2], at=at, data=data)


def _row(connection: sqlite3.Connection, id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute("SELECT * FROM conversation WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise NotFound(f"There is no conversation {id!r}.", next_step="`skillops chat` starts one.")
    return row


def _conversation(row: sqlite3.Row) -> Conversation:
    return Conversation(
        id=row["id"], user=row["user"], state=row["state"], waiting_for_request=row["waiting_for_request"], pending=json.loads(row["pending"])
    )


def _encodable(text: str) -> str:
    """A terminal or a model may hand us lone surrogates, which no file can hold."""
    return text.encode(errors="replace").decode()
