"""Which host a connection is for, by its first bytes: the name that TLS asks for, or the Host of an HTTP request. Pure: no I/O."""

from __future__ import annotations

import re

_REQUEST = re.compile(rb"[A-Z]{3,20} [^\r\n]* HTTP/1\.[01]\r?\n", re.ASCII)
_HOST = re.compile(rb"\nhost:[ \t]*([^\r\n]*?)[ \t]*\r?\n", re.IGNORECASE)
HANDSHAKE, CLIENT_HELLO, SERVER_NAME, HOST_NAME = 22, 1, 0, 0


def host_in(first: bytes) -> str | None:
    """The host, without a port; empty where these bytes name none and more would not help; None where more are needed."""
    if not first:
        return None
    if first[0] == HANDSHAKE:
        return _server_name(first)
    if found := _REQUEST.match(first):
        if host := _HOST.search(first, found.end() - 1):
            return re.sub(r":\d+$", "", host[1].decode("latin-1"))
        return "" if re.search(rb"\r?\n\r?\n", first) else None
    return None if re.fullmatch(rb"[A-Z]{0,20}( [^\r\n]*\r?)?", first) and len(first) < 8192 else ""


def _server_name(record: bytes) -> str | None:
    """The server_name extension of a ClientHello (RFC 8446, 4.1.2; RFC 6066, 3) that lies in one record."""
    if len(record) < 5 or len(record) < 5 + int.from_bytes(record[3:5]):
        return None
    try:
        hello = _Bytes(record[5 : 5 + int.from_bytes(record[3:5])])
        if hello.number(1) != CLIENT_HELLO:
            return ""
        hello = _Bytes(hello.vector(3))
        hello.take(2 + 32)  # legacy_version, random
        for size in (1, 2, 1):  # legacy_session_id, cipher_suites, legacy_compression_methods
            hello.vector(size)
        extensions = _Bytes(hello.vector(2))
        while extensions.left:
            kind, body = extensions.number(2), _Bytes(extensions.vector(2))
            if kind == SERVER_NAME:
                names = _Bytes(body.vector(2))
                return names.vector(2).decode("ascii") if names.number(1) == HOST_NAME else ""
    except (ValueError, UnicodeDecodeError):
        pass
    return ""


class _Bytes:
    """Bytes that are taken from the front. ValueError where there are not enough."""

    def __init__(self, data: bytes) -> None:
        self.left = data

    def take(self, count: int) -> bytes:
        if len(self.left) < count:
            raise ValueError("too short")
        taken, self.left = self.left[:count], self.left[count:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> bytes:
        return self.take(self.number(size))
