"""What the routes ask of a request that the door let in."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, Request

from agent.gateway.authority import demand
from agent.keys import Key, Scope


def needs(scope: Scope) -> Any:
    """A route's dependency on a scope of the caller's key."""

    def check(request: Request) -> None:
        demand(key_of(request), scope)

    return Depends(check)


def key_of(request: Request) -> Key:
    """The key that the door has seen."""
    key: Key = request.state.key
    return key
