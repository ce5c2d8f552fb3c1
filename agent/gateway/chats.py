"""The routes at which platforms of chats tell what was said there: each is signed, which the chat's own module looks at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from fastapi import APIRouter, Request
from fastapi.responses import Response

Told = Callable[[str, Mapping[str, str]], tuple[int, Mapping[str, str], bytes]]


def router(path: str, told: Told) -> APIRouter:
    """`told` takes a body and its headers, and gives the answer: status, headers, body."""
    routes = APIRouter(include_in_schema=False)

    @routes.post(path)
    async def take(request: Request) -> Response:
        body = (await request.body()).decode(errors="replace")
        status, headers, answer = await asyncio.to_thread(told, body, dict(request.headers))
        return Response(answer, status, dict(headers))

    return routes
