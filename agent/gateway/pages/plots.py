"""How much a skill is called, and how long it takes: figures that templates draw. Counted since the gateway started."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from itertools import pairwise

from agent.domain import Frozen
from agent.gateway.meters import Meters

SAMPLE = 60.0  # seconds of one bar
BARS = 60  # an hour


class Span(Frozen):
    """Calls within one span; `at` in seconds since 1970. `height` and `failed` in percent of the highest."""

    at: float
    calls: int
    errors: int
    height: float
    failed: float


class Share(Frozen):
    """Calls that took at most `most` seconds, and more than the share before; `most` is infinite in the last. `height` in percent."""

    most: float
    calls: int
    height: float


class Usages:
    """What was counted of each skill, a sample every SAMPLE seconds that anybody asks in."""

    def __init__(self, meters: Meters, clock: Callable[[], float] = time.time) -> None:
        self._meters, self._clock = meters, clock
        self._samples = deque[tuple[float, dict[str, tuple[int, int]]]](maxlen=BARS + 1)
        self.sample()

    def sample(self) -> None:
        """Notes the counts of now, where the last were noted SAMPLE seconds ago."""
        now = self._clock()
        if not self._samples or now - self._samples[-1][0] >= SAMPLE:
            self._samples.append((now, {name: (usage.calls, usage.errors) for name, usage in list(self._meters.usage.items())}))

    def of(self, skill: str) -> tuple[Span, ...]:
        """The last hour, the oldest first, as far as it was noted."""
        self.sample()
        usage = self._meters.usage.get(skill)
        counts = [(at, counted.get(skill, (0, 0))) for at, counted in self._samples]
        counts.append((self._clock(), (usage.calls, usage.errors) if usage else (0, 0)))
        steps = [
            (at, after[0] - before[0], after[1] - before[1])
            for (_, before), (at, after) in pairwise(counts)
        ]  # fmt: skip
        most = max((calls for _, calls, _ in steps), default=0) or 1
        return tuple(
            Span(at=at, calls=calls, errors=errors, height=100 * calls / most, failed=100 * errors / most) for at, calls, errors in steps[-BARS:]
        )  # fmt: skip


def latency(meters: Meters, skill: str) -> tuple[Share, ...]:
    """How the calls of a skill are spread over how long they took; empty where there were none."""
    counted = meters.latency(skill)
    shares = [(most, calls - before) for (most, calls), (_, before) in zip(counted, [(0.0, 0), *counted], strict=False)]
    while shares and shares[-1][1] == 0:
        shares.pop()
    top = max((calls for _, calls in shares), default=0) or 1
    return tuple(Share(most=most, calls=calls, height=100 * calls / top) for most, calls in shares)
