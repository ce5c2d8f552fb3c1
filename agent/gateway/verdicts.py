"""The routes of what a person says of a proposal, in the words of the command. Who says it is whom the key stands for, and the policy
of the base branch says whether that counts: nobody approves what they wrote."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from agent import people
from agent.domain.proposal import Proposal
from agent.domain.review import Review
from agent.errors import NotFound
from agent.gateway.access import key_of, needs
from agent.gateway.bodies import Body
from agent.gateway.gateway import Gateway
from agent.parts import Parts

Number = Annotated[int, Field(ge=1, le=2**31)]
WHY = 2000


class Reason(Body):
    """Why; it is shown on the proposal, and needed for what is no approval."""

    why: str = Field(default="", max_length=WHY)


class Word(Reason):
    """What somebody says of a proposal as it was at `commit`: refused where it is at another by now. Left out: of what it is."""

    commit: str = Field(default="", pattern=r"^$|^[0-9a-f]{40,64}$")


def router(gateway: Gateway) -> APIRouter:
    routes, parts = APIRouter(tags=["proposals"], dependencies=[needs("approve")]), gateway.place.parts

    @routes.post("/proposals/{number}/hold")
    def hold_proposal(number: Number, request: Request, reason: Reason | None = None) -> Proposal:
        """Keeps a proposal where it is until `retry`."""
        proposal_of(number, parts)
        people.hold(parts, number, key_of(request).name, (reason or Reason()).why)
        return proposal_of(number, parts)

    @routes.post("/proposals/{number}/retry")
    def retry_proposal(number: Number, request: Request) -> Proposal:
        """Takes a proposal up again: no more hold, a new budget, and what could not be told is looked at once more."""
        proposal_of(number, parts)
        people.retry(parts, number, key_of(request).name)
        gateway.raised()
        return proposal_of(number, parts)

    @routes.post("/proposals/{number}/{verdict}", status_code=201)
    def judge_proposal(number: Number, verdict: Literal["approve", "reject", "revise"], request: Request, reason: Word | None = None) -> Review:
        """Approves a proposal at its head, rejects it, or sends it back to its author."""
        proposal_of(number, parts)
        said = reason or Word()
        review = people.judge(parts, verdict, number, key_of(request).name, said.why, said.commit)
        gateway.raised()
        return review

    return routes


def proposal_of(number: int, parts: Parts) -> Proposal:
    try:
        return parts.forge.proposal(number)
    except NotFound as error:
        raise NotFound(error.what, why=error.why, next_step="GET /proposals lists them.") from None
