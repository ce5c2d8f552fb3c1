"""The routes of the registry: what skills there are, how each is called, how it fares."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from agent.domain import Frozen
from agent.domain.proposal import Proposal
from agent.domain.registry import Entry
from agent.domain.release import Service
from agent.domain.requirement import may_do, reach
from agent.domain.schema import Schema
from agent.domain.skill import Annotations, Example, Resources, Status
from agent.errors import CouldNotTell
from agent.gateway.access import needs
from agent.gateway.gateway import Gateway
from agent.gateway.meters import Usage
from agent.gateway.tools import Format, tool
from agent.history import PastVersion, versions_of
from agent.parts import Parts

FOUND = 50  # skills that a search finds at most
_LOGS: dict[str, Any] = {"content": {"application/json": {"schema": {
    "type": "object", "properties": {"skill": {"type": "string"}, "lines": {"type": "string"}}, "required": ["skill", "lines"],
}}}}  # fmt: skip


class Fares(Frozen):
    """How a skill fares: `sync` tells whether what runs is what the registry holds (running, drifted, not running), `health` how that is."""

    sync: str
    health: str
    detail: str = ""


class Skills(Frozen):
    """The registry: its revision, and the skills by name or, where they were searched for, the nearest first; `fares` has each of them by name."""

    revision: int
    skills: tuple[Entry, ...]
    fares: dict[str, Fares]


class Skill(Frozen):
    """One skill: its block in the registry, its contract, its versions and proposals (newest first), what runs and how that fares, what it may call
    and by whom it is called, and its use since the gateway started: `latency` as calls within seconds (none: without bound)."""

    entry: Entry
    inputs: Schema
    outputs: Schema
    examples: tuple[Example, ...]
    annotations: Annotations
    resources: Resources
    versions: tuple[PastVersion, ...]
    proposals: tuple[Proposal, ...]
    services: tuple[Service, ...]
    fares: Fares
    calls: tuple[str, ...]
    called_by: tuple[str, ...]
    circuit: str
    usage: dict[str, float]
    latency: tuple[tuple[float | None, int], ...]


class Tools(Frozen):
    """Active skills as tools, by name or, where they were searched for, the nearest first."""

    revision: int
    format: Format
    tools: tuple[dict[str, Any], ...]


def router(gateway: Gateway) -> APIRouter:
    routes, parts = APIRouter(tags=["skills"]), gateway.place.parts

    @routes.get("/skills", dependencies=[needs("invoke")])
    def list_skills(
        status: Status | None = None, q: Annotated[str, Query(max_length=2000, description="Only the skills nearest to this.")] = ""
    ) -> Skills:
        """The skills of the registry, and how each fares."""
        parts.sync()
        found = [hit.entry for hit in parts.catalog.search(q, limit=FOUND)] if q.strip() else parts.catalog.entries(status)
        entries = tuple(entry for entry in found if status in (None, entry.status))
        services = {service.skill: service for service in parts.runtime.services()}
        return Skills(
            revision=parts.catalog.revision(), skills=entries, fares={entry.name: fares(entry, services.get(entry.name)) for entry in entries}
        )

    @routes.get("/skills/{name}", dependencies=[needs("invoke")])
    def show_skill(name: str) -> Skill:
        """One skill: how it is called, where it came from, how it fares."""
        parts.sync()
        return _skill(name, gateway, parts)

    @routes.get("/skills/{name}/logs", dependencies=[needs("admin")], response_class=PlainTextResponse, responses={200: _LOGS})
    def read_logs(name: str, request: Request, lines: Annotated[int, Query(ge=1, le=10_000)] = 200) -> Response:
        """The end of what the skill printed. It may hold what its callers sent, so a key needs the scope admin."""
        parts.sync()
        printed = parts.runtime.logs(parts.entry(name).name, lines)
        as_json = request.headers.get("accept", "").partition(";")[0].strip().lower() == "application/json"
        return JSONResponse({"skill": name, "lines": printed}) if as_json else PlainTextResponse(printed)

    @routes.get("/tools", dependencies=[needs("invoke")])
    def list_tools(
        format: Format = "openai",
        search: Annotated[str, Query(max_length=2000, description="Only the skills nearest to this.")] = "",
        limit: Annotated[int, Query(ge=1, le=1000, description="How many at most; with `search`, 8 where it is left out.")] = 1000,
    ) -> Tools:
        """Every active skill as a tool for a model."""
        parts.sync()
        if search.strip():
            entries = [hit.entry for hit in parts.catalog.search(search, limit=min(limit, 100) if limit < 1000 else 8)]
        else:
            entries = parts.catalog.entries("active")[:limit]
        manifests = [manifest for entry in entries if entry.status == "active" and (manifest := parts.catalog.manifest(entry.name))]
        return Tools(revision=parts.catalog.revision(), format=format, tools=tuple(tool(manifest, format) for manifest in manifests))

    return routes


def fares(entry: Entry, service: Service | None) -> Fares:
    """How a skill of the registry fares, of which this runs."""
    if service is None:
        return Fares(sync="not running", health="resting", detail="It starts when it is called." if entry.status != "retired" else "")
    same = service.digest == entry.digest and entry.status != "retired"
    return Fares(sync="running" if same else "drifted", health=service.state, detail=service.detail)


def _skill(name: str, gateway: Gateway, parts: Parts) -> Skill:
    entry = parts.entry(name)
    manifest = parts.catalog.manifest(name)
    if manifest is None:
        raise CouldNotTell(f"The manifest of {name} cannot be read at {entry.commit[:8]}.", next_step="`skillops doctor` tells more.")
    services = tuple(service for service in parts.runtime.services() if service.skill == name)
    return Skill(
        entry=entry, inputs=manifest.inputs, outputs=manifest.outputs, examples=manifest.examples, annotations=manifest.annotations,
        resources=manifest.resources, versions=versions_of(name, parts.forge),
        proposals=tuple(sorted(parts.forge.proposals("all", skill=name), key=lambda each: -each.number)), services=services,
        fares=fares(entry, services[0] if services else None), calls=tuple(may_do(each) for each in reach(manifest, parts.catalog)),
        called_by=tuple(each.name for each in parts.catalog.dependants(name)),
        latency=tuple((most if math.isfinite(most) else None, calls) for most, calls in gateway.meters.latency(name)),
        circuit="open" if gateway.lane(name).is_open else "closed", usage=asdict(gateway.meters.usage.get(name, Usage())),
    )  # fmt: skip
