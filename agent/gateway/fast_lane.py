"""The fast lane: calls of skills answered straight from the connection, with nothing of ASGI between (half of what such a call cost).

It takes what came whole in one piece and is sure to be let in (`Door.at_once`). All else, whatever is slow, odd or to be refused,
goes uvicorn's way to the same door, so that each refusal is written once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from agent.gateway.door import Answer, Door, is_hot


class _Answering:
    """An answer under way, with what uvicorn's protocol asks of its own (`RequestResponseCycle`)."""

    __slots__ = ("disconnected", "keep_alive", "message_event", "response_complete")

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive, self.response_complete, self.disconnected = keep_alive, False, False
        self.message_event = asyncio.Event()  # is set when the client has gone

    async def receive(self) -> MutableMapping[str, Any]:
        await self.message_event.wait()
        return {"type": "http.disconnect"}


class FastLane(HttpToolsProtocol):
    """uvicorn's protocol, which holds a head back until it has seen whether the body came with it."""

    _parts: list[bytes] | None = None  # of the body, while the head is held back
    _resting: float | None = None  # since when the connection is, after an answer of this lane; seconds of the loop
    _timer: asyncio.TimerHandle | None = None

    # ---- what httptools calls ----------------------------------------------------------------------------------------------

    def on_headers_complete(self) -> None:
        free = self.cycle is None or self.cycle.response_complete
        if free and is_hot(self.url) and self.parser.get_method() == b"POST" and not (self.expect_100_continue or self.parser.should_upgrade()):
            self._parts = []
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._parts is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        if self._parts is None or not self._answers_at_once(b"".join(self._parts)):
            self._hand_over()
            super().on_message_complete()

    # ---- asyncio.Protocol --------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._resting = None
        super().data_received(data)
        self._hand_over()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._timer:
            self._timer.cancel()

    # ---- the lane ----------------------------------------------------------------------------------------------------------

    def _answers_at_once(self, body: bytes) -> bool:
        door: Door = self.config.app  # type: ignore[assignment]
        cycle = _Answering(self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive())
        begun = door.at_once(self.url, self.headers, body, cycle.receive)
        if begun is None:
            return False
        self._parts, self.cycle = None, cycle  # type: ignore[assignment]
        task = self.loop.create_task(self._answer(door, cycle, *begun))
        self.tasks.add(task)  # what is waited for where the server ends
        task.add_done_callback(self.tasks.discard)
        return True

    def _hand_over(self) -> None:
        """Lets uvicorn have what was held back."""
        if self._parts is not None:
            parts, self._parts = self._parts, None
            super().on_headers_complete()
            for part in parts:
                super().on_body(part)

    async def _answer(self, door: Door, cycle: _Answering, answering: Awaitable[Answer], request_id: str) -> None:
        head, body = await door.answered(answering, request_id)
        if self.flow.write_paused and not cycle.disconnected:
            await self.flow.drain()
        if cycle.disconnected:
            return
        ours = b"".join(b"%b: %b\r\n" % header for header in self.server_state.default_headers)
        self.transport.write(b"%b%b%b\r\n%b" % (head, ours, b"" if cycle.keep_alive else b"connection: close\r\n", body))
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
        self._resting = self.loop.time()
        if self._timer is None:
            self._timer = self.loop.call_later(self.timeout_keep_alive, self._look)

    def _look(self) -> None:
        """Hangs up where nothing came for as long as a connection is kept."""
        self._timer = None
        if self._resting is None or self.transport.is_closing():
            return
        left = self._resting + self.timeout_keep_alive - self.loop.time()
        if left > 0.001:
            self._timer = self.loop.call_later(left, self._look)
        else:
            self.transport.close()
