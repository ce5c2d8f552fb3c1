"""Heads of HTTP messages: what is plain is read once, what is odd has none."""

from __future__ import annotations

import pytest

from agent.domain.release import UNREACHABLE
from agent.heads import LONGEST, Head, asked, length_of_reply, split

ASKED = b"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
REPLIED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"


def test_a_head_ends_where_its_body_begins() -> None:
    assert split(ASKED + b"\r\nhello") == len(ASKED) + 2
    assert split(ASKED) == split(b"") == split(b"a" * LONGEST + b"\r\n\r\n") == 0


def test_a_plain_request_is_read_as_it_is() -> None:
    assert asked(ASKED + b"\r\n") == Head("POST", "/mcp", {"host": "a", "content-length": "5"}, 5, True)
    closing = asked(ASKED + b"Connection: close\r\n\r\n")
    assert closing and not closing.kept


@pytest.mark.parametrize(
    "head",
    [
        b"", b"\r\n", ASKED, ASKED + b"Content-Length: 6\r\n\r\n", ASKED + b"Transfer-Encoding: chunked\r\n\r\n", ASKED + b"HOST: b\r\n\r\n",
        ASKED + b"Expect: 100-continue\r\n\r\n", ASKED + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", ASKED + b"A: b\r\n c\r\n\r\n",
        ASKED + b"Bad Name: b\r\n\r\n", ASKED.replace(b"1.1", b"1.0") + b"\r\n", ASKED.replace(b"5", b"0") + b"\r\n",
        ASKED.replace(b"5", b"+5") + b"\r\n",
        ASKED.replace(b"Length:", b"Length :") + b"\r\n", b"GET /mcp HTTP/1.1\r\nHost: a\r\n\r\n", ASKED.replace(b"\r\n", b"\n") + b"\n",
    ],
)  # fmt: skip
def test_a_request_that_is_odd_or_has_no_body_has_none(head: bytes) -> None:
    assert asked(head) is None


@pytest.mark.parametrize(
    ("head", "length"),
    [
        (REPLIED + b"\r\n", 5), (REPLIED.replace(b"200 OK", b"503 No") + b"\r\n", 5), (REPLIED + b"Connection: close\r\n\r\n", 0),
        (REPLIED + b"Transfer-Encoding: chunked\r\n\r\n", 0), (REPLIED + f"{UNREACHABLE}: 1\r\n\r\n".encode(), 0), (b"HTTP/1.1 200 OK\r\n\r\n", 0),
        (b"HTTP/1.1 100 Continue\r\n\r\n", 0), (REPLIED.replace(b"200 OK", b"204 No") + b"\r\n", 0), (REPLIED.replace(b"1.1", b"1.0") + b"\r\n", 0),
        (b"nothing of HTTP\r\n\r\n", 0),
    ],
)  # fmt: skip
def test_a_reply_has_a_length_where_its_connection_can_be_used_again(head: bytes, length: int) -> None:
    assert length_of_reply(head) == length
