"""A browser without a browser: signs in over ASGI, and sends the forms that pages hold."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.gateways import House

ACCEPTS = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
SENT = {**ACCEPTS, "content-type": "application/x-www-form-urlencoded", "origin": "http://gateway", "sec-fetch-site": "same-origin"}


class Browser:
    """One person's. `signed_in` brings it in; cookies are kept as a browser keeps them."""

    def __init__(self, house: House) -> None:
        transport = httpx.ASGITransport(house.app, client=("127.0.0.1", 1))  # type: ignore[arg-type]
        self.house, self.client = house, httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=ACCEPTS, timeout=60)

    async def signed_in(self, *scopes: str, name: str = "ada", to: str = "/attention") -> Browser:
        key = self.house.gateway.keys.create(name, scopes or ("admin",))[1]
        answer = await self.sign_in(key, to)
        assert answer.status_code == 303, answer.text
        return self

    async def sign_in(self, key: str, to: str = "/attention", **headers: str) -> httpx.Response:
        return await self.client.post("/sign-in", content=urlencode({"key": key, "to": to}), headers={**SENT, **headers})

    async def open(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=headers)

    async def page(self, path: str) -> str:
        answer = await self.open(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def send(
        self, path: str, fields: dict[str, Any] | None = None, *, on: str = "/attention", csrf: str | None = None, **headers: str
    ) -> httpx.Response:
        """Sends a form to `path` with the token of the page `on`."""
        token = csrf if csrf is not None else token_of(await self.page(on))
        return await self.client.post(path, content=urlencode({**(fields or {}), "csrf": token}), headers={**SENT, **headers})


def token_of(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found, page
    return found[1]


def text_of(page: str) -> str:
    """What can be read on a page, in one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", re.sub(r"<(script|style|svg)\b.*?</\1>", " ", page, flags=re.DOTALL))).split())
