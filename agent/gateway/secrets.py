"""The routes of the vault: names are listed, secrets removed, links to one-time forms made; and the forms themselves.

A form needs no key, its link is one. It is served to this machine alone, or over TLS.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import Field

from agent.domain import Frozen
from agent.errors import ConfigurationError, UsageError
from agent.gateway import secret_page
from agent.gateway.access import key_of, needs
from agent.gateway.bodies import Body
from agent.gateway.gateway import Gateway
from agent.gateway.server import is_loopback
from agent.settings import Settings
from agent.slot import LARGEST, LONGEST_PERSON, NAME
from agent.vault import FORM_SECONDS, Form, Secret, Vault

FORMS = "/secrets/forms/"
LONGEST_FORM = 256 * 2**10  # bytes: a value of the largest size, as a form encodes it
_FORM_TYPE = "application/x-www-form-urlencoded"


class Wanted(Body):
    """What a form is to take: the value of `name`, for `skills` (left out: as it was, or all), within `minutes`. With a `person`, theirs,
    for the one skill that is named."""

    name: str = Field(pattern=f"^{NAME.pattern}$")
    skills: tuple[str, ...] | None = Field(default=None, max_length=100)
    minutes: float = Field(default=FORM_SECONDS / 60, gt=0, le=1440)
    person: str = Field(default="", max_length=LONGEST_PERSON)


class Link(Frozen):
    """Where the form is, once, and until when (ISO 8601, UTC)."""

    url: str
    expires_at: str


def make_link(vault: Vault, base: str, wanted: Wanted, by: str) -> Link:
    """A link below `base`, the gateway's own address. ConfigurationError where no form would be served there."""
    place = urlsplit(base)
    if place.scheme != "https" and not (place.scheme == "http" and is_loopback(place.hostname or "")):
        raise ConfigurationError(
            f"A form at {base} would send the secret in the clear.",
            next_step="Put TLS before the gateway and name its address in the setting gateway_url, or use it on loopback.",
        )
    token, form = vault.open_form(wanted.name, by, wanted.skills, wanted.minutes * 60, wanted.person)
    expires_at = datetime.fromtimestamp(form.expires, UTC).isoformat(timespec="seconds")
    return Link(url=f"{base.rstrip('/')}{FORMS}{token}", expires_at=expires_at)


def router(gateway: Gateway) -> APIRouter:
    routes, parts = APIRouter(tags=["secrets"]), gateway.place.parts
    vault, settings = parts.vault, parts.settings

    @routes.get("/secrets", dependencies=[needs("admin")])
    def list_secrets() -> list[Secret]:
        """The names of the secrets, whom they are for and what was done with them; never their values."""
        return [*vault.all(), *vault.personal()]

    @routes.delete("/secrets/{name}", dependencies=[needs("admin")])
    def remove_secret(
        name: str, request: Request, skill: Annotated[str, Query(max_length=63)] = "", person: Annotated[str, Query(max_length=LONGEST_PERSON)] = ""
    ) -> Secret:
        """Removes a secret; skills that run with it stop until it is set again. With a `person` and a `skill`, that person's own."""
        return vault.remove(name[:80], key_of(request).name, skill, person)

    @routes.post("/secrets/forms", status_code=201, dependencies=[needs("admin")])
    def make_form(wanted: Wanted, request: Request) -> Link:
        """Makes a link to a form that takes the value once, for whoever knows it."""
        return make_link(vault, address(request, settings), wanted, key_of(request).name)

    @routes.get(FORMS + "{token}", include_in_schema=False)
    def show_form(token: Annotated[str, Field(max_length=200)], request: Request) -> HTMLResponse:
        """The form. Looking at it, as a browser or a chat does beforehand, does not use it up."""
        form = vault.form(token) if _private(request, settings.gateway_proxies) else None
        if form is None:
            return _refusal(request, settings.gateway_proxies)
        if _of_another(form, request):
            return _not_yours(form)
        return _page(200, secret_page.form_page(form, vault.signature(token)))

    @routes.post(FORMS + "{token}", include_in_schema=False)
    def take_value(token: Annotated[str, Field(max_length=200)], request: Request) -> HTMLResponse:
        """Takes the value, once."""
        form = vault.form(token) if _private(request, settings.gateway_proxies) else None
        if form is None:
            return _refusal(request, settings.gateway_proxies)
        if _of_another(form, request):
            return _not_yours(form)
        sent = _sent(request)
        proof = vault.signature(token)
        if len(request.state.visit.body) > LONGEST_FORM and own_page(request):
            return _page(413, secret_page.form_page(form, proof, f"The value is too large. It may have {LARGEST} bytes."))
        if not own_page(request) or not hmac.compare_digest(sent.get("proof", "").encode(), proof.encode()):
            return _page(403, secret_page.refusal_page("This did not come from our page", "Open the link itself, and fill in the form there."))
        try:
            secret = vault.submit(token, sent.get("value", ""))
        except UsageError as error:
            return _page(422, secret_page.form_page(form, proof, f"{error.what} {error.next_step}"))
        return _page(200, secret_page.done_page(secret.name)) if secret else _refusal(request, settings.gateway_proxies)

    return routes


def address(request: Request, settings: Settings) -> str:
    """Where the visitor reaches this gateway, as the settings say or as they came."""
    scheme = "https" if over_tls(request, settings.gateway_proxies) else "http"
    return settings.gateway_url or f"{scheme}://{request.headers['host']}"


def over_tls(request: Request, proxies: tuple[str, ...]) -> bool:
    """Whether the visitor came over TLS: to us, or to a proxy that we believe."""
    peer = request.client.host if request.client else ""
    return request.url.scheme == "https" or (peer in proxies and request.headers.get("x-forwarded-proto", "").strip().lower() == "https")


def _private(request: Request, proxies: tuple[str, ...]) -> bool:
    """Over TLS, or from this machine and through no proxy: that one may have its visitors from anywhere."""
    peer = request.client.host if request.client else ""
    through_a_proxy = any(name in request.headers for name in ("forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "via"))
    at_home = is_loopback(peer) and not through_a_proxy and is_loopback(urlsplit(f"//{request.headers.get('host', '')}").hostname or "")
    return at_home or over_tls(request, proxies)


def own_page(request: Request) -> bool:
    """Whether a browser says that it sent a form of ours (Origin, RFC 6454; Sec-Fetch-Site, Fetch Metadata)."""
    origin = urlsplit(request.headers.get("origin", ""))
    own = origin.scheme in ("http", "https") and origin.netloc == request.headers.get("host")
    return own and request.headers.get("sec-fetch-site", "same-origin") == "same-origin"


def _of_another(form: Form, request: Request) -> bool:
    """Whether it is for one person, and another one has signed in to the pages here: what they would give, the first one would use."""
    return bool(form.person and request.state.key and request.state.key.name != form.person)


def _not_yours(form: Form) -> HTMLResponse:
    advice = f"It takes what {form.person} works with, and somebody else has signed in here. If you are {form.person}, sign out first."
    return _page(403, secret_page.refusal_page("This form is for somebody else", advice))


def _sent(request: Request) -> Mapping[str, str]:
    """The form's fields; none where it is no form."""
    body: bytes = request.state.visit.body
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
        return {}
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=4)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items() if len(values) == 1}


def _refusal(request: Request, proxies: tuple[str, ...]) -> HTMLResponse:
    if not _private(request, proxies):
        advice = "This page is served over TLS, or on the gateway's own machine. The settings gateway_url and gateway_proxies tell of the proxy."
        return _page(403, secret_page.refusal_page("Not in the clear", advice))
    return _page(410, secret_page.refusal_page("This link is no longer good", "It was used, or its time is over. Ask whoever sent it for another."))


def _page(status: int, html: str) -> HTMLResponse:
    return HTMLResponse(html, status, secret_page.HEADERS)
