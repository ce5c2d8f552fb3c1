"""The verbs that move work: request, reply, withdraw, propose, run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.commands import HERE, AsJson, Repo, emit, opened, outcome_document
from agent.errors import NotFound, UsageError

if TYPE_CHECKING:
    from agent.domain.progress import Stage
    from agent.situation import Work
    from agent.workplace import Workplace


def add_to(app: typer.Typer) -> None:
    for verb in (request, reply, withdraw, propose, run):
        app.command(rich_help_panel="Work")(verb)
    app.command(hidden=True)(supervise)


def request(
    text: Annotated[str, typer.Argument(help="What is missing, with an example. `-` reads standard input.")],
    title: Annotated[str, typer.Option(help="A short title; the first words of the text where it is left out.")] = "",
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Raise a capability request.

    Example: skillops request "Turn durations such as 1h 30m into seconds"
    """
    from agent.domain.request import RequestDraft
    from agent.domain.skill import digest_of
    from agent.pasted import refuse_secrets

    words = _words(text)
    place = opened(repository, as_json)
    name = refuse_secrets(title.strip()) or " ".join(words.split())[:80]
    key = digest_of([place.parts.user, words, len(place.parts.forge.requests("all"))])
    raised = place.parts.forge.open_request(RequestDraft(key=key, title=name, text=words, requester=place.parts.user, source="cli"))
    emit(
        raised,
        as_json,
        f"Request #{raised.number} is open. `skillops run` works on it; `skillops explain {raised.number}` follows it.",
    )


def reply(
    number: Annotated[int, typer.Argument(help="The request that asked a question.")],
    text: Annotated[str, typer.Argument(help="Your answer.")],
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Answer the question that the agent asked on a request.

    Example: skillops reply 3 "Seconds, as a whole number"
    """
    place = opened(repository, as_json)
    found = place.parts.forge.request(number)
    if found.state == "closed":
        raise UsageError(f"Request #{number} is closed.", next_step="Raise a new one: skillops request TEXT")
    said = _words(text)
    place.parts.forge.say(number, said, author=place.parts.user)
    emit({"request": number, "said": said}, as_json, f"Said on #{number}. `skillops run` goes on with it.")


def withdraw(
    number: Annotated[int, typer.Argument(help="The request.")],
    why: Annotated[str, typer.Option("--why", help="The reason; it is in the trail.")] = "",
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Take a request back for which nothing is proposed yet; whoever works on it stops.

    Example: skillops withdraw 3 --why "we found another way"
    """
    from agent import people

    place = opened(repository, as_json)
    taken = people.withdraw(place.parts, number, place.parts.user, why.strip())
    emit(taken, as_json, f"Request #{number} is taken back. `skillops explain {number}` tells its story.")


def propose(
    source: Annotated[Path, typer.Option("--from", help="A skill's folder that a person, or another tool, wrote.")],
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Propose a skill that somebody wrote, through the same gates.

    Example: skillops propose --from ./word-count && skillops run
    """
    from agent.stages.proposing import propose_folder
    from agent.workbench import read_folder

    place = opened(repository, as_json)
    parts = place.parts
    files = read_folder(source)
    proposal = propose_folder(files, parts.user, parts.forge, parts.model, parts.record)
    emit(proposal, as_json, f"Proposal #{proposal.number} is open ({proposal.branch}). `skillops run` checks and reviews it.")


def run(
    number: Annotated[int | None, typer.Argument(help="Only this request or proposal.")] = None,
    once: Annotated[bool, typer.Option("--once", help="One step for each piece of work.")] = False,
    stage: Annotated[list[str] | None, typer.Option(help="Only this stage (merging, releasing …); may be given more than once.")] = None,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Advance all open work until nothing can move.

    Exits with 3 where a person is waited for, 4 where something could not be told. Safe to kill and to run again.

    Example: skillops run
    """
    from agent.screen import outcome_of

    place = opened(repository, as_json)
    if stage:
        place = place.limited_to(_stages(stage))
    only = work_of(place, number) if number is not None else None
    outcome, answers = place.work(only, once=once)
    emit({**outcome_document(outcome), "answers": answers}, as_json, lambda: outcome_of(outcome, answers))
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)


def _stages(names: list[str]) -> frozenset[Stage]:
    from agent.domain.progress import Stage

    known = [stage.value for stage in Stage if stage not in (Stage.WAIT, Stage.NOTHING)]
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"There is no stage {unknown[0]!r}.", next_step=f"There are: {', '.join(known)}.")
    return frozenset(map(Stage, names)) | {Stage.WAIT, Stage.NOTHING}


def supervise(state: Annotated[Path, typer.Option(help="The clone whose skills it owns.")]) -> None:
    """The supervisor of a clone's running skills; commands start it when they need it."""
    from agent import wiring_runtimes
    from agent.settings import Settings

    wiring_runtimes.supervise(Settings.load(state))


def _words(text: str) -> str:
    """The text given, or standard input for `-`; UsageError for what no request can be."""
    from agent.pasted import refuse_secrets
    from agent.stages.assessing import LIMIT, unreadable

    if text == "-":
        data = sys.stdin.buffer.read(LIMIT * 4 + 1)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise UsageError("Standard input is not text (UTF-8).", next_step="Describe in words what you need.") from None
    if not text.strip():
        raise UsageError("The text is empty.", next_step='Say what is missing: skillops request "Turn durations such as 1h 30m into seconds"')
    if len(text) > LIMIT:
        raise UsageError(
            f"The text has more than {LIMIT:,} characters.", next_step="Say what is needed in a page; put data into a file that a skill can be given."
        )
    if unreadable(text):
        raise UsageError("The text has control characters: it looks like binary data.", next_step="Describe in words what you need.")
    return refuse_secrets(text)


def work_of(place: Workplace, number: int) -> Work:
    """The piece of work that a number belongs to."""
    from agent.situation import Work

    try:
        proposal = place.parts.forge.proposal(number)
        return Work(request=proposal.request) if proposal.request else Work(proposal=number)
    except NotFound:
        try:
            return Work(request=place.parts.forge.request(number).number)
        except NotFound:
            hint = "`skillops list --requests` and `--proposals` show the open ones."
            raise NotFound(f"There is no request or proposal #{number}.", next_step=hint) from None
