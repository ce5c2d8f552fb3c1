"""Halting: a person says stop, and what is done for them breaks off: a call of a model at once, anything else before its next step.

What is worked on has a name (a conversation's, or `#7`). Whoever works on it heeds that name, and whoever says stop says it to the name, in any
process: it lies in a file, which is looked at while a model is waited for. A stop counts for what is under way, and for nothing that begins later.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import TypeVar

from agent.errors import Stopped
from agent.sqlite_file import SqliteFile

LOOK = 0.2  # seconds between two looks while a model is waited for
KEPT = 3600.0  # seconds; what is stopped heeds it within moments

T = TypeVar("T")
Heed = Callable[[], str]  # who said stop; empty where nobody did
_heeded: ContextVar[tuple[Heed, ...]] = ContextVar("heeded", default=())

_SCHEMA = "CREATE TABLE IF NOT EXISTS halt (name TEXT PRIMARY KEY, who TEXT NOT NULL, at REAL NOT NULL) STRICT;"


class Halts:
    """In the SQLite file at `path`; `clock` gives seconds since 1970. Raises CouldNotTell where the file cannot be used."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._file, self._clock = SqliteFile(path, _SCHEMA, durable=False), clock

    def stop(self, name: str, who: str) -> None:
        """What is done under this name now breaks off."""
        with self._file.writing() as connection:
            connection.execute("DELETE FROM halt WHERE at < ?", (self._clock() - KEPT,))
            connection.execute("INSERT OR REPLACE INTO halt (name, who, at) VALUES (?, ?, ?)", (name, who or "somebody", self._clock()))

    @contextmanager
    def heeding(self, name: str) -> Iterator[None]:
        """What is done in the block, in this thread, is done under the name."""
        since = self._clock()
        with heeding(lambda: self._said(name, since)):
            yield

    def _said(self, name: str, since: float) -> str:
        with self._file.reading() as connection:
            row = connection.execute("SELECT who FROM halt WHERE name = ? AND at >= ?", (name, since)).fetchone()
        return str(row["who"]) if row else ""


@contextmanager
def heeding(heed: Heed) -> Iterator[None]:
    """What is done in the block, in this thread, breaks off once `heed` names somebody."""
    token = _heeded.set((*_heeded.get(), heed))
    try:
        yield
    finally:
        _heeded.reset(token)


def who_stops() -> str:
    """Who said stop to what is done here; empty where nobody did."""
    return next((who for heed in _heeded.get() if (who := heed())), "")


def check() -> None:
    """Raises Stopped where somebody said stop to what is done here."""
    if who := who_stops():
        raise Stopped(who)


def wait(answer: Future[T]) -> T:
    """What it comes to. Raises Stopped where somebody says stop; then, as after Ctrl-C, it is cancelled."""
    try:
        while answer not in wait_for((answer,), timeout=LOOK).done:
            check()
        return answer.result()
    finally:
        answer.cancel()


def pause(seconds: float) -> None:
    """Sleeps. Raises Stopped where somebody says stop."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        check()
        time.sleep(min(left, LOOK))


@contextmanager
def by_ctrl_c(who: str, told: Callable[[], object]) -> Iterator[None]:
    """In the block the first Ctrl-C stops what is done, and is `told`; the second ends the command, as it does elsewhere."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[str] = []

    def take(number: int, frame: FrameType | None) -> None:
        if pressed:
            signal.default_int_handler(number, frame)
        pressed.append(who)
        told()

    before = signal.signal(signal.SIGINT, take)
    try:
        with heeding(lambda: pressed[0] if pressed else ""):
            yield
    finally:
        signal.signal(signal.SIGINT, before)
