"""What keeps one caller or one skill from taking all: calls a second for each key, calls at once and a circuit breaker for each skill."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from agent.domain.invocation import Reply
from agent.gateway.problems import Busy, CircuitOpen, TooMany

Clock = Callable[[], float]
DAY = 86_400  # seconds
FAILURES = 5  # in a row, after which a skill is left alone
REST = 10.0  # seconds for which it is, before one call may try it
WAITING = 1000  # calls that may wait for one skill
BROKEN = frozenset(("crashed", "out-of-memory", "timeout", "unhealthy"))  # which what a caller gave it may have brought about


def utc_day() -> int:
    """Days since 1970."""
    return int(time.time() // DAY)


class Rates:
    """A token bucket for each key: `rate` calls a second, and two seconds' worth at once; and `daily` calls in a day (UTC), counted by
    this process since it began. 0 is no limit. `today` numbers the days."""

    def __init__(self, rate: float, clock: Clock = time.monotonic, daily: int = 0, today: Callable[[], int] = utc_day) -> None:
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


class Circuit:
    """Counts failures in a row. After `FAILURES` nobody is let through for `REST` seconds, then one call tries."""

    def __init__(self, clock: Clock) -> None:
        self.failures, self._clock, self._closed_until = 0, clock, 0.0

    def heard(self, failed: bool) -> None:
        self.failures = self.failures + 1 if failed else 0
        if self.failures >= FAILURES:
            self._closed_until = self._clock() + REST

    @property
    def is_open(self) -> bool:
        return self.failures >= FAILURES and self._clock() < self._closed_until

    def admit(self) -> int:
        """0 where a call may go through, which after a rest is the one that tries; else the seconds that are left."""
        if self.failures < FAILURES:
            return 0
        left = self._closed_until - self._clock()
        if left > 0:
            return math.ceil(left)
        self._closed_until = self._clock() + REST
        return 0


class _Guest:
    """One caller of a lane."""

    def __init__(self, share: int, clock: Clock) -> None:
        self.slots, self.circuit, self.waiting = asyncio.Semaphore(share), Circuit(clock), 0


class _Turn(NamedTuple):
    """Costs a third of what a generator made into a context manager does, and every call has one."""

    lane: Lane
    caller: str
    patience: float

    async def __aenter__(self) -> None:
        await self.lane.take(self.caller, self.patience)

    async def __aexit__(self, *error: object) -> None:
        self.lane.give_back(self.caller)


class Lane:
    """The way to one skill. Raises Busy where too many wait, CircuitOpen while the skill is left alone.

    One caller has three quarters of it at most, and what their inputs do to a process of their own closes it for them alone.
    """

    def __init__(self, skill: str, at_once: int, clock: Clock = time.monotonic) -> None:
        self._skill, self._at_once, self._clock = skill, at_once, clock
        self._slots, self._waiting = asyncio.Semaphore(at_once), 0
        self._circuit = Circuit(clock)
        self._guests: dict[str, _Guest] = {}

    def turn(self, caller: str, patience: float) -> _Turn:
        """One call's turn, for `async with`; waited for at most `patience` seconds."""
        return _Turn(self, caller, patience)

    async def take(self, caller: str, patience: float) -> None:
        guest = self._guests.get(caller)
        if guest is None:
            guest = self._guests[caller] = _Guest(_share(self._at_once), self._clock)
        self._admit(guest.circuit, "its last {} calls for this key crashed, took too long or too much memory")
        self._admit(self._circuit, "its last {} calls broke off")
        if guest.slots.locked() or self._slots.locked():
            await self._wait(guest, patience)
        else:
            await guest.slots.acquire()
            await self._slots.acquire()

    def give_back(self, caller: str) -> None:
        guest = self._guests[caller]
        self._slots.release()
        guest.slots.release()

    def heard(self, caller: str, reply: Reply) -> None:
        """Notes how a call of theirs ended, before their turn does."""
        self._circuit.heard(reply.gone)
        self._guests[caller].circuit.heard(reply.error_code in BROKEN)

    @property
    def is_open(self) -> bool:
        """Whether the circuit is: nobody gets through."""
        return self._circuit.is_open

    def _admit(self, circuit: Circuit, why: str) -> None:
        if seconds := circuit.admit():
            raise CircuitOpen(
                f"{self._skill} is left alone for a while.",
                why=f"{why.format(circuit.failures).capitalize()}.",
                next_step=f"Try again in {seconds} s; `skillops show {self._skill}` tells its state.",
                headers={"retry-after": str(seconds)},
            )

    async def _wait(self, guest: _Guest, patience: float) -> None:
        if self._waiting >= WAITING or guest.waiting >= _share(WAITING):
            raise self._busy(f"{self._at_once} calls run and {self._waiting} wait.")
        self._waiting += 1
        guest.waiting += 1
        try:
            async with asyncio.timeout(patience):
                await guest.slots.acquire()
                try:
                    await self._slots.acquire()
                except (TimeoutError, asyncio.CancelledError):
                    guest.slots.release()
                    raise
        except TimeoutError:
            raise self._busy(f"No turn came within {patience:g} s.") from None
        finally:
            self._waiting -= 1
            guest.waiting -= 1

    def _busy(self, why: str) -> Busy:
        return Busy(f"{self._skill} is busy.", why=why, next_step="Try again in a moment.", headers={"retry-after": "1"})


def _share(most: int) -> int:
    """What one caller may have of it."""
    return most - most // 4
