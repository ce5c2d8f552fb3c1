"""Wishes: how a capability request is raised and followed, for every door that takes one."""

from __future__ import annotations

import uuid

from pydantic import Field

from agent import people
from agent.domain.event import Event
from agent.domain.progress import NextStep, Situation, next_step
from agent.domain.request import Request, RequestDraft
from agent.domain.skill import digest_of
from agent.errors import NotFound, UsageError
from agent.gateway.authority import demand
from agent.gateway.bodies import Body
from agent.keys import Key
from agent.parts import Parts
from agent.pasted import refuse_secrets
from agent.situation import Work, look
from agent.stages.assessing import LIMIT, unreadable

TITLE = 80  # characters of the text that make a title where none is given
LONGEST_TITLE = 200


class Wish(Body):
    """What is missing, in words, with an example; the title may be left out."""

    text: str = Field(min_length=1, max_length=LIMIT)
    title: str = Field(default="", max_length=LONGEST_TITLE)


def raise_wish(wish: Wish, key: Key, parts: Parts, once: str | None = None) -> Request:
    """Raises a capability request. The same `once` of the same key raises it once."""
    text = plain(wish.text)
    title = plain(wish.title.strip() or " ".join(text.split())[:TITLE])
    once = once or uuid.uuid4().hex
    draft = RequestDraft(key=digest_of(["gateway", key.id, once]), title=title, text=text, requester=key.name, source="gateway")
    raised = parts.forge.open_request(draft)
    told = {"request": raised.number, "note": title, "data": {"asked_by": key.name}, "key": f"raised:{raised.number}"}
    parts.record(Event(stage="gateway", what="raised", actor=key.name, **told))
    return raised


def withdraw(number: int, key: Key, parts: Parts, why: str, where: str = "GET /requests") -> Request:
    """Takes a request back: by who asked for it with a key of this name, or with the scope approve."""
    if not request_of(number, parts, where).asked_by(key.name, vouched=False):
        demand(key, "approve")
    return people.withdraw(parts, number, key.name, plain(why) if why.strip() else "")


def standing(number: int, parts: Parts) -> tuple[Situation, NextStep]:
    """What is seen of a request now, and the one step that moves it."""
    parts.sync()
    seen = look(parts, Work(request=number))
    return seen, next_step(seen)


def plain(text: str) -> str:
    if not text.strip():
        raise UsageError("The text is empty.", next_step="Say what is missing, with an example.")
    if unreadable(text):
        raise UsageError("The text has control characters: it looks like binary data.", next_step="Describe in words what is needed.")
    return refuse_secrets(text)


def request_of(number: int, parts: Parts, where: str = "GET /requests") -> Request:
    """The request; NotFound says that `where` lists them."""
    try:
        return parts.forge.request(number)
    except NotFound as error:
        raise NotFound(error.what, why=error.why, next_step=f"{where} lists them.") from None
