"""The hot path of tools/call answers as the library does, word for word, and leaves to it whatever is odd."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.errors import CouldNotTell
from agent.gateway.door import Visit
from agent.gateway.gateway import Gateway
from agent.gateway.mcp_http import Endpoint
from tests.builders import a_manifest
from tests.gateways import reply
from tests.mcp_clients import LEGACY, Served, a_call, a_served_house

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("each_way")]
NAMED = {"type": "object", "properties": {"text": {"type": "string", "x-mcp-header": "Text"}}, "required": ["text"]}
CANCELLED = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def without(document: dict[str, Any], *path: str) -> dict[str, Any]:
    """The document without what lies at the path."""
    copy = json.loads(json.dumps(document))
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return dict(copy)


def with_meta(**meta: Any) -> dict[str, Any]:
    call = a_call()
    call["params"]["_meta"].update({name.replace("__", "/"): value for name, value in meta.items()})
    return call


# The document, the headers that differ, and whether the hot path takes it.
TAKEN: dict[str, tuple[Any, dict[str, str]]] = {
    "a call": (a_call(), {}),
    "a number that is a text": (a_call(number="seven"), {}),
    "a number beyond 64 bits": (a_call(number=2**80), {}),
    "other signs than ASCII": (a_call(arguments={"text": "naïve ☃ \ud83d\ude00"}), {}),
    "wrong inputs": (a_call(arguments={"words": 1}), {}),
    "no inputs": (without(a_call(), "params", "arguments"), {}),
    "a token for progress": (with_meta(progressToken=3), {}),
    "capabilities of the client": (with_meta(**{"io.modelcontextprotocol__clientCapabilities": {"elicitation": {"url": {}}}}), {}),
    "no name of the client": (without(a_call(), "params", "_meta", "io.modelcontextprotocol/clientInfo"), {}),
    "a charset": (a_call(), {"content-type": "application/json; charset=utf-8"}),
    "a number that JSON does not have": (a_call(arguments={"text": float("nan")}), {}),
    "what the skill says no to": (a_call(arguments={"text": "no"}), {}),
    "a reply that is none": (a_call(arguments={"text": "garbage"}), {}),
    "outputs that hold nothing": (a_call(arguments={"text": "null"}), {}),
    "a skill that cannot be started": (a_call(arguments={"text": "unstartable"}), {}),
    "a key more than once": (json.dumps(a_call()).replace('"id": 1', '"id": 1, "id": 2').encode(), {}),
}
LEFT: dict[str, tuple[Any, dict[str, str]]] = {
    "an unknown tool": (a_call("word-counter"), {"mcp-name": "word-counter"}),
    "a tool of ours": (a_call("capability_status", {"number": 99}), {"mcp-name": "capability_status"}),
    "a retired skill": (a_call("gone"), {"mcp-name": "gone"}),
    "another method": ({**a_call(), "method": "tools/list"}, {"mcp-method": "tools/list"}),
    "a method that is not there": ({**a_call(), "method": "tools/eat"}, {"mcp-method": "tools/eat"}),
    "a header with another method": (a_call(), {"mcp-method": "tools/list"}),
    "a header with another tool": (a_call("gone"), {}),
    "no method in a header": (a_call(), {"mcp-method": ""}),
    "no tool in a header": (a_call(), {"mcp-name": ""}),
    "a tool in base64": (a_call(), {"mcp-name": "=?base64?d29yZC1jb3VudA==?="}),
    "another version in the body": (with_meta(**{"io.modelcontextprotocol__protocolVersion": LEGACY}), {}),
    "a version that is not there": (a_call(), {"mcp-protocol-version": "2030-01-01"}),
    "an old version in the header": (a_call(), {"mcp-protocol-version": LEGACY}),
    "no version in a header": (a_call(), {"mcp-protocol-version": ""}),
    "no _meta": (without(a_call(), "params", "_meta"), {}),
    "no capabilities": (without(a_call(), "params", "_meta", CAPABILITIES), {}),
    "capabilities that are none": (with_meta(**{"io.modelcontextprotocol__clientCapabilities": {"elicitation": 3}}), {}),
    "a batch": ([a_call()], {}),
    "an empty batch": ([], {}),
    "a text": ("hello", {}),
    "no JSON": (b"{", {}),
    "nothing": (b"", {}),
    "too deep": (b"[" * 100_000, {}),
    "a notification": (
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}},
        {"mcp-method": "notifications/cancelled"},
    ),
    "a response": ({"jsonrpc": "2.0", "id": 1, "result": {}}, {}),
    "no number": (without(a_call(), "id"), {}),
    "a number that is null": (a_call(number=None), {}),
    "a number that is true": (a_call(number=True), {}),
    "a number with a point": (a_call(number=1.5), {}),
    "another JSON-RPC": ({**a_call(), "jsonrpc": "1.0"}, {}),
    "params that are none": ({**a_call(), "params": []}, {}),
    "inputs that are none": (a_call(arguments=[1]), {}),
    "something beside": ({**a_call(), "more": 1}, {}),
    "something beside in params": (a_call(more=1), {}),
    "a call that goes on": (a_call(requestState="x"), {}),
    "JSON alone": (a_call(), {"accept": "application/json"}),
    "nothing that we have": (a_call(), {"accept": "text/html"}),
    "anything at all": (a_call(), {"accept": "*/*"}),
    "a parameter in a header": (a_call("named"), {"mcp-name": "named", "mcp-param-text": "one two"}),
    "another parameter in a header": (a_call("named"), {"mcp-name": "named", "mcp-param-text": "one"}),
    "no parameter in a header": (a_call("named"), {"mcp-name": "named"}),
    "a parameter that nobody asked for": (a_call(), {"mcp-param-text": "other"}),
}


async def said(call: dict[str, Any]) -> bytes:
    text = call["inputs"]["text"]
    if text == "no":
        return json.dumps({"success": False, "error": {"code": "too-odd", "message": "the text is odd"}}).encode()
    if text == "null":
        return reply(words=1, more=None, list=[None, {"deep": None}])
    return b"garbage" if text == "garbage" else reply(words=len(text.split()))


def told(response: httpx.Response) -> tuple[int, str, str | None, Any]:
    """Status, kind, session and body of an answer, but for what differs from call to call."""
    body = json.loads(response.text) if response.text else None
    if isinstance(body, dict):
        body.pop("request_id", None)  # of a problem, which the door tells
        for receipt in [part.get("_meta", {}).get("skillops/receipt") for part in [body.get("result", {})]]:
            if receipt:
                assert receipt.pop("request_id") and receipt.pop("seconds") > 0
    return response.status_code, response.headers.get("content-type", "").partition(";")[0], response.headers.get("allow"), body


@pytest.fixture
def hot(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each visit, whether the hot path took it."""
    taken, real = list[bool](), Endpoint.hot

    def noted(self: Endpoint, visit: Visit) -> Any:
        answering = real(self, visit)
        taken.append(answering is not None)
        return answering

    monkeypatch.setattr(Endpoint, "hot", noted)
    return taken


async def both(served: Served, document: Any, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """What is answered with the hot path, and without."""
    ours = told(await served.post(document, headers))
    with monkeypatch.context() as patch:
        patch.setattr(Endpoint, "hot", lambda self, visit: None)
        return ours, told(await served.post(document, headers))


async def test_it_answers_as_the_library_does(tmp_path: Path, hot: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    invoke = Gateway.invoke

    async def sometimes(self: Gateway, name: str, inputs: Any, *more: Any) -> Any:
        if inputs == {"text": "unstartable"}:
            raise CouldNotTell("It cannot be started.", why="There is no room.", next_step="Make some.")
        return await invoke(self, name, inputs, *more)

    monkeypatch.setattr(Gateway, "invoke", sometimes)
    manifests = (a_manifest(), a_manifest(name="gone", status="retired"), a_manifest(name="named", inputs=NAMED))
    async with a_served_house(tmp_path, *manifests) as served:
        served.house.skill.says = said
        await served.post(a_call())  # which loads the library
        for name, (document, headers) in {**TAKEN, **LEFT}.items():
            hot.clear()
            ours, theirs = await both(served, document, headers, monkeypatch)
            assert ours == theirs, name
            # What the fast lane leaves is asked for once more at the door, which itself turns away what is nested too deep.
            assert set(hot) == ({name in TAKEN} if name != "too deep" else set()), name


async def test_a_skill_that_went_away_is_told_as_the_library_does(tmp_path: Path, hot: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_served_house(tmp_path, a_manifest(), a_manifest(name="word-list")) as served:
        await served.post(a_call())
        place = served.house.place
        files = {f"skills/word-list/{file}": None for file in ("skill.yaml", "skill.py")}
        place.parts.forge.commit("main", files, parent=place.parts.forge.head("main"), message="By hand", author="bob")
        await asyncio.to_thread(place.pipeline.run)
        ours, theirs = await both(served, a_call("word-list"), {"mcp-name": "word-list"}, monkeypatch)
    assert ours == theirs and ours[0] == 400
    assert "word-count" in ours[3]["error"]["data"]["next_step"]


async def test_a_key_without_the_scope_is_left_to_the_library(tmp_path: Path, hot: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_served_house(tmp_path) as served:
        await served.post(a_call())
        ours, theirs = await both(served, a_call(), served.house.key("request"), monkeypatch)
    assert ours == theirs and ours[3]["error"]["code"] == -32602
    assert hot and not any(hot)


async def test_a_header_that_comes_twice_is_left_to_the_library(tmp_path: Path, hot: list[bool]) -> None:
    async with a_served_house(tmp_path) as served:
        await served.post(a_call())
        headers = [*served.house.key("invoke").items(), ("mcp-name", "word-count"), ("mcp-name", "word-count"), ("mcp-method", "tools/call")]
        headers += [("content-type", "application/json"), ("accept", "application/json, text/event-stream"), ("mcp-protocol-version", "2026-07-28")]
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{served.url}/mcp", content=json.dumps(a_call()), headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32020)
    assert hot and not any(hot)


async def test_an_open_stream_does_not_keep_the_gateway_from_ending(tmp_path: Path) -> None:
    async with a_served_house(tmp_path) as served, served.client() as client, client.listen(tools_list_changed=True) as subscription:
        async with asyncio.timeout(60):
            served.house.app.leave()
            assert [event async for event in subscription] == []
