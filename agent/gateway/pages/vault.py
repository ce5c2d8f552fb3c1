"""The vault: the names of secrets, whom they are for, what was done with them. A value is set by a one-time form and never comes back."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from starlette.requests import Request

from agent.errors import UsageError
from agent.gateway.own_secrets import own_link, own_secrets
from agent.gateway.pages.site import Page, Site
from agent.gateway.pages.visitors import Visitor
from agent.gateway.secrets import Wanted, address, make_link
from agent.slot import fit


def add_to(site: Site) -> None:
    parts = site.parts

    def show(visitor: Visitor, request: Request) -> dict[str, Any]:
        parts.sync()
        secrets = parts.vault.all()
        return {
            "title": "Vault", "secrets": [*secrets, *parts.vault.personal()], "wanted": _wanted(site, {secret.name for secret in secrets}),
            "name": request.query_params.get("name", "")[:64], "skill": request.query_params.get("skill", "")[:63],
        }  # fmt: skip

    def make(visitor: Visitor, request: Request, fields: dict[str, str]) -> Page:
        name, skills = fields.get("name", "").strip(), tuple(fields.get("skills", "").replace(",", " ").split())
        fit(name, None, skills)
        try:
            wanted = Wanted(name=name, skills=skills or None)
        except ValidationError as error:
            raise UsageError(
                "No form can be made of this.", why=error.errors()[0]["msg"], next_step="A name like WEATHER_KEY, and names of skills."
            ) from None
        link = make_link(parts.vault, address(request, parts.settings), wanted, visitor.name)
        return Page("link.html", {"title": f"A form for {name}", "link": link, "name": name}, 201)

    def remove(visitor: Visitor, request: Request, fields: dict[str, str]) -> str:
        parts.vault.remove(request.path_params["name"][:80], visitor.name, fields.get("skill", "")[:63], fields.get("person", "")[:200])
        return "/vault?said=removed"

    def show_own(visitor: Visitor, request: Request) -> dict[str, Any]:
        parts.sync()
        return {"title": "Your secrets", "own": own_secrets(parts, visitor.name)}

    def make_own(visitor: Visitor, request: Request, fields: dict[str, str]) -> Page:
        parts.sync()
        skill, name = request.path_params["skill"][:63], request.path_params["name"][:64]
        link = own_link(parts, address(request, parts.settings), skill, name, visitor.name)
        return Page("link.html", {"title": f"A form for {name} of {skill}", "link": link, "name": name, "own": True}, 201)

    def remove_own(visitor: Visitor, request: Request, fields: dict[str, str]) -> str:
        parts.vault.remove(request.path_params["name"][:64], visitor.name, request.path_params["skill"][:63], visitor.name)
        return "/own-secrets?said=removed"

    site.page("/vault", "vault.html", show, "admin")
    site.form("/vault/form", make, "admin")
    site.form("/vault/{name}/remove", remove, "admin")
    site.page("/own-secrets", "own_secrets.html", show_own, "invoke", personal=True)
    site.form("/own-secrets/{skill}/{name}/form", make_own, "invoke")
    site.form("/own-secrets/{skill}/{name}/remove", remove_own, "invoke")


def _wanted(site: Site, there: set[str]) -> list[tuple[str, str]]:
    """Secrets that skills of the registry ask for and that the vault does not hold, each with the skill."""
    entries = [entry for entry in site.parts.catalog.entries() if entry.status != "retired"]
    return sorted((name, entry.name) for entry in entries for name in entry.permissions.shared if name not in there)
