"""The gateway put together: the door, the hot route, and FastAPI's routes behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from agent import __version__
from agent.domain.skill import Manifest
from agent.errors import CouldNotTell, NotFound, SkillOpsError, UsageError
from agent.gateway import builds, conversations, docs, execute, openapi, own_secrets, probes, requests, secrets, skills, verdicts
from agent.gateway.door import Answer, Door, Receive, Send, Visit, open_paths
from agent.gateway.gateway import Gateway
from agent.gateway.mcp_http import PATH, Endpoint
from agent.gateway.pages.app import Pages
from agent.gateway.pages.visitors import wants_page
from agent.gateway.problems import WrongMethod, problem


def make_app(gateway: Gateway, *more: APIRouter) -> Door:
    """The ASGI application; `more` are routes that only some gateways have."""
    mcp, execute_route, pages = Endpoint(gateway), execute.route(gateway), Pages(gateway)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await mcp.close()
        await gateway.shelf.close()

    app = FastAPI(
        title="SkillOps gateway",
        version=__version__,
        description="Calls skills, raises requests for new ones, and tells how they fare. Each page answers JSON at its address as well: "
        "/attention, /ask, /registry, /ledger, /vault, /settings and /own-secrets beside those that are here.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    for shelf in (skills, requests, conversations, verdicts, builds, secrets, own_secrets, probes):
        app.include_router(shelf.router(gateway))
    for routes in more:
        app.include_router(routes)
    _add_documents(app, gateway)
    _add_problems(app, pages)

    def hot(visit: Visit) -> Coroutine[Any, Any, Answer] | None:
        return mcp.hot(visit) if visit.path == PATH else execute_route(visit)

    async def behind(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        await (mcp if scope.get("path") == PATH else app)(scope, receive, send)

    def leave() -> None:
        mcp.leave()
        pages.leave()

    return Door(gateway, hot, behind, leave, pages)


def _add_documents(app: FastAPI, gateway: Gateway) -> None:
    made: dict[str, dict[str, Any]] = {}  # of one registry, by its blob id

    async def current() -> dict[str, Any]:
        view = await gateway.shelf.look()
        if view.blob not in made:
            manifests = await asyncio.to_thread(_callable, gateway)
            made.clear()
            made[view.blob] = openapi.document(app.openapi(), manifests, view.revision, open_paths(gateway) | {gateway.webhook_path})
        return made[view.blob]

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi_json() -> JSONResponse:
        return JSONResponse(await current())

    @app.get("/docs", include_in_schema=False)
    async def docs_page() -> HTMLResponse:
        return HTMLResponse(docs.page(await current()))

    @app.get("/", include_in_schema=False)
    async def start() -> RedirectResponse:
        return RedirectResponse("/docs")


def _callable(gateway: Gateway) -> list[Manifest]:
    catalog = gateway.place.parts.catalog
    return [manifest for entry in catalog.entries() if entry.status != "retired" and (manifest := catalog.manifest(entry.name))]


def _methods(app: FastAPI, path: str) -> list[str]:
    """What is allowed at a path: of the routes that it fits, those that name most of it."""
    fitting = [route for route in app.routes if isinstance(route, Route) and route.path_regex.match(path)]
    closest = min((route.path.count("{") for route in fitting), default=0)
    return sorted({method for route in fitting if route.path.count("{") == closest for method in route.methods or ()})


def _add_problems(app: FastAPI, pages: Pages) -> None:
    def answer(request: Request, error: SkillOpsError) -> Response:
        status, headers, body = problem(error, request.state.request_id)
        return Response(body, status, headers)

    @app.exception_handler(SkillOpsError)
    async def told(request: Request, error: SkillOpsError) -> Response:
        return answer(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:5]]
        return answer(request, UsageError("The request is not right.", why="; ".join(faults), next_step="GET /openapi.json has the form."))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            allowed = {"allow": ", ".join(_methods(app, request.url.path))}
            return answer(request, WrongMethod(f"{request.method} is not allowed here.", headers=allowed))
        if error.status_code == 404 and wants_page(request.headers) and "authorization" not in request.headers:
            return await pages.nowhere(request)
        if error.status_code == 404:
            return answer(request, NotFound(f"There is nothing at {request.url.path[:200]}.", next_step="GET /docs shows what there is."))
        return answer(request, UsageError("The request cannot be read.", why=str(error.detail)[:300], next_step="GET /openapi.json has the form."))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        """The door, which the error goes on to, logs it."""
        here = request.state.request_id
        return answer(request, CouldNotTell("Something unexpected happened.", next_step=f"The gateway's log has the details, under request {here}."))
