"""A person's own secrets: which skills work with them, a link to the form that takes one, and how one is taken back.

Anybody who may call a skill may say what it gets in their own calls, and in nobody else's: no scope beyond `invoke` is needed for that.
"""

from __future__ import annotations

import contextlib
from typing import Annotated

from fastapi import APIRouter, Path, Request

from agent.domain import Frozen
from agent.errors import ConfigurationError, MissingSecret, NotFound
from agent.gateway.access import key_of, needs
from agent.gateway.gateway import Gateway
from agent.gateway.secrets import Link, Wanted, address, make_link
from agent.parts import Parts
from agent.vault import Secret

Skill = Annotated[str, Path(max_length=63)]
Name = Annotated[str, Path(max_length=64)]


class Own(Frozen):
    """A secret that a skill takes from each caller, and what this caller gave; nothing where they gave none yet."""

    skill: str
    name: str
    secret: Secret | None = None


def own_secrets(parts: Parts, person: str) -> list[Own]:
    """What the skills of the registry take from each caller, and what else this person gave."""
    given = {(secret.skills[0], secret.name): secret for secret in parts.vault.personal(person)}
    asked = {(entry.name, name) for entry in parts.catalog.entries() if entry.status != "retired" for name in entry.permissions.personal}
    return [Own(skill=skill, name=name, secret=given.get((skill, name))) for skill, name in sorted(asked | given.keys())]


def own_link(parts: Parts, base: str, skill: str, name: str, person: str) -> Link:
    """A link below `base` to the form for this person's own. NotFound where the skill takes none of that name."""
    entry = parts.catalog.entry(skill)
    if entry is None or name not in entry.permissions.personal:
        raise NotFound(f"{skill} takes no {name} from those who call it.", next_step="GET /me/secrets lists what skills take from you.")
    return make_link(parts.vault, base, Wanted(name=name, skills=(skill,), person=person), person)


def offer_links(error: MissingSecret, parts: Parts, base: str, person: str) -> None:
    """Gives an error the links that help the person who is told of it; none where it is not about their own, or nobody could open them."""
    error.links = {}
    if person and error.person == person:
        with contextlib.suppress(ConfigurationError, NotFound):
            error.links = {name: own_link(parts, base, error.skill, name, person).url for name in error.names}


def router(gateway: Gateway) -> APIRouter:
    routes, parts = APIRouter(prefix="/me", dependencies=[needs("invoke")], tags=["secrets"]), gateway.place.parts

    @routes.get("/secrets")
    def list_mine(request: Request) -> list[Own]:
        """What skills take from you, and what you gave them: names alone, never a value."""
        parts.sync()
        return own_secrets(parts, key_of(request).name)

    @routes.post("/secrets/{skill}/{name}/form", status_code=201)
    def make_mine(skill: Skill, name: Name, request: Request) -> Link:
        """Makes a link to a form that takes your own value once; it is used in your calls alone."""
        parts.sync()
        return own_link(parts, address(request, parts.settings), skill, name, key_of(request).name)

    @routes.delete("/secrets/{skill}/{name}")
    def remove_mine(skill: Skill, name: Name, request: Request) -> Secret:
        """Takes your own back; the skill's process that had it ends."""
        person = key_of(request).name
        return parts.vault.remove(name, person, skill, person)

    return routes
