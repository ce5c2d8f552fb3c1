"""Another tenant of the gateway, and a page in somebody's browser."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agent.stages.proposing import propose_retire
from tests.builders import a_manifest
from tests.gateways import a_house, count
from tests.redteam.threats import threat
from tests.redteam.turncoat import Turncoat


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@threat(41)
@pytest.mark.anyio
async def test_a_key_does_nothing_beyond_its_scopes_and_makes_no_other(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        number = propose_retire("word-count", "mallory", house.place.parts.forge, "nobody needs it").number
        mallory = house.key("invoke", "request", name="mallory")
        acts = [await house.client.post(f"/proposals/{number}/{verb}", json={"why": "x"}, headers=mallory) for verb in ("approve", "reject", "hold")]
        acts += [await house.client.post(path, json={}, headers=mallory) for path in ("/builds", "/keys", "/secrets/API_KEY/form")]
        acts += [await house.client.get("/skills/word-count/logs", headers=mallory)]
        forged = [
            {"authorization": value} for value in ("Bearer x", "Bearer ", "Basic YWRhOng=", mallory["authorization"] + "x", "Bearer " + "A" * 100_000)
        ]
        acts += [await house.client.get("/skills", headers=headers) for headers in forged]
        told = (await house.client.get(f"/proposals/{number}")).json()
    assert {answer.status_code for answer in acts} <= {401, 403, 404, 405, 431}
    assert told["reviews"] == [] and told["proposal"]["state"] == "open"


@threat(42)
@pytest.mark.bubblewrap
def test_what_a_skill_remembers_of_one_caller_no_other_hears(turned: Turncoat) -> None:
    """The skill keeps what it hears, on purpose. Its processes stay, each for one caller."""
    for _ in range(3):
        turned.said("remember", "what ada said", caller="ada")
    assert "what ada said" in turned.said("recall", caller="ada")
    for caller in ("mallory", "ada ", "Ada", "", "ada\x00", "eve"):
        assert "what ada said" not in turned.said("recall", caller=caller)


@threat(84)
@pytest.mark.bubblewrap
@pytest.mark.anyio
async def test_what_a_skill_writes_down_of_one_caller_no_other_reads(turned: Turncoat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every place of the sandbox that can be written to; and the gateway leads each key to its own."""
    places = ("/tmp/left", "/dev/shm/left", "/run/skill/left")
    for place in places:
        turned.said("write", place, "ada", own=True)
        assert turned.said("read", place, "ada", own=True) == "'gone'"
        assert [turned.said("read", place, caller, own=True) for caller in ("mallory", "")] == ["'FileNotFoundError'"] * 2
    asked = []
    async with a_house(tmp_path, a_manifest(), a_manifest(name="notes", permissions={"storage": "persistent"})) as house:
        found = house.runtime.endpoint
        monkeypatch.setattr(house.runtime, "endpoint", lambda skill, person="": (asked.append((skill, person)), found(skill))[1])
        for name in ("word-count", "notes"):
            for headers in ({}, house.key("invoke", name="mallory")):
                assert (await house.execute(name, headers=headers)).status_code == 200
    assert asked == [("word-count", "ada"), ("word-count", "mallory"), ("notes", "")]  # what is kept on purpose is all callers'


@threat(43)
@pytest.mark.anyio
async def test_a_page_of_another_site_or_another_name_for_this_host_does_nothing(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        calls = []
        for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"host": "evil.example"}, {"host": "gateway.evil.example"},
                        {"origin": "http://gateway.evil.example"}, {"host": "127.0.0.1@evil.example"}):  # fmt: skip
            calls.append(await house.execute(headers=headers))
            calls.append(await house.client.post("/requests", json={"title": "x", "text": "y"}, headers=headers))
        requests = (await house.client.get("/requests")).json()
        assert house.skill.calls == [] and (await house.execute()).status_code == 200  # the same, from nowhere else
    assert {answer.status_code for answer in calls} <= {400, 403, 421}
    assert requests == []


@threat(48)
@pytest.mark.anyio
async def test_who_crashes_a_skill_or_fills_it_with_calls_that_hang_keeps_nobody_else_from_it(tmp_path: Path) -> None:
    hung = asyncio.Event()

    async def says(call: dict[str, Any]) -> bytes:
        if call["context"]["caller"] != "mallory":
            return await count(call)
        if call["inputs"]["text"] == "hang":
            await hung.wait()
        return json.dumps({"success": False, "error": {"code": "crashed", "message": "it crashed"}}).encode()

    async with a_house(tmp_path) as house:
        house.skill.says = says
        mallory = house.key("invoke", name="mallory")
        async with asyncio.TaskGroup() as group:
            for _ in range(40):
                group.create_task(house.execute(inputs={"text": "hang"}, headers=mallory))
            while len(house.skill.calls) < 12:
                await asyncio.sleep(0.01)
            assert (await house.execute()).status_code == 200
            hung.set()
        assert (await house.execute(headers=mallory)).status_code == 503  # the circuit is open, to her
        assert (await house.execute()).status_code == 200
