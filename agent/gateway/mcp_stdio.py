"""MCP over standard input and output, for a desktop client that starts the command itself. Ends with its input."""

from __future__ import annotations

import asyncio
import secrets

from mcp.server.stdio import stdio_server

from agent.gateway.door import traceparent_of
from agent.gateway.gateway import Call, Gateway
from agent.gateway.mcp_server import Caller, Context, SkillServer
from agent.keys import SCOPES, Key


def run(gateway: Gateway, address: str) -> None:
    """Serves until the input ends. Whoever can start the command may do everything that the command can.

    `address` is where `skillops serve` would be: links to forms lead there.
    """
    key = Key(id="local", name=gateway.place.parts.user, scopes=SCOPES, created="")

    def who(context: Context) -> Caller:
        meta = (context.params or {}).get("_meta")
        given = meta.get("traceparent") if isinstance(meta, dict) else None
        return key, Call(secrets.token_hex(16), traceparent_of(given))

    asyncio.run(_serve(gateway, SkillServer(gateway, who, lambda context: address)))


async def _serve(gateway: Gateway, server: SkillServer) -> None:
    try:
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())
    finally:
        server.close()
        await gateway.shelf.close()
