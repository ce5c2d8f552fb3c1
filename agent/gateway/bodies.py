"""What a request to the gateway brings: its bytes, and the base of what they are read as."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import ConfigDict

from agent.domain import Frozen
from agent.domain.invocation import MAX_BODY
from agent.gateway.problems import TooLarge, TooSlow
from agent.gateway.shares import Hold

if TYPE_CHECKING:
    from agent.gateway.door import Receive

BODY_SECONDS = 30.0  # in which a body must have arrived


class Body(Frozen):
    """Built at once: of one that is built on first use FastAPI makes a second reading at the first request, and warns that it has no alias."""

    model_config = ConfigDict(defer_build=False)


async def body_of(headers: Mapping[str, str], receive: Receive, most: int = MAX_BODY, drained: int = 4 * MAX_BODY, hold: Hold | None = None) -> bytes:
    """The whole body. Some of one that is too large is read all the same (`drained` bytes), so that the client can read the answer.
    What is kept of it counts on `hold`."""
    announced = headers.get("content-length", "0")
    too_large = announced.isdecimal() and len(announced) < 20 and int(announced) > most
    content = bytearray()
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while size <= drained:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise TooSlow("The client went away before the whole body had arrived.")
                part = message.get("body", b"")
                size += len(part)
                if size <= most and not too_large:
                    if hold:
                        hold.add(len(part))
                    content += part
                if not message.get("more_body"):
                    break
    except TimeoutError:
        raise TooSlow(f"The body did not arrive within {BODY_SECONDS:g} s.", headers={"connection": "close"}) from None
    if size > most or too_large:
        raise TooLarge(
            "The body is too large.",
            why=f"It may have {most} bytes.",
            next_step="Send less at once.",
            headers={"connection": "close"},
        )
    return bytes(content)
