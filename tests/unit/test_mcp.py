"""MCP at /mcp, with the library's own client in both revisions: tools, results, errors, resources, scopes and news of changes."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mcp.client.subscriptions import ToolsListChanged
from mcp.shared.exceptions import MCPError

from agent.gateway.mcp_answers import ERROR, RECEIPT
from tests.builders import a_manifest
from tests.gateways import publish, reply
from tests.mcp_clients import LEGACY, MODERN, MODES, a_served_house

pytestmark = pytest.mark.anyio
CAPABILITY = ["capability_status", "request_capability", "withdraw_capability"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_both_revisions_are_spoken(tmp_path: Path) -> None:
    async with a_served_house(tmp_path) as served:
        spoken = []
        for mode in ("auto", *MODES):
            async with served.client(mode) as client:
                spoken.append(client.protocol_version)
    assert spoken == [MODERN, MODERN, LEGACY]


async def test_every_active_skill_is_a_tool_with_its_schemas_in_stable_order(tmp_path: Path, mode: str) -> None:
    manifests = [
        a_manifest(name="zip", annotations={"readOnly": True, "idempotent": True, "destructive": False}),
        a_manifest(name="gone", status="retired"),
        a_manifest(name="add", permissions={"network": ["api.example.com:443"]}),
    ]
    async with a_served_house(tmp_path, *manifests) as served, served.client(mode) as client:
        tools = (await client.list_tools()).tools
        again = (await client.list_tools()).tools

    assert [tool.name for tool in tools] == [*CAPABILITY, "add", "zip"] and tools == again
    assert (tools[4].input_schema, tools[4].output_schema) == (manifests[0].inputs, manifests[0].outputs)
    assert tools[4].annotations and tools[3].annotations
    assert (tools[4].annotations.read_only_hint, tools[4].annotations.idempotent_hint, tools[4].annotations.destructive_hint) == (True, True, False)
    assert (tools[3].annotations.open_world_hint, tools[4].annotations.open_world_hint) == (True, False)


async def test_many_tools_come_in_pages(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.gateway.mcp_offer.PAGE", 2)
    manifests = [a_manifest(name=f"skill-{letter}") for letter in "abcde"]
    async with a_served_house(tmp_path, *manifests) as served, served.client(mode) as client:
        found, cursor, pages = list[str](), None, 0
        while pages == 0 or cursor:
            listed = await client.list_tools(cursor=cursor)
            found, cursor, pages = found + [tool.name for tool in listed.tools], listed.next_cursor, pages + 1
    assert (found, pages) == ([*CAPABILITY, *(manifest.name for manifest in manifests)], 3)


async def test_a_call_gives_structured_content_a_text_and_the_receipt(tmp_path: Path, mode: str) -> None:
    async with a_served_house(tmp_path) as served, served.client(mode) as client:
        result = await client.call_tool("word-count", {"text": "one two"})

    assert (result.is_error, result.structured_content) == (False, {"words": 2})
    assert [json.loads(block.text) for block in result.content if block.type == "text"] == [{"words": 2}]
    entry = served.house.place.parts.entry("word-count")
    receipt = (result.meta or {})[RECEIPT]
    assert (receipt["skill"], receipt["version"], receipt["digest"]) == ("word-count", "1.0.0", entry.digest)
    assert served.house.skill.calls[0]["context"]["caller"] == "ada"


async def test_what_the_skill_says_no_to_is_a_tools_error(tmp_path: Path, mode: str) -> None:
    async def refuse(call: dict[str, Any]) -> bytes:
        return json.dumps({"success": False, "error": {"code": "too-odd", "message": "the text is odd"}}).encode()

    async with a_served_house(tmp_path) as served, served.client(mode) as client:
        served.house.skill.says = refuse
        refused = await client.call_tool("word-count", {"text": "a"})
        wrong = await client.call_tool("word-count", {"words": 1})

    assert refused.is_error and refused.structured_content is None
    assert "the text is odd" in refused.content[0].text  # type: ignore[union-attr]
    assert (refused.meta or {})[ERROR]["reason"] == "too-odd"
    assert wrong.is_error and (wrong.meta or {})[ERROR]["code"] == "invalid-inputs"
    assert "It takes text (string)" in wrong.content[0].text  # type: ignore[union-attr]


async def test_outputs_that_the_schema_does_not_allow_are_a_tools_error(tmp_path: Path, mode: str) -> None:
    async def lie(call: dict[str, Any]) -> bytes:
        return reply(words="many")

    async with a_served_house(tmp_path) as served, served.client(mode) as client:
        served.house.skill.says = lie
        result = await client.call_tool("word-count", {"text": "a"})
    assert result.is_error and (result.meta or {})[ERROR]["reason"] == "bad-outputs"


async def test_a_tool_that_is_not_there_is_an_error_of_the_protocol_with_the_nearest_names(tmp_path: Path, mode: str) -> None:
    async with a_served_house(tmp_path) as served, served.client(mode) as client:
        with pytest.raises(MCPError) as caught:
            await client.call_tool("word-counter", {"text": "a"})
    assert caught.value.error.code == -32602
    assert "word-count" in caught.value.error.data["next_step"]


async def test_a_key_is_shown_what_it_may_use(tmp_path: Path, mode: str) -> None:
    async with a_served_house(tmp_path) as served:
        seen = {}
        for scope in ("invoke", "request", "approve"):
            async with served.client(mode, served.house.key(scope)) as client:
                tools = [tool.name for tool in (await client.list_tools()).tools]
                seen[scope] = tools, [str(resource.uri) for resource in (await client.list_resources()).resources]
                if scope != "invoke":
                    with pytest.raises(MCPError, match="invoke is needed"):
                        await client.call_tool("word-count", {"text": "a"})
                if scope != "request":
                    with pytest.raises(MCPError, match="request is needed"):
                        await client.call_tool("request_capability", {"text": "a"})
    assert seen == {
        "invoke": (["word-count"], ["skill://word-count/SKILL.md"]), "request": (CAPABILITY, []), "approve": ([], []),
    }  # fmt: skip
    assert served.house.skill.calls == []


async def test_a_capability_request_is_cancelled_and_a_second_time_says_so(tmp_path: Path, mode: str) -> None:
    async with a_served_house(tmp_path) as served:
        async with served.client(mode, served.house.key("request", name="mia")) as client:
            asked = await client.call_tool("request_capability", {"text": "Turn a text around"})
            number = (asked.structured_content or {})["number"]
            first = await client.call_tool("withdraw_capability", {"number": number, "why": "found another"})
            second = await client.call_tool("withdraw_capability", {"number": number})
        async with served.client(mode, served.house.key("request", name="noa")) as client:
            other = (await client.call_tool("request_capability", {"text": "Count"})).structured_content or {}
        async with served.client(mode, served.house.key("request", name="mia")) as client:
            with pytest.raises(MCPError, match="approve is needed"):
                await client.call_tool("withdraw_capability", {"number": other["number"]})
        kept = served.house.place.parts.forge.request(number)
    assert (kept.closed_as, (first.structured_content or {})["state"], first.is_error) == ("withdrawn", "closed", False)
    assert second.is_error and "taken back already" in second.content[0].text  # type: ignore[union-attr]


async def test_no_key_no_answer(tmp_path: Path) -> None:
    async with a_served_house(tmp_path) as served:
        none = await served.post({}, {"authorization": ""})
        foreign = await served.post({}, {"origin": "http://evil.example"})
        huge = await served.post(b'"' + b"x" * 9 * 2**20 + b'"')
    assert (none.status_code, none.headers["www-authenticate"]) == (401, 'Bearer realm="skillops"')
    assert (foreign.status_code, huge.status_code) == (403, 413)


async def test_the_instructions_of_each_skill_are_a_resource(tmp_path: Path, mode: str) -> None:
    async with a_served_house(tmp_path) as served:
        forge = served.house.place.parts.forge
        forge.commit(forge.main, {"skills/word-count/SKILL.md": b"# How\n"}, parent=forge.head(forge.main), message="By hand", author="bob")
        served.house.place.pipeline.run()
        async with served.client(mode) as client:
            (resource,) = (await client.list_resources()).resources
            (content,) = (await client.read_resource(resource.uri)).contents
            (template,) = (await client.list_resource_templates()).resource_templates
            for uri in ("skill://word-counter/SKILL.md", "skill://word-count/skill.py", "file:///etc/passwd"):
                with pytest.raises(MCPError) as caught:
                    await client.read_resource(uri)
                assert caught.value.error.code == -32602
    assert (str(resource.uri), resource.mime_type, content.text) == ("skill://word-count/SKILL.md", "text/markdown", "# How\n")  # type: ignore[union-attr]
    assert template.uri_template == "skill://{name}/SKILL.md"


async def test_a_merge_makes_a_tool_appear_and_clients_of_2026_that_listen_hear_of_it(tmp_path: Path) -> None:
    async with a_served_house(tmp_path) as served, served.client(MODERN) as client:
        assert "shout" not in [tool.name for tool in (await client.list_tools()).tools]
        async with asyncio.timeout(20), client.listen(tools_list_changed=True) as subscription:
            await asyncio.to_thread(publish, served.house.place, a_manifest(name="shout"))
            event = await anext(aiter(subscription))
        tools = [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool("shout", {"text": "a b c"})
    assert event == ToolsListChanged() and "shout" in tools
    assert result.structured_content == {"words": 3}


async def test_clients_of_2025_hear_of_it_on_their_sessions_stream(tmp_path: Path) -> None:
    heard, arrived = list[str](), asyncio.Event()

    async def listen(message: Any) -> None:
        heard.append(getattr(message, "method", type(message).__name__))
        arrived.set()

    async with a_served_house(tmp_path) as served, served.client("legacy", message_handler=listen) as client:
        assert client.server_capabilities.tools and client.server_capabilities.tools.list_changed
        await client.list_tools()
        async with asyncio.timeout(120):
            for number in itertools.count(1):  # the client opens its stream in its own time, and hears of what comes after that
                await asyncio.to_thread(publish, served.house.place, a_manifest(name=f"shout-{number}"))
                with suppress(TimeoutError):
                    await asyncio.wait_for(arrived.wait(), 5)
                if "notifications/tools/list_changed" in heard:
                    break
                arrived.clear()
        assert "shout-1" in [tool.name for tool in (await client.list_tools()).tools]


async def test_a_session_is_its_keys_alone(tmp_path: Path) -> None:
    hello = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
    }  # fmt: skip
    old = {"mcp-protocol-version": LEGACY, "mcp-method": "", "mcp-name": ""}
    async with a_served_house(tmp_path) as served:
        mine, other = served.house.key("invoke"), served.house.key("invoke")
        session = (await served.post(hello, {**mine, **old, "mcp-protocol-version": ""})).headers["mcp-session-id"]
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        answers = [
            (await served.post(ping, {**who, **old, "mcp-session-id": which})).status_code
            for who, which in ((mine, session), (other, session), (mine, "no-such-session"), (mine, ""))
        ]
    assert answers == [200, 404, 404, 400]


async def test_a_client_that_goes_away_takes_its_call_with_it(tmp_path: Path, mode: str) -> None:
    ended, patience = asyncio.Event(), asyncio.timeout(60)

    async def forever(call: dict[str, Any]) -> bytes:
        patience.reschedule(0)
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return b""

    async with a_served_house(tmp_path) as served, served.client(mode) as client:
        await client.call_tool("word-count", {"text": "a"})
        served.house.skill.says = forever
        with pytest.raises(TimeoutError):
            async with patience:
                await client.call_tool("word-count", {"text": "a"})
        async with asyncio.timeout(60):
            while served.house.gateway.meters.usage["word-count"].errors == 0:
                await asyncio.sleep(0.05)
    assert served.house.gateway.meters.usage["word-count"].calls == 2
