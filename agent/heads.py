"""Heads of HTTP/1.1 messages that come whole. A peer that keeps its connection says nearly the same head before every body: each is read once.

httptools reads them, as it does elsewhere; what it says of a head is a function of its bytes, which are remembered with it (HTTP/2
does as much for every header: RFC 7541). Whatever is unusual has no Head, and goes the long way.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import httptools

from agent.domain.release import UNREACHABLE

END = b"\r\n\r\n"
LONGEST = 4096  # bytes of a head that is remembered
REMEMBERED = 512  # heads; four megabytes at most, with what was read from them


class Head(NamedTuple):
    """Of a request with a body of `length` bytes. `headers`: each came once, by its name in small letters. `kept`: so is the connection."""

    method: str
    target: str
    headers: Mapping[str, str]
    length: int
    kept: bool


def split(data: bytes) -> int:
    """Where the body begins; 0 where there is no head, or one too long to be remembered."""
    end = data.find(END, 0, LONGEST)
    return end + len(END) if end >= 0 else 0


@lru_cache(maxsize=REMEMBERED)
def asked(head: bytes) -> Head | None:
    """The head of a request. None where it is odd, or names no length above 0."""
    found = _Found()
    parser = httptools.HttpRequestParser(found)
    try:
        parser.feed_data(head)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    headers = found.headers
    length = headers.get("content-length", "")
    if not found.plain or not length.isdecimal() or "expect" in headers or parser.get_http_version() != "1.1":
        return None
    return Head(parser.get_method().decode(), found.target, headers, int(length), parser.should_keep_alive())


@lru_cache(maxsize=REMEMBERED)
def length_of_reply(head: bytes) -> int:
    """The bytes after the head of a reply that lets the connection be used again; 0 where it is not of that kind."""
    found = _Found()
    parser = httptools.HttpResponseParser(found)
    try:
        parser.feed_data(head)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return 0
    length = found.headers.get("content-length", "")
    usual = found.plain and UNREACHABLE not in found.headers and parser.get_status_code() >= 200 and parser.should_keep_alive()
    return int(length) if usual and length.isdecimal() else 0


class _Found:
    """What httptools tells of one head. `plain`: it is whole, a body follows, no header came twice, and none says that the length is another."""

    def __init__(self) -> None:
        self.target, self.headers = "", dict[str, str]()
        self.plain, self._odd = False, False

    def on_url(self, url: bytes) -> None:
        self.target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        told = name.decode("latin-1").lower()
        self._odd = self._odd or told in self.headers or told == "transfer-encoding"
        self.headers[told] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.plain = not self._odd

    def on_message_complete(self) -> None:
        self.plain = False
