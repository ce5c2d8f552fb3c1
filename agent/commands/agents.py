"""The verbs about the agent itself: which agents there are, how a plan ran, what is kept of a person."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.commands import HERE, AsJson, Repo, emit, opened


def add_to(app: typer.Typer) -> None:
    for verb in (agents, plan, facts):
        app.command(rich_help_panel="Use")(verb)


def agents(repository: Repo = HERE, as_json: AsJson = False) -> None:
    """List the agents: those that ship, and those of agents/NAME.yaml on main.

    Example: skillops agents
    """
    from agent.errors import SkillOpsError
    from agent.profiles import profiles

    place = opened(repository, as_json)
    found = list(profiles(place.parts.forge))
    document = [each.told() | {"name": name} if isinstance(each, SkillOpsError) else each for name, each in found]
    lines = [f"{name}: {each if isinstance(each, SkillOpsError) else each.description}" for name, each in found]
    emit(document, as_json, "\n".join(lines))


def plan(
    turn: Annotated[int | None, typer.Argument(help="The turn; left out: the last one that ran a plan.")] = None,
    conversation: Annotated[str | None, typer.Option("--conversation", help="Of this conversation.")] = None,
    save: Annotated[str, typer.Option("--save", metavar="NAME", help="Make a workflow of it: the folder of a skill of this name.")] = "",
    folder: Annotated[Path, typer.Option("--in", help="Where to make that folder.")] = HERE,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Show a plan and how it ran, or save it as a workflow, which is a skill.

    Examples: skillops plan · skillops plan --save weekly-report && skillops check weekly-report && skillops propose --from weekly-report
    """
    from agent.chats.views import last_runs, run_lines

    place = opened(repository, as_json)
    runs = last_runs(place, conversation, turn)
    if not save:
        emit(runs, as_json, "\n".join(line for run in runs for line in run_lines(run)))
        return
    from agent.starter.workflow import saved

    place.parts.sync()
    made = saved(runs[-1], save, folder, place.parts.catalog)
    told = f"{made}: read it, then `skillops check {made}` and `skillops propose --from {made}`."
    emit({"folder": str(made), "files": sorted(path.name for path in made.iterdir())}, as_json, told)


def facts(
    forget: Annotated[list[int] | None, typer.Option("--forget", metavar="N", help="Forget this fact; may be repeated.")] = None,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Show the facts that you had the agent keep, or forget some.

    Examples: skillops facts · skillops facts --forget 3
    """
    from agent.chats.views import fact_lines, facts_of

    place = opened(repository, as_json)
    kept, user = facts_of(place), place.parts.user
    for number in forget or ():
        kept.forget(user, number)
    left = kept.of(user)
    emit(left, as_json, fact_lines(left))
