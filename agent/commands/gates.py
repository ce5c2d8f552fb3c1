"""The verbs that run one stage by hand: check, review, decide, release, deploy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agent.commands import HERE, AsJson, Repo, emit, opened
from agent.errors import CouldNotTell, MissingSecret, Refused, UsageError, WaitsForPerson


def add_to(app: typer.Typer) -> None:
    for verb in (check, review, decide, release, deploy):
        app.command(rich_help_panel="Work")(verb)


def check(
    target: Annotated[str, typer.Argument(help="A skill's folder, or the number of a proposal.")], repository: Repo = HERE, as_json: AsJson = False
) -> None:
    """Run the checks on a skill's folder, or on a proposal (there they are posted), and say what they found.

    Examples: skillops check skills/word-count · skillops check 2
    """
    from agent import wiring
    from agent.commands.judging import check_proposal
    from agent.domain.check import Outcome
    from agent.screen import report_of
    from agent.settings import Settings

    folder = Path(target)
    if target.isdigit() and not folder.exists():
        report = check_proposal(opened(repository, True), int(target))  # quiet: the report says it all
    else:
        report = wiring.check_folder(folder, Settings.load(repository))
    emit({"outcome": report.outcome, "head": report.head, "results": report.results}, as_json, lambda: report_of(report))
    if report.outcome is not Outcome.PASSED:
        raise typer.Exit(Refused.exit_code if report.outcome is Outcome.FAILED else CouldNotTell.exit_code)


def review(number: Annotated[int, typer.Argument(help="The proposal.")], repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Ask the reviewers for their opinion of a proposal's head, and post it.

    Example: skillops review 2
    """
    from agent.commands.judging import review_proposal
    from agent.screen import reviews_of

    reviews = review_proposal(opened(repository, as_json), number)
    emit({"reviews": reviews}, as_json, lambda: reviews_of(reviews))
    if any(review.verdict == "could_not_tell" for review in reviews):
        raise typer.Exit(CouldNotTell.exit_code)
    if any(review.verdict in ("revise", "reject") for review in reviews):
        raise typer.Exit(Refused.exit_code)


def decide(number: Annotated[int, typer.Argument(help="The proposal.")], repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Say what policy makes of a proposal now: merge, wait, revise or reject, and why. Changes nothing.

    Example: skillops decide 2
    """
    from agent.domain.decision import Action
    from agent.domain.progress import verdicts_needed
    from agent.markdown import woken
    from agent.messages import decision_sentence
    from agent.situation import Work, look

    place = opened(repository, as_json)
    proposal = place.parts.forge.proposal(number)
    if proposal.state != "open":
        raise UsageError(f"Proposal #{number} is {proposal.state}; there is nothing to decide.")
    place.parts.sync()
    seen = look(place.parts, Work(request=proposal.request, proposal=number))
    if seen.decision is None:
        first = verdicts_needed(seen) or "its work"
        raise CouldNotTell(f"Proposal #{number} cannot be decided yet: {first} comes first.", next_step=f"skillops run {number}")
    decision = seen.decision
    emit(decision, as_json, woken(decision_sentence(decision)).replace("**", ""))
    if decision.action is Action.WAIT:
        raise typer.Exit(CouldNotTell.exit_code if decision.waiting_for == "machine" else WaitsForPerson.exit_code)
    if decision.action is not Action.MERGE:
        raise typer.Exit(Refused.exit_code)


def release(
    number: Annotated[int | None, typer.Argument(help="An approved proposal to merge first.")] = None,
    rebuild: Annotated[list[str] | None, typer.Option(help="A skill to enter anew, as it builds here; may be given more than once.")] = None,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Merge an approved proposal, and enter every skill whose tree differs from the registry.

    Examples: skillops release 2 · skillops release
    """
    from agent.commands.judging import release_pending

    releases = release_pending(opened(repository, as_json), number, tuple(rebuild or ()))
    told = "\n".join(f"{r.skill} {r.version} {r.digest[:19]} (registry revision {r.revision})" for r in releases)
    emit({"releases": releases}, as_json, told or "The registry holds what main holds: nothing to release.")


def deploy(
    name: Annotated[str | None, typer.Argument(help="Only this skill.")] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="End the supervisor first, with all that runs: a new one reads the settings anew.")
    ] = False,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Make the runtime serve what the registry holds.

    Examples: skillops deploy word-count · skillops deploy --restart
    """
    place = opened(repository, as_json)
    place.parts.sync()
    names = [place.parts.entry(name).name] if name else [entry.name for entry in place.parts.catalog.entries()]
    if restart:
        place.parts.runtime.shutdown()
    problems: list[dict[str, Any]] = []
    code = 0
    for each in names:
        try:
            place.pipeline.deploy(each)
        except (Refused, MissingSecret) as error:
            problems.append({"skill": each, **error.told()})
            code = max(code, error.exit_code)
    services = place.parts.runtime.services()
    lines = [f"{s.skill} {s.version} {s.state}" for s in services] + [
        f"{p['skill']} was not deployed: {p['what']} {p['why']} {p['next_step']}" for p in problems
    ]
    emit({"services": services, "problems": problems}, as_json, "\n".join(lines) or "There is nothing to deploy.")
    if code:
        raise typer.Exit(code)
