"""Who looks at a page or sends its form: the cookie of a session, or an API client's key."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.requests import Request

from agent.errors import UsageError
from agent.gateway.pages.forms import PREFIX
from agent.gateway.problems import Forbidden, Unauthorized
from agent.gateway.secrets import own_page
from agent.keys import Key, Scope

FORM = "application/x-www-form-urlencoded"
FIELDS = 500  # of a form
WORDS = ("text", "why")  # the fields of our forms that hold a person's own words, beside the inputs of a skill
LONGEST_RETURN = 2000  # characters of an address to come back to


class SignedOut(Unauthorized):
    """Nobody has signed in, or their time is over; `back` is where they wanted to go."""

    def __init__(self, back: str, *, expired: bool = False) -> None:
        told = "You were signed out: your session is over." if expired else "You are not signed in."
        super().__init__(told, next_step="Sign in with your key; `skillops key create` makes one.")
        self.back, self.expired = back, expired


@dataclass(frozen=True)
class Visitor:
    """`csrf` is empty for an API client, whose key no other site's page can send."""

    key: Key
    csrf: str = ""

    @property
    def name(self) -> str:
        return self.key.name

    def may(self, *scopes: Scope) -> bool:
        return all(map(self.key.may, scopes))


def wants_page(headers: Mapping[str, str]) -> bool:
    """Whether a page is preferred over a JSON document: what a browser's Accept says, and an API client's does not (RFC 9110, 12.5.1)."""
    weights = {"text/html": 0.0, "application/json": 0.0}
    for part in headers.get("accept", "").lower().split(","):
        kind, _, rest = part.partition(";")
        if (kind := kind.strip()) in weights:
            weights[kind] = _quality(rest)
    return weights["text/html"] > weights["application/json"]


def _quality(rest: str) -> float:
    for parameter in rest.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def inside(address: str) -> str:
    """An address to come back to, where it is one of ours; else the start. Nobody is sent to another site."""
    odd = not address.startswith("/") or address.startswith(("//", "/\\")) or "\\" in address or not address.isprintable()
    if odd or len(address) > LONGEST_RETURN:
        return "/"
    try:
        parts = urlsplit(address)
    except ValueError:
        return "/"
    ours = not parts.scheme and not parts.netloc and not parts.path.startswith(("/sign-", "/live/"))
    return quote(address, safe="/?&=%#@:+,;!~*'()-._$") if ours else "/"


def checked_form(request: Request, visitor: Visitor, body: bytes) -> dict[str, str]:
    """The fields of a form that a page of ours sent for this visitor. Forbidden where it was sent from anywhere else."""
    fields = fields_of(request, body)
    if not own_page(request) or not visitor.csrf or not hmac.compare_digest(fields.pop("csrf", "").encode(), visitor.csrf.encode()):
        raise Forbidden(
            "This did not come from one of our pages, so nothing was done.",
            why="The form's token, or the page's origin, is not right.",
            next_step="Open the page anew and send the form from there.",
        )
    return fields


def typed(request: Request, body: bytes) -> tuple[str, ...]:
    """What a person wrote in a form of ours, so that they have it back where it was not taken; nothing of what came from elsewhere."""
    if not own_page(request):
        return ()
    try:
        fields = fields_of(request, body)
    except UsageError:
        return ()
    return tuple(text for name, text in fields.items() if text.strip() and (name in WORDS or name.startswith(PREFIX)))


def fields_of(request: Request, body: bytes) -> dict[str, str]:
    """The fields of a form; UsageError where it is none."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise UsageError("A form was expected.", next_step=f"Send it as {FORM}; JSON goes to the routes of /docs.")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS)
    except ValueError:
        raise UsageError("The form cannot be read.", next_step="Open the page anew and send it again.") from None
    return dict(pairs)
