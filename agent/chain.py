"""The chain that both ledgers are: each line is sealed with the hash of the line before it. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from agent.domain.decision import Spent
from agent.domain.event import Entered, Event

GENESIS = "0" * 64  # what the first entry follows


def spent_by(entries: Sequence[Entered]) -> Spent:
    """What the entries of one request add up to since a person last said `retry`."""
    events = [entered.event for entered in entries]
    since = max((place for place, event in enumerate(events, 1) if event.what == "retried"), default=0)
    events = events[since:]
    return Spent(
        attempts=sum(event.what == "attempt" for event in events),
        tokens=sum(event.tokens for event in events),
        cost=sum(event.cost for event in events),
        minutes=sum(event.seconds for event in events) / 60,
    )


def sealed_event(event: Event, number: int, previous: str, seconds: float) -> Entered:
    """The next link of a chain: `seconds` since 1970."""
    at = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return Entered(number=number, at=at, event=event, previous=previous, hash=seal(previous, number, at, event.model_dump(mode="json")))


def first_broken(entries: Iterable[Entered]) -> int | None:
    """The number of the first entry that does not fit the chain, or None."""
    previous = GENESIS
    for expected, entry in enumerate(entries, 1):
        expected_hash = seal(previous, entry.number, entry.at, entry.event.model_dump(mode="json"))
        if entry.number != expected or entry.previous != previous or entry.hash != expected_hash:
            return expected
        previous = entry.hash
    return None


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def seal(previous: str, number: int, at: str, event: Any) -> str:
    return hashlib.sha256((previous + canonical({"number": number, "at": at, "event": event})).encode()).hexdigest()
