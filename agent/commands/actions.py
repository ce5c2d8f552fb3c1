"""What the workflows of a repository on GitHub call: `skillops actions …`, each job one verb."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.commands import HERE, AsJson, Repo, emit

if TYPE_CHECKING:
    from agent.journal import Journal

Out = Annotated[Path, typer.Option("--out", help="Where the journal goes, for the job that enters it.")]
From = Annotated[Path, typer.Option("--from", help="The journal that another job left.")]
Number = Annotated[int, typer.Option("--number", help="The request or proposal.")]


def add_to(app: typer.Typer) -> None:
    verbs = typer.Typer(help="The jobs of the workflows on GitHub, each with the least rights that it needs.", no_args_is_help=True)
    for verb in (draft, check, review, reproduce, enter):
        verbs.command()(verb)
    app.add_typer(verbs, name="actions", rich_help_panel="GitHub")


def draft(number: Number, out: Out, repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Assess a request and draft its skill, or mend its proposal; needs the model's key, and reads GitHub.

    Example: skillops actions draft --number 12 --out draft.json
    """
    from agent import actions

    _left(actions.draft(repository, number), out, as_json)


def check(
    event: Annotated[Path, typer.Option(help="The file of the pull_request event.", envvar="GITHUB_EVENT_PATH")],
    out: Out,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Run the checks on a pull request's head, which the clone holds; needs no key and asks nobody.

    Example: skillops actions check --out check.json
    """
    from agent import actions

    _left(actions.check(repository, event), out, as_json)


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
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Do on GitHub what a journal says, as far as its kind of job may; needs the App's token, and runs nothing.

    Example: skillops actions enter --from check.json --head "$SHA"
    """
    from agent import actions
    from agent.journal import read_journal

    journal = read_journal(source.read_bytes())
    actions.enter(repository, journal, head)
    emit(journal, as_json, f"{len(journal.lines)} lines of the {journal.job} job were entered.")


def _left(journal: Journal, out: Path, as_json: bool) -> None:
    out.write_text(journal.model_dump_json(indent=1))
    emit(journal, as_json, f"{out} has {len(journal.lines)} lines of the {journal.job} job.")
