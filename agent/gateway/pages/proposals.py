"""The proposals: which there are, and one of them as whoever decides wants to see it."""

from __future__ import annotations

from typing import Any, Literal, cast

from starlette.requests import Request

from agent import people
from agent.errors import UsageError
from agent.gateway.pages.judged import judged
from agent.gateway.pages.paging import leaf
from agent.gateway.pages.site import Site, number_of
from agent.gateway.pages.visitors import Visitor
from agent.gateway.verdicts import WHY, proposal_of
from reviewers.human import Said

States = Literal["open", "merged", "closed", "all"]
STATES = ("open", "merged", "closed", "all")


def add_to(site: Site) -> None:
    def listed(visitor: Visitor, request: Request) -> dict[str, Any]:
        state = request.query_params.get("state", "open")
        if state not in STATES:
            raise UsageError(f"There is no state {state[:40]!r}.", next_step=f"One of: {', '.join(STATES)}.")
        found = sorted(site.parts.forge.proposals(cast(States, state)), key=lambda proposal: -proposal.number)
        return {"title": "Proposals", "state": state, "states": STATES, **leaf("proposals", found, request.query_params)}

    def shown(visitor: Visitor, request: Request) -> dict[str, Any]:
        told = judged(site.parts, site.gateway.feed, number_of(request))
        return {"title": told.proposal.title, **dict(told), "may_be_judged": told.proposal.state == "open"}

    def say(visitor: Visitor, request: Request, fields: dict[str, str]) -> str:
        number, verdict = number_of(request), request.path_params["verdict"]
        _say(site, verdict, number, visitor.name, fields.get("why", "").strip(), fields.get("head", ""))
        return f"/proposals/{number}?said={verdict}"

    site.page("/proposals", "proposals.html", listed, "request")
    site.page("/proposals/{number}", "proposal.html", shown, "request")
    site.form("/proposals/{number}/{verdict}", say, "approve")


def _say(site: Site, verdict: str, number: int, person: str, why: str, head: str) -> None:
    """What a person says of a proposal, in the words of the command. `head` is the commit that they were shown."""
    parts = site.parts
    proposal = proposal_of(number, parts)
    if len(why) > WHY:
        raise UsageError("The reason is too long.", why=f"It has {len(why):,} characters; {WHY:,} is the most.", next_step="Say it in fewer words.")
    if not why and verdict in ("reject", "revise"):
        raise UsageError("A reason is needed: it is all that the author learns.", next_step="Write it under Reason, and send it again.")
    if head and head != proposal.head and verdict in ("approve", "reject", "revise"):
        raise UsageError(
            f"Proposal #{number} has changed since this page was made.",
            why=f"You looked at {head[:8]}, and it is at {proposal.head[:8]} now.",
            next_step="Look at it again, and decide on what it is now.",
        )
    match verdict:
        case "approve" | "reject" | "revise":
            people.judge(parts, cast(Said, verdict), number, person, why)
        case "hold":
            people.hold(parts, number, person, why)
        case "retry":
            people.retry(parts, number, person)
        case _:
            raise UsageError(f"Nobody can {verdict[:40]!r} a proposal.", next_step="Approve, reject, revise, hold or retry it.")
    if verdict != "hold":
        site.gateway.raised()
