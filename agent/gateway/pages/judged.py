"""A proposal as whoever decides wants to see it: what the page shows, and what the API answers at the same address."""

from __future__ import annotations

from agent.domain import Frozen
from agent.domain.capability import Capability
from agent.domain.check import CheckResult
from agent.domain.decision import Decision
from agent.domain.dispute import Ruling
from agent.domain.event import Entered
from agent.domain.progress import NextStep, Situation, next_step
from agent.domain.proposal import HOLD, Proposal
from agent.domain.review import Review
from agent.gateway.pages.attention import wants_at
from agent.gateway.pages.diffs import Diff, diff_of, notes_of
from agent.gateway.pages.feed import Feed, Line
from agent.gateway.pages.timeline import Timeline, timeline
from agent.gateway.pages.wants import Wants
from agent.gateway.verdicts import proposal_of
from agent.parts import Parts
from agent.situation import Work, look
from agent.story import entries_of

LOG = 200  # lines of the author at work


class Judged(Frozen):
    """A proposal with the verdicts on its head: where it stands, whom it waits for and why, what it asks for beside before, what was done.

    `gained` is what its code can do beyond before; `approvals` are the people who approved; `doing` is the stage at work on it now.
    """

    proposal: Proposal
    checks: tuple[CheckResult, ...]
    reviews: tuple[Review, ...]
    state: str
    stage: str
    waiting_for: str
    why: str
    decision: Decision | None
    wants: Wants | None
    gained: tuple[Capability, ...]
    rulings: tuple[Ruling, ...]
    approvals: tuple[str, ...]
    held: bool
    timeline: Timeline
    log: tuple[Entered, ...]
    doing: Line | None
    diff: Diff


def judged(parts: Parts, feed: Feed | None, number: int) -> Judged:
    """The proposal as it is now; NotFound where there is none of this number."""
    parts.sync()
    proposal = proposal_of(number, parts)
    work = Work(request=proposal.request) if proposal.request else Work(proposal=number)
    seen, step = _standing(parts, proposal, work)
    report, reviews = parts.forge.checks(number, proposal.head), parts.forge.reviews(number, proposal.head)
    folder = f"skills/{proposal.skill}"
    base = parts.forge.main if proposal.state == "open" else proposal.base
    entries = entries_of(number, parts.forge, parts.ledger)
    return Judged(
        proposal=proposal, checks=report.results, reviews=reviews, state=step.state, stage=step.stage, waiting_for=step.waiting_for, why=step.why,
        decision=seen.decision, wants=wants_at(parts, Situation(proposal=proposal, report=report)), gained=report.gained,
        rulings=tuple(Ruling.model_validate(entry.event.data["ruling"]) for entry in entries if entry.event.what == "ruled"),
        approvals=tuple(review.reviewer for review in reviews if review.kind == "person" and review.verdict == "approve"),
        held=HOLD in proposal.labels, timeline=timeline(entries), log=entries[-LOG:],
        doing=feed.doing(request=proposal.request, proposal=number) if feed else None,
        diff=diff_of(parts.forge.diff(base, proposal.head, folder), notes_of(report.results, reviews, folder + "/")),
    )  # fmt: skip


def _standing(parts: Parts, proposal: Proposal, work: Work) -> tuple[Situation, NextStep]:
    """Where the proposal stands: of a request that has gone on to another proposal, as if nobody had requested it."""
    seen = look(parts, work)
    if seen.proposal is None or seen.proposal.number != proposal.number:
        seen = look(parts, Work(proposal=proposal.number))
    return seen, next_step(seen)
