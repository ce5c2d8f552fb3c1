"""Needs attention: what waits for a person and why, first; then what could not be told, and what moves by itself."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from agent.domain import Frozen
from agent.domain.capability import Capability
from agent.domain.progress import NextStep, Situation, Stage, State, next_step
from agent.domain.registry import Entry
from agent.errors import InvalidFile, MissingSecret, SkillOpsError
from agent.gateway.pages.site import Site
from agent.gateway.pages.visitors import Visitor
from agent.gateway.pages.wants import Wants, wants_of
from agent.manifest_file import read_manifest
from agent.parts import Parts
from agent.situation import Work, look, open_work
from agent.stages.deploying import serves

SHOWN = 50  # of each kind: whoever has so much to decide begins with the oldest
AGAIN = "It is tried again by itself. `skillops doctor` looks at what is needed."


class Item(Frozen):
    """One piece of work, whom it waits for and why. `kind` is what that person is to do; `since` ISO 8601, empty where nobody noted it."""

    kind: str
    number: int
    request: int | None
    proposal: int | None
    skill: str
    title: str
    state: str
    why: str
    address: str
    since: str = ""
    risk: str = ""
    wants: Wants | None = None
    gained: tuple[Capability, ...] = ()
    secret: str = ""
    next_step: str = ""


class Unwell(Frozen):
    """A skill that does not run as the registry says."""

    skill: str
    state: str
    why: str


def add_to(site: Site) -> None:
    def show(visitor: Visitor, request: Request) -> dict[str, Any]:
        return {"title": "Needs attention", **attention(site.parts), "working": site.gateway.worker is not None}

    site.page("/attention", "attention.html", show, "request")


def attention(parts: Parts) -> dict[str, Any]:
    """What is open, the oldest first, by whom it waits for, and how much `more` there is of each. What could not be looked at says why."""
    with parts.forge.looking():
        return _attention(parts)


def _attention(parts: Parts) -> dict[str, Any]:
    parts.sync()
    person, machine, moving = list[tuple[Item, Situation]](), list[Item](), list[Item]()
    for work in open_work(parts):
        try:
            item, whom, seen = _item(parts, work)
        except SkillOpsError as error:
            number = work.request or work.proposal or 0
            where = f"/requests/{number}" if work.request else f"/proposals/{number}"
            machine.append(Item(
                kind="unknown", number=number, request=work.request, proposal=work.proposal, skill="", title=str(work), state="", why=error.fault,
                address=where, next_step=error.next_step,
            ))  # fmt: skip
            continue
        if whom in ("person", "requester", "author"):
            person.append((item, seen))
        else:
            (machine if whom == "machine" else moving).append(item)
    more = {"person": len(person), "machine": len(machine), "moving": len(moving)}
    return {
        "person": [_with_wants(parts, *each) for each in person[:SHOWN]], "machine": machine[:SHOWN], "moving": moving[:SHOWN],
        "more": {name: max(number - SHOWN, 0) for name, number in more.items()}, "unwell": unwell(parts),
    }  # fmt: skip


def _with_wants(parts: Parts, item: Item, seen: Situation) -> Item:
    return item.model_copy(update={"wants": wants_at(parts, seen)}) if item.kind == "decision" else item


def unwell(parts: Parts) -> list[Unwell]:
    """Skills that are unhealthy, or of which something else runs than the registry holds."""
    found = []
    for service in parts.runtime.services():
        entry = parts.catalog.entry(service.skill)
        if entry is None or entry.status == "retired" or entry.digest != service.digest:
            found.append(Unwell(skill=service.skill, state="drifted", why=f"{service.version} runs, and {_held(entry)}"))
        elif service.state == "unhealthy":
            found.append(Unwell(skill=service.skill, state="unhealthy", why=service.detail or f"{service.restarts} restarts"))
    return found


def _held(entry: Entry | None) -> str:
    if entry is None:
        return "it is not in the registry"
    return "it is retired" if entry.status == "retired" else f"the registry holds {entry.version}"


def _item(parts: Parts, work: Work) -> tuple[Item, str, Situation]:
    seen = look(parts, work)
    step = next_step(seen)
    missing = _missing_secret(parts, seen, step)
    whom = "person" if missing else step.waiting_for if step.stage is Stage.WAIT else ""
    last = parts.ledger.last(request=seen.request.number) if seen.request else parts.ledger.last(proposal=work.proposal)
    stumbled = last.event if last and last.event.what == "stumbled" and not whom else None
    request, proposal = seen.request, seen.proposal
    number = request.number if request else proposal.number if proposal else 0
    policy_asks = step.state is State.WAITING and proposal is not None
    answers = whom == "requester" or (whom == "person" and proposal is None)
    item = Item(
        kind="secret" if missing else "requester" if answers else "author" if whom == "author" else "decision" if policy_asks else "moving",
        number=number, request=request.number if request else None, proposal=proposal.number if proposal else None,
        skill=proposal.skill if proposal else "", title=proposal.title if proposal else request.title if request else "", state=step.state,
        why=missing.fault if missing else stumbled.note if stumbled else step.why or f"{step.stage} is next",
        next_step=missing.next_step if missing else AGAIN if stumbled else "",
        address=f"/proposals/{proposal.number}" if proposal and whom != "requester" else f"/requests/{number}",
        since=last.at if last else "", risk=seen.decision.risk if seen.decision else "",
        gained=seen.report.gained if seen.report else (),
        secret=_first_missing(parts, seen) if missing else "",
    )  # fmt: skip
    return item, "machine" if stumbled else whom, seen


def wants_at(parts: Parts, seen: Situation) -> Wants | None:
    """What the proposal's head asks for beside what main has; of a merged one, beside what main had."""
    proposal = seen.proposal
    if proposal is None:
        return None
    path = f"skills/{proposal.skill}/skill.yaml"
    before = parts.forge.main if proposal.state == "open" else proposal.base
    manifests = []
    for ref in (proposal.head, before):
        try:
            data = parts.forge.read(ref, path)
            manifests.append(read_manifest(data, path) if data is not None else None)
        except InvalidFile:
            manifests.append(None)
    return wants_of(manifests[0], manifests[1], parts.policy(), seen.report.gained if seen.report else (), parts.catalog)


def _missing_secret(parts: Parts, seen: Situation, step: NextStep) -> MissingSecret | None:
    """Why a merged skill cannot be deployed yet, where it is for want of a secret."""
    entry = parts.catalog.entry(seen.proposal.skill) if seen.proposal and step.state is State.RELEASED else None
    if entry is None or serves(entry, parts.runtime.services()):
        return None
    try:
        parts.vault.values(entry.name, entry.permissions.shared)
    except MissingSecret as missing:
        return missing
    return None


def _first_missing(parts: Parts, seen: Situation) -> str:
    entry = parts.catalog.entry(seen.proposal.skill) if seen.proposal else None
    set_ = {secret.name for secret in parts.vault.all() if entry and (not secret.skills or entry.name in secret.skills)}
    return next((name for name in (entry.permissions.shared if entry else ()) if name not in set_), "")
