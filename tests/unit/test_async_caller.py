"""Calls of a running skill over kept connections: whatever the other side does becomes a value, in bounded time and space."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.async_caller import AsyncCaller
from agent.domain.invocation import MAX_BODY
from agent.domain.release import UNREACHABLE, Endpoint
from tests.unit.test_caller import an_invocation

pytestmark = pytest.mark.anyio
Talk = Callable[["Heard", asyncio.StreamWriter], Awaitable[None]]
FINE = b'{"success": true, "outputs": {"words": 2}}'


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@dataclass
class Heard:
    """What the server was sent: each request's head and body, and how many connections there were."""

    requests: list[tuple[bytes, bytes]] = field(default_factory=list)
    connections: int = 0
    open: int = 0


@asynccontextmanager
async def a_skill(tmp_path: Path, talk: Talk) -> AsyncIterator[tuple[AsyncCaller, Heard]]:
    """A server that hands each request to `talk`, and a caller with two connections at most."""
    heard, path = Heard(), str(tmp_path / "s.sock")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.connections += 1
        heard.open += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length:"))
                heard.requests.append((head, await reader.readexactly(length)))
                await talk(heard, writer)
        heard.open -= 1
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    caller = AsyncCaller(Endpoint(socket=path, url="http://skill/"), connections=2)
    try:
        yield caller, heard
    finally:
        await caller.retire()
        server.close()


def saying(body: bytes, head: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n") -> Talk:
    async def talk(heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write((head % len(body) if b"%d" in head else head) + body)
        await writer.drain()

    return talk


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    raise ConnectionResetError


async def test_a_call_is_sent_whole_and_its_reply_read(tmp_path: Path) -> None:
    async with a_skill(tmp_path, saying(FINE)) as (caller, heard):
        reply = await caller.execute(an_invocation(deadline_seconds=3.0))
    assert (reply.success, reply.outputs, reply.seconds > 0) == (True, {"words": 2}, True)
    head, body = heard.requests[0]
    assert head.startswith(b"POST /execute HTTP/1.1\r\nHost: skill\r\n")
    context = {"request_id": "r1", "deadline": 3.0, "traceparent": "", "caller": "ada"}
    assert json.loads(body) == {"inputs": {"text": "a b"}, "context": context}


async def test_a_connection_is_kept_for_the_next_call_and_closed_in_the_end(tmp_path: Path) -> None:
    async with a_skill(tmp_path, saying(FINE)) as (caller, heard):
        for _ in range(5):
            assert (await caller.execute(an_invocation())).success
        assert (heard.connections, heard.open) == (1, 1)
        await caller.retire()
        async with asyncio.timeout(60):
            while heard.open:
                await asyncio.sleep(0.01)


async def test_no_more_connections_are_made_than_are_allowed(tmp_path: Path) -> None:
    async def slowly(heard: Heard, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.005)
        await saying(FINE)(heard, writer)

    async with a_skill(tmp_path, slowly) as (caller, heard):
        replies = await asyncio.gather(*(caller.execute(an_invocation()) for _ in range(50)))
        late = await asyncio.gather(*(caller.execute(an_invocation(deadline_seconds=0.012)) for _ in range(20)))
        assert (await caller.execute(an_invocation())).success
    assert all(reply.success for reply in replies)
    assert {reply.error_code for reply in late} <= {None, "timeout"} and any(not reply.success for reply in late)
    assert len(heard.requests) >= 51


async def test_a_base_url_is_called_over_tcp_with_the_host_that_is_named(tmp_path: Path) -> None:
    hosts: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hosts.append((await reader.readuntil(b"\r\n\r\n")).splitlines()[1])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(FINE), FINE))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for endpoint in (Endpoint(url=url), Endpoint(url=url, host="word-count.skill")):
        caller = AsyncCaller(endpoint)
        assert (await caller.execute(an_invocation())).success
        await caller.retire()
    server.close()
    assert hosts == [b"Host: " + url.removeprefix("http://").encode(), b"Host: word-count.skill"]


@pytest.mark.parametrize("left_behind", [True, False], ids=["a stale socket", "no socket"])
async def test_nobody_at_the_socket_is_unreachable(tmp_path: Path, left_behind: bool) -> None:
    path = str(tmp_path / "s.sock")
    if left_behind:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
    assert (await AsyncCaller(Endpoint(socket=path)).execute(an_invocation())).error_code == "unreachable"


async def test_who_passes_on_may_say_that_nobody_is_there(tmp_path: Path) -> None:
    head = b"HTTP/1.1 503 No\r\n" + UNREACHABLE.encode() + b": 1\r\nContent-Length: %d\r\n\r\n"
    async with a_skill(tmp_path, saying(b"", head)) as (caller, _):
        assert (await caller.execute(an_invocation())).error_code == "unreachable"


async def test_a_full_backlog_is_waited_for_and_then_a_timeout(tmp_path: Path) -> None:
    path = str(tmp_path / "s.sock")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(path)
        server.listen(0)
        first.connect(path)
        assert (await AsyncCaller(Endpoint(socket=path)).execute(an_invocation(deadline_seconds=0.05))).error_code == "timeout"


async def test_silence_and_dripping_end_at_the_deadline(tmp_path: Path) -> None:
    async def drip(heard: Heard, writer: asyncio.StreamWriter) -> None:
        nonlocal dripped
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"a")
            dripped += 1
            await asyncio.sleep(0.01)

    dripped = 0
    async with a_skill(tmp_path, drip) as (caller, _), asyncio.timeout(30):
        assert (await caller.execute(an_invocation(deadline_seconds=0.05))).error_code == "timeout"
        assert 0 < dripped < 60  # a hundredth of a second each, or more where the machine is busy: the deadline leaves time for five


async def endless(heard: Heard, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def chunks(heard: Heard, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize("talk", [endless, chunks, saying(b"", b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")])
async def test_too_much_is_cut_off(tmp_path: Path, talk: Talk) -> None:
    async with a_skill(tmp_path, talk) as (caller, heard):
        assert (await caller.execute(an_invocation())).error_code == "too-large"
        await asyncio.sleep(0.05)
        assert heard.open == 0


async def test_a_reply_of_exactly_the_limit_is_taken(tmp_path: Path) -> None:
    body = b'{"success": true, "outputs": {"a": "' + b"x" * (MAX_BODY - 39) + b'"}}'
    assert len(body) == MAX_BODY
    async with a_skill(tmp_path, saying(body)) as (caller, _):
        assert (await caller.execute(an_invocation())).success


@pytest.mark.parametrize(
    "talk",
    [
        saying(b"Internal Server Error", b"HTTP/1.1 500 Oh\r\nContent-Length: %d\r\n\r\n"),
        saying(b"[" * 100_000),
        saying(b"hello\r\n\r\n", b""),
        saying(b"", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        saying(b"", b"HTTP/1.1 200 OK\r\n" + b"A: " + b"b" * 70_000 + b"\r\n"),
        saying(b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
    ],
    ids=["an error page", "deep", "not HTTP", "an upgrade", "a long head", "two lengths"],
)
async def test_what_is_no_reply_is_a_bad_reply(tmp_path: Path, talk: Talk) -> None:
    async with a_skill(tmp_path, talk) as (caller, _):
        assert (await caller.execute(an_invocation(deadline_seconds=2.0))).error_code == "bad-reply"


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", b"HTTP/1.1 200"])
async def test_a_reply_that_breaks_off_is_a_bad_reply_and_asked_for_again_only_where_that_may_be(tmp_path: Path, said: bytes) -> None:
    async def talk(heard: Heard, writer: asyncio.StreamWriter) -> None:
        if len(heard.requests) in (1, 2):
            writer.write(said)
            await hang_up(writer)
        await saying(FINE)(heard, writer)

    async def again() -> None:
        pass

    async with a_skill(tmp_path, talk) as (caller, heard):
        assert (await caller.execute(an_invocation(), again=again)).error_code == "bad-reply"
        assert (await caller.execute(an_invocation(), again=again, repeatable=True)).success
    assert len(heard.requests) == 3


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
        b"HTTP/1.1 422 No\r\nContent-Length: %d\r\n\r\n",
    ],
)
async def test_a_reply_may_end_in_any_way_that_http_has(tmp_path: Path, head: bytes) -> None:
    async def talk(heard: Heard, writer: asyncio.StreamWriter) -> None:
        await saying(FINE, head)(heard, writer)
        if b"1.1 422" not in head and b"100" not in head:
            await hang_up(writer)

    async with a_skill(tmp_path, talk) as (caller, heard):
        for _ in range(3):
            assert (await caller.execute(an_invocation())).outputs == {"words": 2}
    assert len(heard.requests) == 3


async def test_an_answer_given_before_the_whole_body_was_read_is_heard(tmp_path: Path) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 413 Large\r\nContent-Length: %d\r\n\r\n" % len(FINE) + FINE)
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.close()

    path = str(tmp_path / "s.sock")
    server = await asyncio.start_unix_server(refuse, path)
    caller = AsyncCaller(Endpoint(socket=path))
    assert (await caller.execute(an_invocation(inputs={"text": "x" * 4 * 2**20}))).outputs == {"words": 2}
    await caller.retire()
    server.close()


async def test_what_is_said_unasked_ends_the_connection_and_harms_no_call(tmp_path: Path) -> None:
    told = asyncio.Event()

    async def talk(heard: Heard, writer: asyncio.StreamWriter) -> None:
        await saying(FINE)(heard, writer)
        await asyncio.sleep(0.01)
        await saying(b'{"success": true, "outputs": {"words": 666}}')(heard, writer)
        told.set()

    async with a_skill(tmp_path, talk) as (caller, heard):
        for _ in range(3):
            assert (await caller.execute(an_invocation())).outputs == {"words": 2}
            await told.wait()  # what comes after the next question is an answer to it
            told.clear()
            await asyncio.sleep(0.03)
    assert heard.connections == 3


async def test_a_call_that_is_given_up_takes_its_connection_with_it(tmp_path: Path) -> None:
    async def silence(heard: Heard, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        await saying(FINE)(heard, writer)

    async with a_skill(tmp_path, silence) as (caller, heard):
        given_up = asyncio.create_task(caller.execute(an_invocation()))
        async with asyncio.timeout(60):
            while not heard.connections:
                await asyncio.sleep(0.01)
        given_up.cancel()
        with suppress(asyncio.CancelledError):
            await given_up
        assert (await caller.execute(an_invocation())).outputs == {"words": 2}
    assert heard.connections == 2
