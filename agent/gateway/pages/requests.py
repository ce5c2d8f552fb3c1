"""The requests: which there are, one of them with its story, and how one is raised and answered."""

from __future__ import annotations

import re
from typing import Any, Literal, cast

from starlette.requests import Request

from agent.domain import Frozen
from agent.domain.progress import NextStep, Situation, State
from agent.domain.request import Comment
from agent.errors import UsageError
from agent.gateway.pages.paging import leaf
from agent.gateway.pages.site import Site, number_of
from agent.gateway.pages.timeline import timeline
from agent.gateway.pages.visitors import Visitor
from agent.gateway.verdicts import WHY
from agent.gateway.wishes import Wish, plain, raise_wish, request_of, standing, withdraw
from agent.markdown import woken
from agent.parts import Parts
from agent.situation import OURS
from agent.stages.assessing import LIMIT
from agent.story import entries_of

STATES = ("open", "closed", "all")
MILESTONES = ("assessed", "drafted", "checked", "reviewed", "decided", "released", "deployed")
_AT: dict[State, int] = {
    State.REQUESTED: 0, State.UNCLEAR: 0, State.ACCEPTED: 1, State.DIVIDED: 1, State.RETURNED: 1, State.PROPOSED: 2, State.CHECKED: 3,
    State.WAITING: 4, State.APPROVED: 4, State.DECLINED: 4, State.MERGED: 5, State.RELEASED: 6, State.UNDEPLOYABLE: 6, State.DEPLOYED: 7,
    State.CLOSED: 7,
}  # fmt: skip
_HIDDEN = re.compile(r"<!--.*?-->", re.DOTALL)


class Progress(Frozen):
    """How far a request is: `at` counts the milestones that are behind it. `proposal` is the one for it, where there is one."""

    number: int
    title: str
    state: str
    stage: str
    waiting_for: str
    why: str
    at: int
    milestones: tuple[str, ...]
    proposal: int | None
    skill: str
    closed_as: str


def add_to(site: Site) -> None:
    parts = site.parts

    def listed(visitor: Visitor, request: Request) -> dict[str, Any]:
        state = request.query_params.get("state", "open")
        if state not in STATES:
            raise UsageError(f"There is no state {state[:40]!r}.", next_step=f"One of: {', '.join(STATES)}.")
        found = sorted(parts.forge.requests(cast(Literal["open", "closed", "all"], state)), key=lambda each: -each.number)
        return {"title": "Requests", "state": state, "states": STATES, **leaf("requests", found, request.query_params), "limit": LIMIT}

    def shown(visitor: Visitor, request: Request) -> dict[str, Any]:
        return _request(parts, number_of(request))

    def raised(visitor: Visitor, request: Request, fields: dict[str, str]) -> str:
        text = fields.get("text", "")
        if len(text) > LIMIT:
            raise UsageError(
                "That is too much for a request.", why=f"It has {len(text):,} characters; {LIMIT:,} is the most.", next_step="Say it in a page."
            )
        made = raise_wish(Wish(text=plain(text)), visitor.key, parts, fields.get("once") or None)
        site.gateway.raised()
        return f"/requests/{made.number}?said=raised"

    def replied(visitor: Visitor, request: Request, fields: dict[str, str]) -> str:
        number, text = number_of(request), plain(fields.get("text", ""))
        if request_of(number, parts, "/requests").state == "closed":
            raise UsageError(f"Request #{number} is closed.", next_step="Raise a new one.")
        if len(text) > LIMIT:
            raise UsageError("That is too long.", why=f"It has {len(text):,} characters; {LIMIT:,} is the most.", next_step="Say it in a page.")
        parts.forge.say(number, text, author=visitor.name)
        site.gateway.raised()
        return f"/requests/{number}?said=replied"

    def withdrawn(visitor: Visitor, request: Request, fields: dict[str, str]) -> str:
        number = number_of(request)
        withdraw(number, visitor.key, parts, fields.get("why", "").strip()[:WHY], "/requests")
        site.gateway.raised()
        return f"/requests/{number}?said=withdrawn"

    site.page("/requests", "requests.html", listed, "request")
    site.page("/requests/{number}", "request.html", shown, "request")
    site.form("/requests", raised, "request")
    site.form("/requests/{number}/replies", replied, "request")
    site.form("/requests/{number}/withdraw", withdrawn, "request")


def progress(parts: Parts, number: int) -> Progress:
    """Where a request stands now."""
    return progress_of(number, *standing(number, parts))


def progress_of(number: int, seen: Situation, step: NextStep) -> Progress:
    """How far a request is, of which this was seen."""
    proposal, request = seen.proposal, seen.request
    closed_as = request.closed_as if request else ""
    at = _AT[step.state] if closed_as in ("", "done") else 0
    return Progress(
        number=number, title=request.title if request else "", state=step.state, stage=step.stage, waiting_for=step.waiting_for, why=step.why, at=at,
        milestones=MILESTONES, proposal=proposal.number if proposal else None, skill=proposal.skill if proposal else "", closed_as=closed_as,
    )  # fmt: skip


def _request(parts: Parts, number: int) -> dict[str, Any]:
    asked = request_of(number, parts, "/requests")
    seen, step = standing(number, parts)
    asked = seen.request or asked  # it may have ended since: what is shown is of one moment
    entries = entries_of(number, parts.forge, parts.ledger)
    comments = [_words(comment) for comment in parts.forge.comments(number)]
    return {
        "title": asked.title, "request": asked, "progress": progress_of(number, seen, step), "gap": seen.gap, "timeline": timeline(entries),
        "log": entries[-200:], "comments": [comment for comment in comments if comment.text], "ours": sorted(OURS),
        "proposals": parts.forge.proposals("all", request=number), "limit": LIMIT,
    }  # fmt: skip


def _words(comment: Comment) -> Comment:
    """A comment as people read it: what the pipeline reads back is left out."""
    return comment.model_copy(update={"text": woken(_HIDDEN.sub("", comment.text)).strip()})
