"""A scripted HTTP server: of the routes of a stand-in the first that fits a request answers it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import unquote

from agent.domain.schema import Json
from agent.domain.skill import same_json
from agent.domain.stand_in import STAND_INS_PATH, Route

if TYPE_CHECKING:
    from aiohttp import web

LARGEST = 2**20  # bytes of a request's body
UNKNOWN = 501  # to a request that no route fits


def server_of(routes: Sequence[Route]) -> web.Server:
    """A protocol factory for the loop's servers."""
    from aiohttp import web

    async def answer(request: web.BaseRequest) -> web.Response:
        body = bytearray()
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > LARGEST:
                return web.Response(status=413)
        sent = Body(bytes(body))
        route = next((route for route in routes if fits(route, request, sent)), None)
        if route is None:
            text = f"{STAND_INS_PATH} has no route for {request.method} {request.rel_url}\n"
            return web.Response(status=UNKNOWN, text=text)
        reply = route.reply
        said: bytes | None = reply.body.encode() if reply.body is not None else None
        headers = {"Content-Type": "text/plain; charset=utf-8"} if said else {}
        if "json_body" in reply.model_fields_set:
            said, headers = json.dumps(reply.json_body, ensure_ascii=False).encode(), {"Content-Type": "application/json"}
        given = {name.lower() for name in reply.headers}
        headers = {name: value for name, value in headers.items() if name.lower() not in given} | reply.headers
        return web.Response(status=reply.status, body=said, headers=headers)

    return web.Server(answer, access_log=None)


class Body:
    """What a request sent, read as JSON once, however many routes ask."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @cached_property
    def document(self) -> tuple[Json, bool]:
        """The value, and whether it is one."""
        try:
            return json.loads(self.data), True
        except (ValueError, RecursionError):
            return None, False


def fits(route: Route, request: web.BaseRequest, body: Body) -> bool:
    if request.method != route.method or unquote(request.rel_url.raw_path) != unquote(route.path):
        return False
    if route.query is not None and sorted(request.rel_url.query.items()) != sorted(route.query.items()):
        return False
    if any(request.headers.get(name) != value for name, value in route.headers.items()):
        return False
    if route.body is not None and body.data != route.body.encode():
        return False
    return not route.wants_json or (body.document[1] and same_json(body.document[0], route.json_body))
