"""What a person says of a proposal (approve, reject, hold, retry, revise), and `explain`, which tells how it came to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agent.commands import HERE, AsJson, Repo, emit, opened
from agent.errors import CouldNotTell

if TYPE_CHECKING:
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
    from agent import people

    place = opened(repository, as_json)
    people.hold(place.parts, number, place.parts.user, why)
    emit({"proposal": number, "held": True}, as_json, f"#{number} is on hold. `skillops retry {number}` lets it go on.")


def retry(number: Number, repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Take a proposal up again: no more hold, a new budget, and what could not be told is looked at once more.

    Example: skillops retry 2 && skillops run
    """
    from agent import people

    place = opened(repository, as_json)
    people.retry(place.parts, number, place.parts.user)
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
    from agent import people

    place = opened(repository, as_json)
    user = place.parts.user
    review = people.judge(place.parts, verdict, number, user, why)
    emit(review, as_json, f"#{number}: {verdict} by {user}, at {review.head[:8]}. `skillops run` goes on with it.")
