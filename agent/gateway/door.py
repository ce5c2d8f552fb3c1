"""The door that everybody comes through: plain ASGI, so that a call of a skill passes no more than it must.

Host, Origin, size, key and rate are looked at here; what goes wrong anywhere behind it becomes a problem here.
"""

from __future__ import annotations

import contextlib
import logging
import random
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from agent.depth import DEEPEST, too_deep
from agent.domain.invocation import MAX_BODY
from agent.errors import CouldNotTell, SkillOpsError, UsageError
from agent.gateway.bodies import body_of
from agent.gateway.gateway import Gateway
from agent.gateway.problems import Forbidden, WrongHost, WrongType, problem
from agent.gateway.shares import Hold
from agent.heads import Head
from agent.keys import Key

if TYPE_CHECKING:
    from agent.gateway.pages.app import Pages

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

log = logging.getLogger("agent.gateway")
OPEN = frozenset(("/healthz", "/readyz"))  # probes need no key
FORMS = "/secrets/forms/"  # and the token of a link, which is a key of its own
LARGEST_FORM = 2**20  # bytes there, so that a value that is too large is told so
MCP = "/mcp"
OPEN_ON_LOOPBACK = frozenset(("/metrics", "/openapi.json", "/docs", "/"))
_OPEN_THERE = OPEN | OPEN_ON_LOOPBACK
_some = random.Random()  # names of calls, which are no secrets: the kernel's own costs two calls of it a request
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context, 3.2
_ALWAYS = {
    "x-content-type-options": "nosniff", "cache-control": "no-store", "referrer-policy": "no-referrer", "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}  # fmt: skip
_ALWAYS_SENT = [(name.encode(), value.encode()) for name, value in _ALWAYS.items()]


class Visit(NamedTuple):
    """One request that was let in, and read whole. `receive` tells what the client does after that; `repeated`: a header came twice."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    key: Key | None
    request_id: str
    receive: Receive
    repeated: bool = False

    @property
    def traceparent(self) -> str:
        return traceparent_of(self.headers.get("traceparent"))


def traceparent_of(given: object) -> str:
    """That of the caller, or a new one, so that whatever the call leads to can be found by it."""
    if isinstance(given, str) and _TRACEPARENT.fullmatch(given):
        return given
    fresh = f"{_some.getrandbits(192):048x}"
    return f"00-{fresh[:32]}-{fresh[32:]}-00"


Answer = tuple[int, Mapping[str, str], bytes]
Hot = Callable[[Visit], Coroutine[Any, Any, Answer] | None]


class Door:
    """`hot` answers a visit by itself, or gives None; then `app` is asked. `leave` ends what would never end by itself."""

    def __init__(self, gateway: Gateway, hot: Hot, app: App, leave: Callable[[], None] = lambda: None, pages: Pages | None = None) -> None:
        self._gateway, self._hot, self._app, self.leave, self._pages = gateway, hot, app, leave, pages

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = _request_id(headers)
        out, hold = _Out(send, request_id, self._gateway.meters.answered), Hold(self._gateway.burden)
        scope.setdefault("state", {}).update(request_id=request_id, hold=hold)
        try:
            if self._pages and self._pages.wants(scope["method"], scope["path"], headers):
                _check_host(headers, self._gateway)
                _check_origin(headers, self._gateway)
                await self._pages(scope, receive, out)
                return
            visit = await self._let_in(scope, headers, receive, hold)
            if answering := self._hot(visit):
                await out.answer(*await answering)
            else:
                scope["state"].update(visit=visit, key=visit.key)
                async with self._turn(visit):
                    await self._app(scope, _replayed(visit.body, receive), out)
        except SkillOpsError as error:
            await out.answer(*problem(error, request_id))
        except Exception:  # the outermost door of the gateway
            log.exception("request %s", request_id)
            await out.answer(*problem(_unexpected(request_id), request_id))
        finally:
            hold.release()

    def _turn(self, visit: Visit) -> AbstractAsyncContextManager[None]:
        """For what has a thread; streams have none."""
        return self._gateway.turns.of(visit.key.id) if visit.key and visit.path != MCP else nullcontext()

    def at_once(self, head: Head, body: bytes, receive: Receive) -> tuple[Awaitable[Answer], str] | None:
        """What is to be given to `answered`, of a POST that a hot route answers and that nothing speaks against; else None, and nothing is done.

        For whoever has a request whole and without ASGI. It says no to nobody: what is not plainly right here is judged by `__call__`.
        """
        gateway, headers = self._gateway, head.headers
        key = gateway.authority.known(headers.get("authorization", ""))
        if key is None or not _is_plain(head) or len(body) > MAX_BODY or too_deep(body):
            return None
        if host_of(f"//{headers.get('host', '')}") not in gateway.hosts or head.target == gateway.webhook_path:
            return None
        visit = Visit("POST", head.target, headers, body, key, _request_id(headers), receive)
        answering = self._hot(visit)
        if answering and not gateway.rates.allows(key.id):
            answering.close()
            return None
        return (answering, visit.request_id) if answering else None

    async def answered(self, answering: Awaitable[Answer], request_id: str) -> tuple[bytes, bytes]:
        """The head of the answer, but for the empty line at its end, and its body."""
        try:
            status, headers, body = await answering
        except SkillOpsError as error:
            status, headers, body = problem(error, request_id)
        except Exception:  # as in `__call__`
            log.exception("request %s", request_id)
            status, headers, body = problem(_unexpected(request_id), request_id)
        self._gateway.meters.answered(status)
        return b"%bcontent-length: %d\r\nx-request-id: %b\r\n" % (_head(status, tuple(headers.items())), len(body), request_id.encode()), body

    async def _let_in(self, scope: Mapping[str, Any], headers: Mapping[str, str], receive: Receive, hold: Hold) -> Visit:
        gateway, method, path = self._gateway, scope["method"], scope["path"]
        _check_host(headers, gateway)
        _check_origin(headers, gateway)
        at_form = path.startswith(FORMS)
        in_chat = path in gateway.chat_paths
        free = at_form or in_chat or path in open_paths(gateway) or path == gateway.webhook_path
        key = None if free else self._key(method, headers)
        if at_form and self._pages:
            key = self._pages.key(headers)  # who is looking, where they have signed in to the pages: a form may be for somebody else
        elif key:
            gateway.rates.take(key.id)
        # What a browser's form may send to another site without asking is none of these (Fetch standard, 4.10).
        hold.whose, most = key.id if key else "", LARGEST_FORM if at_form else MAX_BODY
        body = await body_of(headers, receive, most, hold=hold) if method not in ("GET", "HEAD") else b""
        if too_deep(body):
            raise UsageError(f"The body is nested deeper than {DEEPEST} levels.", next_step="Send what is flatter.")
        if body and not (at_form or in_chat) and headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise WrongType("The body must be JSON.", next_step="Send it with `Content-Type: application/json`.")
        return Visit(method, path, headers, body, key, scope["state"]["request_id"], receive, len(headers) != len(scope["headers"]))

    def _key(self, method: str, headers: Mapping[str, str]) -> Key:
        """The caller's, who brings it along; of somebody who has signed in to the pages where nothing is changed."""
        given = headers.get("authorization")
        if given is None and self._pages and method in ("GET", "HEAD") and (known := self._pages.key(headers)):
            return known
        return self._gateway.authority.key(given)


class _Out:
    """Sends what is answered, with the headers that every answer has. An answer that has begun cannot be taken back."""

    def __init__(self, send: Send, request_id: str, answered: Callable[[int], None]) -> None:
        self._send, self._answered, self._begun = send, answered, False
        self._always = [*_ALWAYS_SENT, (b"x-request-id", request_id.encode())]

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            self._answered(message["status"])
            own = list(message.get("headers", ()))
            named = {name.lower() for name, _ in own}  # a page of its own may say it otherwise
            message = {**message, "headers": [*own, *(header for header in self._always if header[0] not in named)]}
        await self._send(message)

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        if self._begun:
            return
        sized = {**headers, "content-length": str(len(body))}
        told = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in sized.items()]
        await self({"type": "http.response.start", "status": status, "headers": told})
        await self._send({"type": "http.response.body", "body": body})


def open_paths(gateway: Gateway) -> frozenset[str]:
    """What needs no key."""
    return _OPEN_THERE if gateway.on_loopback else OPEN


def _is_plain(head: Head) -> bool:
    """Whether a hot route may answer it at once: what it says of a path it says of every spelling that `at_once` takes."""
    target, headers = head.target, head.headers
    hot = (target.endswith("/execute") or target == "/mcp") and "%" not in target and "?" not in target and target.startswith("/")
    return hot and head.method == "POST" and "origin" not in headers and headers.get("content-type") == "application/json"


def _request_id(headers: Mapping[str, str]) -> str:
    given = headers.get("x-request-id")
    return given if given and _REQUEST_ID.fullmatch(given) else f"{_some.getrandbits(128):032x}"


@lru_cache(maxsize=256)
def _head(status: int, headers: tuple[tuple[str, str], ...]) -> bytes:
    """Of an answer: what is the same in every one of its kind."""
    lines = {**_ALWAYS, **dict(headers)}
    told = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{told}".encode("latin-1", "replace")


def _check_host(headers: Mapping[str, str], gateway: Gateway) -> None:
    """A page that had its own name point here (DNS rebinding) still sends that name."""
    host = host_of(f"//{headers.get('host', '')}")
    if host not in gateway.hosts:
        raise WrongHost(
            f"This gateway is not {host[:200]!r}." if host else "The request names no host.",
            next_step="The setting gateway_hosts lists the names that it answers to.",
        )


def _check_origin(headers: Mapping[str, str], gateway: Gateway) -> None:
    origin = headers.get("origin")
    if origin is None or origin in gateway.origins:
        return
    if _netloc_of(origin) != headers.get("host") or host_of(origin) not in gateway.hosts:
        raise Forbidden(
            "Pages of another site may not call this gateway.",
            why=f"The page is of {origin[:200]!r}.",
            next_step="The setting gateway_origins lists the sites whose pages may.",
        )


@lru_cache(maxsize=1000)
def host_of(url: str) -> str:
    """The host of a URL in small letters, without port and user; empty where there is none."""
    try:
        parts = urlsplit(url)
        return "" if "@" in parts.netloc else (parts.hostname or "").lower()
    except ValueError:
        return ""


def _netloc_of(origin: str) -> str:
    """`host:port` of an origin; empty where it is none."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(origin)
        return parts.netloc if parts.scheme in ("http", "https") else ""
    return ""


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body that was read already, as if it arrived now; then whatever else the client does."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> MutableMapping[str, Any]:
        return left.pop() if left else await receive()

    return replay


def _unexpected(request_id: str) -> CouldNotTell:
    return CouldNotTell("Something unexpected happened.", next_step=f"The gateway's log has the details, under request {request_id}.")
