"""The routes of the registry: what skills there are, how each is called, how it fares."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse

from agent.domain import Frozen
from agent.domain.registry import Entry
from agent.domain.release import Service
from agent.domain.schema import Schema
from agent.domain.skill import Annotations, Example, Resources, Status
from agent.errors import CouldNotTell
from agent.gateway.access import needs
from agent.gateway.gateway import Gateway
from agent.gateway.meters import Usage
from agent.gateway.tools import Format, tool
from agent.history import PastVersion, versions_of
from agent.parts import Parts


class Skills(Frozen):
    """The registry: its revision, and the skills by name."""

    revision: int
    skills: tuple[Entry, ...]


class Skill(Frozen):
    """One skill: its block in the registry, its contract, its versions (newest first), what runs, and its use since the gateway started."""

    entry: Entry
    inputs: Schema
    outputs: Schema
    examples: tuple[Example, ...]
    annotations: Annotations
    resources: Resources
    versions: tuple[PastVersion, ...]
    services: tuple[Service, ...]
    circuit: str
    usage: dict[str, float]


class Tools(Frozen):
    """Active skills as tools, by name or, where they were searched for, the nearest first."""

    revision: int
    format: Format
    tools: tuple[dict[str, Any], ...]


def router(gateway: Gateway) -> APIRouter:
    routes, parts = APIRouter(tags=["skills"]), gateway.place.parts

    @routes.get("/skills", dependencies=[needs("invoke")])
    def list_skills(status: Status | None = None) -> Skills:
        """The skills of the registry."""
        parts.sync()
        return Skills(revision=parts.catalog.revision(), skills=tuple(parts.catalog.entries(status)))

    @routes.get("/skills/{name}", dependencies=[needs("invoke")])
    def show_skill(name: str) -> Skill:
        """One skill: how it is called, where it came from, how it fares."""
        parts.sync()
        return _skill(name, gateway, parts)

    @routes.get("/skills/{name}/logs", dependencies=[needs("admin")], response_class=PlainTextResponse)
    def read_logs(name: str, lines: Annotated[int, Query(ge=1, le=10_000)] = 200) -> str:
        """The end of what the skill printed. It may hold what its callers sent, so a key needs the scope admin."""
        parts.sync()
        return parts.runtime.logs(parts.entry(name).name, lines)

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


def _skill(name: str, gateway: Gateway, parts: Parts) -> Skill:
    entry = parts.entry(name)
    manifest = parts.catalog.manifest(name)
    if manifest is None:
        raise CouldNotTell(f"The manifest of {name} cannot be read at {entry.commit[:8]}.", next_step="`skillops doctor` tells more.")
    return Skill(
        entry=entry, inputs=manifest.inputs, outputs=manifest.outputs, examples=manifest.examples, annotations=manifest.annotations,
        resources=manifest.resources, versions=versions_of(name, parts.forge),
        services=tuple(service for service in parts.runtime.services() if service.skill == name),
        circuit="open" if gateway.lane(name).is_open else "closed", usage=asdict(gateway.meters.usage.get(name, Usage())),
    )  # fmt: skip
