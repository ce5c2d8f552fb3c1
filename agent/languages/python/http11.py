"""HTTP/1.1 for a skill's server (RFC 9112): connections are kept, requests may be pipelined. Runs in the sandbox; standard library only."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from functools import lru_cache

from loop import READ, Line, Loop
from zygote import MAX_BODY, error_body

IDLE = 75.0  # seconds that a connection may be idle, and that a request may take to arrive
LINGER = 2.0  # seconds for which we hear out a client that was refused, so that it can read the answer
LONGEST_HEAD = 2**16
CONNECTIONS = 900  # at once, below the usual limit of 1024 open files; the rest wait in the backlog
_REASONS = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 411: "Length Required",
    413: "Content Too Large", 431: "Request Header Fields Too Large", 503: "Service Unavailable", 505: "HTTP Version Not Supported",
}  # fmt: skip
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST = re.compile(rb"(" + _TOKEN + rb") ([!-~]+) HTTP/(\d)\.(\d)").fullmatch
_NAME = re.compile(_TOKEN).fullmatch
Handle = Callable[["Connection", bytes, bytes, bytes], None]  # method, path without query, body


class Wrong(Exception):
    """A request that cannot be taken: status, code and message of the answer."""


class Connection(Line):
    """One client. `handle` is given a request at a time, and answers it now or later."""

    def __init__(self, loop: Loop, line: socket.socket, handle: Handle, gone: Callable[[Connection], None]) -> None:
        super().__init__(loop, line)
        self._handle, self._gone = handle, gone
        self._data = bytearray()
        self._head: tuple[bytes, bytes, int, bool] | None = None  # method, path, length, whether the connection is kept
        self._busy = self._going = self._last = self._hung_up = False
        self._ignored = 0
        self.since = time.monotonic()  # of its last answer, or its beginning

    def received(self, data: bytes) -> None:
        if self._last:
            self._ignored += len(data)
            if self._ignored > 8 * MAX_BODY:
                self.close()
            return
        self._data += data
        if (self._busy or self.sending) and len(self._data) > LONGEST_HEAD:
            self.pause(True)
        self._go_on()

    def ended(self) -> None:
        """A client that has said all it will may still want the answer."""
        if self._busy and not self._hung_up:
            self._hung_up = True
            self.pause(True)
        else:
            self.close()

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._gone(self)

    def sent(self) -> None:
        if self._busy:
            return
        if self._last:
            self._linger()
        else:
            self._resume()

    def answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        """Answers the request under way."""
        self._last = self._last or (self._hung_up and not self._data)
        close = "Connection: close\r\n" if self._last else ""
        head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{close}\r\n"
        self._busy, self.since = False, time.monotonic()
        self.send(head.encode() + body)
        if self.closed or self.sending:  # who does not read is not read from
            return
        if self._last:
            self._linger()
        else:
            self._resume()

    def refuse(self, status: int, code: str, message: str) -> None:
        """Answers, and hears no more of this client."""
        self._last = True
        self._data.clear()
        self.answer(status, error_body(code, message))

    def tidy(self, now: float) -> None:
        """Ends it where it was idle for too long."""
        if not self._busy and now - self.since > (LINGER if self._last and not self.sending else IDLE):
            self.close()

    def _resume(self) -> None:
        self.pause(self._hung_up)
        self._go_on()

    def _go_on(self) -> None:
        """Handles what has arrived whole, one request after the other. An answer that is given at once comes back here: then it is no news."""
        if self._going:
            return
        self._going = True
        try:
            while not (self._busy or self._last or self.closed or self.sending) and self._data and self._next():
                pass
        except Wrong as wrong:
            self.refuse(*wrong.args)
        finally:
            self._going = False

    def _next(self) -> bool:
        """Handles the next request; False where not all of it is here."""
        if self._head is None and not self._read_head():
            return False
        assert self._head is not None
        method, path, length, kept = self._head
        if length > MAX_BODY:
            # Read on for a while, so that the client can read the answer.
            self._ignored += len(self._data)
            self._data.clear()
            if self._ignored >= min(length, 8 * MAX_BODY):
                raise Wrong(413, "too-large", f"the body is larger than {MAX_BODY} bytes")
            return False
        if len(self._data) < length:
            return False
        body = bytes(self._data[:length])
        del self._data[:length]
        self._head, self._busy, self._last = None, True, not kept
        self._handle(self, method, path, body)
        return True

    def _read_head(self) -> bool:
        while self._data[:2] == b"\r\n":  # RFC 9112, 2.2: empty lines before a request are to be passed over
            del self._data[:2]
        end = self._data.find(b"\r\n\r\n")
        if end > LONGEST_HEAD or (end < 0 and len(self._data) > LONGEST_HEAD):
            raise Wrong(431, "bad-request", "the head of the request is too long")
        if end < 0:
            return False
        head = bytes(self._data[:end])
        del self._data[: end + 4]
        method, path, length, kept, waits = _read(head)
        if waits and len(self._data) < length:
            if length > MAX_BODY:
                raise Wrong(413, "too-large", f"the body is larger than {MAX_BODY} bytes")
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._head, self._ignored = (method, path, length, kept), 0
        return True

    def _linger(self) -> None:
        """Closed with something unread, the client would be told of a reset, and might lose the answer."""
        try:
            self._line.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self.pause(False)
        if self._hung_up:
            self.close()


@lru_cache(maxsize=32)
def _read(head: bytes) -> tuple[bytes, bytes, int, bool, bool]:
    """Method, path, length, whether the connection is kept, and whether the client waits for our word. A gateway says the same again and again."""
    first, *lines = head.split(b"\r\n")
    asked = _REQUEST(first)
    if not asked:
        raise Wrong(400, "bad-request", "the request cannot be read")
    if asked[3] != b"1":
        raise Wrong(505, "bad-request", "the version of HTTP is not 1.0 or 1.1")
    fields = _fields(lines)
    if b"transfer-encoding" in fields:
        raise Wrong(411, "bad-request", "the body needs a Content-Length")
    length = fields.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 15:
        raise Wrong(400, "bad-request", "the Content-Length is no number")
    wishes = fields.get(b"connection", b"").lower()
    kept = b"close" not in wishes if asked[4] != b"0" else b"keep-alive" in wishes
    return asked[1], asked[2].partition(b"?")[0], int(length), kept, fields.get(b"expect", b"").lower() == b"100-continue"


def _fields(lines: list[bytes]) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _NAME(name):
            raise Wrong(400, "bad-request", "a header cannot be read")
        name, value = name.lower(), value.strip(b" \t")
        if name == b"content-length" and fields.get(name, value) != value:
            raise Wrong(400, "bad-request", "there are two lengths")
        fields[name] = value
    return fields


class Server:
    """Takes the clients that come to a listening socket; where `callers` are named, from these addresses alone."""

    def __init__(self, loop: Loop, listening: socket.socket, handle: Handle, callers: tuple[str, ...] = ()) -> None:
        self._loop, self._listening, self._handle, self._callers = loop, listening, handle, callers
        self._clients: set[Connection] = set()
        self._full = False
        listening.setblocking(False)
        loop.watch(listening, READ, self._accept)
        self._tidy()

    def _accept(self, events: int) -> None:
        for _ in range(64):
            if len(self._clients) >= CONNECTIONS:
                self._full = True
                self._loop.change(self._listening, 0)
                return
            try:
                line, address = self._listening.accept()
            except OSError:  # none left, or the client went away again
                return
            if self._callers and address[0] not in self._callers:
                line.close()
                continue
            if line.family != socket.AF_UNIX:
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._clients.add(Connection(self._loop, line, self._handle, self._gone))

    def _gone(self, client: Connection) -> None:
        self._clients.discard(client)
        if self._full:
            self._full = False
            self._loop.change(self._listening, READ)

    def _tidy(self) -> None:
        now = time.monotonic()
        for client in list(self._clients):
            client.tidy(now)
        self._loop.at(now + 1.0, self._tidy)
