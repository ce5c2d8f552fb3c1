"""The way in: a connection's first request says by its Host header which skill it is for; from then on bytes go to and fro.

A name is followed by the token that only the supervisor and those whom it sends know, so that whoever else reaches the
port gets no further. `relay` is the relay itself, where the supervisor says what there is.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import re
from collections.abc import Callable
from typing import cast

from agent.relay.lending import Lent
from agent.relay.table import Place, Table

LONGEST_HEAD = 65536  # bytes of a request's head
HEAD_SECONDS = 10.0  # in which it must have come
CONNECT_SECONDS = 3.0
LONGEST_TABLE = 16 * 2**20  # bytes
ITSELF = "relay"
UNREACHABLE = "x-skillops-unreachable"  # the header by which a caller sees that nobody was there: agent.domain.release.UNREACHABLE
_HOST = re.compile(rb"\r\nhost:[ \t]*([a-z0-9.-]+)\.([0-9a-f]+)(?::\d+)?[ \t]*\r\n", re.IGNORECASE)
_LOAN = re.compile(rb"POST /lend/(\S{1,300}) ")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)


class End(asyncio.Protocol):
    """One end of a connection that is passed on: what comes in here goes out at the other."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        if self.other and self.other.transport and self.other.transport.can_write_eof():
            with contextlib.suppress(OSError):
                self.other.transport.write_eof()
        return True  # the other direction goes on

    def connection_lost(self, error: Exception | None) -> None:
        if self.other and self.other.transport:
            self.other.transport.close()

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()


class Caller(End):
    """A caller's end: reads the head of the first request, then is connected through."""

    def __init__(self, table: Table, token: str, told: Callable[[], None], lent: Lent) -> None:
        super().__init__()
        self._table, self._token, self._told, self._lent = table, token.encode(), told, lent
        self._read, self._route = bytearray(), None  # type: bytearray, tuple[str, int] | None
        self._task: asyncio.Task[None] | None = None
        self._place: Place | None = None
        self._loan: str | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._timer = asyncio.get_running_loop().call_later(HEAD_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        if self.other:
            super().data_received(data)
            return
        self._read += data
        if self._task is None and self._route is None:
            self._look_at_head()
        if self._route and self._route[0] == ITSELF and len(self._read) >= self._route[1]:
            self._ask_relay()

    def eof_received(self) -> bool:
        return super().eof_received() if self.other else False

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        if self._timer:
            self._timer.cancel()
        if self._task:
            self._task.cancel()
        if self._place:
            self._table.busy[self._place] -= 1
        if self._loan and self.transport:
            self._lent.withdraw(self._loan, self.transport)

    def _look_at_head(self) -> None:
        end = self._read.find(b"\r\n\r\n")
        if end < 0 or end > LONGEST_HEAD:
            if len(self._read) > LONGEST_HEAD:
                self._answer("431 Request Header Fields Too Large")
            return
        head = bytes(self._read[: end + 2])
        host, length = _HOST.search(head), _LENGTH.search(head)
        if host is None or not hmac.compare_digest(host[2], self._token):
            self._answer("421 Misdirected Request", f"{UNREACHABLE}: ?\r\n")
            return
        name = host[1].decode().lower()
        if name == ITSELF:
            size = int(length[1]) if length else 0
            self._route = (name, end + 4 + size)
            if size > LONGEST_TABLE:
                self._answer("413 Content Too Large")
            return
        self._route = (name, 0)
        if self._timer:
            self._timer.cancel()
        if self.transport:
            self.transport.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._connect(name))

    async def _connect(self, name: str) -> None:
        """To the first of its places that takes the connection: nothing was sent before, so the next may be tried."""
        for place in self._table.places(name):
            self._table.busy[place] += 1
            self._place = place
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    _, end = await asyncio.get_running_loop().create_connection(End, *place)
            except (OSError, TimeoutError):
                self._table.busy[place] -= 1
                self._place = None
                continue
            if self.transport is None or self.transport.is_closing():
                if end.transport:
                    end.transport.close()
                return
            self.other, end.other = end, self
            if end.transport:
                end.transport.write(bytes(self._read))
            self._read.clear()
            self.transport.resume_reading()
            return
        self._answer("503 Service Unavailable", f"{UNREACHABLE}: {name}\r\n")

    def _ask_relay(self) -> None:
        """`PUT /table` says what there is, `POST /lend/KEY` lends its connection; any other request asks how it is."""
        assert self._route is not None
        if loan := _LOAN.match(self._read):
            self._lend(loan[1].decode("latin-1"))
            return
        body = bytes(self._read[self._read.find(b"\r\n\r\n") + 4 : self._route[1]])
        if self._read.startswith(b"PUT /table "):
            try:
                self._table.learn(json.loads(body))
            except (ValueError, KeyError, TypeError, AttributeError):
                self._answer("400 Bad Request")
                return
            self._told()
        self._answer("200 OK", body=json.dumps({"names": sorted(self._table.routes)}).encode())

    def _lend(self, key: str) -> None:
        """It waits, for as long as it takes, until a skill needs it."""
        self._route, self._loan = ("", 0), key
        if self._timer:
            self._timer.cancel()
        if self.transport:
            self._lent.offer(key, self.transport)

    def _answer(self, status: str, headers: str = "", body: bytes = b"") -> None:
        self._route = ("", 0)
        if self.transport and not self.transport.is_closing():
            head = f"HTTP/1.1 {status}\r\n{headers}content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.resume_reading()
            self.transport.write(head.encode() + body)
            self.transport.close()
