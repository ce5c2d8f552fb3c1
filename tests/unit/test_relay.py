"""The relay's program, on loopback: which skill a connection is for, which host a skill means, and who gets no further."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from agent.caller import NoAnswer, call
from agent.domain.release import UNREACHABLE as AGREED
from agent.domain.release import Endpoint
from agent.egress.proxy import Verdict
from agent.egress.rules import Rule
from agent.relay.inward import LONGEST_HEAD, UNREACHABLE, Caller
from agent.relay.lending import GIVEN, Lent
from agent.relay.naming import Names, question
from agent.relay.outward import Outward, only_host
from agent.relay.sniffing import host_in
from agent.relay.table import Table
from tests.ports import free_port

TOKEN = "ab" * 16


def test_callers_and_the_relay_mean_the_same_header() -> None:
    assert UNREACHABLE == AGREED


def client_hello(name: str | None) -> bytes:
    """What Python's TLS says first."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    ("first", "host"),
    [
        (client_hello("api.example.com"), "api.example.com"),
        (client_hello(None), ""),
        (client_hello("api.example.com")[:100], None),
        (b"\x16\x03\x01\x00\x02\x01\x00", ""),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", ""),
        (b"", None),
        (b"GET", None),
        (b"GET / HTTP/1.1\r\nHo", None),
        (b"GET / HTTP/1.1\r\nAccept: x\r\nHost: API.example.com:80\r\n", "API.example.com"),
        (b"GET / HTTP/1.0\r\n\r\n", ""),
        (b"SSH-2.0-client\r\n", ""),
        (b"\x00\x01\x02", ""),
    ],
    ids=[
        "tls",
        "tls without a name",
        "half a hello",
        "broken hello",
        "another handshake",
        "nothing",
        "method",
        "half",
        "http",
        "no host",
        "ssh",
        "bytes",
    ],
)
def test_the_host_is_what_the_first_bytes_say(first: bytes, host: str | None) -> None:
    assert host_in(first) == host


@pytest.mark.parametrize("cut", range(0, 517, 37))
def test_a_hello_in_pieces_or_broken_never_does_harm(cut: int) -> None:
    hello = bytearray(client_hello("api.example.com"))
    assert host_in(bytes(hello[:cut])) in (None, "")
    hello[cut % len(hello)] ^= 0xFF
    host_in(bytes(hello))


def test_the_only_host_of_a_port_needs_no_looking() -> None:
    rules = tuple(map(Rule.parse, ("mail.example.com:993", "a.example.com:443", "b.example.com:443", "*.example.org:8443")))
    assert [only_host(rules, port) for port in (993, 443, 8443, 80)] == ["mail.example.com", None, None, None]


def a_table(**told: Any) -> Table:
    table = Table()
    table.learn({"routes": {}, "ways": {}, "pinned": {}, **told})
    return table


@pytest.mark.parametrize("told", [{}, {"routes": {}, "ways": {"1.2.3.4": "x"}, "pinned": {}}, {"routes": {"a": [1]}, "ways": {}, "pinned": {}}])
def test_a_table_that_is_not_one_changes_nothing(told: Any) -> None:
    table = a_table(routes={"a": [["127.0.0.1", 1]]})
    with pytest.raises((ValueError, KeyError, TypeError)):
        table.learn(told)
    assert table.places("a") == [("127.0.0.1", 1)]


def test_the_place_with_the_fewest_connections_comes_first() -> None:
    table = a_table(routes={"a": [["127.0.0.1", 1], ["127.0.0.1", 2]]})
    table.busy["127.0.0.1", 1] += 1
    assert table.places("a")[0] == ("127.0.0.1", 2)


# ---- the way in --------------------------------------------------------------------------------------------------------


async def answering(text: bytes) -> tuple[asyncio.Server, int]:
    """A skill that answers each connection with `text`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


@asynccontextmanager
async def a_relay(table: Table, told: Callable[[], None] = lambda: None, lent: Lent | None = None) -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(lambda: Caller(table, TOKEN, told, lent or Lent()), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def asked(url: str, host: str, method: str = "GET", path: str = "/health", body: bytes | None = None) -> tuple[int, bytes]:
    return await asyncio.to_thread(call, Endpoint(url=url, host=host), method, path, body, 5.0)


def test_a_connection_goes_where_its_host_header_says() -> None:
    async def story() -> None:
        (one, first), (two, second) = await answering(b"one"), await answering(b"two")
        async with one, two, a_relay(a_table(routes={"a-1": [["127.0.0.1", first]], "b": [["127.0.0.1", second]]})) as url:
            assert await asked(url, f"a-1.{TOKEN}") == (200, b"one")
            assert await asked(url, f"b.{TOKEN}") == (200, b"two")

    asyncio.run(story())


def test_where_nobody_is_the_caller_sees_that_nothing_was_delivered() -> None:
    async def story() -> None:
        async with a_relay(a_table(routes={"gone": [["127.0.0.1", 1]]})) as url:
            for host in (f"gone.{TOKEN}", f"unknown.{TOKEN}", f"gone.{'cd' * 16}", "gone"):
                with pytest.raises(NoAnswer) as trouble:
                    await asked(url, host)
                assert trouble.value.code == "unreachable"

    asyncio.run(story())


def test_one_place_that_is_gone_does_not_matter_where_there_is_another() -> None:
    async def story() -> None:
        server, port = await answering(b"here")
        async with server, a_relay(a_table(routes={"a": [["127.0.0.1", 1], ["127.0.0.1", port]]})) as url:
            for _ in range(3):
                assert await asked(url, f"a.{TOKEN}") == (200, b"here")

    asyncio.run(story())


def test_the_supervisor_says_what_there_is_and_nobody_else_can() -> None:
    async def story() -> None:
        server, port = await answering(b"new")
        told, table = [], a_table()
        body = json.dumps({"routes": {"a": [["127.0.0.1", port]]}, "ways": {}, "pinned": {}}).encode()
        async with server, a_relay(table, lambda: told.append(1)) as url:
            with pytest.raises(NoAnswer, match="nobody"):
                await asked(url, f"relay.{'cd' * 16}", "PUT", "/table", body)
            assert not table.routes
            assert (await asked(url, f"relay.{TOKEN}", "PUT", "/table", b"{}"))[0] == 400
            assert (await asked(url, f"relay.{TOKEN}", "PUT", "/table", body))[0] == 200
            assert told == [1]
            assert await asked(url, f"a.{TOKEN}") == (200, b"new")

    asyncio.run(story())


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100 + b"\r\n\r\n", b"x" * (LONGEST_HEAD + 1)], ids=["no host", "bytes", "endless"]
)
def test_what_is_no_request_for_anybody_is_answered_and_ended(sent: bytes) -> None:
    async def story() -> None:
        async with a_relay(a_table()) as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(sent)
            assert (await asyncio.wait_for(reader.read(), 60)).startswith((b"HTTP/1.1 421", b"HTTP/1.1 431"))
            writer.close()

    asyncio.run(story())


# ---- the way out -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def a_way_out(
    rules: tuple[str, ...], pinned: dict[str, int], *, sealed: bool = False, stand_ins: tuple[str, ...] = (), lent: Lent | None = None
) -> AsyncIterator[tuple[int, list[Verdict]]]:
    """The port at which a skill on loopback is let out; whom it may reach is pinned to loopback too."""
    verdicts: list[Verdict] = []
    places = {host: ["127.0.0.1", there] for host, there in pinned.items()}
    table = a_table(ways={"127.0.0.1": ["word-count", list(rules), sealed, list(stand_ins)]}, pinned=places)
    outward = Outward(table, "127.0.0.1", verdicts.append, lent or Lent())
    await outward.follow()
    try:
        yield verdicts
    finally:
        table.learn({"routes": {}, "ways": {}, "pinned": {}})
        await outward.follow()


async def exchanged(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), 60)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def test_a_server_that_speaks_first_is_reached_where_the_port_leaves_no_choice() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK IMAP4rev1\r\n")
        await writer.drain()
        writer.close()

    async def story() -> None:
        server, out = await asyncio.start_server(greet, "127.0.0.1", 0), free_port()
        there = server.sockets[0].getsockname()[1]
        async with server, a_way_out((f"mail.example.com:{out}",), {f"mail.example.com:{out}": there}) as verdicts:
            assert await exchanged(out, b"") == b"* OK IMAP4rev1\r\n"
            await until(lambda: verdicts)
        assert (verdicts[0].skill, verdicts[0].host, verdicts[0].verdict) == ("word-count", "mail.example.com", "allowed")

    asyncio.run(story())


def test_two_hosts_at_one_port_are_told_apart_and_a_third_is_refused() -> None:
    async def story() -> None:
        (one, first), (two, second), out = await answering(b"one"), await answering(b"two"), free_port()
        rules = (f"a.example.com:{out}", f"*.example.org:{out}")
        async with one, two, a_way_out(rules, {f"a.example.com:{out}": first, f"b.example.org:{out}": second}) as verdicts:
            assert (await exchanged(out, b"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n")).endswith(b"one")
            assert (await exchanged(out, b"GET / HTTP/1.1\r\nhost: B.example.org\r\n\r\n")).endswith(b"two")
            assert await exchanged(out, b"GET / HTTP/1.1\r\nHost: evil.example.net\r\n\r\n") == b""
            assert await exchanged(out, client_hello("evil.example.net")) == b""
            assert await exchanged(out, b"\x00\x01") == b""
            await until(lambda: len(verdicts) == 5)
        assert sorted((one.verdict, one.host) for one in verdicts) == [
            ("allowed", "a.example.com"), ("allowed", "b.example.org"),
            ("refused", "?"), ("refused", "evil.example.net"), ("refused", "evil.example.net"),
        ]  # fmt: skip

    asyncio.run(story())


def test_in_a_trial_not_even_what_is_pinned_is_reached() -> None:
    async def story() -> None:
        (one, first), out = await answering(b"one"), free_port()
        async with one, a_way_out((f"a.example.com:{out}",), {f"a.example.com:{out}": first}, sealed=True) as verdicts:
            assert await exchanged(out, b"") == b""
            await until(lambda: verdicts)
        assert (verdicts[0].verdict, "trial" in verdicts[0].why) == ("refused", True)

    asyncio.run(story())


@pytest.mark.parametrize("sealed", [True, False])
def test_a_stand_in_in_a_trial_and_else_the_broker_answer_on_a_connection_that_was_lent(sealed: bool) -> None:
    async def story() -> None:
        out, lent = free_port(), Lent()
        place = f"mail.example.com:{out}"
        async with a_relay(a_table(), lent=lent) as relay, a_way_out((place,), {}, sealed=sealed, stand_ins=(place,), lent=lent) as verdicts:
            client = asyncio.create_task(exchanged(out, b"a1 LOGIN ada\r\n"))
            await asyncio.sleep(0.05)  # it asks before anything is lent, and waits
            reader, writer = await lend(relay, f"127.0.0.1/{place}")
            assert await reader.readuntil(b"\r\n\r\n") == GIVEN
            assert await reader.readline() == b"a1 LOGIN ada\r\n"
            writer.write(b"a1 OK\r\n")
            writer.close()
            assert await client == b"a1 OK\r\n"
            await until(lambda: verdicts)
        assert (verdicts[0].host, verdicts[0].verdict) == ("mail.example.com", "allowed")

    asyncio.run(story())


def test_a_lent_connection_that_ended_is_given_to_nobody() -> None:
    async def story() -> None:
        lent = Lent()
        async with a_relay(a_table(), lent=lent) as relay:
            _, gone = await lend(relay, "10.0.0.2/mail.example.com:993")
            await until(lambda: lent.idle("10.0.0.2/mail.example.com:993"))
            gone.close()
            await until(lambda: not lent.idle("10.0.0.2/mail.example.com:993"))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(lent.take("10.0.0.2/mail.example.com:993"), 0.05)
            reader, writer = await lend(relay, "10.0.0.2/mail.example.com:993")
            _, given = await asyncio.wait_for(lent.take("10.0.0.2/mail.example.com:993"), 60)
            assert await reader.readuntil(b"\r\n\r\n") == GIVEN
            given.close()
            writer.close()

    asyncio.run(story())


async def lend(relay: str, key: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(relay.rpartition(":")[2]))
    writer.write(f"POST /lend/{key} HTTP/1.1\r\nhost: relay.{TOKEN}\r\n\r\n".encode())
    return reader, writer


def test_a_name_that_leads_to_a_private_address_is_refused() -> None:
    async def story() -> None:
        out = free_port()
        async with a_way_out((f"localhost.localdomain:{out}",), {}) as verdicts:
            assert await exchanged(out, b"") == b""
            await until(lambda: verdicts)
        assert verdicts[0].verdict in ("refused", "failed")  # refused where this machine knows the name, failed where it does not

    asyncio.run(story())


def test_who_may_no_longer_loses_connection_and_port() -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def story() -> None:
        server, out = await asyncio.start_server(hold, "127.0.0.1", 0), free_port()
        there = server.sockets[0].getsockname()[1]
        async with a_way_out((f"a.example.com:{out}",), {f"a.example.com:{out}": there}):
            reader, writer = await asyncio.open_connection("127.0.0.1", out)
            writer.write(b"x")
            await asyncio.sleep(0.1)
        with suppress(ConnectionError):  # what was said and not passed on yet is lost with it
            assert await asyncio.wait_for(reader.read(), 60) == b""
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", out)
        server.close()

    asyncio.run(story())


async def until(true: Callable[[], object] | Callable[[], Awaitable[object]], seconds: float = 60.0) -> None:
    for _ in range(int(seconds / 0.01)):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


# ---- names -------------------------------------------------------------------------------------------------------------


def a_query(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack(">HHHHHH", 77, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


def test_what_a_skill_may_reach_is_here_and_nothing_else_exists() -> None:
    verdicts: list[Verdict] = []
    names = Names(a_table(ways={"10.0.0.9": ["word-count", ["*.example.org:443"], False, []]}), "10.0.0.2", verdicts.append)
    known, unknown = names._reply(a_query("api.Example.org"), "10.0.0.9"), names._reply(a_query("example.net"), "10.0.0.9")
    assert known is not None and unknown is not None
    assert (known[:2], known[3] & 15, known[-4:]) == (b"\0M", 0, socket.inet_aton("10.0.0.2"))
    assert (unknown[3] & 15, unknown[6:8]) == (3, b"\0\0")
    assert [(one.skill, one.host, one.verdict) for one in verdicts] == [("word-count", "example.net", "refused")]
    stranger = names._reply(a_query("api.example.org"), "10.0.0.10")
    assert stranger is not None and stranger[3] & 15 == 3
    sixth = names._reply(a_query("api.example.org", kind=28), "10.0.0.9")
    assert sixth is not None and (sixth[3] & 15, sixth[6:8]) == (0, b"\0\0")


@pytest.mark.parametrize(
    "query", [b"", b"\0" * 11, b"\0\1\x80\0" + b"\0" * 20, b"\0" * 12, b"\0" * 12 + b"\x3fabc", b"\0" * 12 + b"\xc0\x0c\0\1\0\1"]
)
def test_what_is_no_question_does_no_harm(query: bytes) -> None:
    reply = Names(a_table(), "10.0.0.2", lambda _: None)._reply(query, "10.0.0.9")
    assert reply is None or reply[3] & 15 in (1, 3)
    assert question(a_query("a.b")) == ("a.b", 1, a_query("a.b")[12:])
