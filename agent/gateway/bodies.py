"""Base of what a request to the gateway brings."""

from __future__ import annotations

from pydantic import ConfigDict

from agent.domain import Frozen


class Body(Frozen):
    """Built at once: of one that is built on first use FastAPI makes a second reading at the first request, and warns that it has no alias."""

    model_config = ConfigDict(defer_build=False)
