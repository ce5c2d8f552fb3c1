"""Connections that the supervisor lends: it dials in and waits, and a skill in a trial that asks for a stand-in is put through on one.

So the stand-ins answer on the supervisor's machine, whichever machine the engine is on, and the closed network needs no way there.
"""

from __future__ import annotations

import asyncio
from collections import deque

from agent.egress.splicing import PIECE

GIVEN = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: stand-in\r\n\r\n"


def key_of(address: str, place: str) -> str:
    """What a connection is lent for: the skill's address, and the `host:port` that is stood in for."""
    return f"{address}/{place}"


class Lent:
    """The connections that wait, by their keys."""

    def __init__(self) -> None:
        self._idle: dict[str, deque[asyncio.Transport]] = {}
        self._wanted: dict[str, deque[asyncio.Future[asyncio.Transport]]] = {}

    def idle(self, key: str) -> int:
        """How many wait."""
        return len(self._idle.get(key, ()))

    def offer(self, key: str, transport: asyncio.Transport) -> None:
        """To whoever has waited longest, else it waits itself."""
        for wanted in self._wanted.get(key, ()):
            if not wanted.done():
                wanted.set_result(transport)
                return
        self._idle.setdefault(key, deque()).append(transport)

    def withdraw(self, key: str, transport: asyncio.Transport) -> None:
        """It has ended."""
        idle = self._idle.get(key, deque())
        if transport in idle:
            idle.remove(transport)
        if not idle:
            self._idle.pop(key, None)

    async def take(self, key: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection of that key, when there is one: the lender is told, and what he says from then on is the stand-in's."""
        transport = self._first(key) or await self._next(key)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(PIECE, loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        writer.write(GIVEN)
        return reader, writer

    def _first(self, key: str) -> asyncio.Transport | None:
        idle = self._idle.get(key, deque())
        while idle:
            transport = idle.popleft()
            if not transport.is_closing():
                return transport
        return None

    async def _next(self, key: str) -> asyncio.Transport:
        wanted: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()
        self._wanted.setdefault(key, deque()).append(wanted)
        try:
            return await wanted
        except asyncio.CancelledError:
            if wanted.done() and not wanted.cancelled():
                wanted.result().close()  # the lender brings another
            raise
        finally:
            self._wanted[key].remove(wanted)
            if not self._wanted[key]:
                del self._wanted[key]
