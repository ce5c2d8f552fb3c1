"""MCP over standard input and output, for a desktop client that starts the command itself. Ends with its input."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import anyio
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp_types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError
from pydantic import ValidationError

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
            await server.run(_Messages(incoming, outgoing), outgoing, server.create_initialization_options())
    finally:
        server.close()
        await gateway.shelf.close()


class _Messages:
    """The messages of a stream. A line that is none is answered as JSON-RPC 2.0 asks (section 5.1); the library would pass it over."""

    def __init__(self, incoming: Any, outgoing: Any) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    async def receive(self) -> SessionMessage:
        while isinstance(item := await self._incoming.receive(), Exception):
            if answer := refusal(item):
                await self._outgoing.send(SessionMessage(answer))
        return item

    @property
    def last_context(self) -> Any:
        return self._incoming.last_context

    def __aiter__(self) -> _Messages:
        return self

    async def __anext__(self) -> SessionMessage:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> _Messages:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._incoming.aclose()


def refusal(error: Exception) -> JSONRPCError | None:
    """The answer to a line that is no message: -32700 where it is no JSON, else -32600. None for an empty line."""
    found = error.errors(include_url=False)[0] if isinstance(error, ValidationError) else None
    if found and isinstance(found["input"], str) and not found["input"].strip():
        return None
    if found and found["type"] != "json_invalid":
        return _refused(INVALID_REQUEST, "The line is no JSON-RPC 2.0 message: a request has `jsonrpc`, `id`, `method` and `params`.")
    why = f" ({found['ctx']['error']})" if found and "ctx" in found else ""
    return _refused(PARSE_ERROR, f"The line is no JSON{why}: each message is one line of JSON.")


def _refused(code: int, message: str) -> JSONRPCError:
    return JSONRPCError(jsonrpc="2.0", id=None, error=ErrorData(code=code, message=message))
