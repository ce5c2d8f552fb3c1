"""The SQLite files that several processes and threads share."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.errors import CouldNotTell
from agent.sqlite_file import SqliteFile

SCHEMA = "CREATE TABLE IF NOT EXISTS word (text TEXT) STRICT;"


def test_who_make_a_file_at_the_same_time_all_write_to_it(tmp_path: Path) -> None:
    for number in range(60):
        file = SqliteFile(tmp_path / f"{number}.sqlite", SCHEMA, durable=False)

        def write(word: str, file: SqliteFile = file) -> None:
            with file.writing() as connection:
                connection.execute("INSERT INTO word VALUES (?)", (word,))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, "abcdefgh"))
        with file.reading() as connection:
            assert sorted(row["text"] for row in connection.execute("SELECT text FROM word")) == list("abcdefgh")


def test_a_file_that_is_none_of_sqlites_could_not_be_told_and_is_closed_again(tmp_path: Path) -> None:
    (tmp_path / "words.sqlite").write_bytes(b"no database at all" * 100)
    for _ in range(2):
        with pytest.raises(CouldNotTell, match="not a database") as kept, SqliteFile(tmp_path / "words.sqlite", SCHEMA).reading():
            pass
    assert kept and not [link for link in Path("/proc/self/fd").iterdir() if "words.sqlite" in os.path.realpath(link)]


def test_a_file_and_what_lies_beside_it_is_read_by_nobody_else_also_where_an_older_version_left_it_open(tmp_path: Path) -> None:
    (path := tmp_path / "words.sqlite").touch()
    path.chmod(0o644)
    with SqliteFile(path, SCHEMA, mode=0o600).writing() as connection:
        connection.execute("INSERT INTO word VALUES ('a')")
        assert {found.name: found.stat().st_mode & 0o777 for found in tmp_path.iterdir()} == dict.fromkeys(
            ("words.sqlite", "words.sqlite-wal", "words.sqlite-shm"), 0o600
        )


def test_a_second_thread_that_opens_a_file_takes_no_lock_from_the_first(tmp_path: Path) -> None:
    """Whose lock is gone is taken for gone: the last of the others clears the log away, and what is written then is not seen here any more."""
    path = tmp_path / "words.sqlite"
    mine = SqliteFile(path, SCHEMA)
    with mine.writing() as connection:
        connection.execute("INSERT INTO word VALUES ('a')")

    def look() -> None:
        with SqliteFile(path, SCHEMA).reading():
            pass

    with ThreadPoolExecutor(1) as pool:
        pool.submit(look).result()
    # The bytes that who uses the file holds in common (sqlite.org/src, os.h: SHARED_FIRST, SHARED_SIZE).
    alone = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)"
    assert b"BlockingIOError" in subprocess.run([sys.executable, "-c", alone, str(path)], capture_output=True, timeout=60, check=False).stderr
