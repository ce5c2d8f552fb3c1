"""Sessions: who has signed in with a key, and until when. Only a hash of each cookie is kept, so a lost file opens nothing.

They lie in a file, so that a gateway that starts again knows its visitors.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.keys import Key, Keys
from agent.sqlite_file import SqliteFile

LASTS = 12 * 3600.0  # seconds from signing in: a working day
TRUST = 1.0  # seconds that a session is taken for good after it was looked up: how long one lives after its key was revoked
MANY = 10_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS session (
    hash BLOB PRIMARY KEY,
    key TEXT NOT NULL,
    csrf TEXT NOT NULL,
    expires REAL NOT NULL
) STRICT;
"""


@dataclass(frozen=True)
class Session:
    """Somebody who has signed in. `csrf` is what only a page that was made for them can send; `expires` in seconds since 1970."""

    key: Key
    csrf: str
    expires: float


class Sessions:
    """The sessions in the SQLite file at `path`; `clock` gives seconds since 1970. CouldNotTell where the file cannot be used."""

    def __init__(self, path: Path, keys: Keys, clock: Callable[[], float] = time.time) -> None:
        self._file, self._keys, self._clock = SqliteFile(path, _SCHEMA), keys, clock
        self._known: dict[bytes, tuple[Session | None, float]] = {}
        # A browser sends its cookies to every port of a host: each repository has a name of its own.
        self.cookie = f"skillops_{hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:8]}"

    def sign_in(self, secret: str) -> str | None:
        """The cookie of a new session of whoever knows this key; None where it is none, or was revoked."""
        key = self._keys.find(secret)
        if key is None:
            return None
        cookie, now = secrets.token_urlsafe(32), self._clock()
        with self._file.writing() as connection:
            connection.execute("DELETE FROM session WHERE expires < ?", (now,))
            connection.execute("INSERT INTO session VALUES (?, ?, ?, ?)", (_hash(cookie), key.id, secrets.token_urlsafe(32), now + LASTS))
        self._keys.note_use(key.id)
        return cookie

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie, while it lasts and its key was not revoked."""
        hashed, now = _hash(cookie), self._clock()
        found, until = self._known.get(hashed, (None, 0.0))
        if now >= until:
            if len(self._known) > MANY:
                self._known.clear()
            found = self._looked_up(hashed)
            self._known[hashed] = found, now + TRUST
        return found if found and now < found.expires else None

    def sign_out(self, cookie: str) -> None:
        hashed = _hash(cookie)
        self._known.pop(hashed, None)
        with self._file.writing() as connection:
            connection.execute("DELETE FROM session WHERE hash = ?", (hashed,))

    def _looked_up(self, hashed: bytes) -> Session | None:
        with self._file.reading() as connection:
            row = connection.execute("SELECT * FROM session WHERE hash = ?", (hashed,)).fetchone()
        key = next((key for key in self._keys.all() if key.id == row["key"] and not key.revoked), None) if row else None
        return Session(key, row["csrf"], row["expires"]) if key else None


def _hash(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode(errors="surrogateescape")).digest()
