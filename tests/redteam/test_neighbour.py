"""Another tenant of the gateway, and a page in somebody's browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.stages.proposing import propose_retire
from tests.gateways import a_house
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
