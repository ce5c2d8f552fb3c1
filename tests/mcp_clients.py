"""A gateway that listens on a socket in this process, and clients of MCP's own library that speak each revision to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from agent.domain.skill import Manifest
from agent.gateway.server import listen, url_of
from tests.gateways import House, a_house, a_server

MODERN, LEGACY = "2026-07-28", "2025-11-25"
MODES = ("2026-07-28", "legacy")
_META = "io.modelcontextprotocol/"


@dataclass
class Served:
    """A house whose door is open at `url`."""

    house: House
    url: str

    @asynccontextmanager
    async def client(self, mode: str = MODERN, headers: dict[str, str] | None = None, **traits: Any) -> AsyncIterator[Client]:
        """A client with an admin's key, or with these headers."""
        headers = headers or self.house.key("admin", name="ada")
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30) as http,
            Client(streamable_http_client(f"{self.url}/mcp", http_client=http), mode=mode, cache=None, **traits) as client,
        ):
            yield client

    async def post(self, document: Any, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """What a client sends that is not of the library: `document` as it is, with the headers of a well-formed call but for `headers`."""
        given = {**self.house.key("admin", name="ada"), **call_headers(), **(headers or {})}
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        async with httpx.AsyncClient(timeout=30) as client:
            return await client.post(f"{self.url}/mcp", content=body, headers={name: value for name, value in given.items() if value}, **more)


def call_headers(name: str = "word-count") -> dict[str, str]:
    """Those of a call in the revision 2026-07-28."""
    return {
        "content-type": "application/json", "accept": "application/json, text/event-stream", "mcp-protocol-version": MODERN,
        "mcp-method": "tools/call", "mcp-name": name,
    }  # fmt: skip


def a_call(name: str = "word-count", arguments: Any = None, number: Any = 1, **params: Any) -> dict[str, Any]:
    """The body of one; `params` are added."""
    meta = {f"{_META}protocolVersion": MODERN, f"{_META}clientCapabilities": {}, f"{_META}clientInfo": {"name": "test", "version": "1"}}
    given = {"text": "one two"} if arguments is None else arguments
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"_meta": meta, "name": name, "arguments": given, **params}}


@asynccontextmanager
async def a_served_house(folder: Path, *manifests: Manifest, **traits: Any) -> AsyncIterator[Served]:
    async with a_house(folder, *manifests, hosts=frozenset(("gateway", "127.0.0.1")), **traits) as house:
        listening = listen("127.0.0.1", 0)
        async with a_server(house.app, listening):
            yield Served(house, url_of(listening))
