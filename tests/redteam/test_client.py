"""Whoever can reach the gateway's port: greedy and slow, without a key or with one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.gateway import authority, bounded, mcp_http, shares
from agent.gateway.lobby import Lobby
from agent.gateway.pages import live
from agent.gateway.server import configured
from tests.gateways import House, a_house, count
from tests.redteam.threats import threat

ENOUGH = 4 * 2**20  # bytes that no head has, and that no pair of sockets holds
A_HEAD = b"GET /healthz HTTP/1.1\r\nhost: gateway\r\n"
A_FORM = b"POST /sign-in HTTP/1.1\r\nhost: gateway\r\ntransfer-encoding: chunked\r\n\r\n"
INITIALIZE = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "mallory", "version": "1"}},
}  # fmt: skip

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The connections that ended."""
    ended: list[Any] = []
    leave = Lobby.leave
    monkeypatch.setattr(Lobby, "leave", lambda self, guest: (leave(self, guest), ended.append(guest))[0])
    return ended


@contextlib.asynccontextmanager
async def a_port(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[House, Callable[[bytes], Any]]]:
    """A gateway as `skillops serve` listens, and what connects to it and sends something."""
    monkeypatch.setattr("tests.gateways.over_sockets", True)
    monkeypatch.setattr(authority, "TRUST", 600.0)

    async def connected(data: bytes) -> Wire:
        reader, writer = await asyncio.open_unix_connection(str(folder / "gateway.sock"))
        writer.write(data)
        return reader, writer

    async with a_house(folder) as house, asyncio.timeout(60):
        yield house, connected


@threat(121)
@pytest.mark.anyio
@pytest.mark.parametrize(
    ("begin", "again"),
    [
        (b"GET /", b"a" * 16_384), (A_HEAD + b"x: ", b"a" * 16_384), (A_HEAD, b"a: b\r\n" * 2_700), (A_FORM + b"1;", b"a" * 16_384),
        (A_FORM + b"0\r\nx: ", b"a" * 16_384), (A_FORM + b"0\r\n", b"a: b\r\n" * 2_700),
    ],
    ids=["address", "header", "headers", "extension", "trailer", "trailers"],
)  # fmt: skip
async def test_a_head_without_end_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: bytes, again: bytes) -> None:
    async with a_port(tmp_path, monkeypatch) as (house, connected):
        reader, writer = await connected(begin)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < ENOUGH and not reader.at_eof():
                writer.write(again)
                await writer.drain()
                sent += len(again)
                await asyncio.sleep(0)
        assert sent < ENOUGH
        assert (await house.execute()).status_code == 200
        writer.close()


@threat(122)
@pytest.mark.anyio
async def test_who_does_not_take_their_turn_is_hung_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: list[Any]) -> None:
    """Heads, bodies and answers that come a byte at a time or never, also of who was refused already; what is under way is waited for."""
    answered = asyncio.Event()

    async def says(call: dict[str, Any]) -> bytes:
        await answered.wait()
        return await count(call)

    async with a_port(tmp_path, monkeypatch) as (house, connected):
        house.skill.says = says
        honest = asyncio.create_task(house.execute())
        while not house.skill.calls:
            await asyncio.sleep(0.01)
        for name in ("HEAD_SECONDS", "BODY_SECONDS", "READ_SECONDS"):
            monkeypatch.setattr(bounded, name, 0.3)
        begun = [b"", A_HEAD, A_FORM, b"POST /requests HTTP/1.1\r\nhost: gateway\r\ncontent-length: 1000\r\n\r\n", A_HEAD + b"\r\n"]
        wires = [await connected(data) for data in begun]
        wires += [await connected((A_HEAD + b"\r\n") * 4_000)]  # whose answers nobody reads
        while len(gone) < len(wires):
            for (_, writer), drip in zip(wires, (b"", b"a", b"", b"a", b"\r\n"), strict=False):
                with contextlib.suppress(ConnectionError):
                    writer.write(drip)
            await asyncio.sleep(0.05)
        answered.set()
        assert (await honest).status_code == 200
        for _, writer in wires:
            writer.close()


@threat(123)
@pytest.mark.anyio
async def test_who_holds_every_connection_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: list[Any]) -> None:
    monkeypatch.setattr("tests.gateways.configured", partial(configured, most=6))
    answered = asyncio.Event()

    async def says(call: dict[str, Any]) -> bytes:
        if call["inputs"]["text"] == "wait":
            await answered.wait()
        return await count(call)

    async with a_port(tmp_path, monkeypatch) as (house, connected):
        house.skill.says = says
        honest = asyncio.create_task(house.execute(inputs={"text": "wait"}))
        while not house.skill.calls:
            await asyncio.sleep(0.01)
        wires = [await connected(A_HEAD) for _ in range(12)]
        while len(gone) < 7:
            await asyncio.sleep(0.01)
        assert (await house.execute()).status_code == 200
        answered.set()
        assert (await honest).status_code == 200
        for _, writer in wires:
            writer.close()


@threat(125)
@pytest.mark.anyio
async def test_one_key_takes_no_more_than_its_share_of_streams_sessions_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert live.EACH >= 200  # who share a key look all the same
    for module, name, value in ((live, "EACH", 3), (mcp_http, "EACH", 3), (mcp_http, "SESSIONS", 5)):
        monkeypatch.setattr(module, name, value)
    async with a_port(tmp_path, monkeypatch) as (house, connected):
        house.gateway.burden.most = 400_000
        mallory, bob = house.key("invoke", "request", name="mallory"), house.key("invoke", "request", name="bob")

        def asks(who: dict[str, str], line: str, *more: str) -> bytes:
            return "\r\n".join((line, "host: gateway", f"authorization: {who['authorization']}", *more, "", "")).encode()

        streams, begun = [], []
        for who in (mallory,) * 6 + (bob,):
            streams.append(await connected(asks(who, "GET /live/skills HTTP/1.1")))
            begun.append((await streams[-1][0].readline()).split()[1])
        assert begun == [b"200"] * 3 + [b"503"] * 3 + [b"200"]

        accept = {"accept": "application/json, text/event-stream"}
        opened = [await house.client.post("/mcp", json=INITIALIZE, headers={**who, **accept}) for who in (mallory,) * 8 + (bob,)]
        assert {answer.status_code for answer in opened} == {200}  # her oldest make room for her newest
        sessions = [answer.headers["mcp-session-id"] for answer in opened]
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        alive = [
            (await house.client.post("/mcp", json=ping, headers={**who, **accept, "mcp-session-id": session})).status_code == 200
            for who, session in zip((mallory,) * 8 + (bob,), sessions, strict=True)
        ]
        assert alive == [False] * 5 + [True] * 4

        half = asks(mallory, "POST /requests HTTP/1.1", "content-type: application/json", "content-length: 150000") + b" " * 149_999
        bodies = [await connected(half)]
        while house.gateway.burden.held.total() < 149_999:
            await asyncio.sleep(0.01)
        bodies.append(await connected(half))
        assert (await bodies[1][0].readline()).split()[1] == b"503"  # what she holds is all that she may
        assert (await house.client.post("/requests", json={"text": "x" * 4_000}, headers=bob)).status_code == 201
        for _, each in (*streams, *bodies):
            each.close()


@threat(126)
@pytest.mark.anyio
async def test_a_key_that_asks_for_much_at_once_waits_behind_itself(tmp_path: Path) -> None:
    """Threads are few, and those of one key fewer."""
    seen: list[int] = []
    async with a_house(tmp_path) as house:
        shelf, at_once = house.place.parts.forge, 0
        release, lock = asyncio.Event(), threading.Lock()
        loop, requests = asyncio.get_running_loop(), shelf.requests

        def slow(state: str) -> Any:
            nonlocal at_once
            with lock:
                at_once += 1
                seen.append(at_once)
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result(30)
            with lock:
                at_once -= 1
            return requests(state)  # type: ignore[arg-type]

        object.__setattr__(shelf, "requests", slow)
        mallory = house.key("request", name="mallory")
        hers = [asyncio.create_task(house.client.get("/requests", headers=mallory)) for _ in range(60)]
        while len(seen) < shares.TURNS:
            await asyncio.sleep(0.01)
        assert (await house.client.get("/skills", headers=house.key("invoke", name="bob"))).status_code == 200
        release.set()
        assert {(await each).status_code for each in hers} == {200}
    assert max(seen) == shares.TURNS
