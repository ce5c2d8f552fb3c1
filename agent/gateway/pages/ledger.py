"""The ledger: what happened, searched, with the word of its chain of hashes."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from agent.domain.event import Entered
from agent.gateway.pages.site import Site
from agent.gateway.pages.visitors import Visitor
from agent.story import event_sentence

SHOWN = 100  # entries of a page
QUERY = 200  # characters


def add_to(site: Site) -> None:
    def show(visitor: Visitor, request: Request) -> dict[str, Any]:
        query = request.query_params.get("q", "")[:QUERY]
        asked = request.query_params.get("page", "1")
        number = min(int(asked), 10**6) if asked.isdecimal() and len(asked) < 8 else 1
        entries = site.parts.ledger.entries()
        found = [entry for entry in reversed(entries) if fits(entry, query)]
        pages = max(-(-len(found) // SHOWN), 1)
        number = min(max(number, 1), pages)
        return {
            "title": "Ledger", "q": query, "entries": found[(number - 1) * SHOWN : number * SHOWN], "found": len(found), "all": len(entries),
            "page": number, "pages": pages, "tampered": site.parts.ledger.tampered(), "head": entries[-1].hash if entries else "",
        }  # fmt: skip

    site.page("/ledger", "ledger.html", show, "admin")


def fits(entry: Entered, query: str) -> bool:
    """Whether every word of the query is in what the entry says; `#7` is a request or proposal, and nothing else."""
    event = entry.event
    numbers = {f"#{number}" for number in (event.request, event.proposal) if number is not None}
    text = f"{entry.number} {entry.at} {event.stage} {event.what} {event.actor} {event.skill or ''} {event_sentence(event)} {entry.hash}".casefold()
    return all(word in numbers if word.startswith("#") else word in text for word in query.casefold().split())
