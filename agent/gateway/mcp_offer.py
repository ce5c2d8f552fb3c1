"""The offer: what the registry holds, as MCP's tools and resources, made once for each registry."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from agent.domain.registry import Entry
from agent.domain.requirement import Shelf, reach
from agent.domain.skill import Manifest, digest_of
from agent.errors import NotFound
from agent.gateway.gateway import Gateway
from agent.gateway.tools import tool

PAGE = 250  # tools or resources in one answer
SCHEME, FILE = "skill://", "SKILL.md"
TEMPLATE = {
    "uriTemplate": f"{SCHEME}{{name}}/{FILE}", "name": "skill", "title": "How a skill is used", "mimeType": "text/markdown",
    "description": "The instructions of one skill: what it does, when to use it, and how it is called.",
}  # fmt: skip
_HEADER = "x-mcp-header"  # a property that a client repeats in a header (MCP 2026-07-28, transports, "Custom Headers")


@dataclass(frozen=True)
class Offer:
    """Of one registry: the active skills by name. `plain` are those that name nothing in headers and need no secret; `mark` tells offers apart."""

    blob: str
    tools: dict[str, dict[str, Any]]
    resources: dict[str, dict[str, Any]]
    plain: frozenset[str]
    mark: str


class Shelfful:
    """The offer as it is now. Lives in the gateway's event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway, self.last = gateway, Offer("", {}, {}, frozenset(), "")

    async def now(self) -> Offer:
        view = await self._gateway.shelf.look()
        if view.blob != self.last.blob:
            self.last = await asyncio.to_thread(self._made, view.blob)
        return self.last

    def _made(self, blob: str) -> Offer:
        catalog = self._gateway.place.parts.catalog
        found = [(entry, manifest) for entry in catalog.entries("active") if (manifest := catalog.manifest(entry.name))]
        found.sort(key=lambda pair: pair[0].name)
        tools = {entry.name: {**tool(manifest, "mcp"), "_meta": {"skillops/version": entry.version}} for entry, manifest in found}
        resources = {entry.name: _resource(entry, manifest) for entry, manifest in found}
        plain = frozenset(
            manifest.name for _, manifest in found if _HEADER not in json.dumps(manifest.inputs) and not _needs_secrets(manifest, catalog)
        )
        return Offer(blob, tools, resources, plain, digest_of([tools, resources, [entry.tree for entry, _ in found]]))


def _needs_secrets(manifest: Manifest, shelf: Shelf) -> bool:
    """Whether it, or a skill that it may come to call, has secrets, which somebody may have to be asked for."""
    return any(each.permissions.secrets for each in (manifest, *reach(manifest, shelf)))


def _resource(entry: Entry, manifest: Manifest) -> dict[str, Any]:
    return {
        "uri": f"{SCHEME}{entry.name}/{FILE}", "name": f"{entry.name}/{FILE}", "title": f"How {entry.name} is used",
        "description": manifest.description, "mimeType": "text/markdown",
    }  # fmt: skip


def page(items: dict[str, dict[str, Any]], cursor: str | None) -> tuple[list[dict[str, Any]], str | None]:
    """The items after `cursor`, which is the name of the last one that was given: right too where some came or went in between."""
    names = [name for name in items if cursor is None or name > cursor]
    return [items[name] for name in names[:PAGE]], names[PAGE - 1] if len(names) > PAGE else None


def instructions(uri: str, gateway: Gateway) -> str:
    """The text of a resource. NotFound names the nearest."""
    name, _, file = uri.removeprefix(SCHEME).partition("/")
    if not uri.startswith(SCHEME) or file != FILE or not name:
        raise NotFound(f"There is no resource {uri[:200]!r}.", next_step=f"They are {TEMPLATE['uriTemplate']}, for each skill of tools/list.")
    parts = gateway.place.parts
    parts.sync()
    entry = parts.entry(name[:200])
    text = parts.forge.read(entry.commit, f"skills/{name}/{FILE}")
    if text is None:
        raise NotFound(f"{name} has no {FILE}.", next_step="Its description in tools/list says what it does.")
    return text.decode(errors="replace")
