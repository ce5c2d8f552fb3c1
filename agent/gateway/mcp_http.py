"""MCP over HTTP at `/mcp`: a call of a skill in the current revision takes the hot path, everything else the library's.

The hot path takes what it is sure of, a well-formed `tools/call` for a skill that is there, and judges its form with the library's
own functions; whatever is odd, or wrong, or of another revision is left to the library, so that each rule is written once.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Coroutine, Mapping, MutableMapping
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from agent.domain.invocation import MAX_BODY
from agent.domain.wire import written
from agent.errors import SkillOpsError
from agent.gateway.door import MCP, Answer, Receive, Send, Visit, traceparent_of
from agent.gateway.gateway import Call, Gateway
from agent.gateway.mcp_answers import Fault, failed, told
from agent.gateway.patience import Patience
from agent.gateway.shares import Places

if TYPE_CHECKING:
    from agent.gateway.mcp_server import Caller, Context, SkillServer

PATH = MCP
SESSIONS, EACH = 1000, 100  # of clients of the handshake era, open at once: of all, and of one key; and so many streams
_JSON = {"content-type": "application/json"}
_MODERN = "2026-07-28"
_KEYS = {"jsonrpc", "id", "method", "params"}
_PARAMS = frozenset(("_meta", "name", "arguments"))  # others go on with a call that asked for input
_USUAL = {f"io.modelcontextprotocol/{name}" for name in ("protocolVersion", "clientCapabilities", "clientInfo")}  # of a client's `_meta`
_SERVER_INFO = "io.modelcontextprotocol/serverInfo"


class Endpoint:
    """Loads the library at the first request, and ends with `close`. Lives in the gateway's event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway, self._server = gateway, None
        self._loading, self._ending = asyncio.Lock(), asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._seen: dict[str, Any] = {}
        self._patience = Patience()
        self._places = Places(SESSIONS, EACH, f"This key has {EACH} streams open, or all have {SESSIONS}.")
        self._opened: dict[str, dict[str, None]] = {}  # the sessions of each key, what was used last comes last

    # ---- the hot path -------------------------------------------------------------------------------------------------

    def hot(self, visit: Visit) -> Coroutine[Any, Any, Answer] | None:
        """The answer to a call of a skill, or None for what the library has to answer."""
        headers, server = visit.headers, self._server
        if server is None or visit.method != "POST" or visit.repeated or headers.get("mcp-protocol-version") != _MODERN:
            return None
        offer, name = server.shelfful.last, headers.get("mcp-name", "")
        if name not in offer.plain or offer.blob != self._gateway.shelf.blob or visit.key is None or not visit.key.may("invoke"):
            return None
        if not _accepts(headers.get("accept", "")) or any(header.startswith("mcp-param-") for header in headers):
            return None
        asked = self._asked(visit)
        return self._call(visit, asked["id"], name, asked["params"]) if asked else None

    def _asked(self, visit: Visit) -> dict[str, Any] | None:
        """The body, where it is a call as the protocol has it and nothing beside."""
        try:
            body = from_json(visit.body)
        except ValueError:  # wrong, or one of the few things that Rust does not take
            return None
        if not isinstance(body, dict) or body.keys() != _KEYS or type(body["id"]) not in (int, str) or body["jsonrpc"] != "2.0":
            return None
        if body["method"] != "tools/call" or not isinstance(body["params"], dict) or body["params"].keys() - _PARAMS:
            return None
        return body if self._well_formed(body, visit.headers) else None

    def _well_formed(self, body: dict[str, Any], headers: Mapping[str, str]) -> bool:
        """Whether headers and envelope are right. What a client says of itself it says with every call: the last is remembered."""
        params, meta = body["params"], body["params"].get("_meta")
        if params.get("name") != headers["mcp-name"] or headers.get("mcp-method") != "tools/call" or type(params.get("arguments", {})) is not dict:
            return False
        if meta == self._seen:
            return True
        if not self._judge(body, headers):
            return False
        if meta.keys() <= _USUAL:
            self._seen = meta
        return True

    async def _call(self, visit: Visit, number: int | str, name: str, params: dict[str, Any]) -> Answer:
        key = visit.key
        assert key is not None, "the door asks for a key here"
        try:
            call = self._gateway.invoke(name, params.get("arguments") or {}, key, _call_of(visit, params["_meta"]))
            result: dict[str, Any] | Fault = told(await self._patience.unless_gone(call, visit.receive))
        except SkillOpsError as error:
            result = failed(error)
        if isinstance(result, Fault):
            return 400, _JSON, written({"jsonrpc": "2.0", "id": number, "error": result._asdict()})
        result["_meta"][_SERVER_INFO] = self._stamp
        return 200, _JSON, to_json({"jsonrpc": "2.0", "id": number, "result": result})  # its outputs were `written` once, for the text

    # ---- the library's path ---------------------------------------------------------------------------------------------

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        server = await self._loaded()
        with suppress(SkillOpsError):  # it is told where it matters: by what lists or calls
            await server.shelfful.now()
        key = scope["state"]["key"].id
        scope["user"] = self._owner(key)
        with self._places.one(key):
            await self._manager.handle_request(scope, receive, self._noting(scope, key, send))
        mine = self._opened.get(key, {})
        while len(mine) > EACH:
            mine.pop(oldest := next(iter(mine)))
            await self._end(scope, oldest)

    def _noting(self, scope: MutableMapping[str, Any], key: str, send: Send) -> Send:
        """Notes which sessions a key has. Clients open them and go without a word, so that the oldest makes room for the newest of its key."""
        mine, named = self._opened.setdefault(key, {}), scope["state"]["visit"].headers.get("mcp-session-id")
        if named in mine:
            del mine[named]
            if scope["method"] != "DELETE":
                mine[named] = None

        async def noting(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and named is None:
                mine.update((value.decode(), None) for name, value in message["headers"] if name.lower() == b"mcp-session-id")
            await send(message)

        return noting

    async def _end(self, scope: MutableMapping[str, Any], session: str) -> None:
        """As its client would."""

        async def empty() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def unheard(message: MutableMapping[str, Any]) -> None:
            pass

        asked = {**scope, "method": "DELETE", "headers": [(b"mcp-session-id", session.encode())]}
        await self._manager.handle_request(asked, empty, unheard)

    def leave(self) -> None:
        """Ends the streams that are held open."""
        if self._server:
            self._server.close()
        self._ending.set()

    async def close(self) -> None:
        self.leave()
        if self._running:
            await self._running

    async def _loaded(self) -> SkillServer:
        async with self._loading:
            if self._server is None:
                await asyncio.to_thread(importlib.import_module, "agent.gateway.mcp_server")
                self._begin()
                ready = asyncio.Event()
                self._running = asyncio.create_task(self._run(ready))
                await ready.wait()
        return self._server

    def _begin(self) -> None:
        from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
        from mcp.server.auth.provider import AccessToken
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
        from mcp.shared.inbound import InboundModernRoute, classify_inbound_request
        from mcp_types import methods
        from pydantic import ValidationError

        from agent.gateway.mcp_server import SkillServer
        from agent.gateway.secrets import address

        def judge(body: dict[str, Any], headers: Mapping[str, str]) -> bool:
            if not isinstance(classify_inbound_request(body, headers=headers), InboundModernRoute):
                return False
            try:
                methods.validate_client_request("tools/call", _MODERN, body["params"])
            except ValidationError:
                return False
            return True

        # A session is its key's alone: the library asks who opened it.
        self._owner = lru_cache(1000)(lambda key: AuthenticatedUser(AccessToken(token="", client_id=key, scopes=[])))
        self._judge = judge
        self._server = SkillServer(self._gateway, _who, lambda context: address(context.request, self._gateway.place.parts.settings))
        self._stamp = self._server.server_info_stamp
        self._manager = StreamableHTTPSessionManager(self._server, max_request_body_size=MAX_BODY, max_sessions=SESSIONS)

    async def _run(self, ready: asyncio.Event) -> None:
        async with self._manager.run():
            ready.set()
            await self._ending.wait()


def _who(context: Context) -> Caller:
    visit = context.request.scope["state"]["visit"]
    return visit.key, _call_of(visit, (context.params or {}).get("_meta"))


def _call_of(visit: Visit, meta: Any) -> Call:
    """The trace context lies in `_meta` where a client has it there, as it would over any other transport."""
    given = meta.get("traceparent") if isinstance(meta, dict) else None
    return Call(visit.request_id, traceparent_of(given) if given else visit.traceparent)


@lru_cache(256)
def _accepts(header: str) -> bool:
    """Whether both of JSON and a stream of events are named: a client has to take either (MCP 2026-07-28, transports)."""
    return {"application/json", "text/event-stream"} <= {each.partition(";")[0].strip().lower() for each in header.split(",")}
