"""What a person says of a proposal (approve, reject, hold, retry, revise), and `explain`, which tells how it came to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agent.commands import HERE, AsJson, Repo, emit, opened
from agent.errors import CouldNotTell, UsageError

if TYPE_CHECKING:
    from agent.domain.proposal import Proposal
    from reviewers.human import Said

Number = Annotated[int, typer.Argument(help="The proposal.")]
Why = Annotated[str, typer.Option("--why", help="The reason; it is shown on the proposal.")]


def add_to(app: typer.Typer) -> None:
    for verb in (approve, reject, revise, hold, retry, explain):
        app.command(rich_help_panel="People")(verb)


def approve(number: Number, why: Why = "", repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Approve a proposal at its head. A push after that needs a new approval.

    Example: skillops approve 2 && skillops run
    """
    _verdict("approve", number, why, repository, as_json)


def reject(number: Number, why: Why, repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Reject a proposal; the next run closes it and tells the requester.

    Example: skillops reject 2 --why "we buy this"
    """
    _verdict("reject", number, why, repository, as_json)


def revise(number: Number, why: Why, repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Send a proposal back to its author.

    Example: skillops revise 2 --why "accept days as well"
    """
    _verdict("revise", number, why, repository, as_json)


def hold(number: Number, why: Why = "", repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Keep a proposal where it is until `retry`.

    Example: skillops hold 2
    """
    from agent.domain.event import Event
    from agent.domain.proposal import HOLD

    place = opened(repository, as_json)
    proposal = _open(place.parts.forge.proposal(number))
    place.parts.forge.label(number, add=[HOLD])
    place.parts.record(Event(stage="people", what="held", actor=place.parts.user, request=proposal.request, proposal=number, note=why))
    emit({"proposal": number, "held": True}, as_json, f"#{number} is on hold. `skillops retry {number}` lets it go on.")


def retry(number: Number, repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Take a proposal up again: no more hold, a new budget, and what could not be told is looked at once more.

    Example: skillops retry 2 && skillops run
    """
    from agent.domain.event import Event
    from agent.domain.proposal import DEPLOY_FAILED, HOLD, OUT_OF_BUDGET

    place = opened(repository, as_json)
    parts = place.parts
    proposal = parts.forge.proposal(number)
    if DEPLOY_FAILED not in proposal.labels:
        _open(proposal)
    parts.record(Event(stage="people", what="retried", actor=parts.user, request=proposal.request, proposal=number))
    parts.forge.label(number, remove=[HOLD, OUT_OF_BUDGET, DEPLOY_FAILED])
    parts.forge.forget_verdicts(number, proposal.head)
    emit({"proposal": number, "retried": True}, as_json, f"#{number} is taken up again by the next `skillops run`.")


def explain(number: Annotated[int, typer.Argument(help="A request or a proposal.")], repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Tell how a request or proposal went, stage by stage, with times, tokens and cost; and check that no line was tampered with.

    Example: skillops explain 1
    """
    from agent.screen import story_of
    from agent.story import story

    place = opened(repository, as_json)
    told = story(number, place.parts.forge, place.parts.ledger)
    emit(told, as_json, lambda: story_of(told))
    if told.tampered is not None:
        raise typer.Exit(CouldNotTell.exit_code)


def _verdict(verdict: Said, number: int, why: str, repository: Repo, as_json: bool) -> None:
    from agent.domain.event import Event
    from reviewers import human

    place = opened(repository, as_json)
    parts = place.parts
    proposal = _open(parts.forge.proposal(number))
    review = human.judge(verdict, proposal, parts.user, parts.policy(), why)
    parts.forge.post_review(number, review)
    parts.record(
        Event(
            stage="people",
            what=verdict,
            actor=parts.user,
            request=proposal.request,
            proposal=number,
            skill=proposal.skill,
            commit=proposal.head,
            outcome=verdict,
            note=why,
        )
    )
    emit(review, as_json, f"#{number}: {verdict} by {parts.user}, at {proposal.head[:8]}. `skillops run` goes on with it.")


def _open(proposal: Proposal) -> Proposal:
    if proposal.state != "open":
        raise UsageError(f"Proposal #{proposal.number} is {proposal.state}.", next_step="`skillops list --proposals` shows the open ones.")
    return proposal
