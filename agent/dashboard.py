"""The dashboard: one issue that says what is open and whom it waits for, people first. It is edited, never said anew."""

from __future__ import annotations

from typing import Any

from agent.domain.audit import Audit
from agent.domain.progress import NextStep, Stage, next_step
from agent.errors import SkillOpsError
from agent.parts import Parts
from agent.situation import Work, look, open_work

TITLE = "SkillOps: what waits for whom"
LABEL = "dashboard"
MOST = 100  # rows of each part
Sections = tuple[tuple[str, list[str]], ...]


def dashboard(parts: Parts, found: Audit | None = None) -> str:
    """The text of the issue. A row that could not be looked at says why. `found` is what the last audit found, where there was one."""
    parts.sync()
    person, machine, moving = list[str](), list[str](), list[str]()
    for work in open_work(parts):
        try:
            seen = look(parts, work)
            step = next_step(seen)
        except SkillOpsError as error:
            machine.append(f"- {work}: {_plain(error.fault)}")
            continue
        row = f"- {_numbers(work, seen.proposal.number if seen.proposal else None)}: {_told(step)}"
        (person if step.waiting_for == "person" else machine if step.waiting_for == "machine" else moving).append(row)
    sections = (
        ("Waits for a person", person), ("Could not be told", machine + [f"- {_plain(each)}" for each in (found.unknown if found else ())]),
        *(_audited(found) if found else ()), ("Moves on by itself", moving),
    )  # fmt: skip
    return "\n\n".join(f"## {title}\n\n{_rows(rows)}" for title, rows in sections)


def _audited(found: Audit) -> Sections:
    """What an audit found, in sections."""
    advisories = []
    for each in found.advisories:
        mended = f" (mended in {', '.join(each.advisory.fixed)})" if each.advisory.fixed else ""
        advisories.append(f"- {each.skill}: {_plain(f'{each.advisory.package}: {each.advisory.id}{mended} {each.advisory.summary}')}")
    updates = [f"- {each.skill}: {_plain(', '.join(f'{old} → {new}' for old, new in each.raised))}" for each in found.updates]
    return (
        ("Advisories on what skills depend on", advisories), ("Newer versions of what skills depend on", updates),
        ("Not as registry.yaml says", [f"- {each.skill}: {_plain(each.what)}" for each in found.drift]),
        ("Has waited for long", [f"- #{each.number}: {each.days} days. {_plain(each.why)}" for each in found.stale]),
    )  # fmt: skip


def keep(parts: Parts, forge: Any, found: Audit | None = None) -> int:
    """Writes the dashboard down on GitHub, and returns its issue's number."""
    return int(forge.keep_issue(TITLE, LABEL, dashboard(parts, found)))


def _told(step: NextStep) -> str:
    return _plain(step.why) if step.stage is Stage.WAIT else f"{step.stage} is next"


def _numbers(work: Work, proposal: int | None) -> str:
    return f"#{work.request} (#{proposal})" if work.request and proposal else str(work)


def _plain(text: str) -> str:
    """One line, in which nobody is called and no markup begins."""
    return "".join({"@": "@\u200b", "<": "‹", ">": "›", "`": "'", "[": "(", "]": ")"}.get(sign, sign) for sign in " ".join(text.split()))[:300]


def _rows(rows: list[str]) -> str:
    more = [f"- … and {len(rows) - MOST} more"] if len(rows) > MOST else []
    return "\n".join([*rows[:MOST], *more]) or "Nothing."
