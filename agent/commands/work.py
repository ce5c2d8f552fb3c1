"""The verbs that move work: request, reply, propose, run, check, review, decide, release, deploy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.commands import HERE, AsJson, Repo, emit, opened
from agent.domain import plain
from agent.errors import NotFound, Refused, UsageError, WaitsForPerson

LIMIT = 60_000  # characters of a request's text; GitHub's own limit of an issue is 65,536


def add_to(app: typer.Typer) -> None:
    for verb in (request, reply, propose, run, check, review, decide, release, deploy):
        app.command(rich_help_panel="Work")(verb)
    app.command(hidden=True)(supervise)


def request(text: Annotated[str, typer.Argument(help="What is missing, with an example. `-` reads standard input.")],
            title: Annotated[str, typer.Option(help="A short title; the first words of the text where it is left out.")] = "",
            repository: Repo = HERE, as_json: AsJson = False) -> None:  # fmt: skip
    """Raise a capability request.

    Example: skillops request "Turn durations such as 1h 30m into seconds"
    """
    from agent.domain.request import RequestDraft
    from agent.domain.skill import digest_of

    words = _words(text)
    place = opened(repository, as_json)
    name = title or " ".join(words.split())[:80]
    key = digest_of([place.parts.user, words, len(place.parts.forge.requests("all"))])
    raised = place.parts.forge.open_request(RequestDraft(key=key, title=name, text=words, requester=place.parts.user, source="cli"))
    emit(
        raised,
        as_json,
        lambda: print(f"Request #{raised.number} is open. `skillops run` works on it; `skillops explain {raised.number}` follows it."),
    )


def reply(number: Annotated[int, typer.Argument(help="The request that asked a question.")], text: Annotated[str, typer.Argument(help="Your answer.")],
          repository: Repo = HERE, as_json: AsJson = False) -> None:  # fmt: skip
    """Answer the question that the agent asked on a request.

    Example: skillops reply 3 "Seconds, as a whole number"
    """
    place = opened(repository, as_json)
    found = place.parts.forge.request(number)
    if found.state == "closed":
        raise UsageError(f"Request #{number} is closed.", next_step="Raise a new one: skillops request TEXT")
    place.parts.forge.say(number, _words(text), author=place.parts.user)
    emit({"request": number, "said": text}, as_json, lambda: print(f"Said on #{number}. `skillops run` goes on with it."))


def propose(source: Annotated[Path, typer.Option("--from", help="A skill's folder that a person, or another tool, wrote.")],
            repository: Repo = HERE, as_json: AsJson = False) -> None:  # fmt: skip
    """Propose a skill that somebody wrote, through the same gates.

    Example: skillops propose --from ./word-count && skillops run
    """
    from agent.stages.proposing import propose_folder
    from agent.workbench import read_folder

    place = opened(repository, as_json)
    parts = place.parts
    files = read_folder(source)
    proposal = propose_folder(files, parts.user, parts.forge, parts.model, parts.record)
    emit(proposal, as_json, lambda: print(f"Proposal #{proposal.number} is open ({proposal.branch}). `skillops run` checks and reviews it."))


def run(number: Annotated[int | None, typer.Argument(help="Only this request or proposal.")] = None,
        once: Annotated[bool, typer.Option("--once", help="One step for each piece of work.")] = False,
        repository: Repo = HERE, as_json: AsJson = False) -> None:  # fmt: skip
    """Advance all open work until nothing can move.

    Exits with 3 where a person is waited for, 4 where something could not be told. Safe to kill and to run again.
    Example: skillops run
    """
    from agent.screen import outcome_of

    place = opened(repository, as_json)
    only = _work(place, number) if number else None
    outcome, answers = place.work(only, once=once)
    document = {
        "moved": [{"work": str(work), "state": step.state, "stage": step.stage} for work, step in outcome.moved],
        "waiting": [{"work": str(work), "for": step.waiting_for, "why": step.why} for work, step in outcome.waiting],
        "troubled": [{"work": str(work), "code": error.code, "what": error.what, "why": error.why, "next_step": error.next_step}
                     for work, error in outcome.troubled],
        "answers": [plain(answer) for answer in answers],
    }  # fmt: skip
    emit(document, as_json, lambda: outcome_of(outcome, answers))
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)


def check(
    target: Annotated[str, typer.Argument(help="A skill's folder, or the number of a proposal.")], repository: Repo = HERE, as_json: AsJson = False
) -> None:
    """Run the checks on a skill folder or a proposal, and say what they found. Changes nothing.

    Examples: skillops check skills/word-count · skillops check 2
    """
    from agent import wiring
    from agent.commands.judging import check_proposal
    from agent.domain.check import Outcome
    from agent.errors import CouldNotTell
    from agent.screen import report_of
    from agent.settings import Settings

    folder = Path(target)
    if target.isdigit() and not folder.exists():
        report = check_proposal(opened(repository, as_json), int(target))
    else:
        report = wiring.check_folder(folder, Settings.load(repository))
    emit({"outcome": report.outcome, **plain(report)}, as_json, lambda: report_of(report))
    if report.outcome is not Outcome.PASSED:
        raise typer.Exit(Refused.exit_code if report.outcome is Outcome.FAILED else CouldNotTell.exit_code)


def review(number: Annotated[int, typer.Argument(help="The proposal.")], repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Ask the reviewers for their opinion of a proposal's head, and post it.

    Example: skillops review 2
    """
    from agent.commands.judging import review_proposal
    from agent.screen import reviews_of

    reviews = review_proposal(opened(repository, as_json), number)
    emit({"reviews": plain(reviews)}, as_json, lambda: reviews_of(reviews))
    if any(review.verdict == "could_not_tell" for review in reviews):
        raise typer.Exit(4)
    if any(review.verdict in ("revise", "reject") for review in reviews):
        raise typer.Exit(1)


def decide(number: Annotated[int, typer.Argument(help="The proposal.")], repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Say what policy makes of a proposal now: merge, wait, revise or reject, and why. Changes nothing.

    Example: skillops decide 2
    """
    from agent.domain.decision import Action
    from agent.domain.progress import verdicts_needed
    from agent.messages import decision_sentence
    from agent.situation import Work, look

    place = opened(repository, as_json)
    place.parts.sync()
    seen = look(place.parts, Work(proposal=number))
    if seen.proposal is not None and seen.proposal.state != "open":
        raise UsageError(f"Proposal #{number} is {seen.proposal.state}; there is nothing to decide.")
    if seen.decision is None:
        raise WaitsForPerson(
            f"Proposal #{number} has no decision yet: {verdicts_needed(seen) or 'its verdicts'} comes first.", next_step="skillops run"
        )
    decision = seen.decision
    emit(decision, as_json, lambda: print(decision_sentence(decision).replace("**", "")))
    if decision.action is not Action.MERGE:
        raise typer.Exit(3 if decision.action is Action.WAIT else 1)


def release(number: Annotated[int | None, typer.Argument(help="An approved proposal to merge first.")] = None,
            rebuild: Annotated[list[str] | None, typer.Option(help="Enter this skill anew, as it builds here.")] = None,
            repository: Repo = HERE, as_json: AsJson = False) -> None:  # fmt: skip
    """Merge an approved proposal, and enter every skill whose tree differs from the registry.

    Examples: skillops release 2 · skillops release
    """
    from agent.commands.judging import release_pending

    releases = release_pending(opened(repository, as_json), number, tuple(rebuild or ()))
    told = "\n".join(f"{r.skill} {r.version} {r.digest[:19]} (registry revision {r.revision})" for r in releases)
    emit({"releases": plain(releases)}, as_json, lambda: print(told or "The registry holds what main holds: nothing to release."))


def deploy(name: Annotated[str | None, typer.Argument(help="Only this skill.")] = None, repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Make the runtime serve what the registry holds.

    Example: skillops deploy word-count
    """
    place = opened(repository, as_json)
    place.parts.sync()
    names = [place.parts.entry(name).name] if name else [entry.name for entry in place.parts.catalog.entries()]
    problems: list[dict[str, Any]] = []
    for each in names:
        try:
            place.pipeline.deploy(each)
        except Refused as refused:
            problems.append({"skill": each, "what": refused.what, "why": refused.why})
    services = place.parts.runtime.services()
    lines = [f"{s.skill} {s.version} {s.state}" for s in services] + [f"{p['skill']} was not deployed: {p['what']} {p['why']}" for p in problems]
    emit({"services": plain(services), "problems": problems}, as_json, lambda: print("\n".join(lines) or "There is nothing to deploy."))
    if problems:
        raise typer.Exit(Refused.exit_code)


def supervise(state: Annotated[Path, typer.Option(help="The clone whose skills it owns.")]) -> None:
    """The supervisor of a clone's running skills; commands start it when they need it."""
    from agent import wiring
    from agent.settings import Settings

    wiring.supervise(Settings.load(state))


def _words(text: str) -> str:
    """The text given, or standard input for `-`; UsageError for what no request can be."""
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
    if any(ord(char) < 32 and char not in "\n\r\t" for char in text):
        raise UsageError("The text has control characters: it looks like binary data.", next_step="Describe in words what you need.")
    return text


def _work(place: Any, number: int) -> Any:
    """The piece of work that a number belongs to."""
    from agent.situation import Work

    try:
        proposal = place.parts.forge.proposal(number)
    except NotFound:
        return Work(request=place.parts.forge.request(number).number)
    return Work(request=proposal.request) if proposal.request else Work(proposal=number)
