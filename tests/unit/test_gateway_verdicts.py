"""What a person says of a proposal over HTTP: whom the key stands for says it, and the policy says whether it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.domain.proposal import HOLD
from agent.gateway.worker import Worker
from agent.stages.proposing import propose_retire
from tests.gateways import House, a_house

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def proposed(house: House, author: str = "ada") -> int:
    return propose_retire("word-count", author, house.place.parts.forge, "nobody needs it").number


async def test_an_approval_counts_for_whom_the_key_stands_for_at_the_head_that_was_seen(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        number = proposed(house)
        head, bob = house.place.parts.forge.proposal(number).head, house.key("approve", name="bob")
        late = await house.client.post(f"/proposals/{number}/approve", json={"why": "fine", "commit": "0" * 40}, headers=bob)
        answer = await house.client.post(f"/proposals/{number}/approve", json={"why": "fine", "commit": head}, headers=bob)
        told = (await house.client.get(f"/proposals/{number}")).json()
        entries = house.place.parts.ledger.entries(proposal=number)
    assert (late.status_code, answer.status_code) == (409, 201)
    assert [(review["reviewer"], review["verdict"], review["head"]) for review in told["reviews"]] == [("bob", "approve", told["proposal"]["head"])]
    assert ("people", "approve", "bob") in [(entered.event.stage, entered.event.what, entered.event.actor) for entered in entries]


async def test_nobody_approves_what_they_wrote_whatever_the_scope(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        number = proposed(house, author="bob")
        for scope in ("approve", "admin"):
            answer = await house.client.post(f"/proposals/{number}/approve", headers=house.key(scope, name="bob"))
            assert (answer.status_code, answer.json()["code"]) == (409, "refused")
        agent = await house.client.post(f"/proposals/{number}/approve", headers=house.key("approve", name="skillops-author"))
        told = (await house.client.get(f"/proposals/{number}")).json()
    assert agent.status_code == 409
    assert told["reviews"] == []


@pytest.mark.parametrize("verdict", ["approve", "reject", "revise", "hold", "retry"])
async def test_another_scope_says_nothing_of_a_proposal(tmp_path: Path, verdict: str) -> None:
    async with a_house(tmp_path) as house:
        number = proposed(house)
        answer = await house.client.post(f"/proposals/{number}/{verdict}", json={"why": "no"}, headers=house.key("invoke", "request", name="bob"))
        missing = await house.client.post(f"/proposals/99/{verdict}", json={"why": "no"})
        told = (await house.client.get(f"/proposals/{number}")).json()
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (missing.status_code, missing.json()["code"]) == (404, "not-found")
    assert told["reviews"] == [] and HOLD not in told["proposal"]["labels"]


async def test_a_rejection_needs_a_reason(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        number = proposed(house)
        bare = await house.client.post(f"/proposals/{number}/reject", headers=house.key("approve", name="bob"))
        unknown = await house.client.post(f"/proposals/{number}/praise", headers=house.key("approve", name="bob"))
        said = await house.client.post(f"/proposals/{number}/reject", json={"why": "we need it"}, headers=house.key("approve", name="bob"))
    assert (bare.status_code, bare.json()["code"]) == (400, "usage")
    assert unknown.status_code == 400
    assert (said.status_code, said.json()["verdict"], said.json()["summary"]) == (201, "reject", "we need it")


async def test_a_proposal_is_held_and_taken_up_again_and_the_worker_hears_of_it(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        number, woken = proposed(house), []
        house.gateway.worker = Worker(house.place)
        house.gateway.worker.wake = lambda: woken.append(1)  # type: ignore[method-assign]
        held = await house.client.post(f"/proposals/{number}/hold", json={"why": "wait"}, headers=house.key("approve", name="bob"))
        approved = await house.client.post(f"/proposals/{number}/approve", headers=house.key("approve", name="bob"))
        taken_up = await house.client.post(f"/proposals/{number}/retry", headers=house.key("approve", name="bob"))
    assert HOLD in held.json()["labels"] and HOLD not in taken_up.json()["labels"]
    assert approved.status_code == 409
    assert woken == [1]
