"""The egress proxy in a thread of its own, for the supervisor and for a trial; and the log of what it decided."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from agent.egress.rules import Rule

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

    from agent.egress.proxy import Carrier, Door, Limits, Proxy, Target, Verdict

T = TypeVar("T")
LOG_BYTES = 4 * 2**20  # of the newest part of a log, and as much of an older one
SECONDS = 10.0  # for one order to the thread
log = logging.getLogger("agent.egress")


class Egress:
    """Doors that other threads open and close. The thread starts with the first door, and ends with `stop`."""

    def __init__(
        self,
        record: Callable[[Verdict], None],
        pinned: Mapping[tuple[str, int], Target] | None = None,
        *,
        sealed: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self._told = record, pinned or {}, sealed, limits
        self._proxy: Proxy | None = None
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._doors: set[Door] = set()

    def open(self, skill: str, rules: Sequence[Rule], path: Path, carriers: Mapping[tuple[str, int], Carrier] | None = None,
             own: Mapping[tuple[str, int], Target] | None = None) -> Door:  # fmt: skip
        """As `Proxy.open`. Raises OSError."""
        door = self.do(self._made().open(skill, rules, path, carriers, own))
        self._doors.add(door)
        return door

    def _made(self) -> Proxy:
        from agent.egress.proxy import Limits, Proxy

        with self._lock:
            if self._proxy is None:
                record, pinned, sealed, limits = self._told
                self._proxy = Proxy(record, pinned, sealed, limits or Limits())
            return self._proxy

    def close(self, door: Door) -> None:
        """Closing twice does no harm."""
        if door in self._doors:
            self._doors.discard(door)
            self.do(door.close())

    def stop(self) -> None:
        """Closes every door; each connection still gets its verdict. A stopped one starts again with the next door."""
        for door in list(self._doors):
            self.close(door)
        with self._lock:
            if self._loop and self._thread:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join(SECONDS)
            self._loop = self._thread = None

    def do(self, order: Coroutine[Any, Any, T]) -> T:
        """Carries out an order on the proxy's loop, from any other thread."""
        return self.begin(order).result(SECONDS)

    def begin(self, order: Coroutine[Any, Any, T]) -> Future[T]:
        """As `do`, without waiting; what is not done by then is cancelled by `stop`."""
        import asyncio

        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._run, args=(self._loop,), name="egress", daemon=True)
                self._thread.start()
        return asyncio.run_coroutine_threadsafe(order, self._loop)

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        import asyncio

        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            for task in (left := asyncio.all_tasks(loop)):
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        finally:
            loop.close()


class VerdictLog:
    """One verdict a line, as JSON. The file is put aside as `.1` when it is full, so that it never outgrows twice `LOG_BYTES`."""

    def __init__(self, path: Path, limit: int = LOG_BYTES) -> None:
        self._path, self._limit = path, limit

    def __call__(self, verdict: Verdict) -> None:
        """Never raises: a full disk stops no skill, and is told to the supervisor's own log."""
        try:
            if self._path.exists() and self._path.stat().st_size >= self._limit:
                self._path.replace(self._path.with_suffix(".1"))
            with self._path.open("a") as file:
                file.write(json.dumps(verdict.line()) + "\n")
        except OSError as error:
            log.warning("a verdict could not be written to %s: %s: %s", self._path, error, verdict)
