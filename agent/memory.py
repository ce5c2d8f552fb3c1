"""Conversations, kept so that what was asked is answered once, also by another process than the one that was asked.

A task lies here from the moment it is said until it is answered. Whoever goes on with it holds a lock of the system on
it, which a killed process loses at once; that it ends and what is said then are one write.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from agent.domain import Frozen
from agent.domain.profile import ASSISTANT
from agent.domain.schema import Json
from agent.drawings import Drawing
from agent.errors import CouldNotTell, NotFound
from agent.sqlite_file import SqliteFile

Role = Literal["person", "agent"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS conversation (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    user TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS turn (
    id INTEGER PRIMARY KEY,
    conversation TEXT NOT NULL REFERENCES conversation (id),
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    at TEXT NOT NULL,
    data TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS counterpart (conversation TEXT PRIMARY KEY REFERENCES conversation (id), agent TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS run (
    turn INTEGER NOT NULL REFERENCES turn (id),
    id TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (turn, id)
) STRICT;
CREATE TABLE IF NOT EXISTS drawing (
    turn INTEGER NOT NULL REFERENCES turn (id),
    number INTEGER NOT NULL,
    rows TEXT NOT NULL,
    ending TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (turn, number)
) STRICT;
CREATE TABLE IF NOT EXISTS taken (turn INTEGER PRIMARY KEY REFERENCES turn (id), tokens INTEGER NOT NULL, cost REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS task (turn INTEGER PRIMARY KEY REFERENCES turn (id), pending TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS conversation_user ON conversation (user);
CREATE INDEX IF NOT EXISTS turn_conversation ON turn (conversation);
"""

_CONVERSATION = "SELECT conversation.*, agent FROM conversation LEFT JOIN counterpart ON counterpart.conversation = conversation.id"


class Turn(Frozen):
    """One thing said; `at` is ISO 8601, `data` what a page or a later step needs."""

    id: int
    conversation: str
    role: Role
    text: str
    at: str
    data: Json = None


class Conversation(Frozen):
    """One person's talk with an agent."""

    id: str
    user: str
    agent: str = ASSISTANT


class Undone(Frozen):
    """A task that is not answered yet: what was said in `turn`, and how far it went."""

    turn: int
    conversation: str
    pending: Json


class Memory:
    """The conversations in the SQLite file at `path`; `clock` gives seconds since 1970.

    Raises NotFound for a conversation that is not there, CouldNotTell where the file cannot be read or written.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path, self._file, self._clock, self._locks = path, SqliteFile(path, _SCHEMA), clock, path.with_suffix(".locks")

    # ---- what is said ----------------------------------------------------------------------------------------------

    def start(self, user: str, agent: str = ASSISTANT) -> str:
        """A new conversation of this person with an agent; returns its id."""
        id = uuid.uuid4().hex
        with self._file.writing() as connection:
            connection.execute("INSERT INTO conversation (id, user) VALUES (?, ?)", (id, _encodable(user)))
            connection.execute("INSERT INTO counterpart (conversation, agent) VALUES (?, ?)", (id, agent))
        return id

    def get(self, id: str) -> Conversation:
        with self._file.reading() as connection:
            return _conversation(_row(connection, id))

    def latest(self, user: str, agent: str | None = None) -> Conversation | None:
        """The conversation that this person started last; with an `agent`, with that one."""
        sql = f"{_CONVERSATION} WHERE user = ? AND ? IN (COALESCE(agent, '{ASSISTANT}'), '') ORDER BY number DESC LIMIT 1"
        with self._file.reading() as connection:
            row = connection.execute(sql, (_encodable(user), agent or "")).fetchone()
        return _conversation(row) if row else None

    def talks(self, user: str, limit: int = 30) -> list[Turn]:
        """What this person said first in each conversation, the latest conversation first."""
        sql = """SELECT turn.* FROM conversation JOIN turn ON turn.id = (SELECT min(id) FROM turn WHERE turn.conversation = conversation.id)
            WHERE user = ? ORDER BY number DESC LIMIT ?"""
        with self._file.reading() as connection:
            rows = connection.execute(sql, (_encodable(user), limit)).fetchall()
        return [_turn(row) for row in rows]

    def say(self, conversation: str, role: Role, text: str, data: Json = None) -> Turn:
        with self._file.writing() as connection:
            return self._add(connection, conversation, role, text, data)

    def turns(self, id: str) -> list[Turn]:
        """What was said, in order."""
        with self._file.reading() as connection:
            _row(connection, id)
            rows = connection.execute("SELECT * FROM turn WHERE conversation = ? ORDER BY id", (id,)).fetchall()
        return [_turn(row) for row in rows]

    # ---- what is to be done ----------------------------------------------------------------------------------------

    @contextmanager
    def begun(self, conversation: str, text: str, pending: Json) -> Iterator[int]:
        """What a person says, as a task that the caller alone goes on with inside the block; gives the id of its turn."""
        with ExitStack() as held:
            with self._file.writing() as connection:  # nobody sees the task before it is locked
                turn = self._add(connection, conversation, "person", text).id
                connection.execute("INSERT INTO task (turn, pending) VALUES (?, ?)", (turn, json.dumps(pending)))
                held.enter_context(self._locked(turn, wait=False))
            yield turn

    @contextmanager
    def taken(self, turn: int, *, wait: bool = False) -> Iterator[Json]:
        """The task of this turn, as far as it went, for the caller alone to go on with inside the block.

        None where it is answered, or where somebody else has it; with `wait`, they are waited for.
        """
        with self._locked(turn, wait=wait) as mine:
            with self._file.reading() as connection:
                row = connection.execute("SELECT pending FROM task WHERE turn = ?", (turn,)).fetchone() if mine else None
            if mine and row is None:
                self._lock(turn).unlink(missing_ok=True)
            yield json.loads(row["pending"]) if row else None

    def undone(self, conversation: str | None = None) -> list[Undone]:
        """The tasks that are not answered yet, the oldest first; of all conversations, or of one."""
        sql = "SELECT turn, conversation, pending FROM task JOIN turn ON turn.id = task.turn WHERE ? IN (conversation, '') ORDER BY turn"
        with self._file.reading() as connection:
            rows = connection.execute(sql, (conversation or "",)).fetchall()
        return [Undone(turn=row["turn"], conversation=row["conversation"], pending=json.loads(row["pending"])) for row in rows]

    def keep(self, turn: int, pending: Json) -> None:
        """How far a task went. This, `answer` and `drop` are for whoever has it."""
        with self._file.writing() as connection:
            connection.execute("UPDATE task SET pending = ? WHERE turn = ?", (json.dumps(pending), turn))

    def answer(self, turn: int, text: str, data: Json = None, *, pending: Json = None) -> Turn:
        """Says what a task came to and, in the same write, ends it, or lets it wait as `pending`."""
        with self._file.writing() as connection:
            (conversation,) = connection.execute("SELECT conversation FROM turn WHERE id = ?", (turn,)).fetchone()
            said = self._add(connection, conversation, "agent", text, data)
            if pending is None:
                connection.execute("DELETE FROM task WHERE turn = ?", (turn,))
            else:
                connection.execute("UPDATE task SET pending = ? WHERE turn = ?", (json.dumps(pending), turn))
        if pending is None:
            self._lock(turn).unlink(missing_ok=True)
        return said

    def took(self, turn: int, tokens: int, cost: float) -> None:
        """What one question to a model took of a turn's task, whatever becomes of that: `cost` in US dollars."""
        sql = "INSERT INTO taken VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET tokens = tokens + excluded.tokens, cost = cost + excluded.cost"
        with self._file.writing() as connection:
            connection.execute(sql, (turn, tokens, cost))

    def taken_of(self, conversation: str) -> dict[int, tuple[int, float]]:
        """By turn, what `took` noted."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT taken.* FROM taken JOIN turn ON turn.id = taken.turn WHERE conversation = ?", (conversation,)
            ).fetchall()
        return {row["turn"]: (row["tokens"], row["cost"]) for row in rows}

    def keep_run(self, turn: int, id: str, run: Json) -> None:
        """How a plan of this turn ran; the same id again takes its place."""
        with self._file.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO run (turn, id, data) VALUES (?, ?, ?)", (turn, id, json.dumps(run)))

    def runs(self, turn: int) -> list[Json]:
        """What `keep_run` kept of a turn, the first first."""
        with self._file.reading() as connection:
            rows = connection.execute("SELECT data FROM run WHERE turn = ? ORDER BY id", (turn,)).fetchall()
        return [json.loads(row["data"]) for row in rows]

    def keep_drawings(self, turn: int, drawn: Sequence[Drawing]) -> None:
        """What is to be drawn of the answer to this turn, in the place of what was."""
        rows = [(turn, number, json.dumps(each.rows), each.ending, each.data) for number, each in enumerate(drawn)]
        with self._file.writing() as connection:
            connection.execute("DELETE FROM drawing WHERE turn = ?", (turn,))
            connection.executemany("INSERT INTO drawing (turn, number, rows, ending, data) VALUES (?, ?, ?, ?, ?)", rows)

    def drawings(self, turn: int, *, data: bool = True) -> list[Drawing]:
        """What `keep_drawings` kept of a turn; the bytes of pictures only where `data` is wanted."""
        sql = "SELECT rows, ending, CASE WHEN ? THEN data ELSE x'' END AS data FROM drawing WHERE turn = ? ORDER BY number"
        with self._file.reading() as connection:
            found = connection.execute(sql, (data, turn)).fetchall()
        return [Drawing(rows=json.loads(row["rows"]), ending=row["ending"], data=row["data"]) for row in found]

    def drop(self, turn: int) -> None:
        """Ends a task without an answer."""
        with self._file.writing() as connection:
            connection.execute("DELETE FROM task WHERE turn = ?", (turn,))
        self._lock(turn).unlink(missing_ok=True)

    def _add(self, connection: sqlite3.Connection, conversation: str, role: Role, text: str, data: Json = None) -> Turn:
        _row(connection, conversation)
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        values = (conversation, role, _encodable(text), at, json.dumps(data))
        number = connection.execute("INSERT INTO turn (conversation, role, text, at, data) VALUES (?, ?, ?, ?, ?)", values).lastrowid
        return Turn(id=number or 0, conversation=conversation, role=role, text=values[2], at=at, data=data)

    def _lock(self, turn: int) -> Path:
        return self._locks / str(turn)

    @contextmanager
    def _locked(self, turn: int, *, wait: bool) -> Iterator[bool]:
        """Whether the task is the caller's alone now. Its file goes when it ends, so a late comer may lock a new one: the
        task is then gone, which is looked at under the lock."""
        try:
            self._locks.mkdir(parents=True, exist_ok=True)
            handle = self._lock(turn).open("a")
        except OSError as error:
            raise CouldNotTell(f"{self._lock(turn)} cannot be locked.", why=str(error), next_step="Check the disk and its permissions.") from None
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True


def _row(connection: sqlite3.Connection, id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute(f"{_CONVERSATION} WHERE conversation.id = ?", (id,)).fetchone()
    if row is None:
        raise NotFound(f"There is no conversation {id!r}.", next_step="`skillops chat --new` starts one.")
    return row


def _turn(row: sqlite3.Row) -> Turn:
    return Turn(**{**dict(row), "data": json.loads(row["data"])})


def _conversation(row: sqlite3.Row) -> Conversation:
    return Conversation(id=row["id"], user=row["user"], agent=row["agent"] or ASSISTANT)


def _encodable(text: str) -> str:
    """A terminal or a model may hand us lone surrogates, which no file can hold."""
    return text.encode(errors="replace").decode()
