"""Signing in with a key, and out again."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from agent.gateway.bodies import body_of
from agent.gateway.pages import rendering
from agent.gateway.pages.sessions import LASTS
from agent.gateway.pages.site import Site
from agent.gateway.pages.visitors import checked_form, fields_of, inside
from agent.gateway.problems import Forbidden
from agent.gateway.secrets import over_tls, own_page

LONGEST = 16 * 2**10  # bytes of the form
_WRONG = "This key is not right, or was revoked."


def routes(site: Site) -> list[Route]:
    async def show(request: Request) -> Response:
        back = inside(request.query_params.get("to", "/"))
        if await run_in_threadpool(site.session, request.headers):
            return RedirectResponse(back, 303)
        return await _page(request, back, "")

    async def take(request: Request) -> Response:
        fields = fields_of(request, await body_of(request.headers, request.receive, LONGEST, LONGEST * 64, request.state.hold))
        if not own_page(request):
            raise Forbidden("This did not come from our page, so nobody was signed in.", next_step="Open /sign-in and type the key there.")
        back = inside(fields.get("to", "/"))
        cookie = await run_in_threadpool(site.sessions.sign_in, fields.get("key", "").strip())
        if cookie is None:
            return await _page(request, back, _WRONG, 403)
        answer = RedirectResponse(back, 303)
        _set(answer, request, cookie, int(LASTS))
        return answer

    async def leave(request: Request) -> Response:
        body = await body_of(request.headers, request.receive, LONGEST, LONGEST * 64, request.state.hold)
        checked_form(request, await run_in_threadpool(site.visitor, request), body)
        await run_in_threadpool(site.sessions.sign_out, site.cookie(request.headers))
        answer = RedirectResponse("/sign-in?said=out", 303)
        _set(answer, request, "", 0)
        return answer

    async def _page(request: Request, back: str, fault: str, status: int = 200) -> Response:
        told: dict[str, Any] = {"back": back, "fault": fault, "title": "Sign in"}
        return site.html(await run_in_threadpool(site.rendered, "sign_in.html", None, request, told), status)

    def _set(answer: Response, request: Request, cookie: str, seconds: int) -> None:
        secure = over_tls(request, site.parts.settings.gateway_proxies)
        answer.set_cookie(site.sessions.cookie, cookie, max_age=seconds, httponly=True, samesite="strict", secure=secure, path="/")
        answer.headers.update({name: value for name, value in rendering.HEADERS.items() if name != "content-type"})

    return [
        Route("/sign-in", show, methods=["GET"]),
        Route("/sign-in", take, methods=["POST"]),
        Route("/sign-out", leave, methods=["POST"]),
    ]
