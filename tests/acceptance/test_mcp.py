"""MCP as it is started: `skillops mcp --stdio` and `skillops serve`, real skills in their sandbox, and a client that extends itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ToolsListChanged

from tests.acceptance.harness import CODE, Home, answers
from tests.acceptance.test_gateway import publish, read_url
from tests.mcp_clients import MODERN, MODES

pytestmark = [pytest.mark.anyio, pytest.mark.bubblewrap, pytest.mark.slow]
PROGRAM = [sys.executable, "-m", "agent.cli"]
HELLO = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}  # fmt: skip


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home.founded(tmp_path_factory.mktemp("mcp") / "skills", answers())
    try:
        yield home
    finally:
        home.close()


@asynccontextmanager
async def over_stdio(home: Home, mode: str, log: Path, **traits: Any) -> AsyncIterator[Client]:
    arguments = [*PROGRAM[1:], "mcp", "--stdio", "--repository", str(home.path)]
    parameters = StdioServerParameters(command=PROGRAM[0], args=arguments, env=dict(os.environ))
    with log.open("w") as errors:
        async with Client(stdio_client(parameters, errlog=errors), mode=mode, cache=None, **traits) as client:
            yield client


@asynccontextmanager
async def over_http(home: Home, mode: str = "auto") -> AsyncIterator[tuple[Client, subprocess.Popen[str]]]:
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--port", "0", "--json", "--repository", str(home.path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        url = await asyncio.to_thread(read_url, process)
        made = [*PROGRAM, "key", "create", "--scope", "invoke", "--scope", "request", "--repository", str(home.path), "--json"]
        key = json.loads(subprocess.run(made, capture_output=True, check=True).stdout)["key"]
        http = httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=60)
        async with http, Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode, cache=None) as client:
            yield client, process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 30)


async def test_a_client_asks_for_what_is_missing_hears_of_it_and_calls_it(home: Home) -> None:
    """The fake model writes the skill; nothing is restarted in between."""
    async with over_http(home) as (client, _):
        assert "word-count" not in [tool.name for tool in (await client.list_tools()).tools]
        async with asyncio.timeout(300), client.listen(tools_list_changed=True) as news:
            asked = await client.call_tool("request_capability", {"title": "Count words", "text": "How many words has a text? `one two` has 2."})
            assert asked.structured_content
            number = asked.structured_content["number"]
            assert (asked.structured_content["state"], asked.structured_content["callable"]) == ("requested", False)

            heard = list[str]()

            async def hear(at: float, total: float | None, message: str | None) -> None:
                heard.append(message or "")

            working = asyncio.create_task(asyncio.to_thread(home.run, number))
            status = await client.call_tool("capability_status", {"number": number, "wait": 280}, progress_callback=hear)
            await working
            assert await anext(aiter(news)) == ToolsListChanged()
        assert status.structured_content
        assert (status.structured_content["skill"], status.structured_content["callable"]) == ("word-count", True), status
        assert heard and heard[0].startswith(f"#{number} is ")

        assert "word-count" in [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool("word-count", {"text": "to be or not to be"})
        again = await client.call_tool("word-count", {"text": "to be"})
    assert (result.structured_content, again.structured_content) == ({"words": 6}, {"words": 2})
    assert (result.meta or {})["skillops/receipt"]["proposal"] == home.proposal().number


@pytest.mark.parametrize("mode", MODES)
async def test_a_desktop_client_has_the_same_over_stdio(home: Home, mode: str, tmp_path: Path) -> None:
    publish(home, "stdio-count", CODE)
    async with over_stdio(home, mode, tmp_path / "log") as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool("stdio-count", {"text": "a b c"})
        asked = await client.call_tool("request_capability", {"text": f"Turn a text around ({mode}); `ab` becomes `ba`."})
        status = await client.call_tool("capability_status", {"number": (asked.structured_content or {})["number"]})
    assert tools[:2] == ["capability_status", "request_capability"] and "stdio-count" in tools
    assert result.structured_content == {"words": 3}
    assert (status.structured_content or {})["state"] == "requested"
    assert (tmp_path / "log").read_text() == ""


async def test_a_merge_reaches_a_desktop_client(home: Home, tmp_path: Path) -> None:
    heard = asyncio.Event()

    async def listen(message: Any) -> None:
        if getattr(message, "method", "") == "notifications/tools/list_changed":
            heard.set()

    async with over_stdio(home, "legacy", tmp_path / "old", message_handler=listen) as old, over_stdio(home, MODERN, tmp_path / "new") as new:
        await old.list_tools()
        async with asyncio.timeout(60), new.listen(tools_list_changed=True) as news:
            await asyncio.to_thread(publish, home, "merged-while-open", CODE)
            await heard.wait()
            assert await anext(aiter(news)) == ToolsListChanged()
        for client in (old, new):
            assert "merged-while-open" in [tool.name for tool in (await client.list_tools()).tools]


def test_it_answers_soon_and_ends_with_its_input(home: Home) -> None:
    started = time.monotonic()
    process = subprocess.Popen(
        [*PROGRAM, "mcp", "--stdio", "--repository", str(home.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin and process.stdout
    process.stdin.write("this is no message\n\n" + json.dumps(HELLO) + "\n")
    process.stdin.flush()
    refused = json.loads(process.stdout.readline())
    answer = json.loads(process.stdout.readline())
    answered = time.monotonic() - started
    rest, errors = process.communicate(timeout=30)
    assert (refused["id"], refused["error"]["code"]) == (None, -32700), refused
    assert answer["result"]["serverInfo"]["name"] == "skillops", answer
    assert (process.returncode, rest) == (0, ""), errors
    assert answered < 20, "it is within two seconds on a machine that does nothing else"


async def test_a_stream_that_is_held_open_does_not_keep_the_gateway_from_ending(home: Home) -> None:
    async with over_http(home) as (client, process), client.listen(tools_list_changed=True) as news:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(12):  # well below the patience of the server with calls under way
            assert [event async for event in news] == []
            assert await asyncio.to_thread(process.wait, 12) in (0, -signal.SIGTERM)


async def test_nor_does_a_session_of_the_handshake_era(home: Home) -> None:
    async with over_http(home, "legacy") as (client, process):
        await client.list_tools()
        await asyncio.sleep(0.5)  # in which the client opens its session's stream
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 12) in (0, -signal.SIGTERM)


def test_the_command_shows_how_a_client_is_set_up(home: Home) -> None:
    shown = subprocess.run([*PROGRAM, "mcp", "--repository", str(home.path), "--json"], capture_output=True, text=True, check=True).stdout
    document = json.loads(shown)
    server = document["stdio"]["mcpServers"]["skillops"]
    assert server["args"] == ["mcp", "--stdio", "--repository", str(home.path)]
    assert document["http"]["mcpServers"]["skillops"]["url"].endswith("/mcp")
