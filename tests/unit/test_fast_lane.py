"""The fast lane answers as the door does, in order, and leaves to uvicorn what does not come whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.gateway import authority, bounded, fast_lane
from agent.gateway.door import Door
from tests.gateways import House, a_house, reply

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Line(NamedTuple):
    """A connection to the gateway, and how many requests were answered by the lane and came as ASGI."""

    house: House
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    lane: list[str]
    asgi: list[str]

    def request(self, text: str = "one two", **headers: str) -> bytes:
        body = json.dumps({"inputs": {"text": text}}).encode()
        usual = {"host": "gateway", "content-type": "application/json", "content-length": str(len(body)), **dict(self.house.client.headers.items())}
        given = {**usual, "host": "gateway", **{name.replace("_", "-"): value for name, value in headers.items()}}
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        return f"POST /skills/word-count/execute HTTP/1.1\r\n{lines}\r\n".encode() + body

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        async with asyncio.timeout(20):
            first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            return int(first.split()[1]), headers, json.loads(await self.reader.readexactly(int(headers["content-length"])))


@asynccontextmanager
async def a_line(folder: Path, monkeypatch: pytest.MonkeyPatch, **traits: Any) -> AsyncIterator[Line]:
    monkeypatch.setattr("tests.gateways.over_sockets", True)
    monkeypatch.setattr(authority, "TRUST", 600.0)  # the lane wants a key that was looked up a moment ago, however slow the machine is
    lane, asgi = list[str](), list[str]()
    answered, called = Door.answered, Door.__call__

    async def noting(self: Door, answering: Any, request_id: str) -> Any:
        lane.append(request_id)
        return await answered(self, answering, request_id)

    async def noting_asgi(self: Door, scope: Any, receive: Any, send: Any) -> None:
        asgi.extend([scope["path"]] if scope["type"] == "http" else [])
        await called(self, scope, receive, send)

    monkeypatch.setattr(Door, "answered", noting)
    monkeypatch.setattr(Door, "__call__", noting_asgi)
    async with a_house(folder, **traits) as house:
        house.gateway.authority._clock = lambda: 0.0  # the key that was looked up is trusted, however long a busy machine takes until it is used
        reader, writer = await asyncio.open_unix_connection(str(folder / "gateway.sock"))
        try:
            yield Line(house, reader, writer, lane, asgi)
        finally:
            writer.close()


async def test_a_call_that_comes_whole_is_answered_as_one_that_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_line(tmp_path, monkeypatch) as line:
        line.writer.write(line.request(x_request_id="same"))
        whole = await line.answer()
        half = len(line.request(x_request_id="same")) - 5
        line.writer.write(line.request(x_request_id="same")[:half])
        await asyncio.sleep(0.05)
        line.writer.write(line.request(x_request_id="same")[half:])
        pieces = await line.answer()
        assert (line.lane, line.asgi) == (["same"], ["/skills/word-count/execute"])
    for answer in (whole, pieces):
        for changing in ("date", "content-length"):
            assert answer[1].pop(changing)
        assert answer[2]["receipt"].pop("seconds") >= 0
    assert whole == pieces
    assert whole[0] == 200 and whole[2]["outputs"] == {"words": 2} and whole[1]["x-content-type-options"] == "nosniff"


async def test_calls_that_are_sent_at_once_are_answered_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def first_slowly(call: dict[str, Any]) -> bytes:
        words = len(call["inputs"]["text"].split())
        await asyncio.sleep(0.2 if words == 1 else 0)
        return reply(words=words)

    async with a_line(tmp_path, monkeypatch) as line:
        line.house.skill.says = first_slowly
        line.writer.write(line.request("a") + line.request("a b") + line.request("a b c", connection="close"))
        answers = [await line.answer() for _ in range(3)]
        assert [body["outputs"]["words"] for _, _, body in answers] == [1, 2, 3]
        assert answers[2][1]["connection"] == "close" and await line.reader.read() == b""
        assert len(line.lane) == 1 and len(line.asgi) == 2


async def test_a_connection_that_its_client_wants_closed_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_line(tmp_path, monkeypatch) as line:
        line.writer.write(line.request(connection="close"))
        status, headers, _ = await line.answer()
        assert (status, headers["connection"], len(line.lane)) == (200, "close", 1)
        assert await line.reader.read() == b""


async def test_a_connection_that_rests_too_long_is_hung_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fast_lane.FastLane.connection_made

    def impatient(self: fast_lane.FastLane, transport: Any) -> None:
        made(self, transport)
        self.timeout_keep_alive = 1.0  # type: ignore[assignment]

    monkeypatch.setattr(fast_lane.FastLane, "connection_made", impatient)
    async with a_line(tmp_path, monkeypatch) as line:
        for _ in range(3):  # each is a new beginning
            line.writer.write(line.request())
            assert (await line.answer())[0] == 200
            await asyncio.sleep(0.4)
        async with asyncio.timeout(60):
            assert await line.reader.read() == b""
        assert len(line.lane) == 3


async def test_a_head_that_comes_byte_by_byte_or_never_ends_the_connection_and_a_call_under_way_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "HEAD_SECONDS", 2.0)
    async with a_line(tmp_path, monkeypatch) as line, asyncio.timeout(60):
        silent, _ = await asyncio.open_unix_connection(str(tmp_path / "gateway.sock"))
        slow, bytewise = await asyncio.open_unix_connection(str(tmp_path / "gateway.sock"))
        line.writer.write(line.request())
        assert (await line.answer())[0] == 200
        bytewise.write(b"POST /skills HTTP/1.1\r\nhost:")
        assert await slow.read() == await silent.read() == b""
        line.writer.write(line.request())  # the connection that was used is kept
        assert (await line.answer())[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "elsewhere"}, 421), ({"origin": "http://evil.example"}, 403), ({"authorization": "Bearer wrong"}, 401),
        ({"content-type": "text/plain"}, 415), ({"content-type": "application/json; charset=utf-8"}, 200), ({"expect": "100-continue"}, 100),
    ],
)  # fmt: skip
async def test_what_is_odd_is_judged_at_the_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], status: int) -> None:
    async with a_line(tmp_path, monkeypatch) as line:
        line.writer.write(line.request(**headers))
        first = await line.reader.readline()
        assert (int(first.split()[1]), line.lane) == (status, [])


async def test_a_key_that_called_too_often_is_told_so_and_nothing_is_counted_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_line(tmp_path, monkeypatch, rate=1.5) as line:  # three at once
        line.house.gateway.rates._clock = lambda: 1.0  # however long they take
        found = []
        for _ in range(4):
            line.writer.write(line.request())
            found.append((await line.answer())[0])
        assert found == [200, 200, 200, 429]
        assert len(line.lane) == 3 and len(line.asgi) == 1


async def test_a_body_that_looks_like_a_call_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_line(tmp_path, monkeypatch) as line:
        inner = line.request()
        outer = line.request(content_length=str(len(inner))).partition(b"\r\n\r\n")
        line.writer.write(outer[0] + outer[1])
        await asyncio.sleep(0.05)
        line.writer.write(inner)
        assert (await line.answer())[0] == 400
        line.writer.write(line.request())  # and the next one is none of its rest
        assert (await line.answer())[0] == 200
        assert (len(line.lane), len(line.asgi)) == (1, 1) and len(line.house.skill.calls) == 1
