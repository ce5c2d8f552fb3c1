"""The vault: secrets that skills are handed when they start. Encrypted at rest, never shown again.

Each value is sealed with AES-256-GCM (NIST SP 800-38D) under a random nonce; its name, its revision and the skills that
may have it, or the one skill and person that it is of, are bound to it, so that what lies in the file cannot be given another
name, or to another skill or person. The key lies beside the file, for its owner alone, or in the keyring of the operating system:
whoever can read both, as the user that skills run for, can read the secrets.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from agent.domain import Frozen
from agent.errors import ConfigurationError, NotFound
from agent.key_file import FileKey
from agent.key_ring import RingKey
from agent.slot import Slot, fit, missing_of
from agent.sqlite_file import SqliteFile

FORM_SECONDS = 900.0  # that a link to a form is good for
LINKS = 5  # that are good at once, for one secret of one person
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
    """What is known of a secret: never its value. No `skills` means all. `revision` differs for each value that there ever was. With a
    `person` it is theirs alone, for one skill."""

    name: str
    skills: tuple[str, ...] = ()
    person: str = ""
    revision: int
    changes: tuple[Change, ...]


class Form(Frozen):
    """What a one-time link is for. `expires` in seconds since 1970; `by` is who made it."""

    name: str
    skills: tuple[str, ...]
    expires: float
    by: str
    person: str = ""


class Vault:
    """The vault in `folder`, with its key; `clock` gives seconds since 1970.

    Everything raises CouldNotTell where the file cannot be used; whatever meets a value raises ConfigurationError where the
    key is missing, open to others, or another one.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time, *, in_keyring: bool = False) -> None:
        self._file, self._clock = SqliteFile(folder / "vault.sqlite", _SCHEMA, mode=0o600), clock
        self._key = RingKey(folder) if in_keyring else FileKey(folder / "vault.key")

    def set(self, name: str, value: str, by: str, skills: Iterable[str] | None = None, person: str = "") -> Secret:
        """Sets a secret, or rotates it. `skills` are those that may have it, all where it is empty; None leaves that as it is. With a
        `person` it is theirs, for the one skill that is named.

        UsageError for a name or a value that none can be.
        """
        fit(name, value, skills or (), person)
        slot = Slot.of(name, skills, person)
        with self._file.writing() as connection:
            return self._set(connection, slot, value, by, skills)

    def remove(self, name: str, by: str, skill: str = "", person: str = "") -> Secret:
        """Removes a secret, and says what was removed. NotFound where there is none."""
        fit(name, None, [skill] if skill else (), person)
        slot = Slot.of(name, [skill] if skill else (), person)
        with self._file.writing() as connection:
            removed = self._secret(connection, slot)
            connection.execute("DELETE FROM secret WHERE name = ?", (str(slot),))
            connection.execute("DELETE FROM form WHERE name = ?", (str(slot),))  # what was revoked is not brought back by an old link
            self._note(connection, slot, "removed", by)
        return removed

    def all(self) -> list[Secret]:
        """Every secret that is not one person's, by name."""
        return [secret for secret in self._every() if not secret.person]

    def personal(self, person: str | None = None) -> list[Secret]:
        """Those that are one person's (None: anybody's), by name, skill and person."""
        return [secret for secret in self._every() if secret.person and person in (None, secret.person)]

    # ---- what skills get ------------------------------------------------------------------------------------------------

    def values(self, skill: str, names: Sequence[str], person: str = "") -> dict[str, str]:
        """The secrets of a skill; of one person, where one is named. MissingSecret names those that there are not, or that are not for it."""
        if not names:
            return {}
        found, missing = {}, []
        with self._file.reading() as connection:
            for name in names:
                row = connection.execute("SELECT * FROM secret WHERE name = ?", (_kept(name, skill, person),)).fetchone()
                if row is None or not _may(skill, row):
                    missing.append((name, row["skills"].split() if row else ()))
                else:
                    found[name] = self._opened(row)
        if missing:
            raise missing_of(skill, missing, person)
        return found

    def revision(self, skill: str, names: Sequence[str], person: str = "") -> str:
        """Changes whenever one of these is set, rotated, removed, or given to other skills. Needs no key."""
        if not names:
            return ""
        wanted = [_kept(name, skill, person) for name in names]
        with self._file.reading() as connection:
            marks = ",".join("?" * len(wanted))
            rows = connection.execute(f"SELECT * FROM secret WHERE name IN ({marks}) ORDER BY name", wanted).fetchall()
        return " ".join(f"{row['name']}:{row['revision']}" for row in rows if _may(skill, row)) or "none"

    def known(self, skill: str) -> list[str]:
        """Every value that the skill may have, whoever calls it."""
        with self._file.reading() as connection:
            return [self._opened(row) for row in connection.execute("SELECT * FROM secret").fetchall() if _may(skill, row)]

    # ---- one-time forms -------------------------------------------------------------------------------------------------

    def open_form(self, name: str, by: str, skills: Iterable[str] | None = None, seconds: float = FORM_SECONDS, person: str = "") -> tuple[str, Form]:
        """The token of a form that takes the value of one secret, once, and of one person where they are named; only a hash of it is kept."""
        if skills is None and not person:
            skills = next((secret.skills for secret in self.all() if secret.name == name), ())
        fit(name, None, skills or (), person)
        slot = Slot.of(name, skills, person)
        token, now = secrets.token_urlsafe(32), self._clock()
        form = Form(name=name, skills=tuple(sorted(set(skills or ()))), expires=now + seconds, by=by, person=person)
        with self._file.writing() as connection:
            connection.execute("DELETE FROM form WHERE expires < ?", (now,))
            values = (_hash(token), str(slot), " ".join(form.skills), form.expires, form.by)
            connection.execute("INSERT INTO form VALUES (?, ?, ?, ?, ?)", values)
            if person:  # who calls again and again gets a link each time
                newest = "SELECT hash FROM form WHERE name = :name ORDER BY expires DESC LIMIT :most"
                connection.execute(f"DELETE FROM form WHERE name = :name AND hash NOT IN ({newest})", {"name": str(slot), "most": LINKS})
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
            fit(form.name, value, form.skills, form.person)
            return self._set(connection, Slot.of(form.name, form.skills, form.person), value, f"form of {form.by}", form.skills)

    def signature(self, token: str) -> str:
        """What only this vault can say of a token: a page's proof that it is the one that was shown for it."""
        return hmac.new(self._key.make(), b"form\0" + _hash(token), hashlib.sha256).hexdigest()

    # ---- inside ---------------------------------------------------------------------------------------------------------

    def _every(self) -> list[Secret]:
        with self._file.reading() as connection:
            names = [row["name"] for row in connection.execute("SELECT name FROM secret ORDER BY name")]
            return [self._secret(connection, Slot.read(name)) for name in names]

    def _set(self, connection: sqlite3.Connection, slot: Slot, value: str, by: str, skills: Iterable[str] | None) -> Secret:
        old = connection.execute("SELECT * FROM secret WHERE name = ?", (str(slot),)).fetchone()
        among = (old["skills"] if old else "") if skills is None else " ".join(sorted(set(skills)))
        self._note(connection, slot, "rotated" if old else "set", by)
        revision = connection.execute("SELECT max(number) FROM change").fetchone()[0]
        sealed = self._sealed(str(slot), revision, among, value, any_kept=self._holds_any(connection))
        connection.execute("INSERT OR REPLACE INTO secret VALUES (?, ?, ?, ?)", (str(slot), among, revision, sealed))
        connection.execute("DELETE FROM form WHERE name = ?", (str(slot),))  # a link that is older neither rotates it nor gives it to more skills
        return self._secret(connection, slot)

    def _secret(self, connection: sqlite3.Connection, slot: Slot) -> Secret:
        row = connection.execute("SELECT * FROM secret WHERE name = ?", (str(slot),)).fetchone()
        if row is None:
            known = [Slot.read(each["name"]) for each in connection.execute("SELECT name FROM secret ORDER BY name")]
            near = [each.told for each in known if each.person == slot.person]
            raise NotFound(f"The vault has no secret {slot.told!r}.", next_step=f"There are: {', '.join(near)}." if near else "It is empty.")
        changes = connection.execute("SELECT what, at, by FROM change WHERE name = ? ORDER BY number", (str(slot),)).fetchall()
        return Secret(
            name=slot.name, skills=row["skills"].split(), person=slot.person, revision=row["revision"],
            changes=tuple(Change(**dict(each)) for each in changes),
        )  # fmt: skip

    def _form(self, connection: sqlite3.Connection, token: str) -> Form | None:
        row = connection.execute("SELECT * FROM form WHERE hash = ? AND expires >= ?", (_hash(token), self._clock())).fetchone()
        if row is None:
            return None
        slot = Slot.read(row["name"])
        return Form(name=slot.name, skills=row["skills"].split(), expires=row["expires"], by=row["by"], person=slot.person)

    def _note(self, connection: sqlite3.Connection, slot: Slot, what: What, by: str) -> None:
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")
        connection.execute("INSERT INTO change (name, what, at, by) VALUES (?, ?, ?, ?)", (str(slot), what, at, by))

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

        sealed, bound, told = row["sealed"], _bound(row["name"], row["revision"], row["skills"]), Slot.read(row["name"])
        try:
            return AESGCM(self._kept_key()).decrypt(sealed[:_NONCE], sealed[_NONCE:], bound).decode()
        except InvalidTag:
            raise ConfigurationError(
                f"The secret {told.told} cannot be opened.",
                why=f"It was sealed with another key than {self._key}, or was changed.",
                next_step=f"Bring the key back from a backup, or set it anew: `skillops secret rm {told.command}`, then `skillops secret set`.",
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


def _kept(name: str, skill: str, person: str) -> str:
    return str(Slot(name, skill, person) if person else Slot(name))


def _may(skill: str, row: sqlite3.Row) -> bool:
    return not row["skills"] or skill in row["skills"].split()


def _bound(name: str, revision: int, skills: str) -> bytes:
    return json.dumps([name, revision, skills]).encode()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
