"""The routes for those who watch the gateway: does it live, can it work, what has it done."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from agent.domain import Frozen
from agent.gateway.gateway import Gateway
from agent.gateway.meters import KIND


class Health(Frozen):
    status: str


class Readiness(Frozen):
    """`ready` where everything is ok; each part says `ok`, or what is wrong with it."""

    status: str
    checks: dict[str, str]


def router(gateway: Gateway) -> APIRouter:
    routes, parts = APIRouter(tags=["probes"]), gateway.place.parts

    @routes.get("/healthz")
    async def healthz() -> Health:
        """The gateway lives."""
        return Health(status="healthy")

    @routes.get("/readyz", responses={503: {"model": Readiness}})
    async def readyz(response: Response) -> Readiness:
        """The gateway can work: the registry can be read and the runtime can run skills."""
        fault = await gateway.shelf.fault()
        runtime = await asyncio.to_thread(parts.runtime.available)
        checks = {"registry": fault.what if fault else "ok", "runtime": "ok" if runtime.ok else runtime.why, **gateway.crew()}
        ready = all(said == "ok" for said in checks.values())
        response.status_code = 200 if ready else 503
        return Readiness(status="ready" if ready else "not ready", checks=checks)

    @routes.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        view = await gateway.shelf.look()
        return Response(gateway.meters.page(view.revision), media_type=KIND)

    return routes
