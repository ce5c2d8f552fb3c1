"""API keys of the gateway: who may call, and for what. Only a hash of each key is kept, so a lost file gives none away.

A key holds 256 random bits, which nobody can guess or look up; a plain SHA-256 of it is enough (a slow hash is for
passwords, which people choose).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from agent.domain import Frozen
from agent.errors import NotFound, UsageError
from agent.sqlite_file import SqliteFile

Scope = Literal["invoke", "request", "approve", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "skillops_"  # so that a scanner for leaked secrets can know one
LONGEST_NAME = 80

_SCHEMA = """
CREATE TABLE IF NOT EXISTS key (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    created TEXT NOT NULL,
    used TEXT,
    revoked TEXT
) STRICT;
"""


class Key(Frozen):
    """What is known of a key. `name` is who it stands for; times are ISO 8601, UTC."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created: str
    used: str | None = None
    revoked: str | None = None

    def may(self, scope: Scope) -> bool:
        """Whether it may do what `scope` names; admin may do everything."""
        return scope in self.scopes or "admin" in self.scopes


class Keys:
    """The keys in the SQLite file at `path`; `clock` gives seconds since 1970. Raises CouldNotTell where the file cannot be used."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._file, self._clock = SqliteFile(path, _SCHEMA), clock

    def create(self, name: str, scopes: Iterable[str]) -> tuple[Key, str]:
        """A new key, and its secret, which is never shown again. UsageError for a scope that there is not."""
        with self._file.writing() as connection:
            return self._add(connection, name, scopes)

    def first(self, name: str) -> str | None:
        """The secret of a new admin key where there never was a key; else None. Of many who ask at once, one gets it."""
        with self._file.writing() as connection:
            if connection.execute("SELECT 1 FROM key").fetchone():
                return None
            return self._add(connection, name, ["admin"])[1]

    def find(self, secret: str) -> Key | None:
        """The key with this secret, where it was not revoked."""
        hashed = _hash(secret)
        with self._file.reading() as connection:
            row = connection.execute("SELECT * FROM key WHERE hash = ? AND revoked IS NULL", (hashed,)).fetchone()
        return _key(row) if row and hmac.compare_digest(row["hash"], hashed) else None

    def all(self) -> list[Key]:
        """Every key that was ever made, the oldest first."""
        with self._file.reading() as connection:
            return [_key(row) for row in connection.execute("SELECT * FROM key ORDER BY created, id").fetchall()]

    def revoke(self, id: str) -> Key:
        """Ends a key for good; revoking twice is as once. NotFound where there is none."""
        id = id.encode(errors="replace").decode()  # SQLite takes no half of a character
        with self._file.writing() as connection:
            connection.execute("UPDATE key SET revoked = ? WHERE id = ? AND revoked IS NULL", (self._now(), id))
            row = connection.execute("SELECT * FROM key WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise NotFound(f"There is no key {id!r}.", next_step="`skillops key list` shows their ids.")
        return _key(row)

    def note_use(self, id: str) -> None:
        """Notes that the key was used now."""
        with self._file.writing() as connection:
            connection.execute("UPDATE key SET used = ? WHERE id = ?", (self._now(), id))

    def _add(self, connection: sqlite3.Connection, name: str, scopes: Iterable[str]) -> tuple[Key, str]:
        given = tuple(scope for scope in SCOPES if scope in (wanted := set(scopes)))
        if unknown := sorted(wanted.difference(SCOPES)):
            raise UsageError(f"There is no scope {unknown[0]!r}.", next_step=f"There are: {', '.join(SCOPES)}.")
        if not given:
            raise UsageError("A key needs a scope.", next_step=f"One or more of: {', '.join(SCOPES)}.")
        if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise UsageError("A key needs a name.", next_step=f"The name of whom it stands for, at most {LONGEST_NAME} characters.")
        secret = PREFIX + secrets.token_urlsafe(32)
        key = Key(id=secrets.token_hex(4), name=name.strip(), scopes=given, created=self._now())
        values = (key.id, key.name, _hash(secret), " ".join(given), key.created)
        connection.execute("INSERT INTO key (id, name, hash, scopes, created) VALUES (?, ?, ?, ?, ?)", values)
        return key, secret

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


def _key(row: sqlite3.Row) -> Key:
    fields = {name: row[name] for name in ("id", "name", "created", "used", "revoked")}
    return Key(**fields, scopes=row["scopes"].split())
