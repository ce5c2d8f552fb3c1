"""What the jobs of nightly.yml do: one looks and holds no right, one does what that found, as far as it may."""

from __future__ import annotations

import json
from pathlib import Path

from agent import audit, wiring
from agent.actions import hub_of, mirror_of, parts_on
from agent.domain.audit import Audit
from agent.errors import Refused, SkillOpsError
from agent.journal import Committed, Job, Journal, Proposed, apply
from agent.settings import Settings

NIGHTLY: Job = "nightly"


def look(root: Path) -> Journal:
    """Audits what main holds, and raises dependencies on a mirror; nothing is asked of GitHub. What runs and what waits it cannot see."""
    settings = Settings.load(root)
    with mirror_of(root) as mirror:
        noting, parts = parts_on(settings, mirror, None)
        found = audit.audit(parts, wiring.advise_of(settings), ("advisories", "updates"))
        unknown = list(found.unknown)
        for update in found.updates:
            try:
                audit.propose(parts, update, found.advisories)
            except SkillOpsError as error:
                unknown.append(f"Newer versions for {update.skill}: {error.fault}")
        lines = tuple(line for line in noting.lines if isinstance(line, Committed | Proposed))
        return Journal(job=NIGHTLY, lines=lines, audit=found.model_copy(update={"unknown": tuple(unknown)}))


def enter(root: Path, journal: Journal) -> None:
    """Opens the proposals of a nightly journal on GitHub; what was proposed on a branch of that name before is left alone."""
    if journal.job != NIGHTLY:
        raise Refused("The journal is void.", why=f"It is of a {journal.job} job.", next_step="Look at the job that wrote it.")
    _, hub, trail = hub_of(root)
    known = {each.branch for each in hub.proposals("all")}
    fresh = [line for line in journal.lines if (line.branch if isinstance(line, Committed) else getattr(line, "draft", line).branch) not in known]
    apply(journal.model_copy(update={"lines": tuple(fresh)}), hub, trail)
    opened = {line.draft.branch for line in fresh if isinstance(line, Proposed)}
    for proposal in hub.proposals("open"):
        if proposal.branch in opened:
            audit.close_older(hub, proposal)


def read_audit(path: Path) -> Audit:
    """What a job left: a nightly journal, or what `skillops audit --json` printed. One that left nothing could not be told."""
    try:
        told = json.loads(path.read_bytes())
        audited = told.get("audit") if "job" in told else {name: told[name] for name in Audit.model_fields}
        return Audit.model_validate(audited)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Audit(unknown=(f"The job that should have left {path.name} left nothing that can be read.",))


def together(*found: Audit | None) -> Audit:
    """Several audits as one."""
    there = [each for each in found if each is not None]
    return Audit(**{name: tuple(row for each in there for row in getattr(each, name)) for name in Audit.model_fields})
