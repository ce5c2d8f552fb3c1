"""The queue of webhook deliveries that were taken and not yet acted on. It outlives a restart; what was seen once is not queued again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.domain import Frozen
from agent.sqlite_file import SqliteFile

KEPT = 7 * 86_400.0  # seconds that a delivery is remembered for: GitHub redelivers for three days at most

_SCHEMA = """
CREATE TABLE IF NOT EXISTS delivery (
    digest TEXT PRIMARY KEY,  -- of the body: its id is not signed, so a replay may carry another
    at REAL NOT NULL, event TEXT NOT NULL, action TEXT NOT NULL, check_run INTEGER, done INTEGER NOT NULL DEFAULT 0
) STRICT;
"""


class Delivery(Frozen):
    """What a webhook told: a hint to look. `check_run` is the run that a person wants made again, where it is that."""

    digest: str
    event: str
    action: str = ""
    check_run: int | None = None


class Deliveries:
    """The queue in the SQLite file at `path`; `clock` gives seconds since 1970. Raises CouldNotTell where the file cannot be used."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._file, self._clock = SqliteFile(path, _SCHEMA), clock

    def take(self, delivery: Delivery) -> bool:
        """Queues it; False where it was taken before."""
        values = (delivery.digest, self._clock(), delivery.event, delivery.action, delivery.check_run)
        with self._file.writing() as connection:
            connection.execute("DELETE FROM delivery WHERE done AND at < ?", (self._clock() - KEPT,))
            insert = "INSERT OR IGNORE INTO delivery (digest, at, event, action, check_run) VALUES (?, ?, ?, ?, ?)"
            return connection.execute(insert, values).rowcount == 1

    def waiting(self) -> list[Delivery]:
        """Those that were not acted on, the oldest first."""
        with self._file.reading() as connection:
            rows = connection.execute("SELECT digest, event, action, check_run FROM delivery WHERE NOT done ORDER BY at").fetchall()
        return [Delivery.model_validate(dict(row)) for row in rows]

    def done(self, deliveries: Sequence[Delivery]) -> None:
        with self._file.writing() as connection:
            connection.executemany("UPDATE delivery SET done = 1 WHERE digest = ?", [(each.digest,) for each in deliveries])
