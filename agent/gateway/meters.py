"""What is counted: for Prometheus at /metrics, and of each skill for whoever asks about it.

The gateway counts in plain numbers, as it lives in one event loop, and makes Prometheus' things of them when it is asked: the
library's own take a lock each time, and a call counts seven things.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

KIND = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BOUNDS = (*map(str, _BUCKETS), "+Inf")


@dataclass
class Usage:
    """Of one skill, since the gateway started; `seconds` in all calls together."""

    calls: int = 0
    errors: int = 0
    seconds: float = 0.0


@dataclass
class _OfSkill:
    """The figures of one skill."""

    usage: Usage
    outcomes: Counter[str] = field(default_factory=Counter)
    spread: list[int] = field(default_factory=lambda: [0] * len(_BOUNDS))  # how many calls took so long, by bucket
    in_flight: int = 0
    is_open: bool = False


class Meters:
    """One registry of figures for each gateway."""

    def __init__(self) -> None:
        self._revision = 0
        self.usage: dict[str, Usage] = {}
        self._skills: dict[str, _OfSkill] = {}
        self._answers: Counter[int] = Counter()
        self._registry = CollectorRegistry()
        self._registry.register(_Figures(self._told))

    def began(self, skill: str) -> None:
        self._of(skill).in_flight += 1

    def ended(self, skill: str, outcome: str, seconds: float) -> None:
        """`outcome` is `ok` or an error's code."""
        figures = self._of(skill)
        figures.in_flight -= 1
        figures.outcomes[outcome] += 1
        figures.spread[bisect_left(_BUCKETS, seconds)] += 1
        usage = figures.usage
        usage.calls += 1
        usage.errors += outcome != "ok"
        usage.seconds += seconds

    def latency(self, skill: str) -> list[tuple[float, int]]:
        """Of the calls of a skill, how many took at most so many seconds; the last is of all. Empty where it was not called."""
        if skill not in self._skills:
            return []
        return [(float(most), calls) for most, calls in zip(_BOUNDS, accumulate(self._skills[skill].spread), strict=True)]

    def circuit(self, skill: str, is_open: bool) -> None:
        self._of(skill).is_open = is_open

    def answered(self, status: int) -> None:
        self._answers[status] += 1

    def page(self, revision: int) -> bytes:
        self._revision = revision
        return bytes(generate_latest(self._registry))

    def _of(self, skill: str) -> _OfSkill:
        if skill not in self._skills:
            self.usage[skill] = Usage()
            self._skills[skill] = _OfSkill(self.usage[skill])
        return self._skills[skill]

    def _told(self) -> Iterator[Metric]:
        calls = CounterMetricFamily("skillops_calls", "Calls of a skill, by how they ended.", labels=("skill", "outcome"))
        seconds = HistogramMetricFamily("skillops_call_seconds", "Seconds that a skill took.", labels=("skill",))
        in_flight = GaugeMetricFamily("skillops_calls_in_flight", "Calls that run now.", labels=("skill",))
        is_open = GaugeMetricFamily("skillops_circuit_open", "Whether the skill is left alone for a while.", labels=("skill",))
        for skill, figures in self._skills.items():
            for outcome, number in figures.outcomes.items():
                calls.add_metric((skill, outcome), number)
            seconds.add_metric((skill,), list(zip(_BOUNDS, accumulate(figures.spread), strict=True)), figures.usage.seconds)
            in_flight.add_metric((skill,), figures.in_flight)
            is_open.add_metric((skill,), figures.is_open)
        answers = CounterMetricFamily("skillops_http_answers", "Answers of the gateway, by status.", labels=("status",))
        for status, number in self._answers.items():
            answers.add_metric((str(status),), number)
        yield from (calls, seconds, in_flight, is_open, answers)
        yield GaugeMetricFamily("skillops_registry_revision", "The registry's revision that is served.", self._revision)


class _Figures(Collector):
    """What the library asks for figures, which would count what it has besides as its own."""

    def __init__(self, told: Callable[[], Iterable[Metric]]) -> None:
        self._told = told

    def collect(self) -> Iterable[Metric]:
        return self._told()
