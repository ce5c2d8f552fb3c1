"""The skills: the catalogue with its search, and one skill to try, to copy, to look into, to take back."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from agent.domain import Frozen
from agent.domain.registry import Entry
from agent.domain.release import Service
from agent.domain.requirement import keep_dependants, may_do, reach
from agent.errors import CouldNotTell, MissingSecret, NotFound, SkillOpsError, UsageError
from agent.gateway.gateway import Call
from agent.gateway.meters import Usage
from agent.gateway.own_secrets import offer_links
from agent.gateway.pages import forms
from agent.gateway.pages.paging import paged
from agent.gateway.pages.plots import Usages, latency
from agent.gateway.pages.site import Page, Site
from agent.gateway.pages.visitors import Visitor
from agent.gateway.secrets import address
from agent.gateway.skills import FOUND, fares
from agent.history import versions_of
from agent.parts import Parts
from agent.stages.invoking import struck_of
from agent.stages.planning import cut
from agent.stages.proposing import propose_retire, propose_rollback

LOG_LINES, QUERY = 400, 2000
SHOWN = 200_000  # characters of what a skill that is tried was given, and of what it gave


class Listed(Frozen):
    """A skill of the catalogue. `sync` tells whether what runs is what the registry holds, `health` how that fares: two questions."""

    entry: Entry
    sync: str
    health: str
    detail: str = ""


def add_to(site: Site) -> None:
    usages = Usages(site.gateway.meters)

    def listed(visitor: Visitor, request: Request) -> dict[str, Any]:
        return _catalogue(site.parts, request.query_params.get("q", "")[:QUERY], request.query_params)

    def shown(visitor: Visitor, request: Request) -> dict[str, Any]:
        return _skill(site, usages, request, request.path_params["name"])

    def logs(visitor: Visitor, request: Request) -> dict[str, Any]:
        site.parts.sync()
        entry = site.parts.entry(request.path_params["name"][:200])
        return {"title": f"What {entry.name} printed", "entry": entry, "lines": site.parts.runtime.logs(entry.name, LOG_LINES)}

    async def try_out(visitor: Visitor, request: Request, fields: dict[str, str]) -> Page:
        return await _tried(site, request, visitor, fields)

    def roll_back(visitor: Visitor, request: Request, fields: dict[str, str]) -> str:
        number = _rolled_back(site.parts, request.path_params["name"], fields.get("version", ""), visitor.name, fields.get("why", "")[:2000])
        site.gateway.raised()
        return f"/proposals/{number}?said=opened"

    def retire(visitor: Visitor, request: Request, fields: dict[str, str]) -> str:
        site.parts.sync()
        entry = site.parts.entry(request.path_params["name"][:200])
        if entry.status == "retired":
            raise UsageError(f"{entry.name} is retired already.", next_step=f"/skills/{entry.name} tells since when.")
        keep_dependants(entry.name, None, site.parts.catalog.dependants(entry.name))
        proposal = propose_retire(entry.name, visitor.name, site.parts.forge, fields.get("why", "")[:2000])
        site.gateway.raised()
        return f"/proposals/{proposal.number}?said=opened"

    site.page("/skills", "skills.html", listed, "invoke")
    site.page("/skills/{name}", "skill.html", shown, "invoke")
    site.page("/skills/{name}/logs", "logs.html", logs, "admin")
    site.form("/skills/{name}/try", try_out, "invoke")
    site.form("/skills/{name}/rollback", roll_back, "approve")
    site.form("/skills/{name}/retire", retire, "approve")


def _catalogue(parts: Parts, query: str, asked: Mapping[str, str]) -> dict[str, Any]:
    parts.sync()
    entries = [hit.entry for hit in parts.catalog.search(query, limit=FOUND)] if query.strip() else parts.catalog.entries()
    services, (told, part) = {service.skill: service for service in parts.runtime.services()}, paged(len(entries), asked)
    listed = [_listed(entry, services.get(entry.name)) for entry in entries[part]]
    return {"title": "Skills", "q": query, "revision": parts.catalog.revision(), "skills": listed, **told, "most": FOUND}


def _listed(entry: Entry, service: Service | None) -> Listed:
    return Listed(entry=entry, **dict(fares(entry, service)))


def _skill(site: Site, usages: Usages, request: Request, name: str) -> dict[str, Any]:
    parts = site.parts
    parts.sync()
    entry = parts.entry(name[:200])
    manifest = parts.catalog.manifest(entry.name)
    if manifest is None:
        raise CouldNotTell(f"The manifest of {entry.name} cannot be read at {entry.commit[:8]}.", next_step="`skillops doctor` tells more.")
    service = next((each for each in parts.runtime.services() if each.skill == entry.name), None)
    example = manifest.examples[0].inputs
    return {
        "title": entry.name, "entry": entry, "manifest": manifest, "listed": _listed(entry, service), "service": service,
        "inputs": forms.inputs_of(manifest.inputs, example), "prefix": forms.PREFIX, "versions": versions_of(entry.name, parts.forge),
        "usage": asdict(site.gateway.meters.usage.get(entry.name, Usage())), "hour": usages.of(entry.name),
        "latency": latency(site.gateway.meters, entry.name), "circuit": "open" if site.gateway.lane(entry.name).is_open else "closed",
        "copies": copies(address(request, parts.settings), entry.name, example),
        "calls": [may_do(each) for each in reach(manifest, parts.catalog)], "called_by": [each.name for each in parts.catalog.dependants(entry.name)],
        "unwell": service is not None and service.state == "unhealthy",
        "proposals": sorted(parts.forge.proposals("all", skill=entry.name), key=lambda each: -each.number),
    }  # fmt: skip


def copies(base: str, name: str, example: dict[str, Any]) -> dict[str, str]:
    """How the skill is called from elsewhere: as text to be pasted."""
    body = json.dumps({"inputs": example}, ensure_ascii=False)
    quoted = body.replace("'", "'\\''")
    url = f"{base}/skills/{name}/execute"
    python = (
        "import os\nimport httpx\n\nanswer = httpx.post(\n"
        f"    {url!r},\n    json={{'inputs': {example!r}}},\n"
        "    headers={'Authorization': f\"Bearer {os.environ['SKILLOPS_KEY']}\"},\n)\nprint(answer.json()['outputs'])"
    )
    mcp = {"mcpServers": {"skillops": {"type": "http", "url": f"{base}/mcp", "headers": {"Authorization": "Bearer ${SKILLOPS_KEY}"}}}}
    curl = f"curl {url} \\\n  -H \"Authorization: Bearer $SKILLOPS_KEY\" \\\n  -H 'Content-Type: application/json' \\\n  -d '{quoted}'"
    return {"curl": curl, "Python": python, "MCP": json.dumps(mcp, indent=2)}


async def _tried(site: Site, request: Request, visitor: Visitor, fields: dict[str, str]) -> Page:
    """Calls the skill as any client's call is: with its limits, its receipt, its deadline. What it says of its inputs is no fault of the page."""
    name = request.path_params["name"][:200]
    template = "tried.html" if request.headers.get("hx-request") == "true" else "tried_page.html"
    try:
        listed = await site.gateway.shelf.listed(name)
        if listed.manifest.annotations.destructive and fields.get("sure") != "yes":
            raise UsageError(f"{name} destroys something.", next_step="Tick the box that says so, and call it again.")
        inputs = forms.read(listed.manifest.inputs, fields)
        call = Call(request_id=request.state.request_id or uuid.uuid4().hex)
        result = await site.gateway.invoke(name, inputs, visitor.key, call)
        shown, inputs = await run_in_threadpool(
            lambda: (cut(result.outputs, SHOWN, partial(struck_of, site.parts.strike, (result.receipt,))), cut(inputs, SHOWN))
        )
    except SkillOpsError as error:
        if isinstance(error, MissingSecret):
            await run_in_threadpool(offer_links, error, site.parts, address(request, site.parts.settings), visitor.name)
        return Page(template, {"title": name, "result": None, "error": error, "request_id": request.state.request_id, "inputs": None})
    result = result._replace(outputs=shown)
    return Page(template, {"title": name, "result": result, "error": None, "request_id": request.state.request_id, "inputs": inputs})


def _rolled_back(parts: Parts, name: str, wanted: str, person: str, why: str) -> int:
    """Opens the proposal that the command `rollback NAME@VERSION` opens, and returns its number."""
    parts.sync()
    entry = parts.entry(name[:200])
    found = next((version for version in versions_of(entry.name, parts.forge) if version.version == wanted), None)
    if found is None or wanted == entry.version:
        raise NotFound(f"{entry.name} has no earlier version {wanted[:40]}.", next_step=f"/skills/{entry.name} lists its versions.")
    keep_dependants(entry.name, wanted, parts.catalog.dependants(entry.name))
    files = parts.forge.files(found.commit, f"skills/{entry.name}")
    return propose_rollback(entry.name, found.version, files, person, parts.forge, why).number
