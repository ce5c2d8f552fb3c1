"""What the pages share: the gateway behind them, what they look at, and how a page, a form and a live part are served."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Match, Route

from agent.domain import plain
from agent.errors import NotFound, UsageError
from agent.gateway.authority import demand
from agent.gateway.bodies import body_of
from agent.gateway.gateway import Gateway
from agent.gateway.pages import assets, rendering
from agent.gateway.pages.live import Live
from agent.gateway.pages.sessions import Session, Sessions
from agent.gateway.pages.visitors import SignedOut, Visitor, checked_form, typed, wants_page
from agent.keys import Scope
from agent.parts import Parts

LONGEST_FORM = 2 * 2**20  # bytes
DRAINED = 128 * 2**20  # bytes of a larger one that are read all the same, so that the browser can show why it was refused
REMOTE_LOOK = 10.0  # seconds: a forge elsewhere leaves no file here to look at

View = Callable[[Visitor, Request], dict[str, Any]]
Act = Callable[[Visitor, Request, dict[str, str]], "Page | str | Awaitable[Page | str]"]


@dataclass(frozen=True)
class Page:
    """What a form may answer in place of an address to go to: a part of a page."""

    template: str
    data: Mapping[str, Any]
    status: int = 200


@dataclass(frozen=True)
class _Shown:
    route: Route
    template: str
    view: View
    scopes: tuple[Scope, ...]
    personal: bool


@dataclass
class Site:
    """Lives in one event loop, as the gateway does."""

    gateway: Gateway
    shown: list[_Shown] = field(default_factory=list)
    forms: list[Route] = field(default_factory=list)

    def __post_init__(self) -> None:
        kept = self.gateway.place.checkout.kept
        self.sessions = Sessions(kept / "sessions.sqlite", self.gateway.keys)
        self.live = Live(self.mark)
        self._watched = [kept, kept.parent / "refs/heads"]
        self._remote = self.parts.settings.forge != "local"

    @property
    def parts(self) -> Parts:
        return self.gateway.place.parts

    def mark(self) -> Hashable:
        """Differs after whatever may change a page: of the files that commands write, and of what this process was told."""
        told = self.gateway.feed.told if self.gateway.feed else 0
        at = int(time.monotonic() / REMOTE_LOOK) if self._remote else 0
        return told, at, tuple(_stamp(path) for folder in self._watched for path in _files(folder))

    # ---- what a module of pages adds ----------------------------------------------------------------------------------

    def page(self, path: str, template: str, view: View, *scopes: Scope, personal: bool = False) -> None:
        """A page whose data `view` gives. `personal`: it differs from one visitor to the next."""

        async def endpoint(request: Request) -> Response:
            return await self._show(page, request)

        page = _Shown(Route(path, endpoint, methods=["GET"]), template, view, scopes, personal)
        self.shown.append(page)

    def form(self, path: str, act: Act, *scopes: Scope) -> None:
        """Where a form is sent. `act` gives the address of what to look at next, or a part of a page; it may be a coroutine."""

        async def endpoint(request: Request) -> Response:
            return await self._take(request, act, scopes)

        self.forms.append(Route(path, endpoint, methods=["POST"]))

    # ---- who is there -------------------------------------------------------------------------------------------------

    def session(self, headers: Mapping[str, str]) -> Session | None:
        """Whoever has signed in, by the Cookie header."""
        cookie = self.cookie(headers)
        return self.sessions.find(cookie) if cookie else None

    def cookie(self, headers: Mapping[str, str]) -> str:
        prefix = f"{self.sessions.cookie}="
        found = [part.strip() for part in headers.get("cookie", "").split(";")]
        return next((part.removeprefix(prefix) for part in found if part.startswith(prefix)), "")

    def visitor(self, request: Request) -> Visitor:
        """Raises Unauthorized (SignedOut for a browser) where nobody is known."""
        if authorization := request.headers.get("authorization"):
            visitor = Visitor(self.gateway.authority.key(authorization))
        elif session := self.session(request.headers):
            visitor = Visitor(session.key, session.csrf)
        else:
            raise SignedOut(stands_on(request), expired=bool(self.cookie(request.headers)))
        self.gateway.rates.take(visitor.key.id)
        return visitor

    def allowed(self, request: Request, scopes: tuple[Scope, ...]) -> Visitor:
        visitor = self.visitor(request)
        for scope in scopes:
            demand(visitor.key, scope)
        return visitor

    # ---- serving ------------------------------------------------------------------------------------------------------

    async def _show(self, page: _Shown, request: Request) -> Response:
        visitor = await run_in_threadpool(self.allowed, request, page.scopes)
        async with self.gateway.turns.of(visitor.key.id):
            return await self._shown(page, visitor, request)

    async def _shown(self, page: _Shown, visitor: Visitor, request: Request) -> Response:
        data = await run_in_threadpool(page.view, visitor, request)
        if not wants_page(request.headers) and request.headers.get("hx-request") != "true":
            return JSONResponse(plain(data))
        if request.headers.get("hx-request") == "true" and request.query_params.get("part") in ("live", "found"):
            html = await run_in_threadpool(rendering.block, page.template, request.query_params["part"], self.context(visitor, request, data))
            return self.html(html.replace(rendering.CSRF, visitor.csrf))
        return self.html(await run_in_threadpool(self.rendered, page.template, visitor, request, data))

    async def _take(self, request: Request, act: Act, scopes: tuple[Scope, ...]) -> Response:
        hold = request.state.hold
        hold.whose = await run_in_threadpool(self._whose, request)
        body = await body_of(request.headers, request.receive, LONGEST_FORM, DRAINED, hold)
        request.state.written = typed(request, body)
        visitor = await run_in_threadpool(self.allowed, request, scopes)
        async with self.gateway.turns.of(visitor.key.id):
            return await self._taken(request, visitor, act, body)

    def _whose(self, request: Request) -> str:
        """The key of whoever sends a form, as far as their cookie tells; what else they bring is judged once it is read."""
        session = self.session(request.headers)
        return session.key.id if session else ""

    async def _taken(self, request: Request, visitor: Visitor, act: Act, body: bytes) -> Response:
        fields = checked_form(request, visitor, body)
        if inspect.iscoroutinefunction(act):
            answer = await cast(Awaitable[Page | str], act(visitor, request, fields))
        else:
            answer = cast(Page | str, await run_in_threadpool(act, visitor, request, fields))
        if isinstance(answer, str):
            return RedirectResponse(answer, 303, {**rendering.HEADERS, "content-type": "text/plain"})
        return self.html(await run_in_threadpool(self.rendered, answer.template, visitor, request, answer.data), answer.status)

    async def serve_live(self, request: Request) -> Response:
        """The live part of a page, again and again."""
        path = "/" + request.path_params["path"]
        for page in self.shown:
            match, found = page.route.matches({"type": "http", "path": path, "method": "GET"})
            if match is Match.FULL:
                break
        else:
            raise NotFound(f"There is no page at {path[:200]}.", next_step="GET / is where pages begin.")
        visitor = await run_in_threadpool(self.allowed, request, page.scopes)
        there = Request({**request.scope, "path": path, "raw_path": path.encode(), "path_params": found["path_params"]}, request.receive)

        async def make() -> str:
            async with self.gateway.turns.of(f"live {visitor.key.id}"):
                data = await run_in_threadpool(page.view, visitor, there)
                return await run_in_threadpool(rendering.block, page.template, "live", self.context(visitor, there, data))

        whose = visitor.name if page.personal else ""
        key = (path, str(request.query_params), visitor.key.scopes, whose)
        events = self.live.stream(visitor.key.id, key, make, visitor.csrf, lambda: self.session(request.headers) is not None or not visitor.csrf)
        return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"})

    def rendered(self, template: str, visitor: Visitor | None, request: Request, data: Mapping[str, Any]) -> str:
        return rendering.page(template, self.context(visitor, request, data), visitor.csrf if visitor else "")

    def context(self, visitor: Visitor | None, request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
        """What every template may use."""
        asset = {name: assets.address(name) for name in assets.assets()}
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        said = request.query_params.get("said", "")
        return {"visitor": visitor, "path": request.url.path, "here": here, "asset": asset, "said": said, "query": request.query_params, **data}

    def html(self, text: str, status: int = 200) -> Response:
        return HTMLResponse(text, status, {name: value for name, value in rendering.HEADERS.items() if name != "content-type"})


def number_of(request: Request) -> int:
    """The number in a page's address."""
    text = request.path_params["number"]
    if not text.isdecimal() or not 0 < int(text[:12]) < 2**31:
        raise UsageError(f"{text[:40]!r} is no number of a request or proposal.", next_step="/requests and /proposals list them.")
    return int(text)


def stands_on(request: Request) -> str:
    """The address that was asked for, or of the page that a form stands on."""
    if request.method == "GET" and request.headers.get("hx-request") != "true" and not request.url.path.startswith("/live/"):
        return request.url.path + (f"?{request.url.query}" if request.url.query else "")
    there = urlsplit(request.headers.get("hx-current-url") or request.headers.get("referer") or "/")
    return there.path + (f"?{there.query}" if there.query else "")


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix != ".sqlite-shm" and path.is_file())
    except OSError:
        return []


def _stamp(path: Path) -> tuple[str, int, int]:
    try:
        found = path.stat()
    except OSError:
        return path.name, 0, 0
    return path.name, found.st_mtime_ns, found.st_size
