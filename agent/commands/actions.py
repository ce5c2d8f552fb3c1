"""What the workflows of a repository on GitHub call: `skillops actions …`, each job one verb."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.commands import HERE, AsJson, Repo, emit, opened

if TYPE_CHECKING:
    from agent.journal import Journal
    from agent.situation import Work

Out = Annotated[Path, typer.Option("--out", help="Where the journal goes, for the job that enters it.")]
From = Annotated[Path, typer.Option("--from", help="The journal that another job left.")]
Number = Annotated[int, typer.Option("--number", help="The request or proposal.")]


def add_to(app: typer.Typer) -> None:
    verbs = typer.Typer(help="The jobs of the workflows on GitHub, each with the least rights that it needs.", no_args_is_help=True)
    for verb in (draft, check, report, review, reproduce, enter, build, release, nightly):
        verbs.command()(verb)
    verbs.command("next")(following)
    verbs.command()(dashboard)
    app.add_typer(verbs, name="actions", rich_help_panel="GitHub")


def draft(number: Number, out: Out, repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Assess a request and draft its skill, or mend its proposal; needs the model's key, and reads GitHub.

    Example: skillops actions draft --number 12 --out draft.json
    """
    from agent import actions

    _left(actions.draft(repository, number), out, as_json)


def check(
    event: Annotated[Path, typer.Option(help="The file of the event.", envvar="GITHUB_EVENT_PATH")],
    out: Out,
    pull: Annotated[Path | None, typer.Option(help="The file of the pull request as the API tells it, for a merge_group event.")] = None,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Run the checks on a pull request's head, or the merge queue's, which the clone holds; needs no key and asks nobody.

    Leaves no journal of a pull request that is no proposal: that is the repository's own CI's.

    Example: skillops actions check --out check.json
    """
    from agent import actions

    journal = actions.check(repository, event, pull)
    if journal is None:
        emit(None, as_json, "This pull request is no proposal: it is left to the repository's own CI.")
    else:
        _left(journal, out, as_json)


def report(
    source: From,
    head: Annotated[str, typer.Option(help="The commit that the checks were of, as GitHub says.")],
    queue: Annotated[str, typer.Option(help="The merge queue's branch, where that made the commit.")] = "",
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Post what the checks of a commit left; could-not-tell where they left nothing that counts. Needs the App's token, and runs nothing.

    Prints the request and proposal that it was of, and what is to be done next, as lines for GITHUB_OUTPUT.

    Example: skillops actions report --from check.json --head "$SHA" >> "$GITHUB_OUTPUT"
    """
    from agent import actions
    from agent.situation import Work

    found = actions.report(repository, source, head, queue)
    works = [Work(request=each.request) if each.request else Work(proposal=each.number) for each in found]
    _due(repository, works[0] if works else None, as_json)


def following(number: Number, repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Say what is to be done next for a request or proposal, as lines for GITHUB_OUTPUT; nothing for what is neither.

    Example: skillops actions next --number 13 >> "$GITHUB_OUTPUT"
    """
    from agent.commands.work import work_of
    from agent.errors import NotFound

    try:
        work = work_of(opened(repository, True), number)
    except NotFound:
        work = None
    _due(repository, work, as_json)


def review(number: Number, out: Out, repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Ask the reviewers of a proposal; needs the model's key, and executes nothing.

    Example: skillops actions review --number 13 --out review.json
    """
    from agent import actions

    _left(actions.review(repository, number), out, as_json)


def reproduce(source: From, out: Out, repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Try in the sandbox what the reviewers remarked; needs no key.

    Example: skillops actions reproduce --from review.json --out tried.json
    """
    from agent import actions
    from agent.journal import read_journal

    _left(actions.reproduce(repository, read_journal(source.read_bytes())), out, as_json)


def enter(
    source: From,
    head: Annotated[str | None, typer.Option(help="The commit that the run was of, as GitHub says.")] = None,
    job: Annotated[str | None, typer.Option(help="The kind of job that should have left it: draft, check, review or nightly.")] = None,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Do on GitHub what a journal says, as far as its kind of job may; needs the App's token, and runs nothing.

    Example: skillops actions enter --from draft.json --job draft
    """
    from agent import actions
    from agent.errors import UsageError
    from agent.journal import read_journal

    if job not in (None, "draft", "check", "review", "nightly"):
        raise UsageError(f"There is no job {job!r}.", next_step="There are: draft, check, review, nightly.")
    journal = read_journal(source.read_bytes())
    if job == "nightly":
        from agent import nightly_job

        nightly_job.enter(repository, journal)
    else:
        actions.enter(repository, journal, head, job)  # type: ignore[arg-type]
    emit(journal, as_json, f"{len(journal.lines)} lines of the {journal.job} job were entered.")


def build(
    out: Annotated[Path, typer.Option("--out", help="Where what was built is told, for the job that enters it.")],
    contexts: Annotated[Path, typer.Option(help="Where what images are built from goes, with their bills of materials.")],
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Build what main holds and the registry does not; needs no key and asks nobody.

    Prints the images that are to be pushed, as a line for GITHUB_OUTPUT.

    Example: skillops actions build --out build.json --contexts contexts >> "$GITHUB_OUTPUT"
    """
    from agent import release_job

    made = release_job.build(repository, contexts)
    out.write_text(made.model_dump_json(indent=1))
    emit(made, as_json, lambda: print(release_job.as_output(made)))


def release(
    source: Annotated[Path, typer.Option("--from", help="What the job that builds left.")],
    pushed: Annotated[Path, typer.Option(help="The folder with what the jobs that push left.")],
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Enter in registry.yaml what other jobs built and pushed; needs the App's token, and builds nothing.

    Example: skillops actions release --from build.json --pushed images
    """
    from agent import release_job
    from agent.commands import outcome_document
    from agent.screen import outcome_of
    from agent.shipment import read_shipment

    outcome = release_job.enter(opened(repository, as_json), read_shipment(source.read_bytes()), pushed)
    emit(outcome_document(outcome), as_json, lambda: outcome_of(outcome, []))
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)


def nightly(out: Out, repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Look for advisories and newer versions of what the skills depend on, and raise those; needs no key and asks GitHub nothing.

    Exits with 4 where something could not be told; the journal is left all the same.

    Example: skillops actions nightly --out nightly.json
    """
    from agent import nightly_job
    from agent.errors import CouldNotTell
    from agent.screen import say

    journal = nightly_job.look(repository)
    _left(journal, out, as_json)
    if journal.audit and journal.audit.unknown:
        for line in () if as_json else journal.audit.unknown:
            say(line)
        raise typer.Exit(CouldNotTell.exit_code)


def dashboard(
    audits: Annotated[list[Path] | None, typer.Option("--from", help="What an audit found; may be given more than once.")] = None,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Keep the one issue that says what waits for whom, and what audits found; needs the App's token, and runs nothing.

    Example: skillops actions dashboard --from nightly.json --from drift.json
    """
    from agent.dashboard import keep
    from agent.errors import UsageError
    from agent.nightly_job import read_audit, together

    place = opened(repository, True)
    if place.parts.settings.forge != "github":
        raise UsageError("The dashboard is an issue on GitHub.", next_step="`skillops run` says what waits for whom.")
    number = keep(place.parts, place.parts.forge, together(*map(read_audit, audits)) if audits else None)
    emit({"issue": number}, as_json, f"#{number} says what waits for whom.")


def _left(journal: Journal, out: Path, as_json: bool) -> None:
    out.write_text(journal.model_dump_json(indent=1))
    emit(journal, as_json, f"{out} has {len(journal.lines)} lines of the {journal.job} job.")


def _due(repository: Path, work: Work | None, as_json: bool) -> None:
    from agent import actions

    told = actions.due(opened(repository, True), work) if work else {"stage": "nothing", "request": "", "proposal": ""}
    emit(told, as_json, lambda: print(*(f"{name}={value}" for name, value in told.items()), sep="\n"))
