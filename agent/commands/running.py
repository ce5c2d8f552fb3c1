"""The verbs that look at running skills: logs, stats."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.commands import HERE, AsJson, Repo, emit, opened

MOST_LINES = 10_000


def add_to(app: typer.Typer) -> None:
    for verb in (logs, stats):
        app.command(rich_help_panel="Skills")(verb)


def logs(
    name: Annotated[str, typer.Argument(help="The skill.")],
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=MOST_LINES, help="How many of the last lines.")] = 200,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Show what a skill printed, over restarts and versions.

    Example: skillops logs word-count --lines 50
    """
    text = opened(repository, as_json).parts.runtime.logs(name, lines)
    emit({"skill": name, "lines": text.splitlines()}, as_json, text or f"{name} has printed nothing.")


def stats(
    name: Annotated[str | None, typer.Argument(help="One skill; all that run where it is left out.")] = None,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Show what running skills use: memory, processor time, calls, restarts.

    Example: skillops stats
    """
    from agent.screen import loads_of

    found = opened(repository, as_json).parts.runtime.stats(name)
    emit(found, as_json, lambda: loads_of(found))
