"""That a new version asks for more, or can do more, than the one before it: what a reader of a proposal sees first."""

from __future__ import annotations

from agent.domain.capability import told
from agent.domain.check import CheckReport
from agent.domain.skill import Permissions
from agent.markdown import plain


def of_permissions(now: Permissions, before: Permissions | None) -> str:
    """Empty where nothing came before, or nothing is asked for beyond it."""
    wider = now.wider_than(before) if before is not None else ()
    return f"**It asks for more than the version before it: {', '.join(wider)}.** " if wider else ""


def of_report(report: CheckReport | None) -> str:
    """With the place of each in the code; empty where nothing was gained."""
    gained = report.gained if report else ()
    lines = "\n".join(f"- {one.kind}: `{plain(one.what)}`{one.place}" for one in gained[:20])
    return f"**It can do more than the version before it:** {plain(told(gained))}\n\n{lines}\n\n" if gained else ""
