"""uvicorn's protocol with bounds where it has none: of the size of a head, of the time in which a request must have come whole and its answer
be read, and of connections in all. None of this needs a key to be tried, so none of it may cost more than it is worth.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from agent.gateway.lobby import Lobby
from agent.gateway.problems import HeadTooLarge, problem

LARGEST_HEAD = 64 * 2**10  # bytes of a request line with its headers; of trailers; of what frames one piece of a body
HEAD_SECONDS = 20.0  # in which the head of a request must have come, and the first one of a connection
BODY_SECONDS = 60.0  # in which its body must have, whoever reads it; the door has a bound of its own for those that it reads
READ_SECONDS = 60.0  # in which some of an answer must be read


class _TooLarge(httptools.HttpParserError):
    """Raised inside the parser, which ends there."""


class Bounded(HttpToolsProtocol):
    """Sets one timer where it is the client's turn, and none while a request that came whole is answered."""

    def __init__(self, *given: Any, lobby: Lobby, **named: Any) -> None:
        super().__init__(*given, **named)
        self._lobby = lobby
        self._between = True  # whether what the parser has read so far ends with a request
        self._in_head = False
        self._head = 0  # bytes of this one
        self._framing = 0  # bytes since the parser last had something to show for them
        self._turn = ""  # what the client has to do: begin (head), or go on (body); empty where it is ours, or the connection is kept
        self._slow: asyncio.TimerHandle | None = None  # ends a connection whose client does not take its turn
        self._unread: asyncio.TimerHandle | None = None  # or takes nothing of what is written

    # ---- what httptools calls: what is seen here of a head and a body -------------------------------------------------------

    def on_message_begin(self) -> None:
        self._between, self._in_head, self._head = False, True, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._grow(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Headers that come after the body (trailers) are nobody's: a proxy that strikes out what a client may not say looks at the head."""
        if self._in_head:
            self._grow(len(name) + len(value) + len(b": \r\n"))
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._framing = False, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._framing = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._between, self._framing = True, 0
        super().on_message_complete()

    def _grow(self, size: int) -> None:
        self._head += size
        if self._head > LARGEST_HEAD:
            raise _TooLarge

    # ---- asyncio.Protocol --------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._lobby.enter(self)
        self._settle()

    def data_received(self, data: bytes) -> None:
        self._framing += len(data)
        super().data_received(data)
        if self._framing > LARGEST_HEAD and not self.transport.is_closing():
            self._refuse_head()
        self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._lobby.leave(self)
        for timer in (self._slow, self._unread):
            if timer:
                timer.cancel()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._read_it()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread and not self.transport.is_closing():
            self._unread.cancel()
            self._unread = None

    # ---- what uvicorn calls ------------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._read_it()
        else:
            self._settle()

    def send_400_response(self, msg: str) -> None:
        if self._head > LARGEST_HEAD:
            self._refuse_head()
        else:
            super().send_400_response(msg)
            self._read_it()

    def timeout_keep_alive_handler(self) -> None:
        self._hang_up()

    # ---- turns -------------------------------------------------------------------------------------------------------------

    def send_away(self) -> None:
        """Ends the connection now. What is under way hears that its client has gone, and writes nothing more."""
        if self._answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.abort()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _resting(self) -> bool:
        """Whether a timer of its own ends the connection: it is kept after an answer."""
        return self.timeout_keep_alive_task is not None

    def _settle(self) -> None:
        """Sees whose turn it is, and sets the client a time where it is the client's."""
        turn = ("head" if self._in_head else "body") if not self._between else "" if self._answering() or self._resting() else "head"
        if self._answering() and not turn:
            self._lobby.works(self)
        else:
            self._lobby.waits(self)
        if turn != self._turn:
            self._turn = turn
            if self._slow:
                self._slow.cancel()
            self._slow = self.loop.call_later(HEAD_SECONDS if turn == "head" else BODY_SECONDS, self._too_slow) if turn else None

    def _too_slow(self) -> None:
        if self.flow.read_paused:  # it is we who do not read
            self._slow = self.loop.call_later(BODY_SECONDS, self._too_slow)
        else:
            self._slow = None
            self._hang_up()

    def _hang_up(self) -> None:
        if self._answering():
            self.send_away()
        else:
            self.transport.close()
            self._read_it()

    def _read_it(self) -> None:
        """What is written is to be read, in part at least, or it is thrown away."""
        if self._unread is None:
            self._unread = self.loop.call_later(READ_SECONDS, self.send_away)

    def _refuse_head(self) -> None:
        if self._answering():
            self.send_away()
            return
        error = HeadTooLarge(
            "The head of the request is too large.", why=f"It may have {LARGEST_HEAD} bytes.", next_step="What is long goes into the body."
        )  # fmt: skip
        status, headers, body = problem(error, "")
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} Request Header Fields Too Large\r\n{lines}content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        self._hang_up()
