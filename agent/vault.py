"""The vault: secrets that skills are handed when they start. Encrypted at rest, never shown again.

Each value is sealed with AES-256-GCM (NIST SP 800-38D) under a random nonce; its name, its revision and the skills that
may have it are bound to it, so that what lies in the file cannot be given another name, or to another skill. The key lies
beside the file, for its owner alone, or in the keyring of the operating system: whoever can read both, as the user that skills run
for, can read the secrets.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from agent.domain import Frozen
from agent.errors import ConfigurationError, MissingSecret, NotFound, UsageError
from agent.key_file import FileKey
from agent.key_ring import RingKey
from agent.sqlite_file import SqliteFile

NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
SKILL = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LARGEST = 64 * 2**10  # bytes of a value
SHORTEST = 4  # bytes: what is shorter can be guessed, and could not be struck out of a log without harm to it
FORM_SECONDS = 900.0  # that a link to a form is good for
_NONCE = 12  # bytes

_SCHEMA = """
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS secret (
    name TEXT PRIMARY KEY,
    skills TEXT NOT NULL,
    revision INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS change (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    what TEXT NOT NULL,
    at TEXT NOT NULL,
    by TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS form (
    hash BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    skills TEXT NOT NULL,
    expires REAL NOT NULL,
    by TEXT NOT NULL
) STRICT;
"""

What = Literal["set", "rotated", "removed"]


class Change(Frozen):
    """When a secret was set, rotated or removed (ISO 8601, UTC), and by whom."""

    what: What
    at: str
    by: str


class Secret(Frozen):
    """What is known of a secret: never its value. No `skills` means all. `revision` differs for each value that there ever was."""

    name: str
    skills: tuple[str, ...] = ()
    revision: int
    changes: tuple[Change, ...]


class Form(Frozen):
    """What a one-time link is for. `expires` in seconds since 1970; `by` is who made it."""

    name: str
    skills: tuple[str, ...]
    expires: float
    by: str


class Vault:
    """The vault in `folder`, with its key; `clock` gives seconds since 1970.

    Everything raises CouldNotTell where the file cannot be used; whatever meets a value raises ConfigurationError where the
    key is missing, open to others, or another one.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time, *, in_keyring: bool = False) -> None:
        self._file, self._clock = SqliteFile(folder / "vault.sqlite", _SCHEMA), clock
        self._key = RingKey(folder) if in_keyring else FileKey(folder / "vault.key")

    def set(self, name: str, value: str, by: str, skills: Iterable[str] | None = None) -> Secret:
        """Sets a secret, or rotates it. `skills` are those that may have it, all where it is empty; None leaves that as it is.

        UsageError for a name or a value that none can be.
        """
        fit(name, value, skills or ())
        with self._file.writing() as connection:
            return self._set(connection, name, value, by, skills)

    def remove(self, name: str, by: str) -> Secret:
        """Removes a secret, and says what was removed. NotFound where there is none."""
        with self._file.writing() as connection:
            removed = self._secret(connection, name)
            connection.execute("DELETE FROM secret WHERE name = ?", (name,))
            self._note(connection, name, "removed", by)
        return removed

    def all(self) -> list[Secret]:
        """Every secret that there is, by name."""
        with self._file.reading() as connection:
            names = [row["name"] for row in connection.execute("SELECT name FROM secret ORDER BY name")]
            return [self._secret(connection, name) for name in names]

    # ---- what skills get ------------------------------------------------------------------------------------------------

    def values(self, skill: str, names: Sequence[str]) -> dict[str, str]:
        """The secrets of a skill. MissingSecret names those that there are not, or that are not for it."""
        if not names:
            return {}
        found, missing = {}, []
        with self._file.reading() as connection:
            for name in names:
                row = connection.execute("SELECT * FROM secret WHERE name = ?", (name,)).fetchone()
                if row is None or not _may(skill, row):
                    missing.append((name, row is not None))
                else:
                    found[name] = self._opened(row)
        if missing:
            raise _missing(skill, missing)
        return found

    def revision(self, skill: str, names: Sequence[str]) -> str:
        """Changes whenever one of these is set, rotated, removed, or given to other skills. Needs no key."""
        if not names:
            return ""
        with self._file.reading() as connection:
            marks = ",".join("?" * len(names))
            rows = connection.execute(f"SELECT * FROM secret WHERE name IN ({marks}) ORDER BY name", tuple(names)).fetchall()
        return " ".join(f"{row['name']}:{row['revision']}" for row in rows if _may(skill, row)) or "none"

    def known(self, skill: str) -> list[str]:
        """Every value that the skill may have."""
        with self._file.reading() as connection:
            return [self._opened(row) for row in connection.execute("SELECT * FROM secret").fetchall() if _may(skill, row)]

    # ---- one-time forms -------------------------------------------------------------------------------------------------

    def open_form(self, name: str, by: str, skills: Iterable[str] | None = None, seconds: float = FORM_SECONDS) -> tuple[str, Form]:
        """The token of a form that takes the value of one secret, once; only a hash of it is kept."""
        if skills is None:
            skills = next((secret.skills for secret in self.all() if secret.name == name), ())
        fit(name, None, skills)
        token, now = secrets.token_urlsafe(32), self._clock()
        form = Form(name=name, skills=tuple(sorted(set(skills))), expires=now + seconds, by=by)
        with self._file.writing() as connection:
            connection.execute("DELETE FROM form WHERE expires < ?", (now,))
            values = (_hash(token), form.name, " ".join(form.skills), form.expires, form.by)
            connection.execute("INSERT INTO form VALUES (?, ?, ?, ?, ?)", values)
        return token, form

    def form(self, token: str) -> Form | None:
        """What a link is for; None where there is no such link, or no longer. Looking at it does not use it up."""
        with self._file.reading() as connection:
            return self._form(connection, token)

    def submit(self, token: str, value: str) -> Secret | None:
        """Takes the value, once; None where the link is no longer good. UsageError for what no value can be uses nothing up."""
        with self._file.writing() as connection:
            form = self._form(connection, token)
            if form is None:
                return None
            fit(form.name, value, form.skills)
            connection.execute("DELETE FROM form WHERE hash = ?", (_hash(token),))
            return self._set(connection, form.name, value, f"form of {form.by}", form.skills)

    def signature(self, token: str) -> str:
        """What only this vault can say of a token: a page's proof that it is the one that was shown for it."""
        return hmac.new(self._key.make(), b"form\0" + _hash(token), hashlib.sha256).hexdigest()

    # ---- inside ---------------------------------------------------------------------------------------------------------

    def _set(self, connection: sqlite3.Connection, name: str, value: str, by: str, skills: Iterable[str] | None) -> Secret:
        old = connection.execute("SELECT * FROM secret WHERE name = ?", (name,)).fetchone()
        among = (old["skills"] if old else "") if skills is None else " ".join(sorted(set(skills)))
        self._note(connection, name, "rotated" if old else "set", by)
        revision = connection.execute("SELECT max(number) FROM change").fetchone()[0]
        sealed = self._sealed(name, revision, among, value, any_kept=self._holds_any(connection))
        connection.execute("INSERT OR REPLACE INTO secret VALUES (?, ?, ?, ?)", (name, among, revision, sealed))
        return self._secret(connection, name)

    def _secret(self, connection: sqlite3.Connection, name: str) -> Secret:
        row = connection.execute("SELECT * FROM secret WHERE name = ?", (name,)).fetchone()
        if row is None:
            known = [each["name"] for each in connection.execute("SELECT name FROM secret ORDER BY name")]
            raise NotFound(f"The vault has no secret {name!r}.", next_step=f"There are: {', '.join(known)}." if known else "It is empty.")
        changes = connection.execute("SELECT what, at, by FROM change WHERE name = ? ORDER BY number", (name,)).fetchall()
        return Secret(name=name, skills=row["skills"].split(), revision=row["revision"], changes=tuple(Change(**dict(each)) for each in changes))

    def _form(self, connection: sqlite3.Connection, token: str) -> Form | None:
        row = connection.execute("SELECT * FROM form WHERE hash = ? AND expires >= ?", (_hash(token), self._clock())).fetchone()
        return Form(name=row["name"], skills=row["skills"].split(), expires=row["expires"], by=row["by"]) if row else None

    def _note(self, connection: sqlite3.Connection, name: str, what: What, by: str) -> None:
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")
        connection.execute("INSERT INTO change (name, what, at, by) VALUES (?, ?, ?, ?)", (name, what, at, by))

    def _holds_any(self, connection: sqlite3.Connection) -> bool:
        return connection.execute("SELECT 1 FROM secret").fetchone() is not None

    def _sealed(self, name: str, revision: int, skills: str, value: str, *, any_kept: bool) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self._kept_key() if any_kept else self._key.make()  # a second key would leave the first secrets behind
        nonce = secrets.token_bytes(_NONCE)
        return nonce + AESGCM(key).encrypt(nonce, value.encode(), _bound(name, revision, skills))

    def _opened(self, row: sqlite3.Row) -> str:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        sealed, bound = row["sealed"], _bound(row["name"], row["revision"], row["skills"])
        try:
            return AESGCM(self._kept_key()).decrypt(sealed[:_NONCE], sealed[_NONCE:], bound).decode()
        except InvalidTag:
            raise ConfigurationError(
                f"The secret {row['name']} cannot be opened.",
                why=f"It was sealed with another key than {self._key}, or was changed.",
                next_step=f"Bring the key back from a backup, or set it anew: `skillops secret rm {row['name']}`, then `skillops secret set`.",
            ) from None

    def _kept_key(self) -> bytes:
        key = self._key.read()
        if key is None:
            raise ConfigurationError(
                f"The vault's key is gone: {self._key}.",
                why="Without it no secret can be opened.",
                next_step="Bring it back from a backup; else remove each secret (`skillops secret rm NAME`) and set it anew.",
            )
        return key


def fit(name: str, value: str | None, skills: Iterable[str]) -> None:
    """UsageError for a name, a value (None: not known yet) or a skill that none can be; it never quotes the value."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name[:80]!r} is no name of a secret.", next_step="Capital letters, digits and _, like WEATHER_KEY; at most 64.")
    if wrong := [skill for skill in skills if len(skill) > 63 or not SKILL.fullmatch(skill)]:
        raise UsageError(f"{wrong[0][:80]!r} is no name of a skill.", next_step="Small letters, digits and -, like word-count.")
    if value is None:
        return
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise UsageError("The value is not text (UTF-8).", next_step="Encode it, with base64 for example.") from None
    if not SHORTEST <= size <= LARGEST or not value.strip():
        told = "is empty" if not value.strip() else f"has {size} bytes"
        raise UsageError(f"The value {told}.", next_step=f"It must be text of {SHORTEST} to {LARGEST} bytes.")


def _missing(skill: str, missing: Sequence[tuple[str, bool]]) -> MissingSecret:
    names = ", ".join(name for name, _ in missing)
    not_for_it = [name for name, there in missing if there]
    absent = [name for name, there in missing if not there]
    why = [f"The vault has no {', '.join(absent)}."] if absent else []
    why += [f"{', '.join(not_for_it)} is there, but for other skills."] if not_for_it else []
    first = missing[0][0]
    return MissingSecret(
        f"{skill} waits for the secret{'s' if len(missing) > 1 else ''} {names}.",
        why=" ".join(why),
        next_step=f"`skillops secret set {first}` sets it; `skillops secret form {first}` makes a link for whoever knows it.",
    )


def _may(skill: str, row: sqlite3.Row) -> bool:
    return not row["skills"] or skill in row["skills"].split()


def _bound(name: str, revision: int, skills: str) -> bytes:
    return json.dumps([name, revision, skills]).encode()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
