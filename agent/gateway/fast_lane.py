"""The fast lane: calls of skills answered straight from the connection, with nothing of ASGI between (half of what such a call cost).

It takes what came whole in one piece and is sure to be let in (`Door.at_once`). All else, whatever is slow, odd or to be refused,
goes uvicorn's way to the same door, so that each refusal is written once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, MutableMapping
from functools import lru_cache
from typing import Any

from agent.gateway.bounded import LARGEST_HEAD, Bounded
from agent.gateway.door import Answer, Door
from agent.heads import asked, split

QUICK = 64 * 2**10  # bytes of a body: a larger one is counted among those that are held (`Burden`)


class _Answering:
    """An answer under way, with what uvicorn's protocol asks of its own (`RequestResponseCycle`)."""

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive, self.response_complete, self.disconnected = keep_alive, False, False
        self._gone: asyncio.Event | None = None
        self.task: asyncio.Task[None]

    @property
    def message_event(self) -> asyncio.Event:
        """Is set when the client has gone. Most calls are over before anybody asks."""
        self._gone = self._gone or asyncio.Event()
        return self._gone

    async def receive(self) -> MutableMapping[str, Any]:
        await self.message_event.wait()
        return {"type": "http.disconnect"}


@lru_cache(maxsize=8)
def _lines(*headers: tuple[bytes, bytes]) -> bytes:
    """Headers that are the same for a second: uvicorn's own, with the date."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


class FastLane(Bounded):
    """uvicorn's protocol, which sees what comes between two requests before its parser does."""

    _rested: float | None = None  # since when the connection is kept, after an answer of this lane; seconds of the loop
    _timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        self._rested = None
        if left := self._answered_at_once(data):
            super().data_received(left)
        else:
            self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._timer:
            self._timer.cancel()

    def _resting(self) -> bool:
        return self._rested is not None or super()._resting()

    # ---- the lane ----------------------------------------------------------------------------------------------------------

    def _answered_at_once(self, data: bytes) -> bytes:
        """Begins an answer where the data begins with a whole request that may have one; gives what is left of the data."""
        free = self._between and (self.cycle is None or (self.cycle.response_complete and self.cycle.keep_alive))
        begin = split(data) if free and data.startswith(b"POST ") else 0
        head = asked(data[:begin]) if 0 < begin <= LARGEST_HEAD else None
        if head is None or len(data) < (end := begin + head.length) or head.length > QUICK:
            return data
        door: Door = self.config.app  # type: ignore[assignment]
        cycle = _Answering(head.kept)
        begun = door.at_once(head, data[begin:end], cycle.receive)
        if begun is None:
            return data
        self._unset_keepalive_if_required()
        self.cycle = cycle  # type: ignore[assignment]
        cycle.task = self.loop.create_task(self._answer(door, cycle, *begun))
        self.tasks.add(cycle.task)  # what is waited for where the server ends
        return data[end:]

    async def _answer(self, door: Door, cycle: _Answering, answering: Awaitable[Answer], request_id: str) -> None:
        try:
            head, body = await door.answered(answering, request_id)
            if self.flow.write_paused and not cycle.disconnected:
                await self.flow.drain()
        finally:
            self.tasks.discard(cycle.task)
        if cycle.disconnected:
            return
        ours, last = _lines(*self.server_state.default_headers), b"" if cycle.keep_alive else b"connection: close\r\n"
        self.transport.write(b"%b%b%b\r\n%b" % (head, ours, last, body))
        cycle.response_complete = True
        if self.pipeline or not cycle.keep_alive:
            if not cycle.keep_alive:
                self.transport.close()
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1
            self._rest()

    # ---- a connection that is kept: one timer for as long as it is, where uvicorn sets one after every answer ----------------

    def _rest(self) -> None:
        self._rested = self.loop.time()
        self._settle()
        if self._timer is None:
            self._timer = self.loop.call_later(self.timeout_keep_alive, self._look)

    def _look(self) -> None:
        """Hangs up where nothing came for as long as a connection is kept."""
        self._timer = None
        if self._rested is None or self.transport.is_closing():
            return
        left = self._rested + self.timeout_keep_alive - self.loop.time()
        if left > 0.001:
            self._timer = self.loop.call_later(left, self._look)
        else:
            self._hang_up()
