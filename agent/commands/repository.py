"""The verbs around a repository: demo, init, doctor, new, config, and the recordings behind the demo."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from agent.commands import HERE, AsJson, Repo, emit
from agent.errors import ConfigurationError, Refused, SandboxUnavailable, UsageError


def add_to(app: typer.Typer) -> None:
    for verb in (demo, init, doctor, new, config):
        app.command(rich_help_panel="Start here")(verb)


def demo(
    as_json: AsJson = False,
    folder: Annotated[Path | None, typer.Option(help="Where to put the throw-away repository; a temporary folder where left out.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Use the live model of SKILLOPS_MODEL instead of the recorded session.")] = False,
    record: Annotated[Path | None, typer.Option(help="With --live: record the session to this file.")] = None,
    rekey: Annotated[Path | None, typer.Option(help="Re-key this recording: answer in its recorded order and write the new keys.")] = None,
) -> None:
    """Tell the whole story on a throw-away repository: a question no skill can answer, and how one comes to be.

    Example: skillops demo
    """
    from agent.demo import tell_story
    from agent.screen import DemoScreen, Quiet

    told = tell_story(Quiet() if as_json else DemoScreen(), folder, live=live, record=record, rekey=rekey)
    emit(told, as_json, lambda: None)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The new working clone; its bare origin lies beside it as DIR.git.")],
    with_shelf: Annotated[bool, typer.Option("--with-shelf", help="Start with the skills that ship with SkillOps.")] = False,
    github: Annotated[str, typer.Option(metavar="OWNER/REPO", help="Host it on GitHub there: with workflows, ready to be pushed.")] = "",
    app_id: Annotated[int, typer.Option(metavar="ID", help="With --github: the id of your GitHub App, for the ruleset.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Make a new skills repository: registry, policy, issue form, README; with --github, workflows and a ruleset too.

    Example: skillops init my-skills && cd my-skills && skillops ask "How many seconds is 1h 30m?"
    """
    if github:
        _init_hosted(folder, github, app_id, with_shelf, as_json)
        return
    from agent.screen import command
    from agent.starter import found
    from agent.starter.shelf import stock

    checkout = found(folder.resolve(), shelf=with_shelf)
    faults = stock(checkout) if with_shelf else {}
    missed = "".join(f"\n{name} is there and not released yet: {fault}" for name, fault in faults.items())
    told = f"{checkout.root} is a working clone of {checkout.origin}.{missed}\nNext: cd {shlex.quote(str(folder))} && {command()} doctor"
    shelf = {"unreleased": {name: fault.told() for name, fault in faults.items()}} if with_shelf else {}
    emit({"folder": str(checkout.root), "origin": str(checkout.origin), **shelf}, as_json, told)


def _init_hosted(folder: Path, repository: str, app: int, with_shelf: bool, as_json: bool) -> None:
    from agent.starter.hosted import found_hosted

    if with_shelf:
        raise UsageError("--with-shelf is for a repository on this machine.", next_step="Propose those that you want: skillops propose --from DIR")
    root = found_hosted(folder.resolve(), repository, app)
    told = f"{root} is ready to be pushed to {repository}.\nNext: cd {shlex.quote(str(folder))} && git push --set-upstream origin main"
    emit({"folder": str(root), "repository": repository}, as_json, f"{told}, then `skillops doctor --github`.")


def doctor(
    github: Annotated[bool, typer.Option("--github", help="Look at the repository on GitHub instead: rights, rules, secrets, workflows.")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="With --github: make the labels of .github/labels.json that are missing.")] = False,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Try instead what a program can do in each sandbox of this machine.")] = False,
    bare: Annotated[bool, typer.Option("--bare", help="With --sandbox: try it in an ordinary process too, to compare with.")] = False,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Say what is installed, reachable and allowed, with a fix for each fault.

    Examples: skillops doctor · skillops doctor --sandbox
    """
    if bare and not sandbox:
        raise UsageError("--bare belongs to --sandbox.", next_step="skillops doctor --sandbox --bare")
    if sandbox:
        _try_sandboxes(repository, bare, as_json)
        return
    from agent.doctor import examine
    from agent.github_doctor import examine_github
    from agent.screen import diagnoses_of

    if fix and not github:
        raise UsageError("--fix mends what is on GitHub.", next_step="skillops doctor --github --fix")
    diagnoses = examine_github(repository, fix=fix) if github else examine(repository)
    emit({"ok": all(d.ok for d in diagnoses), "diagnoses": diagnoses}, as_json, lambda: diagnoses_of(diagnoses))
    if any(not diagnosis.ok and diagnosis.needed for diagnosis in diagnoses):
        raise typer.Exit(ConfigurationError.exit_code)


def _try_sandboxes(repository: Path, bare: bool, as_json: bool) -> None:
    from agent.sandbox_doctor import document, examine_sandboxes, lines

    battery = examine_sandboxes(repository, bare=bare)
    emit(document(battery), as_json, lambda: print("\n".join(lines(battery))))
    if not battery.ok:
        raise typer.Exit(Refused.exit_code)
    if all(column.absent for column in battery.columns if column.ours):
        raise typer.Exit(SandboxUnavailable.exit_code)


def new(
    name: Annotated[str, typer.Argument(help="The skill's name, like word-count.")],
    language: Annotated[str, typer.Option("--language", "-l", help="The language to write it in.")] = "python",
    folder: Annotated[Path, typer.Option("--in", help="Where to make its folder.")] = HERE,
    as_json: AsJson = False,
) -> None:
    """Make a skill from a template; it passes its checks as it is (one with a Dockerfile of its own where skills run as containers).

    Example: skillops new word-count && skillops check word-count && skillops propose --from word-count
    """
    from agent import wiring
    from agent.starter import new_skill

    made = new_skill(name, language, folder, wiring.languages_of())
    told = f"{made}: edit it, then `skillops check {made}` and `skillops propose --from {made}`."
    if language == "container":
        told += ' It is built and run by Docker Engine: its checks fail unless skillops.toml has `runtime = "docker"` and `builder = "docker"`.'
    emit({"folder": str(made), "files": sorted(str(p.relative_to(made)) for p in made.rglob("*") if p.is_file())}, as_json, told)


def config(repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Print the effective settings, what each is for, and where its value came from.

    Example: skillops config
    """
    from agent.forges.checkout import Checkout
    from agent.screen import settings_of
    from agent.settings import Settings

    try:
        root = Checkout.find(repository).root
    except ConfigurationError:
        root = repository  # outside a repository the defaults and the environment hold
    rows = Settings.load(root).explained()
    emit(rows, as_json, lambda: settings_of(rows))
