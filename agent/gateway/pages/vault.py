"""The vault: the names of secrets, whom they are for, what was done with them. A value is set by a one-time form and never comes back."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from starlette.requests import Request

from agent.errors import UsageError
from agent.gateway.pages.site import Page, Site
from agent.gateway.pages.visitors import Visitor
from agent.gateway.secrets import Wanted, address, make_link
from agent.vault import fit


def add_to(site: Site) -> None:
    parts = site.parts

    def show(visitor: Visitor, request: Request) -> dict[str, Any]:
        parts.sync()
        secrets = parts.vault.all()
        return {
            "title": "Vault", "secrets": secrets, "wanted": _wanted(site, {secret.name for secret in secrets}),
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
        parts.vault.remove(request.path_params["name"][:80], visitor.name)
        return "/vault?said=removed"

    site.page("/vault", "vault.html", show, "admin")
    site.form("/vault/form", make, "admin")
    site.form("/vault/{name}/remove", remove, "admin")


def _wanted(site: Site, there: set[str]) -> list[tuple[str, str]]:
    """Secrets that skills of the registry ask for and that the vault does not hold, each with the skill."""
    entries = [entry for entry in site.parts.catalog.entries() if entry.status != "retired"]
    return sorted((name, entry.name) for entry in entries for name in entry.permissions.secrets if name not in there)
