"""The routes of the work: requests are raised, listed, followed and answered; proposals are read."""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Request, Response
from pydantic import Field

from agent.domain import Frozen
from agent.domain.check import CheckResult
from agent.domain.event import Event
from agent.domain.progress import next_step
from agent.domain.proposal import Proposal
from agent.domain.request import Comment, RequestDraft
from agent.domain.request import Request as Asked
from agent.domain.review import Review
from agent.domain.skill import digest_of
from agent.errors import NotFound, UsageError
from agent.gateway.access import key_of, needs
from agent.gateway.gateway import Gateway
from agent.keys import Key
from agent.parts import Parts
from agent.situation import Work, look
from agent.stages.assessing import LIMIT, unreadable
from agent.story import Story, story

TITLE = 80  # characters of the text that make a title where none is given
Number = Annotated[int, Field(ge=1, le=2**31)]


class Wish(Frozen):
    """What is missing, in words, with an example; the title may be left out."""

    text: str = Field(min_length=1, max_length=LIMIT)
    title: str = Field(default="", max_length=200)


class Words(Frozen):
    """What a requester answers."""

    text: str = Field(min_length=1, max_length=LIMIT)


class Followed(Frozen):
    """A request: where it stands, whom it waits for and why, what was said, and its story."""

    request: Asked
    state: str
    stage: str
    waiting_for: str
    why: str
    comments: tuple[Comment, ...]
    story: Story


class Judged(Frozen):
    """A proposal with the verdicts on its head."""

    proposal: Proposal
    checks: tuple[CheckResult, ...]
    reviews: tuple[Review, ...]


def router(gateway: Gateway) -> APIRouter:
    routes, parts = APIRouter(), gateway.place.parts

    @routes.post("/requests", status_code=201, tags=["requests"], dependencies=[needs("request")])
    def raise_request(
        wish: Wish, request: Request, response: Response, idempotency_key: Annotated[str | None, Header(max_length=200)] = None
    ) -> Asked:
        """Raises a capability request. The same Idempotency-Key of the same key raises it once."""
        raised = _raise(wish, key_of(request), idempotency_key or uuid.uuid4().hex, parts)
        response.headers["location"] = f"/requests/{raised.number}"
        gateway.raised()
        return raised

    @routes.get("/requests", tags=["requests"], dependencies=[needs("request")])
    def list_requests(state: Literal["open", "closed", "all"] = "open") -> list[Asked]:
        """The requests, by number."""
        return list(parts.forge.requests(state))

    @routes.get("/requests/{number}", tags=["requests"], dependencies=[needs("request")])
    def follow_request(number: Number) -> Followed:
        """A request, where it stands, and its story so far."""
        asked = _request(number, parts)
        parts.sync()
        step = next_step(look(parts, Work(request=number)))
        return Followed(
            request=asked, state=step.state, stage=step.stage, waiting_for=step.waiting_for, why=step.why,
            comments=tuple(parts.forge.comments(number)), story=story(number, parts.forge, parts.ledger),
        )  # fmt: skip

    @routes.post("/requests/{number}/replies", status_code=201, tags=["requests"], dependencies=[needs("request")])
    def reply_to_request(number: Number, words: Words, request: Request) -> Words:
        """Answers the question that the agent asked on a request."""
        if _request(number, parts).state == "closed":
            raise UsageError(f"Request #{number} is closed.", next_step="Raise a new one.")
        parts.forge.say(number, _plain(words.text), author=key_of(request).name)
        gateway.raised()
        return words

    @routes.get("/proposals", tags=["proposals"], dependencies=[needs("request")])
    def list_proposals(state: Literal["open", "merged", "closed", "all"] = "open") -> list[Proposal]:
        """The proposals, by number."""
        return list(parts.forge.proposals(state))

    @routes.get("/proposals/{number}", tags=["proposals"], dependencies=[needs("request")])
    def show_proposal(number: Number) -> Judged:
        """A proposal with the checks and reviews of its head."""
        try:
            proposal = parts.forge.proposal(number)
        except NotFound as error:
            raise NotFound(error.what, why=error.why, next_step="GET /proposals lists them.") from None
        report = parts.forge.checks(number, proposal.head)
        return Judged(proposal=proposal, checks=report.results, reviews=parts.forge.reviews(number, proposal.head))

    return routes


def _raise(wish: Wish, key: Key, once: str, parts: Parts) -> Asked:
    text = _plain(wish.text)
    title = _plain(wish.title.strip() or " ".join(text.split())[:TITLE])
    draft = RequestDraft(key=digest_of(["gateway", key.id, once]), title=title, text=text, requester=key.name, source="gateway")
    raised = parts.forge.open_request(draft)
    parts.record(Event(stage="gateway", what="raised", actor=key.name, request=raised.number, note=title, key=f"raised:{raised.number}"))
    return raised


def _plain(text: str) -> str:
    if not text.strip():
        raise UsageError("The text is empty.", next_step="Say what is missing, with an example.")
    if unreadable(text):
        raise UsageError("The text has control characters: it looks like binary data.", next_step="Describe in words what is needed.")
    return text


def _request(number: int, parts: Parts) -> Asked:
    try:
        return parts.forge.request(number)
    except NotFound as error:
        raise NotFound(error.what, why=error.why, next_step="GET /requests lists them.") from None
