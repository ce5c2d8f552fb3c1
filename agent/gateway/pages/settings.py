"""The settings, to be read: each with where its value came from and what it is for. A secret's value is never shown."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr
from starlette.requests import Request

from agent.domain import Frozen
from agent.gateway.pages.site import Site
from agent.gateway.pages.visitors import Visitor
from agent.keys import Key


class Row(Frozen):
    """`secret`: the value is not here; it says only whether there is one."""

    name: str
    value: str
    source: str
    description: str
    secret: bool


def add_to(site: Site) -> None:
    def show(visitor: Visitor, request: Request) -> dict[str, Any]:
        settings, policy = site.parts.settings, site.parts.policy()
        rows = []
        for told in settings.explained():
            value = getattr(settings, told["name"])
            secret = isinstance(value, SecretStr)
            if secret:
                told = {**told, "value": "set, and not shown" if value.get_secret_value() else ""}
            rows.append(Row(**told, secret=secret))
        return {"title": "Settings", "rows": rows, "policy": policy, "keys": _keys(site), "me": visitor.key.id}

    site.page("/settings", "settings.html", show, "admin")


def _keys(site: Site) -> list[Key]:
    """Those that were not revoked; of their secrets nothing is known."""
    return [key for key in site.gateway.keys.all() if not key.revoked]
