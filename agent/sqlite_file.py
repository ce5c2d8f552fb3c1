"""One SQLite file, as the catalog, the ledger and the conversations use it: many threads, many processes, one writer."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import CouldNotTell

WAIT = 30.0  # seconds to wait for another process that writes


class SqliteFile:
    """The file at `path`, made with `schema` (statements that may run twice) when it is first used.

    Each thread has its own connection; one that was opened before a fork, or whose file was deleted, is opened anew.
    `durable` waits for the disk at each commit; `mode` is who may read and write it at most, and what SQLite puts beside it: nobody but its
    owner and, where the umask lets them, their group. What SQLite cannot do is raised as CouldNotTell.
    """

    def __init__(self, path: Path, schema: str, *, durable: bool = True, mode: int = 0o660) -> None:
        self.path, self._schema, self._durable, self._mode = path, schema, durable, mode
        self._mine = threading.local()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One consistent view of the file."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The one writer of the moment: all of it is kept, or none."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def settle(self) -> None:
        """Moves what the log holds into the file and empties it, so that what was deleted is in neither; as far as nobody reads now."""
        self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def discard(self) -> None:
        """Deletes the file that this thread has open, unless another process has put a new one there."""
        inode = self._inode()
        if inode is not None and getattr(self._mine, "opened", None) in (None, (os.getpid(), inode)):
            for suffix in ("-wal", "-shm", ""):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        self._mine.opened = None

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        connection: sqlite3.Connection | None = None
        try:
            connection = self._connection()
            connection.execute(begin)
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise CouldNotTell(
                f"{self.path} could not be read or written.",
                why=f"SQLite says: {error}.",
                next_step="See that the disk is not full, that the folder is yours to write in, and that the file is not damaged.",
            ) from error
        finally:
            if connection is not None and connection.in_transaction:
                connection.rollback()

    def _connection(self) -> sqlite3.Connection:
        here = (os.getpid(), self._inode())
        if getattr(self._mine, "opened", None) != here or here[1] is None:
            self._mine.opened = None
            self._mine.connection = self._open()
            self._mine.opened = (os.getpid(), self._inode())
        connection: sqlite3.Connection = self._mine.connection
        return connection

    def _inode(self) -> int | None:
        try:
            return self.path.stat().st_ino
        except OSError:
            return None

    def _close_to_others(self) -> None:
        """Before SQLite has it: what it puts beside the file gets the file's mode. A file of an older version is closed, too, if it is ours.

        One that is there is not opened: to close it again would end the locks that this process has on it (sqlite.org/howtocorrupt.html, 2.2).
        """
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, self._mode))
        found = self.path.stat()
        if found.st_mode & 0o777 & ~self._mode and found.st_uid == os.geteuid():
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{self.path}{suffix}").chmod(found.st_mode & self._mode)

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._close_to_others()
        except OSError as error:
            raise sqlite3.OperationalError(str(error)) from error
        connection = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)
        connection.row_factory = sqlite3.Row
        until = time.monotonic() + WAIT
        while True:
            try:
                connection.executescript(
                    f"PRAGMA journal_mode = WAL; PRAGMA synchronous = {'FULL' if self._durable else 'OFF'}; PRAGMA foreign_keys = ON;{self._schema}"
                )
                return connection
            except sqlite3.Error as error:
                # Where two make a file at once, one of them hears at once that it is locked: to change the journal's mode SQLite does not wait.
                if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    connection.close()
                    raise
                time.sleep(0.005)
