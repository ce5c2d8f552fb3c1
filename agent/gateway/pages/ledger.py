"""The ledger: what happened, searched, with the word of its chain of hashes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request

from agent.domain.event import Entered
from agent.gateway.pages.paging import SHOWN, paged
from agent.gateway.pages.site import Site
from agent.gateway.pages.visitors import Visitor
from agent.ports import Ledger
from agent.story import event_sentence

QUERY = 200  # characters
KEPT = 50_000  # entries whose words are kept; of more, those that are older are read each time
BATCH = 1000  # entries


def add_to(site: Site) -> None:
    words = Words(site.parts.ledger)

    def show(visitor: Visitor, request: Request) -> dict[str, Any]:
        ledger, query = site.parts.ledger, request.query_params.get("q", "")[:QUERY]
        last = ledger.last()
        count = last.number if last else 0
        found: Sequence[int] = words.fitting(query, count) if query.strip() else range(count, 0, -1)
        told, part = paged(len(found), request.query_params)
        return {
            "title": "Ledger", "q": query, "entries": _of(ledger, found[part]), "all": count, "tampered": ledger.tampered(),
            "head": last.hash if last else "", **told,
        }  # fmt: skip

    site.page("/ledger", "ledger.html", show, "admin")


class Words:
    """What can be searched of each entry: an entry never changes, so each is read once. For several threads."""

    def __init__(self, ledger: Ledger, kept: int = KEPT) -> None:
        self._ledger, self._most = ledger, kept
        self._kept, self._lock = list[tuple[str, frozenset[str]]](), threading.Lock()  # by number, the first at 0

    def fitting(self, query: str, count: int) -> list[int]:
        """The numbers of those among the first `count` that a query fits, the newest first."""
        with self._lock:
            while len(self._kept) < min(count, self._most) and (more := self._ledger.entries(after=len(self._kept), most=BATCH)):
                self._kept += map(words_of, more)
            known = self._kept[:count]
        found = [number for number, words in enumerate(known, 1) if fits(words, query)]
        at = len(known)
        while at < count and (more := self._ledger.entries(after=at, most=BATCH)):
            found += [entry.number for entry in more if fits(words_of(entry), query)]
            at = more[-1].number
        return found[::-1]


def words_of(entry: Entered) -> tuple[str, frozenset[str]]:
    """What is searched of an entry: its text, and the numbers that it is about."""
    event = entry.event
    numbers = frozenset(f"#{number}" for number in (event.request, event.proposal) if number is not None)
    text = f"{entry.number} {entry.at} {event.stage} {event.what} {event.actor} {event.skill or ''} {event_sentence(event)} {entry.hash}"
    return text.casefold(), numbers


def fits(words: tuple[str, frozenset[str]], query: str) -> bool:
    """Whether every word of the query is in what the entry says; `#7` is a request or proposal, and nothing else."""
    text, numbers = words
    return all(word in numbers if word.startswith("#") else word in text for word in query.casefold().split())


def _of(ledger: Ledger, numbers: Sequence[int]) -> list[Entered]:
    """The entries with these numbers, in their order: in one go where they follow each other."""
    if not numbers:
        return []
    lowest, highest = min(numbers), max(numbers)
    if highest - lowest < SHOWN:
        near = {entry.number: entry for entry in ledger.entries(after=lowest - 1, most=highest - lowest + 1)}
        return [near[number] for number in numbers if number in near]
    return [entry for number in numbers for entry in ledger.entries(after=number - 1, most=1)]
