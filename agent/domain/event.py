"""An Event: one line of the audit trail."""

from __future__ import annotations

from typing import Any

from agent.domain import Frozen


class Event(Frozen):
    """Something that happened. `seconds` is wall time, `cost` US dollars; zero where they do not apply.

    `what` is a word of the closed list in `agent/story.py`; `data` holds what a later step reads back
    (a witness digest, a problem summary), never untrusted code and never a secret. An event with a `key` is
    recorded once: recording the same key again gives the first entry, so that a step done over leaves one line.
    """

    stage: str
    what: str
    actor: str
    note: str = ""
    request: int | None = None
    proposal: int | None = None
    skill: str | None = None
    commit: str | None = None
    outcome: str = ""
    seconds: float = 0.0
    tokens: int = 0
    cost: float = 0.0
    data: dict[str, Any] = {}
    key: str | None = None


class Entered(Frozen):
    """An event as the ledger holds it: its number, the time (ISO 8601, UTC), and the chain of SHA-256 hashes."""

    number: int
    at: str
    event: Event
    previous: str
    hash: str
