"""The verbs of the registry: list, search, show, history, rollback, retire."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.commands import HERE, AsJson, Repo, emit, opened
from agent.errors import NotFound, UsageError

Name = Annotated[str, typer.Argument(help="The skill.")]
Why = Annotated[str, typer.Option("--why", help="The reason; it is shown on the proposal.")]


def add_to(app: typer.Typer) -> None:
    for name, verb in (("list", list_), ("search", search), ("show", show), ("history", history), ("rollback", rollback), ("retire", retire)):
        app.command(name, rich_help_panel="Registry")(verb)


def list_(
    proposals: Annotated[bool, typer.Option("--proposals", help="Open proposals instead of skills.")] = False,
    requests: Annotated[bool, typer.Option("--requests", help="Open requests instead of skills.")] = False,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """List the skills of the registry, with what runs; or the open proposals or requests.

    Examples: skillops list · skillops list --proposals
    """
    from agent.screen import skills_of

    parts = opened(repository, as_json).parts
    if proposals or requests:
        found = parts.forge.proposals("open") if proposals else parts.forge.requests("open")
        lines = [f"#{item.number}  {item.title}" for item in found]
        emit(found, as_json, "\n".join(lines) or "None are open.")
        return
    parts.sync()
    entries, services = parts.catalog.entries(), parts.runtime.services()
    document = {"revision": parts.catalog.revision(), "skills": entries, "services": services}
    emit(document, as_json, lambda: skills_of(parts.catalog.revision(), entries, services))


def search(
    text: Annotated[str, typer.Argument(help="What it should do.")],
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many to show.")] = 8,
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Find skills by what they do.

    Example: skillops search "table to records"
    """
    parts = opened(repository, as_json).parts
    parts.sync()
    hits = parts.catalog.search(text, limit=limit)
    requires = {hit.entry.name: list(manifest.requires) if (manifest := parts.catalog.manifest(hit.entry.name)) else [] for hit in hits}
    document = [
        {"name": hit.entry.name, "version": hit.entry.version, "description": hit.entry.description, "score": hit.score,
         "requires": requires[hit.entry.name]} for hit in hits
    ]  # fmt: skip
    calls = {name: f" (calls {', '.join(needed)})" if needed else "" for name, needed in requires.items()}
    lines = [f"{hit.entry.name} {hit.entry.version}  {hit.entry.description}{calls[hit.entry.name]}" for hit in hits]
    emit(document, as_json, "\n".join(lines) or "Nothing fits. `skillops request TEXT` asks for it.")


def show(name: Name, repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Show a skill: what it does, how to call it, what it may reach, where it came from, whether it runs.

    Example: skillops show word-count
    """
    from agent.domain.requirement import may_do, reach
    from agent.screen import skill_of

    parts = opened(repository, as_json).parts
    parts.sync()
    entry = parts.entry(name)
    manifest = parts.catalog.manifest(name)
    services = [service for service in parts.runtime.services() if service.skill == name]
    calls = [may_do(each) for each in reach(manifest, parts.catalog)] if manifest else []
    called_by = [each.name for each in parts.catalog.dependants(name)]
    document = {"entry": entry, "manifest": manifest, "services": services, "calls": calls, "called_by": called_by}
    emit(document, as_json, lambda: skill_of(entry, manifest, services, calls, called_by))


def history(name: Name, repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Show the versions of a skill and the commits that brought them, newest first.

    Example: skillops history word-count
    """
    from agent.history import versions_of

    parts = opened(repository, as_json).parts
    parts.sync()
    versions = versions_of(name, parts.forge)
    if not versions:
        parts.entry(name)
    lines = [f"{v.version:10} {v.status:10} {v.at[:19]}  {v.commit[:8]}  {v.message}" for v in versions]
    emit(versions, as_json, "\n".join(lines))


def rollback(
    name: Annotated[str, typer.Argument(help="NAME for the version before, or NAME@VERSION.")],
    why: Why = "",
    repository: Repo = HERE,
    as_json: AsJson = False,
) -> None:
    """Propose to go back to an earlier version; it passes the gates as a new patch version.

    Examples: skillops rollback word-count · skillops rollback word-count@1.0.0
    """
    from agent.domain.requirement import keep_dependants
    from agent.history import versions_of
    from agent.stages.proposing import propose_rollback

    parts = opened(repository, as_json).parts
    parts.sync()
    skill, _, wanted = name.partition("@")
    entry = parts.entry(skill)
    earlier = [version for version in versions_of(skill, parts.forge) if version.version != entry.version]
    found = [version for version in earlier if not wanted or version.version == wanted]
    if wanted == entry.version:
        raise UsageError(f"{skill} is at {wanted} already.")
    if not found:
        have = ", ".join(version.version for version in earlier)
        step = f"Earlier versions: {have}." if have else f"{entry.version} is its first; `skillops retire {skill}` takes it out of use."
        raise NotFound(f"{skill} has no earlier version {wanted}".rstrip() + ".", next_step=step)
    keep_dependants(skill, found[0].version, parts.catalog.dependants(skill))
    files = parts.forge.files(found[0].commit, f"skills/{skill}")
    proposal = propose_rollback(skill, found[0].version, files, parts.user, parts.forge, why)
    emit(proposal, as_json, f"Proposal #{proposal.number} is open: {proposal.title}. `skillops run` takes it through the gates.")


def retire(name: Name, why: Why = "", repository: Repo = HERE, as_json: AsJson = False) -> None:
    """Propose to retire a skill: it keeps its history, is found no more and refuses calls.

    Example: skillops retire word-count
    """
    from agent.domain.requirement import keep_dependants
    from agent.stages.proposing import propose_retire

    parts = opened(repository, as_json).parts
    parts.sync()
    entry = parts.entry(name)
    if entry.status == "retired":
        raise UsageError(f"{name} is retired already.")
    keep_dependants(name, None, parts.catalog.dependants(name))
    proposal = propose_retire(name, parts.user, parts.forge, why)
    emit(proposal, as_json, f"Proposal #{proposal.number} is open: {proposal.title}. `skillops run` takes it through the gates.")
