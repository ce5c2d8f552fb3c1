"""The egress proxy on real sockets: what passes, what does not, and that it says so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.egress.proxy import Limits, Proxy, Verdict
from agent.egress.rules import Rule

HOST = "api.example.com"


class Canary:
    """A server on loopback that notes whatever reaches it, and echoes."""

    def __init__(self) -> None:
        self.connections = 0
        self.received = b""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while piece := await reader.read(65536):
            self.received += piece
            writer.write(piece)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def a_canary(host: str = "127.0.0.1", serve: Callable[..., Awaitable[None]] | None = None) -> AsyncIterator[Canary]:
    canary = Canary()
    server = await asyncio.start_server(serve or canary.serve, host, 0)
    canary.port = server.sockets[0].getsockname()[1]
    yield canary
    server.close()


async def ask(path: Path, line: str) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line.encode())
    return (await reader.readline()).decode().strip(), reader, writer


@contextlib.asynccontextmanager
async def a_door(tmp_path: Path, *rules: str, **traits: Any) -> AsyncIterator[tuple[Path, list[Verdict]]]:
    told: list[Verdict] = []
    path = tmp_path / "door"
    door = await Proxy(told.append, **traits).open("web-search", [Rule.parse(rule) for rule in rules], path)
    try:
        yield path, told
    finally:
        await door.close()
        assert not path.exists()
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and "Door" in repr(task)] == []


async def eventually(true: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.005)


def answering(*addresses: str) -> Callable[[str, int], Coroutine[Any, Any, Sequence[str]]]:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolver


def test_what_is_declared_passes_both_ways_and_is_told_with_its_bytes(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_canary() as canary, a_door(tmp_path, f"{HOST}:443", pinned={(HOST, 443): ("127.0.0.1", canary.port)}) as (path, told):
            said, reader, writer = await ask(path, "API.example.com. 443\n")
            assert said == "ok"
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await eventually(lambda: told)
            verdict = told[0]
            assert (verdict.skill, verdict.host, verdict.port, verdict.verdict) == ("web-search", HOST, 443, "allowed")
            assert (verdict.address, verdict.sent, verdict.received) == ("127.0.0.1", 5, 5)

    asyncio.run(story())


@pytest.mark.parametrize("place", [f"{HOST} 80", "evil.example.com 443", "127.0.0.1 443", "localhost 443"])
def test_what_is_not_declared_is_refused_told_and_never_resolved(tmp_path: Path, place: str) -> None:
    asked: list[str] = []

    async def resolver(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["1.1.1.1"]

    async def story() -> None:
        async with a_door(tmp_path, f"{HOST}:443", resolver=resolver) as (path, told):
            said, _, writer = await ask(path, f"{place}\n")
            assert said == "refused the manifest does not declare it"
            writer.close()
            await eventually(lambda: told)
            assert (told[0].verdict, told[0].sent, told[0].received) == ("refused", 0, 0)
            assert asked == []

    asyncio.run(story())


@pytest.mark.parametrize("family", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("name", ["{host}", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"])
def test_a_wildcard_reaches_nothing_private_by_any_name(tmp_path: Path, family: str, name: str) -> None:
    async def story() -> None:
        async with a_canary(family) as canary, a_door(tmp_path, f"*:{canary.port}") as (path, told):
            said, _, writer = await ask(path, f"{name.format(host=family)} {canary.port}\n")
            assert said.startswith("refused") or said == ""
            writer.close()
            assert canary.connections == 0
            assert [verdict.verdict for verdict in told] in (["refused"], ["failed"], [])

    asyncio.run(story())


def test_a_name_with_one_private_address_is_refused_whole(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_canary() as canary:
            resolver = answering("93.184.216.34", "127.0.0.1")
            async with a_door(tmp_path, f"{HOST}:{canary.port}", resolver=resolver) as (path, told):
                said, _, writer = await ask(path, f"{HOST} {canary.port}\n")
                writer.close()
                assert "127.0.0.1" in said and told[0].address == "127.0.0.1"
                assert canary.connections == 0

    asyncio.run(story())


def test_a_name_that_rebinds_is_asked_once_and_the_answer_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver says something public first and loopback ever after; the connection goes to what was judged."""
    asked: list[str] = []
    connected: list[Any] = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["93.184.216.34"] if len(asked) == 1 else ["127.0.0.1"]

    async def connection(host: str, port: int, **_: Any) -> Any:
        connected.append((host, port))
        raise ConnectionRefusedError(111, "refused")

    async def story() -> None:
        async with a_canary() as canary, a_door(tmp_path, f"{HOST}:{canary.port}", resolver=rebinding) as (path, told):
            monkeypatch.setattr(asyncio, "open_connection", connection)
            _, _, first = await ask(path, f"{HOST} {canary.port}\n")
            second_said, _, second = await ask(path, f"{HOST} {canary.port}\n")
            first.close()
            second.close()
            assert connected == [("93.184.216.34", canary.port)]
            assert len(asked) == 2 and "127.0.0.1" in second_said
            assert canary.connections == 0
            assert [verdict.verdict for verdict in told] == ["failed", "refused"]

    asyncio.run(story())


def test_an_address_of_this_very_machine_is_not_reached_however_public_it_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.egress.proxy.forbidden", lambda address: "")

    async def story() -> None:
        async with a_canary() as canary, a_door(tmp_path, f"{HOST}:{canary.port}", resolver=answering("127.0.0.1")) as (path, told):
            said, _, writer = await ask(path, f"{HOST} {canary.port}\n")
            writer.close()
            assert "this very machine" in said and told[0].verdict == "refused"
            assert canary.received == b""

    asyncio.run(story())


def test_a_host_is_pinned_to_an_address_of_version_6(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_canary("::1") as canary, a_door(tmp_path, f"{HOST}:443", pinned={(HOST, 443): ("::1", canary.port)}) as (path, told):
            said, reader, writer = await ask(path, f"{HOST} 443\n")
            writer.write(b"six")
            assert (said, await reader.readexactly(3)) == ("ok", b"six")
            writer.close()
            await eventually(lambda: told)
            assert told[0].address == "::1"

    asyncio.run(story())


def test_a_sealed_proxy_reaches_only_what_is_pinned(tmp_path: Path) -> None:
    async def story() -> None:
        resolver = answering("93.184.216.34")
        async with a_door(tmp_path, "*:443", sealed=True, resolver=resolver) as (path, told):
            said, _, writer = await ask(path, f"{HOST} 443\n")
            writer.close()
            assert "stand-in" in said and told[0].verdict == "refused"

    asyncio.run(story())


def test_no_more_connections_than_allowed_and_a_closed_one_makes_room(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_canary() as canary:
            pinned = {(HOST, 443): ("127.0.0.1", canary.port)}
            async with a_door(tmp_path, f"{HOST}:443", pinned=pinned, limits=Limits(connections=2)) as (path, told):
                first, second, third = [await ask(path, f"{HOST} 443\n") for _ in range(3)]
                assert [first[0], second[0]] == ["ok", "ok"] and "2 connections" in third[0]
                for _, _, writer in (first, third):
                    writer.close()
                await eventually(lambda: len(told) == 2)
                said, _, writer = await ask(path, f"{HOST} 443\n")
                assert said == "ok"
                writer.close()
                second[2].close()

    asyncio.run(story())


def test_a_connection_on_which_nothing_comes_ends(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_canary() as canary:
            pinned = {(HOST, 443): ("127.0.0.1", canary.port)}
            async with a_door(tmp_path, f"{HOST}:443", pinned=pinned, limits=Limits(idle=0.2)) as (path, told):
                _, reader, writer = await ask(path, f"{HOST} 443\n")
                assert await asyncio.wait_for(reader.read(), 60) == b""
                writer.close()
                await eventually(lambda: told)
                assert "nothing came for 0.2 s" in told[0].why

    asyncio.run(story())


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n\r\n", b"a.example.com 99999\n", b"\xff\xfe 443\n", b"x" * 70000, b"a.example.com\n"])
def test_what_is_no_request_is_dropped(tmp_path: Path, said: bytes) -> None:
    async def story() -> None:
        async with a_door(tmp_path, "*:443", limits=Limits(ask=0.2), resolver=answering("1.1.1.1")) as (path, _):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(said)
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 60) == b""
            writer.close()

    asyncio.run(story())


def test_a_reader_that_does_not_read_holds_the_sender_back(tmp_path: Path) -> None:
    sent = 0

    async def pours(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536

    async def story() -> None:
        async with a_canary(serve=pours) as canary:
            pinned = {(HOST, 443): ("127.0.0.1", canary.port)}
            async with a_door(tmp_path, f"{HOST}:443", pinned=pinned) as (path, told):
                _, _, writer = await ask(path, f"{HOST} 443\n")
                before = -1
                async with asyncio.timeout(60):
                    while (not sent or before < sent) and sent < 32 * 2**20:
                        before = sent
                        await asyncio.sleep(0.3)
                assert sent == before
                writer.close()
        assert told[0].verdict == "allowed"  # a door that closes tells what was open

    asyncio.run(story())


def test_a_host_that_does_not_answer_has_failed_and_is_no_refusal(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_canary() as canary:
            port = canary.port
        async with a_door(tmp_path, f"{HOST}:443", pinned={(HOST, 443): ("127.0.0.1", port)}) as (path, told):
            said, _, writer = await ask(path, f"{HOST} 443\n")
            writer.close()
            assert said == "refused Connection refused" and told[0].verdict == "failed"

    asyncio.run(story())
