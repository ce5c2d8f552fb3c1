"""The feed: what this process did lately, for those who watch it at work. The ledger holds what counts; this holds the rest as well."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from agent.domain import Frozen
from agent.domain.event import Event
from agent.ports import Tell

KEPT = 2000  # events, the oldest of which go first


class Line(Frozen):
    """Something that was told, and when (ISO 8601, UTC)."""

    at: str
    event: Event


class Feed:
    """A watcher (`Tell`) that keeps what it is told, and passes it on to `then`. Called from several threads."""

    def __init__(self, then: Tell | None = None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._then, self._clock = then, clock
        self._lines, self._lock = deque[Line](maxlen=KEPT), threading.Lock()
        self._others: list[Tell] = []
        self.told = 0

    def heard_by(self, tell: Tell) -> None:
        """Somebody else hears of everything from now on."""
        self._others.append(tell)

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._lines.append(Line(at=self._clock().isoformat(timespec="milliseconds"), event=event))
            self.told += 1
        for tell in (*((self._then,) if self._then else ()), *self._others):
            tell(event)

    def lately(self) -> list[Line]:
        """Everything that is kept, in order."""
        with self._lock:
            return list(self._lines)

    def of(self, *, request: int | None, proposal: int | None) -> list[Line]:
        """What was told of one piece of work, in order."""
        return [
            line for line in self.lately()
            if (request is not None and line.event.request == request) or (proposal is not None and line.event.proposal == proposal)
        ]  # fmt: skip

    def doing(self, *, request: int | None, proposal: int | None) -> Line | None:
        """The stage that is at work on it now: begun, and not ended since."""
        for line in reversed(self.of(request=request, proposal=proposal)):
            if line.event.what in ("started", "finished"):
                return line if line.event.what == "started" else None
        return None
