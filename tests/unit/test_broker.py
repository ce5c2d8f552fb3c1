"""The broker on real sockets and real TLS: what the host gets, what the skill gets back, and what is not carried."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from pathlib import Path

import pytest

from agent.broker.carrying import Broker
from agent.broker.striking import Strike, echoes
from agent.egress.proxy import Proxy, Verdict
from agent.egress.rules import Rule
from agent.errors import MissingSecret
from tests.brokers import HOST, KEY, OTHER, PLACEHOLDER, Host, Tls, a_tls, a_way, body_of, get, ok, say, talked, until


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return a_tls(tmp_path_factory.mktemp("tls"))


def test_the_key_takes_the_placeholders_place_in_headers_basic_credentials_and_the_query_alone(tmp_path: Path, tls: Tls) -> None:
    host = Host(ok())
    basic = base64.b64encode(f"ada:{PLACEHOLDER}".encode()).decode()
    body = f"in a body it stays {PLACEHOLDER}"
    asked = get(f"Authorization: Bearer {PLACEHOLDER}", f"X-Other: Basic {basic}", f"Content-Length: {len(body)}", "Accept-Encoding: gzip",
                "Range: bytes=0-3", target=f"/{PLACEHOLDER}?key={PLACEHOLDER}&q=1", method="POST")  # fmt: skip
    said, told = talked(tmp_path, tls, host, asked + body.encode())
    got = host.got.decode()
    assert said.startswith(b"HTTP/1.1 200") and said.endswith(b"4\r\nfine\r\n0\r\n\r\n")
    assert got.startswith(f"POST /{PLACEHOLDER}?key=sk-live%2F7%2B7%3Dhunter2&q=1 HTTP/1.1\r\nhost: api.example.com\r\n")
    assert f"authorization: Bearer {KEY}\r\n" in got and base64.b64encode(f"ada:{KEY}".encode()).decode() in got
    assert got.endswith(body) and "range" not in got and "gzip" not in got
    assert (told[0].verdict, told[0].why, told[0].address) == ("allowed", "", "127.0.0.1")


def test_a_host_header_does_not_lead_a_key_to_another_host_behind_the_same_address(tmp_path: Path, tls: Tls) -> None:
    host = Host(ok())
    asked = f"GET / HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\nAuthorization: {PLACEHOLDER}\r\n\r\n".encode()
    talked(tmp_path, tls, host, asked)
    assert b"host: api.example.com\r\n" in host.got and b"attacker" not in host.got


def test_what_echoes_the_key_is_given_back_with_the_placeholder(tmp_path: Path, tls: Tls) -> None:
    body = f"you sent {KEY[:7]}|{KEY[7:]} and {json.dumps(KEY)}, {KEY.encode().hex()}, |HEAD".encode()
    # Cut in the middle of it, and all of the request as base64, whose length is not told.
    host = Host(b"HTTP/1.1 200 " + KEY.encode() + b"\r\nset-cookie: k=" + KEY.encode() + b"\r\nconnection: close\r\n\r\n" + body)
    said, _ = talked(tmp_path, tls, host, get(f"Authorization: Bearer {PLACEHOLDER}"))
    assert KEY.encode() in host.got and b"you sent " in said and said.count(PLACEHOLDER.encode()) >= 5
    assert KEY.encode() not in said and KEY.encode().hex().encode() not in said
    body = body_of(said)
    assert KEY.encode() not in body and all(base64.b64encode(b"x" * shift + KEY.encode())[4:-4] not in body for shift in range(3))


@pytest.mark.parametrize("cut", range(1, 24, 4))
def test_a_key_is_struck_out_wherever_it_is_cut(cut: int) -> None:
    strike, text = Strike(echoes({PLACEHOLDER: KEY})), f"a{KEY}b{KEY[:5]}".encode()
    pieces = [text[at : at + cut] for at in range(0, len(text), cut)]
    assert b"".join(map(strike, pieces)) + strike(b"", last=True) == f"a{PLACEHOLDER}b{KEY[:5]}".encode()
    assert strike(b"told at once\n") == b"told at once\n"


def test_requests_go_one_after_the_other_on_one_connection_piped_or_not(tmp_path: Path, tls: Tls) -> None:
    host = Host(ok(b"one"), b"HTTP/1.1 204 No Content\r\n\r\n", ok(b"", b"x: head"), ok(b"four"))
    piped = b"".join(
        f"{method} /{number} HTTP/1.1\r\nHost: {HOST}\r\nA: {PLACEHOLDER}\r\n\r\n".encode() for number, method in enumerate(("GET", "GET", "HEAD"))
    )
    chunked = f"POST /3 HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".encode()
    said, told = talked(tmp_path, tls, host, piped, chunked)
    assert [said.count(text) for text in (b"HTTP/1.1 200", b"HTTP/1.1 204", b"one", b"x: head", b"four")] == [3, 1, 1, 1, 1]
    assert host.connections == 1 and host.got.count(KEY.encode()) == 3 and b"5\r\nhello\r\n0\r\n\r\n" in host.got and told[0].why == ""


@pytest.mark.parametrize(
    ("asked", "status", "why"),
    [
        (get("Content-Length: 5", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n", 400, b"nobody can read alike"),
        (get("Content-Length: 5", "Content-Length: 6", method="POST") + b"hello", 400, b"no HTTP/1.1"),
        (get("Transfer-Encoding: chunked, gzip", method="POST"), 501, b"no HTTP/1.1"),
        (get("X: " + "x" * 70_000), 431, b"no HTTP/1.1"),
        (get("X: a\rY: b"), 400, b"no HTTP/1.1"),
        (get(target="http://attacker.example/"), 400, b"for a path"),
        (get(target="attacker.example:443", method="CONNECT"), 405, b"CONNECT"),
        (get(method="TRACE"), 405, b"TRACE"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500 + b"\r\n\r\n", 400, b"without TLS"),
    ],
)
def test_what_could_be_read_in_two_ways_reaches_no_host(tmp_path: Path, tls: Tls, asked: bytes, status: int, why: bytes) -> None:
    host = Host(ok())
    said, told = talked(tmp_path, tls, host, asked)
    assert said.startswith(b"HTTP/1.1 %d" % status) and why in said and why.decode() in told[0].why
    assert host.got == b""


def test_a_folded_header_is_sent_on_one_line(tmp_path: Path, tls: Tls) -> None:
    host = Host(ok())
    talked(tmp_path, tls, host, get("X: a\r\n Evil: b"))
    assert b"x: a Evil: b\r\n" in host.got


@pytest.mark.parametrize(("key", "why"), [("line\r\nX-Injected: 1", b"no header can"), ("k" * 9000, b"longer than"), (None, b"waits for the secret")])
def test_a_key_that_cannot_be_put_in_sends_nothing_and_is_not_quoted(tmp_path: Path, tls: Tls, key: str | None, why: bytes) -> None:
    def values() -> dict[str, str]:
        if key is None:
            raise MissingSecret("word-count waits for the secret API_KEY.")
        return {PLACEHOLDER: key}

    host = Host(ok())
    said, told = talked(tmp_path, tls, host, get(f"A: {PLACEHOLDER}"), values=values)
    assert said.startswith(b"HTTP/1.1 502") and why in said and host.got == b""
    assert not key or (key[:9].encode() not in said and key[:9] not in told[0].why)


def test_a_certificate_of_nobody_known_or_for_another_name_gets_no_key(tmp_path: Path, tls: Tls) -> None:
    nobody, known = (HOST, ssl.create_default_context(), "unable to get"), (OTHER, tls[1], "Hostname mismatch")
    for name, trust, why in (nobody, known):
        host = Host(ok())
        said, told = asyncio.run(_asked(tmp_path, (tls[0], trust), host, name))
        assert said.startswith(b"HTTP/1.1 502") and f"not to be trusted: {why}" in told[0].why and why.encode() in said
        assert host.got == b"" and host.connections == 0


async def _asked(folder: Path, tls: Tls, host: Host, name: str) -> tuple[bytes, list[Verdict]]:
    async with a_way(folder, tls, host, name) as (door, told):
        said = await say(door, get(f"A: {PLACEHOLDER}"), host=name, ends=False)
        await until(told)
    return said, told


def test_a_placeholder_on_the_way_to_another_host_stays_one(tmp_path: Path, tls: Tls) -> None:
    async def story() -> bytes:
        got = bytearray()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            got.extend(await reader.read())
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        place = ("127.0.0.1", server.sockets[0].getsockname()[1])
        proxy = Proxy(lambda _: None, {(OTHER, 443): place})
        broker = Broker(HOST, 443, lambda: {PLACEHOLDER: KEY}, tls[1])
        door = await proxy.open("word-count", [Rule.parse(f"{OTHER}:443")], tmp_path / "door", {(HOST, 443): broker})
        await say(tmp_path / "door", get(f"A: {PLACEHOLDER}"), host=OTHER)
        await door.close()
        server.close()
        return bytes(got)

    got = asyncio.run(story())
    assert PLACEHOLDER.encode() in got and KEY.encode() not in got


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx", b"SSH-2.0-x\r\n\r\n", b""])
def test_an_answer_out_of_which_nothing_can_be_struck_is_not_given(tmp_path: Path, tls: Tls, answer: bytes) -> None:
    said, _ = talked(tmp_path, tls, Host(answer), get())
    assert said.startswith(b"HTTP/1.1 502")


def test_an_answer_that_breaks_off_is_seen_to_and_a_way_home_stays_plain(tmp_path: Path, tls: Tls) -> None:
    said, _ = talked(tmp_path, tls, Host(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf"), get())
    assert not said.endswith(b"0\r\n\r\n")
    moved = Host(b"HTTP/1.1 302 Found\r\nlocation: https://api.example.com/next\r\ncontent-length: 0\r\n\r\n")
    said, _ = talked(tmp_path, tls, moved, get())
    assert b"location: http://api.example.com:443/next\r\n" in said
