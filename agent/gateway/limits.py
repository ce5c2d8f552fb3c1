"""What keeps one caller or one skill from taking all: calls a second for each key, calls at once and a circuit breaker for each skill."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from agent.gateway.problems import Busy, CircuitOpen, TooMany

Clock = Callable[[], float]
DAY = 86_400  # seconds
FAILURES = 5  # in a row, after which a skill is left alone
REST = 10.0  # seconds for which it is, before one call may try it
WAITING = 1000  # calls that may wait for one skill
BROKEN = frozenset(("unreachable", "bad-reply", "crashed", "unhealthy", "out-of-memory", "timeout"))  # of the skill, not of what it was given


def utc_day() -> int:
    """Days since 1970."""
    return int(time.time() // DAY)


class Rates:
    """A token bucket for each key: `rate` calls a second, and two seconds' worth at once; and `daily` calls in a day (UTC), counted by
    this process since it began. 0 is no limit. `today` numbers the days."""

    def __init__(
        self, rate: float, clock: Clock = time.monotonic, daily: int = 0, today: Callable[[], int] = lambda: int(time.time() // DAY)
    ) -> None:
        self._rate, self._most, self._clock = rate, max(rate * 2, 1.0), clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self._daily, self._today, self._day = daily, today, 0
        self._calls: Counter[str] = Counter()

    def allows(self, key: str) -> bool:
        """Takes one call, where there is one left."""
        if self._spent(key):
            return False
        if self._rate:
            left, now = self._left(key)
            if left < 1:
                return False
            self._buckets[key] = (left - 1, now)
        if self._daily:
            self._calls[key] += 1
        return True

    def take(self, key: str) -> None:
        """Raises TooMany, with when to try again."""
        if not self.allows(key):
            if self._spent(key):
                seconds = DAY - int(time.time()) % DAY
                raise TooMany(
                    "This key has made its calls of today.", why=f"It may make {self._daily} a day.", next_step="Try again tomorrow (UTC).",
                    headers={"retry-after": str(seconds)},
                )  # fmt: skip
            left, _ = self._left(key)
            seconds = math.ceil((1 - left) / self._rate)
            raise TooMany(
                "This key calls too often.",
                why=f"It may make {self._rate:g} calls a second.",
                next_step=f"Try again in {seconds} s.",
                headers={"retry-after": str(seconds)},
            )

    def _spent(self, key: str) -> bool:
        if self._daily and self._day != (today := self._today()):
            self._day = today
            self._calls.clear()
        return bool(self._daily) and self._calls[key] >= self._daily

    def _left(self, key: str) -> tuple[float, float]:
        """How many calls, and by which time."""
        now = self._clock()
        left, at = self._buckets.get(key, (self._most, now))
        return min(left + (now - at) * self._rate, self._most), now


class _Turn(NamedTuple):
    """Costs a third of what a generator made into a context manager does, and every call has one."""

    lane: Lane
    patience: float

    async def __aenter__(self) -> None:
        await self.lane.take(self.patience)

    async def __aexit__(self, *error: object) -> None:
        self.lane.give_back()


class Lane:
    """The way to one skill. Raises Busy where too many wait, CircuitOpen while the skill is left alone."""

    def __init__(self, skill: str, at_once: int, clock: Clock = time.monotonic) -> None:
        self._skill, self._at_once, self._clock = skill, at_once, clock
        self._slots = asyncio.Semaphore(at_once)
        self._waiting = self._failures = 0
        self._closed_until = 0.0

    def turn(self, patience: float) -> _Turn:
        """One call's turn, for `async with`; waited for at most `patience` seconds."""
        return _Turn(self, patience)

    async def take(self, patience: float) -> None:
        self._admit()
        if self._slots.locked():
            await self._wait(patience)
        else:
            await self._slots.acquire()

    def give_back(self) -> None:
        self._slots.release()

    def heard(self, error_code: str | None) -> None:
        """Notes how a call ended: the skill's error code, or None."""
        if error_code not in BROKEN:
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= FAILURES:
            self._closed_until = self._clock() + REST

    @property
    def is_open(self) -> bool:
        """Whether the circuit is: nobody gets through."""
        return self._failures >= FAILURES and self._clock() < self._closed_until

    def _admit(self) -> None:
        if self._failures < FAILURES:
            return
        left = self._closed_until - self._clock()
        if left > 0:
            seconds = math.ceil(left)
            raise CircuitOpen(
                f"{self._skill} is left alone for a while.",
                why=f"Its last {self._failures} calls broke off, crashed or took too long.",
                next_step=f"Try again in {seconds} s; `skillops show {self._skill}` tells its state.",
                headers={"retry-after": str(seconds)},
            )
        self._closed_until = self._clock() + REST  # this call tries it; the others go on waiting

    async def _wait(self, patience: float) -> None:
        if self._waiting >= WAITING:
            raise self._busy(f"{self._at_once} calls run and {self._waiting} wait.")
        self._waiting += 1
        try:
            async with asyncio.timeout(patience):
                await self._slots.acquire()
        except TimeoutError:
            raise self._busy(f"No turn came within {patience:g} s.") from None
        finally:
            self._waiting -= 1

    def _busy(self, why: str) -> Busy:
        return Busy(f"{self._skill} is busy.", why=why, next_step="Try again in a moment.", headers={"retry-after": "1"})
