"""Patience with a client that waits for an answer: what it asked for is given up when it goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from agent.gateway.door import Receive
from agent.gateway.problems import TooSlow

T = TypeVar("T")
QUICK = 0.25  # seconds within which nobody looks whether the client is still there: most calls are over by then


async def unless_gone(work: Awaitable[T], receive: Receive) -> T:
    """What `work` comes to. Where the client goes away first, it is cancelled, and TooSlow raised."""
    task, loop, watching = asyncio.current_task(), asyncio.get_running_loop(), list[asyncio.Task[None]]()
    assert task is not None, "a coroutine runs in a task"

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        task.cancel()

    timer = loop.call_later(QUICK, lambda: watching.append(loop.create_task(watch())))
    try:
        return await work
    except asyncio.CancelledError:
        if watching and watching[0].done() and task.uncancel() == 0:
            raise TooSlow("The client went away before the answer was there.") from None
        raise
    finally:
        timer.cancel()
        for each in watching:
            each.cancel()
