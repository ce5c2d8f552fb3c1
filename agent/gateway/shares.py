"""Shares: what one caller may have of what there is for all, so that nobody takes the whole of it: places, turns, and memory."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from agent.gateway.problems import Busy

MOST_HELD = 512 * 2**20  # bytes of requests that are held at once: until they are answered
TURNS = 8  # requests of one caller that have a thread at the same time; there are forty


class Places:
    """So many places in all, and for each caller so many at most. Several threads may ask. `told` is what a refusal says of it."""

    def __init__(self, most: int, each: int, told: str) -> None:
        self._most, self._each, self._told = most, each, told
        self._taken, self._lock = Counter[str](), threading.Lock()

    def take(self, who: str) -> None:
        """Busy where there is none for them."""
        with self._lock:
            if self._taken[who] >= self._each or self._taken.total() >= self._most:
                raise Busy(self._told, next_step="Try again in a moment.", headers={"retry-after": "5"})
            self._taken[who] += 1

    def give_back(self, who: str) -> None:
        with self._lock:
            self._taken[who] -= 1
            if not self._taken[who]:
                del self._taken[who]

    @contextmanager
    def one(self, who: str) -> Iterator[None]:
        """A place, inside the block."""
        self.take(who)
        try:
            yield
        finally:
            self.give_back(who)


class Turns:
    """So many turns at once for each caller; who asks for more waits behind themselves. Lives in one event loop."""

    def __init__(self, each: int = TURNS) -> None:
        self._of = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(each))

    def of(self, who: str) -> asyncio.Semaphore:
        return self._of[who]


class Burden:
    """The bytes of requests that are held: `most` in all, half of it for each caller. Whoever has no key is one caller with all such."""

    def __init__(self, most: int = MOST_HELD) -> None:
        self.most, self.held = most, Counter[str]()


class Hold:
    """What one request holds of it."""

    def __init__(self, burden: Burden, whose: str = "") -> None:
        self.whose, self._burden, self._bytes = whose, burden, 0

    def add(self, size: int) -> None:
        """Busy where that is too much now."""
        held = self._burden.held
        if held[self.whose] + size > self._burden.most // 2 or held.total() + size > self._burden.most:
            raise Busy("The gateway holds as much of what it was sent as it can.", next_step="Try again in a moment, with less.",
                       headers={"retry-after": "5", "connection": "close"})  # fmt: skip
        held[self.whose] += size
        self._bytes += size

    def release(self) -> None:
        if self._bytes:
            self._burden.held[self.whose] -= self._bytes
            self._bytes = 0
            if not self._burden.held[self.whose]:
                del self._burden.held[self.whose]
