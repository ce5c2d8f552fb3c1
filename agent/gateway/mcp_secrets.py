"""A secret that a skill waits for is asked for by a link to its one-time form (MCP's elicitation by URL), never by a form of the client's:
what a client shows, a model and a log may read.

As over HTTP, a link is made for a key with the scope admin alone: who may call a skill may not say with whose account it works. Only what
is each caller's own is asked of whoever calls.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agent.domain.skill import Manifest
from agent.errors import ConfigurationError
from agent.gateway.gateway import Gateway
from agent.keys import Key

PATIENCE = 120.0  # seconds that a call waits for a form to be filled in, once the person has agreed to open it
LOOK_EVERY = 0.5  # seconds
PREFIX = "secret-"  # of a question's key


async def links(manifest: Manifest, key: Key, gateway: Gateway, base: str) -> dict[str, str]:
    """A link below `base` for each secret that the vault does not have; none where this key gets none, or they would not help."""
    return await asyncio.to_thread(_links, manifest, key, gateway, base)


def _links(manifest: Manifest, key: Key, gateway: Gateway, base: str) -> dict[str, str]:
    from agent.gateway.secrets import Wanted, make_link

    vault, missing, own = gateway.place.parts.vault, absent(manifest, gateway, key.name), manifest.permissions.personal
    theirs = {secret.name for secret in vault.all() if secret.skills and manifest.name not in secret.skills}
    if (set(missing) - set(own) and not key.may("admin")) or theirs.intersection(manifest.permissions.shared):
        return {}  # a secret that is there for other skills is given to one more by a person, not by a form that would replace it
    try:
        wanted = [Wanted(name=name, skills=(manifest.name,), person=key.name if name in own else "") for name in missing]
        return {each.name: make_link(vault, base, each, key.name).url for each in wanted}
    except ConfigurationError:
        return {}  # nobody could open a form there


def absent(manifest: Manifest, gateway: Gateway, person: str) -> list[str]:
    """The secrets of the skill that the vault does not have, or not of this person."""
    vault, asked = gateway.place.parts.vault, manifest.permissions
    there = {secret.name for secret in vault.all()}.intersection(asked.shared)
    there |= {secret.name for secret in vault.personal(person) if manifest.name in secret.skills}.intersection(asked.personal)
    return [name for name in asked.secrets if name not in there]


def message(skill: str, name: str) -> str:
    return f"The skill {skill} needs the secret {name}. The page takes it once, and keeps it in the vault; it does not pass through this client."


def questions(skill: str, found: Mapping[str, str]) -> dict[str, Any]:
    """The result of a call that goes on when these were answered (MCP 2026-07-28, "Multi Round-Trip Requests")."""
    asked = {
        f"{PREFIX}{name}": {"method": "elicitation/create", "params": {"mode": "url", "message": message(skill, name), "url": url}}
        for name, url in found.items()
    }
    return {"resultType": "input_required", "inputRequests": asked}


async def filled_in(manifest: Manifest, key: Key, gateway: Gateway, progress: Callable[[float, str], Awaitable[None]]) -> bool:
    """Whether the vault has every secret of the skill before PATIENCE is over. The person who was asked may still be typing."""
    until, told = time.monotonic() + PATIENCE, False
    while missing := await asyncio.to_thread(absent, manifest, gateway, key.name):
        if time.monotonic() > until:
            return False
        if not told:
            await progress(1.0, f"{manifest.name} waits for {', '.join(missing)} to be filled in.")
            told = True
        await asyncio.sleep(LOOK_EVERY)
    return True
