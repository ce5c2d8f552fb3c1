"""What is counted: for Prometheus at /metrics, and of each skill for whoever asks about it."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

KIND = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass
class Usage:
    """Of one skill, since the gateway started; `seconds` in all calls together."""

    calls: int = 0
    errors: int = 0
    seconds: float = 0.0


@dataclass
class _OfSkill:
    """The figures of one skill, looked up once."""

    in_flight: Gauge
    seconds: Histogram
    open: Gauge
    outcomes: dict[str, Counter]
    is_open: bool = False


class Meters:
    """One registry of figures for each gateway."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._calls = Counter("skillops_calls", "Calls of a skill, by how they ended.", ("skill", "outcome"), registry=self._registry)
        self._seconds = Histogram("skillops_call_seconds", "Seconds that a skill took.", ("skill",), registry=self._registry, buckets=_BUCKETS)
        self._in_flight = Gauge("skillops_calls_in_flight", "Calls that run now.", ("skill",), registry=self._registry)
        self._open = Gauge("skillops_circuit_open", "Whether the skill is left alone for a while.", ("skill",), registry=self._registry)
        self._answers = Counter("skillops_http_answers", "Answers of the gateway, by status.", ("status",), registry=self._registry)
        self._revision = Gauge("skillops_registry_revision", "The registry's revision that is served.", registry=self._registry)
        self.usage: dict[str, Usage] = {}
        self._skills: dict[str, _OfSkill] = {}
        self._statuses: dict[int, Counter] = {}

    def began(self, skill: str) -> None:
        self._of(skill).in_flight.inc()

    def ended(self, skill: str, outcome: str, seconds: float) -> None:
        """`outcome` is `ok` or an error's code."""
        figures = self._of(skill)
        figures.in_flight.dec()
        figures.seconds.observe(seconds)
        if outcome not in figures.outcomes:
            figures.outcomes[outcome] = self._calls.labels(skill, outcome)
        figures.outcomes[outcome].inc()
        usage = self.usage.setdefault(skill, Usage())
        usage.calls += 1
        usage.errors += outcome != "ok"
        usage.seconds += seconds

    def latency(self, skill: str) -> list[tuple[float, int]]:
        """Of the calls of a skill, how many took at most so many seconds; the last is of all. Empty where it was not called."""
        if skill not in self._skills:
            return []
        samples = next(iter(self._skills[skill].seconds.collect())).samples
        return [(float(sample.labels["le"]), int(sample.value)) for sample in samples if sample.name.endswith("_bucket")]

    def circuit(self, skill: str, is_open: bool) -> None:
        figures = self._of(skill)
        if figures.is_open != is_open:
            figures.is_open = is_open
            figures.open.set(is_open)

    def answered(self, status: int) -> None:
        if status not in self._statuses:
            self._statuses[status] = self._answers.labels(str(status))
        self._statuses[status].inc()

    def _of(self, skill: str) -> _OfSkill:
        if skill not in self._skills:
            self._skills[skill] = _OfSkill(self._in_flight.labels(skill), self._seconds.labels(skill), self._open.labels(skill), {})
        return self._skills[skill]

    def page(self, revision: int) -> bytes:
        self._revision.set(revision)
        return bytes(generate_latest(self._registry))
