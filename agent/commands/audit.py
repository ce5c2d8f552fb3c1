"""The verb that looks over what is released: audit."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.commands import HERE, AsJson, Repo, emit, opened
from agent.errors import CouldNotTell, Refused, UsageError


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Registry")(audit)


def audit(
    propose: Annotated[bool, typer.Option("--propose", help="Propose newer versions, and mark what has waited for long.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="drift, advisories, updates or stale; may be given more than once.")] = None,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Look over what is released: what runs otherwise, advisories and newer versions of dependencies, requests that wait for long.

    Exits with 4 where something could not be told, 1 where something runs otherwise or has an advisory.

    Examples: skillops audit · skillops audit --only advisories · skillops audit --propose
    """
    from agent import wiring
    from agent.audit import PARTS, mark
    from agent.audit import audit as look
    from agent.audit import propose as raise_one

    if unknown := [part for part in only or () if part not in PARTS]:
        raise UsageError(f"There is nothing called {unknown[0]!r} to audit.", next_step=f"There are: {', '.join(PARTS)}.")
    place = opened(repository, as_json)
    found = look(place.parts, wiring.advise_of(place.parts.settings), only or PARTS)
    made = []
    if propose:
        with place.parts.alone():
            made = [proposal for update in found.updates if (proposal := raise_one(place.parts, update, found.advisories))]
            if "stale" in (only or PARTS):
                mark(place.parts, found)
    lines = [
        *(f"{each.skill}: {each.what}." for each in found.drift),
        *(f"{each.skill}: {each.advisory.package} has {each.advisory.id}. {each.advisory.summary}" for each in found.advisories),
        *(f"{each.skill}: {', '.join(f'{old} → {new}' for old, new in each.raised)}" for each in found.updates),
        *(f"#{each.number} has waited for {each.days} days: {each.why}" for each in found.stale),
        *(f"Could not be told. {each}" for each in found.unknown),
        *(f"Proposal #{each.number} is open: {each.title}." for each in made),
    ]
    emit({**found.model_dump(mode="json"), "proposed": made}, as_json, "\n".join(lines) or "Everything is as it should be.")
    if found.unknown or found.drift or found.advisories:
        raise typer.Exit(CouldNotTell.exit_code if found.unknown else Refused.exit_code)
