"""What `check`, `review` and `release` do beyond one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.domain.check import CheckReport
from agent.domain.decision import Action
from agent.domain.release import Release
from agent.domain.review import Review
from agent.errors import Refused, UsageError
from agent.situation import Work, look
from agent.stages import checking, releasing, reviewing

if TYPE_CHECKING:
    from agent.workplace import Workplace


def check_proposal(place: Workplace, number: int) -> CheckReport:
    """Runs the checks on a proposal's head and posts them; results that are there already are shown as they are."""
    parts = place.parts
    proposal = parts.forge.proposal(number)
    with parts.alone(), checking.bench_for(proposal, parts.forge, parts.builder, parts.runtime, parts.ledger) as opened:
        return checking.check(proposal, opened, parts.forge, parts.checks_of(proposal.skill), parts.settings.workers, parts.record, parts.tell)


def review_proposal(place: Workplace, number: int) -> tuple[Review, ...]:
    """Asks the reviewers that have not spoken at a proposal's head, and returns what all of them said there."""
    parts = place.parts
    proposal = parts.forge.proposal(number)
    if proposal.state != "open":
        raise UsageError(f"Proposal #{number} is {proposal.state}.")
    parts.may_try(proposal.skill)  # what a reviewer says is shown by a call of the built skill
    parts.sync()
    seen = look(parts, Work(request=proposal.request, proposal=number))
    with parts.alone(), checking.bench_for(proposal, parts.forge, parts.builder, parts.runtime, parts.ledger) as opened:
        reviewing.review(proposal, seen, opened, parts.forge, parts.panel(parts.policy()), parts.settings.workers, parts.record)
    return tuple(review for review in parts.forge.reviews(number, proposal.head) if review.kind == "model")


def release_pending(place: Workplace, number: int | None, rebuild: tuple[str, ...]) -> tuple[Release, ...]:
    """Merges proposal `number` if policy lets it, then enters what the registry does not hold."""
    parts = place.parts
    with parts.alone():
        parts.sync()
        if number is not None:
            _merge(place, number)
        names = dict.fromkeys((*releasing.unreleased(parts.forge, parts.catalog), *(parts.entry(name).name for name in rebuild)))
        if not names:
            return ()
        return releasing.release(tuple(names), parts.forge, parts.catalog, parts.builder, parts.sync, parts.record, ledger=parts.anchor)


def _merge(place: Workplace, number: int) -> None:
    proposal = place.parts.forge.proposal(number)
    if proposal.state == "merged":
        return
    decision = look(place.parts, Work(request=proposal.request, proposal=number)).decision
    if decision is None or decision.action is not Action.MERGE:
        why = decision.why if decision else "its verdicts are not in."
        raise Refused(f"Proposal #{number} is not to be merged: {why}", next_step=f"`skillops decide {number}` says what it waits for.")
    releasing.merge(proposal, place.parts.forge, place.parts.record)
