"""The proposals: which there are, and one of them as whoever decides wants to see it."""

from __future__ import annotations

from typing import Any, Literal, cast

from starlette.requests import Request

from agent import people
from agent.domain.dispute import Ruling
from agent.domain.progress import NextStep, Situation, next_step
from agent.domain.proposal import HOLD, Proposal
from agent.domain.review import Review
from agent.errors import UsageError
from agent.gateway.pages.attention import wants_at
from agent.gateway.pages.diffs import diff_of, notes_of
from agent.gateway.pages.site import Site, number_of
from agent.gateway.pages.timeline import timeline
from agent.gateway.pages.visitors import Visitor
from agent.gateway.verdicts import WHY, proposal_of
from agent.parts import Parts
from agent.situation import Work, look
from agent.story import story
from reviewers.human import Said

States = Literal["open", "merged", "closed", "all"]
STATES = ("open", "merged", "closed", "all")
LOG = 200  # lines of the author at work


def add_to(site: Site) -> None:
    def listed(visitor: Visitor, request: Request) -> dict[str, Any]:
        state = request.query_params.get("state", "open")
        if state not in STATES:
            raise UsageError(f"There is no state {state[:40]!r}.", next_step=f"One of: {', '.join(STATES)}.")
        found = sorted(site.parts.forge.proposals(cast(States, state)), key=lambda proposal: -proposal.number)
        return {"title": "Proposals", "state": state, "states": STATES, "proposals": found}

    def shown(visitor: Visitor, request: Request) -> dict[str, Any]:
        return _proposal(site, number_of(request))

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


def _proposal(site: Site, number: int) -> dict[str, Any]:
    parts = site.parts
    parts.sync()
    proposal = proposal_of(number, parts)
    work = Work(request=proposal.request) if proposal.request else Work(proposal=number)
    seen, step = _standing(parts, proposal, work)
    report, reviews = parts.forge.checks(number, proposal.head), parts.forge.reviews(number, proposal.head)
    folder = f"skills/{proposal.skill}"
    base = parts.forge.main if proposal.state == "open" else proposal.base
    told = story(number, parts.forge, parts.ledger)
    feed = site.gateway.feed
    return {
        "title": proposal.title, "proposal": proposal, "state": step.state, "stage": step.stage, "waiting_for": step.waiting_for, "why": step.why,
        "decision": seen.decision, "wants": wants_at(parts, Situation(proposal=proposal, report=report)), "gained": report.gained,
        "checks": report.results, "reviews": reviews,
        "rulings": [Ruling.model_validate(entry.event.data["ruling"]) for entry in told.entries if entry.event.what == "ruled"],
        "timeline": timeline(told.entries), "log": told.entries[-LOG:],
        "doing": feed.doing(request=proposal.request, proposal=number) if feed else None, "held": HOLD in proposal.labels,
        "diff": diff_of(parts.forge.diff(base, proposal.head, folder), notes_of(report.results, reviews, folder + "/")),
        "may_be_judged": proposal.state == "open", "approvals": _approvals(reviews),
    }  # fmt: skip


def _standing(parts: Parts, proposal: Proposal, work: Work) -> tuple[Situation, NextStep]:
    """Where the proposal stands: of a request that has gone on to another proposal, as if nobody had requested it."""
    seen = look(parts, work)
    if seen.proposal is None or seen.proposal.number != proposal.number:
        seen = look(parts, Work(proposal=proposal.number))
    return seen, next_step(seen)


def _approvals(reviews: tuple[Review, ...]) -> list[str]:
    return [review.reviewer for review in reviews if review.kind == "person" and review.verdict == "approve"]
