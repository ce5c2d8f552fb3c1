"""One connection of the gateway to a running skill: an exchange at a time, of HTTP/1.1 (RFC 9112) as httptools reads it."""

from __future__ import annotations

import asyncio
from typing import cast

import httptools

from agent.caller import NoAnswer
from agent.domain.invocation import MAX_BODY
from agent.domain.release import UNREACHABLE
from agent.heads import length_of_reply, split

LONGEST_HEAD = 2**16  # bytes of a reply before its body
_UNREACHABLE = UNREACHABLE.encode()


class Exchange(asyncio.Protocol):
    """`ask` gives what is to be awaited for a reply's body, or for NoAnswer. Whoever asked says when it gives up."""

    def __init__(self) -> None:
        self.usable = False  # for the next exchange: connected, and nothing of the last one is left
        self.since = self.born = 0.0  # when it was put aside, and when it was connected, for whoever keeps it
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[bytes] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._begin()

    def ask(self, request: bytes) -> asyncio.Future[bytes]:
        """Sends one request. Nothing may be asked before the last was answered."""
        assert self._transport is not None and self._waiting is None
        self._begin()
        self.usable = False
        self._waiting = self._loop.create_future()
        self._transport.write(request)
        return self._waiting

    def close(self) -> None:
        """Ends the connection, and the exchange where one is under way: nobody waits for it any more."""
        self.usable, self._waiting = False, None
        if self._transport:
            self._transport.abort()

    # ---- asyncio.Protocol ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self.usable = cast(asyncio.Transport, transport), True  # uvloop's is not one by name

    def data_received(self, data: bytes) -> None:
        if self._waiting is None:  # nobody asked
            self.close()
            return
        if not self._head and 0 < length_of_reply(data[: (begin := split(data))]) == len(data) - begin:
            self._answered(data[begin:], again=True)
            return
        if not self._headed:
            self._head += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, NoAnswer) as error:
            # An exception of a callback comes as the context of the parser's.
            said = next((each for each in (error, error.__context__) if isinstance(each, NoAnswer)), None)
            self._fail(said or NoAnswer("bad-reply", f"the exchange broke off: {error}"))
        else:
            if not self._headed and self._head > LONGEST_HEAD:
                self._fail(NoAnswer("bad-reply", "the exchange broke off: the head of the reply is too long"))

    def eof_received(self) -> None:
        """A reply without a length ends with the connection (RFC 9112, 6.3)."""
        if self._waiting and self._headed and self._until_end:
            self.on_message_complete()

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        self._fail(NoAnswer("bad-reply", f"the exchange broke off: {error or 'the other side hung up'}"))

    # ---- what httptools calls ----------------------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"content-length":
            self._until_end = False
            if int(value) > MAX_BODY:
                raise NoAnswer("too-large", f"the reply has {int(value)} bytes; {MAX_BODY} are allowed")
        elif name == b"transfer-encoding":
            self._until_end = False
        elif name == _UNREACHABLE:
            raise NoAnswer("unreachable", "nobody answers there")

    def on_headers_complete(self) -> None:
        self._headed = self._parser.get_status_code() >= 200  # before that, another head follows

    def on_body(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > MAX_BODY:
            raise NoAnswer("too-large", f"the reply has more than {MAX_BODY} bytes")
        self._parts.append(part)

    def on_message_complete(self) -> None:
        if self._headed and self._waiting:
            body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._answered(body, again=not self._until_end and self._parser.should_keep_alive())

    def _answered(self, body: bytes, again: bool) -> None:
        waiting, transport = self._waiting, self._transport
        assert waiting is not None and transport is not None, "nothing is answered that nobody asked"
        self._waiting = None
        self.usable = again and not transport.get_write_buffer_size()
        if not waiting.done():
            waiting.set_result(body)
        if not self.usable:
            transport.abort()

    def _begin(self) -> None:
        self._parts: list[bytes] = []
        self._size = self._head = 0
        self._headed, self._until_end = False, True

    def _fail(self, error: NoAnswer) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting and not waiting.done():
            waiting.set_exception(error)
        self.close()
