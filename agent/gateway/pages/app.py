"""The pages put together: which requests are theirs, their routes, and what a page says when something goes wrong."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from agent.errors import CouldNotTell, NotFound, SkillOpsError
from agent.gateway.door import Receive, Send
from agent.gateway.gateway import Gateway
from agent.gateway.pages import ask, assets, attention, ledger, proposals, registry, requests, settings, sign_in, skills, vault
from agent.gateway.pages.rendering import MENU
from agent.gateway.pages.site import Site, stands_on
from agent.gateway.pages.visitors import FORM, SignedOut, Visitor, inside, wants_page
from agent.gateway.problems import WrongMethod, problem, status_of
from agent.keys import Key

log = logging.getLogger("agent.gateway")
_OURS = re.compile(r"/(sign-in|sign-out|attention|registry|ledger|settings|vault|own-secrets|ask|static|live)(/.*)?")
_SHARED = re.compile(r"/|/(skills|requests|proposals)(/[^/]+)*/?")  # where the API answers those who want no page


class Pages:
    """An ASGI application for those requests that it `wants`."""

    def __init__(self, gateway: Gateway) -> None:
        self.site = Site(gateway)
        for shelf in (attention, ask, requests, proposals, skills, registry, ledger, vault, settings):
            shelf.add_to(self.site)
        shown = [page.route for page in self.site.shown]
        own = [
            Route("/", self._start, methods=["GET"]),
            Route("/static/{digest}/{name}", assets.serve, methods=["GET"]),
            Route("/live/{path:path}", self.site.serve_live, methods=["GET"]),
            *sign_in.routes(self.site),
        ]
        handlers: dict[Any, Any] = {SkillOpsError: self._told, HTTPException: self._refused, Exception: self._unexpected}
        self._app = Starlette(routes=[*own, *shown, *self.site.forms], exception_handlers=handlers)
        self._app.router.redirect_slashes = False

    def wants(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        """Whether a request is for a page. Whoever brings a key to an address of the API's is an API client, whatever it accepts."""
        if _OURS.fullmatch(path):
            return True
        if "authorization" in headers or not _SHARED.fullmatch(path) or path.endswith("/execute"):
            return False
        if method in ("GET", "HEAD"):
            return wants_page(headers) or headers.get("hx-request") == "true"
        return method == "POST" and headers.get("content-type", "").partition(";")[0].strip().lower() == FORM

    def key(self, headers: Mapping[str, str]) -> Key | None:
        """Of whoever has signed in: for the API's answers at the addresses that it shares."""
        session = self.site.session(headers)
        return session.key if session else None

    def leave(self) -> None:
        self.site.live.leave()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def _start(self, request: Request) -> Response:
        """To the first page of the menu that this visitor may see."""
        visitor = await run_in_threadpool(self.site.visitor, request)
        return RedirectResponse(next((address for address, name, scopes in MENU if name and visitor.may(*scopes)), "/attention"), 302)

    # ---- what goes wrong ------------------------------------------------------------------------------------------------

    async def _told(self, request: Request, error: SkillOpsError) -> Response:
        """The error as a page, as a part of one, or as a problem for those who want none."""
        here = request.state.request_id
        status, headers, body = problem(error, here)
        if not wants_page(request.headers) and request.headers.get("hx-request") != "true":
            return Response(body, status, headers)
        written = getattr(request.state, "written", ())
        if isinstance(error, SignedOut) and not written:
            return _to_sign_in(request, error)
        headers = {name: value for name, value in headers.items() if name != "content-type"}
        session = await run_in_threadpool(self.site.session, request.headers)
        visitor = Visitor(session.key, session.csrf) if session else None
        template = "problem_part.html" if request.headers.get("hx-request") == "true" else "problem.html"
        told = {"error": error, "status": status_of(error), "request_id": here, "title": error.what}
        told |= {"written": written, "back": _back(request, error)}
        answer = self.site.html(await run_in_threadpool(self.site.rendered, template, visitor, request, told), status)
        answer.headers.update(headers)
        return answer

    async def _refused(self, request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            return await self._told(request, WrongMethod(f"{request.method} is not allowed here.", headers=dict(error.headers or {})))
        return await self.nowhere(request)

    async def nowhere(self, request: Request) -> Response:
        """What a browser is shown at an address where nothing is."""
        return await self._told(request, NotFound(f"There is no page at {request.url.path[:200]}.", next_step="The menu shows what there is."))

    async def _unexpected(self, request: Request, error: Exception) -> Response:
        """The door, which the error goes on to, logs it."""
        here = request.state.request_id
        return await self._told(
            request, CouldNotTell("Something unexpected happened.", next_step=f"The gateway's log has the details, under {here}.")
        )


def _sign_in(error: SignedOut) -> str:
    return f"/sign-in?to={quote(inside(error.back), safe='')}" + ("&said=expired" if error.expired else "")


def _back(request: Request, error: SkillOpsError) -> str:
    """Where somebody whose form was not taken goes on; empty where that is nowhere but the start."""
    if isinstance(error, SignedOut):
        return _sign_in(error)
    there = inside(stands_on(request)) if request.method == "POST" else "/"
    return "" if there == "/" else there


def _to_sign_in(request: Request, error: SignedOut) -> Response:
    there = _sign_in(error)
    if request.headers.get("hx-request") == "true":
        return Response(status_code=401, headers={"hx-redirect": there})
    return RedirectResponse(there, 303)
