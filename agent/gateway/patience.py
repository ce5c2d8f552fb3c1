"""Patience with clients that wait for an answer: what one asked for is given up when it goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from agent.gateway.door import Receive
from agent.gateway.problems import TooSlow

T = TypeVar("T")
QUICK = 0.25  # seconds within which nobody looks whether the client is still there: most calls are over by then


class Patience:
    """Lives in one event loop, with one timer for all who wait: each its own would cost more than what it is for."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Task[Any], tuple[float, Receive]] = {}  # since when; whoever waits longest comes first
        self._watching: dict[asyncio.Task[Any], asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def unless_gone(self, work: Awaitable[T], receive: Receive) -> T:
        """What `work` comes to. Where the client goes away first, it is cancelled, and TooSlow raised."""
        self._loop = loop = self._loop or asyncio.get_running_loop()  # to ask for it is a system call, up to Python 3.12
        task = asyncio.current_task(loop)
        assert task is not None, "a coroutine runs in a task"
        self._waiting[task] = loop.time(), receive
        if self._timer is None:
            self._timer = loop.call_later(QUICK, self._look)
        try:
            return await work
        except asyncio.CancelledError:
            watch = self._watching.get(task)
            if watch and watch.done() and task.uncancel() == 0:
                raise TooSlow("The client went away before the answer was there.") from None
            raise
        finally:
            self._waiting.pop(task, None)
            if watch := self._watching.pop(task, None):
                watch.cancel()

    def _look(self) -> None:
        """Has the clients watched that have waited for long."""
        loop, self._timer = self._loop, None
        assert loop is not None, "who waits does so in it"
        while self._waiting:
            task, (since, receive) = next(iter(self._waiting.items()))
            if (left := since + QUICK - loop.time()) > 0:
                self._timer = loop.call_later(left, self._look)
                return
            del self._waiting[task]
            self._watching[task] = loop.create_task(_watch(task, receive))


async def _watch(task: asyncio.Task[Any], receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()
