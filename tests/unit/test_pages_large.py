"""What pages cost where there is much: counted in git processes, in what is read and in rows, as time is the machine's."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent import ledger as ledger_module
from agent.domain.check import CheckResult, Outcome
from agent.domain.event import Event
from agent.domain.proposal import ProposalDraft
from agent.domain.request import RequestDraft
from agent.forges.git_door import GitDoor
from agent.gateway.pages.attention import attention
from agent.manifest_file import write_manifest
from tests.browsing import Browser, text_of
from tests.builders import a_manifest, a_review
from tests.gateways import House, a_house

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path) as house:
        yield house


def a_request(house: House, number: int) -> int:
    draft = RequestDraft(key=str(number), title=f"Ability {number}", text="Count", requester="ada", source="cli")
    return house.place.parts.forge.open_request(draft).number


def proposed(house: House, number: int) -> None:
    """A request with its proposal, of which all is judged and the policy asks a person."""
    parts, request, name = house.place.parts, a_request(house, number), f"count-{number}"
    manifest = a_manifest(name=name, permissions={"network": ["api.example.com:443"], "secrets": ["KEY"]})
    parts.forge.commit(f"skill/{name}", {f"skills/{name}/skill.yaml": write_manifest(manifest)}, parent=None, message="m", author="agent")
    draft = ProposalDraft(branch=f"skill/{name}", skill=name, kind="new", title=f"Add {name}", body="", author="agent", request=request)
    proposal = parts.forge.open_proposal(draft)
    for check in parts.checks:
        parts.forge.post_check(proposal.number, CheckResult(name=check.name, outcome=Outcome.PASSED, head=proposal.head, summary="fine", seconds=1))
    for reviewer in parts.panel(parts.policy()):
        parts.forge.post_review(proposal.number, a_review(reviewer.name, head=proposal.head))


async def test_what_needs_attention_takes_one_git_process_for_all_and_nothing_is_read_twice(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        proposed(house, number)
    forge = house.place.parts.forge
    forge.commit("main", {"notes.md": b"main moves on"}, parent=forge.head("main"), message="On", author="ada")
    asked = Counter[str]()
    run, ask = GitDoor.run, GitDoor._ask
    monkeypatch.setattr(GitDoor, "run", lambda door, *words, **more: asked.update([words[0]]) or run(door, *words, **more))
    monkeypatch.setattr(GitDoor, "_ask", lambda door, question, name: asked.update(["cat-file"]) or ask(door, question, name))

    first, told = attention(house.place.parts), dict(asked)
    asked.clear()
    again = attention(house.place.parts)

    assert told.keys() <= {"rev-list", "cat-file"} and told["rev-list"] == 1, told
    assert len(first["person"]) == 6 and again == first
    assert not asked, "of what has not changed nothing is asked again"


async def test_a_page_shows_so_many_and_says_how_many_more_there_are(house: House) -> None:
    for number in range(103):
        a_request(house, number)
    browser = await Browser(house).signed_in()

    attended, listed, last = [await browser.page(path) for path in ("/attention", "/requests", "/requests?page=99")]

    assert attended.count("Ability") == 50 and "53 more wait" in text_of(attended)
    assert listed.count("Ability") == 100 and "Ability 102" in listed and 'href="/requests?state=open&amp;page=2"' in listed
    assert last.count("Ability") == 3 and "Ability 2" in last and "page 2 of 2" in text_of(last)


async def test_the_ledger_reads_what_it_shows_and_each_entry_once_to_search(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(250):
        house.place.parts.record(Event(stage="people", what="held", actor=f"dora-{number}", request=7 if number == 3 else 8, note="wait"))
    read = list[int]()
    entered = ledger_module._entered
    monkeypatch.setattr(ledger_module, "_entered", lambda row: read.append(row["number"]) or entered(row))
    browser = await Browser(house).signed_in()

    async def look(query: str) -> tuple[dict[str, Any], int]:
        read.clear()
        return (await browser.open(f"/ledger?{query}", accept="application/json")).json(), len(read)

    (newest, cost), (found, dear), (again, cheap) = await look("page=1"), await look("q=dora-3"), await look("q=dora-3 %237")
    house.place.parts.record(Event(stage="people", what="held", actor="dora-3000", request=7, note="wait"))
    late, _ = await look("q=dora-3 %237")

    assert len(newest["entries"]) == 100 and newest["all"] == newest["entries"][0]["number"]
    looked = 3  # at the last entry, and at what is held against the one that was noted (`agent/anchors.py`)
    assert cost == 100 + looked and found["found"] == 11 and dear <= newest["all"] + 100 + looked and cheap <= 1 + looked
    assert [entry["event"]["actor"] for entry in (*again["entries"], *late["entries"])] == ["dora-3", "dora-3000", "dora-3"]


async def test_a_revision_that_is_not_listed_is_compared_all_the_same(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    forge = house.place.parts.forge
    monkeypatch.setattr("agent.gateway.pages.registry.SHOWN", 4)
    text = (forge.read("main", "registry.yaml") or b"").decode()
    lines = text.splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if line.startswith("revision:"))
    start = int(lines[place].split()[1])
    for revision in itertools.count(start + 1):
        if revision == start + 12:
            break
        lines[place] = f"revision: {revision}\n"
        forge.commit("main", {"registry.yaml": "".join(lines).encode()}, parent=forge.head("main"), message=f"Release {revision}", author="a")
    browser = await Browser(house).signed_in("invoke")

    told = (await browser.open(f"/registry?from={start}&to={start + 2}", accept="application/json")).json()
    second = await browser.page("/registry?page=2")
    none = await browser.open("/registry?to=999", accept="application/json")

    assert (told["from"]["revision"], told["to"]["revision"], told["newest"]) == (start, start + 2, start + 11)
    assert [each["revision"] for each in told["revisions"]] == [start + 11, start + 10, start + 9, start + 8]
    assert f"Release {start + 7}" in second and f"Release {start + 8}" not in second.split("<h2>Revisions</h2>")[1]
    assert none.status_code == 404 and f"the newest is {start + 11}" in none.text
