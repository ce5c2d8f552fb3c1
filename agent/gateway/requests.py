"""The routes of the work: requests are raised, listed, followed and answered; proposals are read."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Request, Response
from pydantic import Field

from agent.domain import Frozen
from agent.domain.gap import Gap
from agent.domain.proposal import Proposal
from agent.domain.request import Comment
from agent.domain.request import Request as Asked
from agent.errors import UsageError
from agent.gateway.access import key_of, needs
from agent.gateway.bodies import Body
from agent.gateway.gateway import Gateway
from agent.gateway.pages.judged import Judged, judged
from agent.gateway.pages.requests import Progress, progress_of
from agent.gateway.verdicts import Number, Reason
from agent.gateway.wishes import Wish, plain, raise_wish, request_of, standing, withdraw
from agent.stages.assessing import LIMIT
from agent.story import Story, story


class Words(Body):
    """What a requester answers."""

    text: str = Field(min_length=1, max_length=LIMIT)


class Followed(Frozen):
    """A request: where it stands, whom it waits for and why, what was said, its contract and proposals, how far it is, and its story."""

    request: Asked
    state: str
    stage: str
    waiting_for: str
    why: str
    comments: tuple[Comment, ...]
    gap: Gap | None
    proposals: tuple[Proposal, ...]
    progress: Progress
    story: Story


def router(gateway: Gateway) -> APIRouter:
    routes, parts = APIRouter(), gateway.place.parts

    @routes.post("/requests", status_code=201, tags=["requests"], dependencies=[needs("request")])
    def raise_request(
        wish: Wish, request: Request, response: Response, idempotency_key: Annotated[str | None, Header(max_length=200)] = None
    ) -> Asked:
        """Raises a capability request. The same Idempotency-Key of the same key raises it once."""
        raised = raise_wish(wish, key_of(request), parts, idempotency_key)
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
        asked = request_of(number, parts)
        seen, step = standing(number, parts)
        asked = seen.request or asked  # it may have ended since: what is told is of one moment
        return Followed(
            request=asked, state=step.state, stage=step.stage, waiting_for=step.waiting_for, why=step.why,
            comments=tuple(parts.forge.comments(number)), gap=seen.gap, progress=progress_of(number, seen, step),
            proposals=tuple(parts.forge.proposals("all", request=number)),
            story=story(number, parts.forge, parts.ledger),
        )  # fmt: skip

    @routes.post("/requests/{number}/replies", status_code=201, tags=["requests"], dependencies=[needs("request")])
    def reply_to_request(number: Number, words: Words, request: Request) -> Words:
        """Answers the question that the agent asked on a request."""
        if request_of(number, parts).state == "closed":
            raise UsageError(f"Request #{number} is closed.", next_step="Raise a new one.")
        parts.forge.say(number, plain(words.text), author=key_of(request).name)
        gateway.raised()
        return words

    @routes.post("/requests/{number}/withdraw", tags=["requests"], dependencies=[needs("request")])
    def withdraw_request(number: Number, request: Request, reason: Reason | None = None) -> Asked:
        """Takes a request back for which nothing is proposed yet; whoever works on it stops. What somebody else asked for, by the scope approve."""
        taken = withdraw(number, key_of(request), parts, (reason or Reason()).why)
        gateway.raised()
        return taken

    @routes.get("/proposals", tags=["proposals"], dependencies=[needs("request")])
    def list_proposals(state: Literal["open", "merged", "closed", "all"] = "open") -> list[Proposal]:
        """The proposals, by number."""
        return list(parts.forge.proposals(state))

    @routes.get("/proposals/{number}", tags=["proposals"], dependencies=[needs("request")])
    def show_proposal(number: Number) -> Judged:
        """A proposal with the verdicts on its head, where it stands and why, what it asks for beside before, its diff and what was done."""
        return judged(parts, gateway.feed, number)

    return routes
