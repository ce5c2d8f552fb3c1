"""What the pages say: of work that waits, of proposals, skills, requests, the registry, the ledger, the settings and the vault, and in a talk."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.domain.capability import Capability
from agent.domain.check import CheckResult, Finding, Outcome, TestRun
from agent.domain.event import Event
from agent.domain.proposal import Proposal
from agent.domain.request import RequestDraft
from agent.domain.review import Remark
from agent.drawings import Drawing
from agent.gateway.pages.feed import Feed
from agent.halting import pause
from agent.manifest_file import write_manifest
from agent.stages.proposing import propose_retire
from tests.acceptance.harness import Home, answers
from tests.browsing import ACCEPTS, Browser, text_of
from tests.builders import a_manifest, a_review
from tests.gateways import FakeRuntime, House, a_house, a_place, a_place_with, a_server, publish

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>{{ 7 * 7 }}"
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path) as house:
        yield house


def a_wider_one(house: House, code: bytes = b"def execute(inputs, context):\n    return {'words': 1}\n", author: str = "bob") -> Proposal:
    """A proposal of a next version that asks for a host and a secret."""
    wider = a_manifest(version="1.1.0", permissions={"network": ["api.example.com:443"], "secrets": ["WEATHER_KEY"]})
    forge = house.place.parts.forge
    files: dict[str, bytes | None] = {"skills/word-count/skill.yaml": write_manifest(wider), "skills/word-count/skill.py": code}
    forge.commit("skill/word-count-2", files, parent=None, message="wider", author=author)
    from agent.domain.proposal import ProposalDraft

    return forge.open_proposal(ProposalDraft(
        branch="skill/word-count-2", skill="word-count", kind="person", title=f"Wider {HOSTILE}", body=HOSTILE, author=author
    ))  # fmt: skip


def judged(house: House, proposal: Proposal, *, blocks: bool = True) -> None:
    """All checks passed, one with a note on a line; a reviewer remarks on another, in words that a page must not run."""
    forge = house.place.parts.forge
    for check in house.place.parts.checks:
        found = (Finding(message=f"a note {HOSTILE}", path="skills/word-count/skill.py", line=1, level="note"),) if check.name == "style" else ()
        can = (Capability(kind="network", what=f"urllib {HOSTILE}", path="skills/word-count/skill.py", line=2, gained=True),) if found else ()
        result = CheckResult(
            name=check.name, outcome=Outcome.PASSED, head=proposal.head, summary=f"fine {HOSTILE}", seconds=0.25, findings=found, capabilities=can
        )
        forge.post_check(proposal.number, result)
    for name in ("correctness", "security", "fit"):
        remarks = (Remark(message=f"look here {HOSTILE}", path="skill.py", line=2, blocking=blocks, reproduced=blocks),) if name == "security" else ()
        forge.post_review(proposal.number, a_review(name, head=proposal.head, remarks=remarks, summary=HOSTILE))
    event = Event(
        stage="reviewing", what="reviewed", actor="security", proposal=proposal.number, outcome="approve", seconds=2.0, tokens=1200, cost=0.03,
        note=HOSTILE,
    )  # fmt: skip
    house.place.parts.record(event)


async def test_what_waits_for_a_person_comes_first_with_why_and_with_what_it_asks_for_beyond_before(house: House) -> None:
    proposal = a_wider_one(house)
    judged(house, proposal, blocks=False)
    house.place.parts.forge.open_request(RequestDraft(key="k", title="Count letters", text="How many?", requester="eve", source="cli"))
    browser = await Browser(house).signed_in()
    page, twin = text_of(await browser.page("/attention")), (await browser.open("/attention", accept="application/json")).json()
    (item,) = twin["person"]
    assert (item["kind"], item["risk"], item["proposal"], item["address"]) == ("decision", "high", 1, "/proposals/1")
    assert "Its code can do more than before network: urllib" in page and "skills/word-count/skill.py:2" in page
    assert [row["what"] for row in item["wants"]["rows"] if row["wider"]] == ["reaches", "secrets"]
    assert item["why"].partition("`")[0].strip() in page and "More than before: reaches api.example.com:443; secrets WEATHER_KEY." in page
    assert [(each["state"], each["title"]) for each in twin["moving"]] == [("requested", "Count letters")]
    assert page.index("Look and decide") < page.index("Moves by itself") and "skillops serve --work" in page


async def test_a_merged_skill_that_lacks_its_secret_waits_for_a_person_with_the_way_to_set_it(house: House) -> None:
    parts = house.place.parts
    proposal = a_wider_one(house)
    parts.forge.merge(proposal.number, expected_head=proposal.head, message="Merge", author="ada")
    house.place.pipeline.run(once=True)
    house.runtime.deployed.clear()
    browser = await Browser(house).signed_in()
    (item,) = (await browser.open("/attention", accept="application/json")).json()["person"]
    assert (item["kind"], item["secret"], item["skill"]) == ("secret", "WEATHER_KEY", "word-count")
    assert "/vault?name=WEATHER_KEY&amp;skill=word-count" in await browser.page("/attention")
    parts.vault.set("WEATHER_KEY", "sunny", "ada")
    assert (await browser.open("/attention", accept="application/json")).json()["person"] == []


async def test_what_could_not_go_on_is_not_said_to_move_by_itself(house: House) -> None:
    parts = house.place.parts
    forge, browser = parts.forge, await Browser(house).signed_in()
    number = forge.open_request(RequestDraft(key="k", title="Count letters", text="Count the letters.", requester="ada", source="cli")).number
    house.place.pipeline.run()  # the model of this house has no answer
    page = text_of(await browser.page("/attention"))
    told = page.partition("Could not be told")[2].partition("Moves by itself")[0]
    assert (
        "Something could not be told, though." in page
        and f"#{number}" in told
        and "no answer left for 'assess'" in told
        and "skillops doctor" in told
    )
    parts.record(Event(stage="assessing", what="assessed", actor="agent", request=number, outcome="new"))
    moving = text_of(await browser.page("/attention")).partition("Moves by itself")[2]
    assert "Count letters" in moving, "it went on since"


async def test_a_skill_that_runs_otherwise_than_the_registry_says_needs_attention(house: House) -> None:
    browser = await Browser(house).signed_in()
    await house.execute()
    deployed = house.runtime.deployed
    deployed["word-count"] = deployed["word-count"].model_copy(update={"digest": "sha256:other", "version": "0.9.0"})
    deployed["gone"] = deployed["word-count"].model_copy(update={"skill": "gone"})
    page = text_of(await browser.page("/attention"))
    assert "0.9.0 runs, and the registry holds 1.0.0" in page and "it is not in the registry" in page
    skills = text_of(await browser.page("/skills"))
    assert "registry: drifted health: healthy" in skills


async def test_a_proposal_shows_its_timeline_its_diff_with_remarks_on_their_lines_and_what_it_asks_for(house: House) -> None:
    proposal = a_wider_one(house)
    judged(house, proposal)
    browser = await Browser(house).signed_in()
    html = await browser.page("/proposals/1")
    page = text_of(html)
    assert "reaches nothing api.example.com:443 more" in page and "high risk" in page
    assert "can do more than before: network" in text_of(html.partition('id="checks"')[0]), "beside what it asks for, as in the policy's word"
    assert "1,200 tokens" in page or "1,200" in page
    assert '<rect class="bar' in html and "review: security" in page and "$0.0300" in page
    lines = html.split('<tr class="plus">')
    remark = next(line for line in lines if "look here" in line)
    assert "return {&#39;words&#39;: 1}" in remark and "blocks" in text_of(remark)
    assert "a note" in next(line for line in html.split("<tr") if "remark is-note" in line)


async def test_a_proposal_shows_what_became_of_disputed_cases(house: House) -> None:
    proposal = a_wider_one(house)
    ruling = {
        "case": "sha256:1",
        "name": f"tabs {HOSTILE}",
        "clause": "words",
        "outcome": "struck",
        "why": "As it is.",
        "quote": HOSTILE,
        "objection": "no",
    }
    house.place.parts.record(Event(stage="proposing", what="ruled", actor="skillops-arbiter", proposal=proposal.number, outcome="struck",
                                   note="As it is.", data={"ruling": ruling, "case": "tabs"}))  # fmt: skip
    html = await (await Browser(house).signed_in()).page("/proposals/1")
    shown = text_of(html.partition('id="disputes"')[2].partition("</ul>")[0])
    assert "struck" in shown and "The requirement says: “" in shown and "The author held: “no”" in shown
    assert "the arbiter on the witness case “tabs”: struck. As it is." in html and "<script>alert" not in html


async def test_a_proposal_shows_what_its_tests_came_to_and_a_failing_check(house: House) -> None:
    proposal = a_wider_one(house)
    found = Finding(message=f"one is not two {HOSTILE}", path="skills/word-count/skill.py", line=2)
    failed = CheckResult(name="tests", outcome=Outcome.FAILED, head=proposal.head, summary="one is not two", seconds=1.5, findings=(found,))
    ran = [TestRun(id=f"test_skill.py::test_{HOSTILE}", outcome="passed", seconds=0.004)] * 210
    ran.append(TestRun(id="test_skill.py::test_two", outcome="failed", message=HOSTILE, seconds=1.25))
    house.place.parts.forge.post_check(1, failed.with_tests(ran))
    browser = await Browser(house).signed_in()
    html = await browser.page("/proposals/1")
    page = text_of(html)
    assert "211 tests, 1 failed" in page and "11 more are not kept." in page
    first, second = html.partition('aria-label="Test results of tests"')[2].split("<tr>")[2:4]
    assert "failed test_skill.py::test_two" in text_of(first) and "1.2 s" in text_of(first)
    assert "passed" in text_of(second) and "4 ms" in text_of(second)
    assert "<script>alert" not in html
    assert "one is not two" in text_of(next(line for line in html.split("<tr") if "remark is-error" in line)), "the finding stands on its line"
    twin = (await browser.open("/proposals/1", accept="application/json")).json()
    (check,) = twin["checks"]
    assert check["tests"][0] == ran[-1].model_dump()
    assert len(check["tests"]) == 200 and check["untold"] == 11


async def test_nothing_that_anybody_wrote_is_markup_in_a_page(house: House) -> None:
    code = f"# {HOSTILE}\n\r<b>\x1b[31m".encode() + b"\xff\xfe"
    proposal = a_wider_one(house, code)
    judged(house, proposal)
    forge = house.place.parts.forge
    number = forge.open_request(RequestDraft(key="k", title=HOSTILE, text=HOSTILE, requester=HOSTILE, source="cli")).number
    forge.say(number, f"{HOSTILE} <!-- hidden -->", author=HOSTILE)
    house.runtime.logs = lambda skill, lines=200: HOSTILE  # type: ignore[method-assign]
    memory = house.place.conversations.memory
    talk = memory.start("ada")
    memory.say(talk, "person", HOSTILE)
    memory.say(talk, "agent", HOSTILE, {"kind": "failed"})
    browser = await Browser(house).signed_in()
    paths = [
        "/attention", "/proposals", "/proposals/1", "/requests", f"/requests/{number}", "/ledger", "/skills/word-count/logs", "/ask", f"/ask/{talk}",
        f"/skills?q={HOSTILE}", f"/ledger?q={HOSTILE}", f"/attention?said={HOSTILE}", f"/vault?name={HOSTILE}&skill={HOSTILE}", "/registry",
    ]  # fmt: skip
    for path in paths:
        page = await browser.page(path)
        assert "<script>alert" not in page and "<img" not in page and "<b>\x1b" not in page, path
    shown = await browser.page("/proposals/1")
    assert shown.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 5 and "49" not in text_of(shown.partition("<h1>")[2].partition("</h1>")[0])
    error = await browser.open(f"/skills/{HOSTILE.replace('/', '')}")
    assert error.status_code == 404 and "<script>alert" not in error.text


async def test_two_who_decide_at_once_are_both_heard_or_told(house: House) -> None:
    proposal = a_wider_one(house)
    judged(house, proposal)
    carl, dora = await Browser(house).signed_in(name="carl"), await Browser(house).signed_in(name="dora")
    seen = {"head": proposal.head}
    both = await asyncio.gather(
        carl.send("/proposals/1/approve", seen, on="/proposals/1"),
        dora.send("/proposals/1/reject", {**seen, "why": "it wants too much"}, on="/proposals/1"),
    )
    assert [answer.status_code for answer in both] == [303, 303]
    said = {review.reviewer: review.verdict for review in house.place.parts.forge.reviews(1, proposal.head) if review.kind == "person"}
    assert said == {"carl": "approve", "dora": "reject"}
    house.place.parts.forge.close_proposal(1)
    late = await carl.send("/proposals/1/approve", seen, on="/attention")
    assert late.status_code == 400 and "Proposal #1 is closed." in text_of(late.text)


async def test_a_decision_on_what_has_changed_since_is_not_taken(house: House) -> None:
    proposal = a_wider_one(house)
    browser = await Browser(house).signed_in(name="carl")
    files: dict[str, bytes | None] = {"skills/word-count/skill.py": b"def execute(inputs, context):\n    return {'words': 2}\n"}
    house.place.parts.forge.commit(proposal.branch, files, parent=proposal.head, message="more", author="bob")
    answer = await browser.send("/proposals/1/approve", {"head": proposal.head}, on="/proposals/1")
    assert answer.status_code == 400 and "has changed since this page was made" in text_of(answer.text)
    own = await Browser(house).signed_in(name="bob")
    assert (await own.send("/proposals/1/approve", on="/proposals/1")).status_code == 409
    assert (await browser.send("/proposals/1/reject", on="/proposals/1")).status_code == 400  # without a reason
    assert (await browser.send("/proposals/1/praise", on="/proposals/1")).status_code == 400
    assert house.place.parts.forge.reviews(1, house.place.parts.forge.proposal(1).head) == ()


async def test_a_proposal_is_stopped_and_let_go_on(house: House) -> None:
    a_wider_one(house)
    browser = await Browser(house).signed_in(name="carl")
    assert (await browser.send("/proposals/1/hold", {"why": "wait"}, on="/proposals/1")).headers["location"] == "/proposals/1?said=hold"
    page = await browser.page("/proposals/1?said=hold")
    assert "It is stopped, until somebody lets it go on." in text_of(page) and "/proposals/1/retry" in page
    assert (await browser.send("/proposals/1/retry", on="/proposals/1")).status_code == 303
    assert "/proposals/1/hold" in await browser.page("/proposals/1")


async def test_a_skill_is_tried_by_a_form_with_its_receipt_or_what_was_wrong(tmp_path: Path) -> None:
    deadly = a_manifest(name="deadly", annotations={"destructive": True, "readOnly": False})
    async with a_house(tmp_path, a_manifest(), deadly) as house:
        browser = await Browser(house).signed_in("invoke")
        page = await browser.page("/skills/word-count")
        assert 'name="in.text"' in page and "one two" in page and "-d &#39;{&#34;inputs&#34;" in page and "mcpServers" in page
        done = await browser.send("/skills/word-count/try", {"in.text": "a b\r\nc"}, on="/skills")
        assert done.status_code == 200 and "&#34;words&#34;: 3" in done.text and "Receipt: word-count 1.0.0" in text_of(done.text)
        assert "<h1>" in done.text and "Back to word-count" in done.text, "without a script it is a page of its own"
        assert house.skill.calls[-1]["inputs"] == {"text": "a b\nc"}
        part = await browser.send("/skills/word-count/try", {"in.text": "a b"}, on="/skills", **{"hx-request": "true"})
        assert part.status_code == 200 and "Receipt" in part.text and "<html" not in part.text
        unsure = await browser.send("/skills/deadly/try", {"in.text": "a"}, on="/skills")
        sure = await browser.send("/skills/deadly/try", {"in.text": "a", "sure": "yes"}, on="/skills")
        nowhere = await browser.send("/skills/nowhere/try", on="/skills")
        assert "It destroys something" in await browser.page("/skills/deadly")
        assert "Tick the box" in text_of(unsure.text) and "Receipt" in sure.text and "There is no skill" in text_of(nowhere.text)
        used = text_of(await browser.page("/skills/word-count"))
        assert "calls 2 errors 0" in used and "How long calls took" in used


async def test_a_version_is_rolled_back_by_a_proposal_in_the_persons_name(house: House) -> None:
    publish(house.place, a_manifest(version="1.1.0"))
    browser = await Browser(house).signed_in(name="carl")
    assert "Roll back to 1.0.0" in text_of(await browser.page("/skills/word-count"))
    opened = await browser.send("/skills/word-count/rollback", {"version": "1.0.0"}, on="/skills/word-count")
    proposal = house.place.parts.forge.proposals("open")[0]
    assert opened.headers["location"] == f"/proposals/{proposal.number}?said=opened"
    assert (proposal.kind, proposal.author, proposal.title) == ("rollback", "carl", "Roll word-count back to 1.0.0")
    for version in ("9.9.9", "1.1.0", ""):
        assert (await browser.send("/skills/word-count/rollback", {"version": version}, on="/skills/word-count")).status_code == 404


async def test_a_request_is_raised_once_followed_and_answered(house: House) -> None:
    browser = await Browser(house).signed_in("request", name="eve")
    raised = await browser.send("/requests", {"text": "Turn 1h 30m into seconds"})
    number = raised.headers["location"].removeprefix("/requests/").partition("?")[0]
    page = await browser.page(f"/requests/{number}")
    assert "by eve" in text_of(page) and 'aria-current="step"' in page
    assert (await browser.send(f"/requests/{number}/replies", {"text": "in whole seconds"})).status_code == 303
    assert "in whole seconds" in await browser.page(f"/requests/{number}")
    house.place.parts.forge.close_request(int(number), "withdrawn")
    late = await browser.send(f"/requests/{number}/replies", {"text": "more"})
    assert late.status_code == 400 and "is closed" in text_of(late.text)
    assert (await browser.send("/requests", {"text": " "})).status_code == 400


async def test_any_two_revisions_of_the_registry_are_compared(house: House) -> None:
    publish(house.place, a_manifest(version="1.1.0", permissions={"network": ["api.example.com:443"]}), a_manifest(name="other"))
    browser = await Browser(house).signed_in("invoke")
    told = (await browser.open("/registry", accept="application/json")).json()
    changed = {change["name"]: change for change in told["changes"]}
    assert (told["from"]["revision"], told["to"]["revision"]) == (1, 2) or told["to"]["revision"] > told["from"]["revision"]
    assert changed["word-count"]["what"] == "changed" and changed["word-count"]["fields"]["version"] == ["1.0.0", "1.1.0"]
    assert changed["word-count"]["fields"]["permissions"] == ["nothing", "network: api.example.com:443"] and changed["other"]["what"] == "added"
    back = (await browser.open(f"/registry?from={told['to']['revision']}&to=1", accept="application/json")).json()
    assert {change["name"]: change["what"] for change in back["changes"]} == {"word-count": "changed", "other": "removed"}
    assert "From revision" in text_of(await browser.page("/registry?from=1&to=1")) and "the same revision" in await browser.page(
        "/registry?from=1&to=1"
    )
    assert (await browser.open("/registry?to=99")).status_code == 404


async def test_the_ledger_is_searched_and_says_whether_it_was_tampered_with(house: House) -> None:
    parts = house.place.parts
    for number in range(150):
        parts.record(Event(stage="people", what="held", actor=f"dora-{number}", request=7 if number == 3 else 8, note="wait"))
    browser = await Browser(house).signed_in()
    found = (await browser.open("/ledger?q=%237 dora-3", accept="application/json")).json()
    assert [entry["event"]["actor"] for entry in found["entries"]] == ["dora-3"] and found["tampered"] is None
    first, second = (await browser.open("/ledger?q=dora", accept="application/json")).json(), await browser.page("/ledger?q=dora&page=2")
    assert (first["found"], first["pages"], len(first["entries"])) == (150, 2, 100) and "dora-0" in second and "The chain of hashes holds" in second
    assert (await browser.open("/ledger?page=x")).status_code == 200
    with parts.ledger._inner._file.writing() as connection:  # type: ignore[attr-defined]
        connection.execute("DROP TRIGGER entry_is_fixed")
        connection.execute("UPDATE entry SET at = '2020-01-01' WHERE number = 5")
    assert "Tampered with at entry 5" in text_of(await browser.page("/ledger"))


async def test_settings_are_read_and_secrets_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLOPS_API_KEY", "hidden-4711")
    monkeypatch.setenv("SKILLOPS_GITHUB_WEBHOOK_SECRET", "hidden-4712")
    async with a_house(tmp_path, place=a_place_with(tmp_path, a_manifest())) as house:
        house.place.parts.vault.set("WEATHER_KEY", "hidden-4713", "ada", ["word-count"])
        browser = await Browser(house).signed_in()
        pages = [await browser.page("/settings"), await browser.page("/vault"), (await browser.open("/settings", accept="application/json")).text]
        assert "set, and not shown" in pages[0] and "SKILLOPS_API_KEY" in pages[0] and "WEATHER_KEY" in pages[1]
        assert not any("hidden-47" in page for page in pages)


async def test_a_secret_is_set_by_a_link_and_removed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.gateway.pages.vault.address", lambda request, settings: "http://localhost:1")
    browser = await Browser(house).signed_in()
    made = await browser.send("/vault/form", {"name": "API_KEY", "skills": "word-count, other"})
    assert made.status_code == 201 and "http://localhost:1/secrets/forms/" in made.text
    assert (await browser.send("/vault/form", {"name": "lower"})).status_code == 400
    assert (await browser.send("/vault/form", {"name": "API_KEY", "skills": "a_b"})).status_code == 400
    house.place.parts.vault.set("API_KEY", "value", "ada")
    assert (await browser.send("/vault/API_KEY/remove")).headers["location"] == "/vault?said=removed"
    assert house.place.parts.vault.all() == []


# ---- talking with the agent ------------------------------------------------------------------------------------------


async def talked(tmp_path: Path, said: dict[str, Any], text: str) -> tuple[str, dict[str, Any], str]:
    """A question put in the page: where that led, and what the page and its twin say once the turn is over."""
    home = Home.founded(tmp_path / "skills", answers(**said)).bare(FakeRuntime(tmp_path / "skill.sock"))  # type: ignore[arg-type]
    async with a_house(tmp_path, place=home.place, feed=Feed()) as house:
        browser = await Browser(house).signed_in()
        asked = await browser.send("/ask", {"text": text}, on="/ask")
        assert asked.status_code == 303, asked.text
        path = asked.headers["location"]
        for _ in range(1200):
            twin = (await browser.open(path, accept="application/json")).json()
            if not twin["busy"]:
                break
            await asyncio.sleep(0.05)
        other = await Browser(house).signed_in(name="mallory")
        assert (await other.open(path)).status_code == 404 and (await other.send(path, {"text": "and?"})).status_code == 404
        return path, twin, await browser.page(path)


async def test_a_gap_becomes_a_request_with_its_progress_in_place(tmp_path: Path) -> None:
    _, twin, page = await talked(tmp_path, {}, "How many words?")
    assert [turn["role"] for turn in twin["turns"]] == ["person", "agent"]
    (progress,) = twin["turns"][1]["requests"]
    assert (progress["number"], progress["state"], progress["at"], progress["milestones"][0]) == (1, "requested", 0, "assessed")
    assert "How far request #1 is" in page and "Nobody works on requests in this gateway" in text_of(page)
    assert twin["tokens"] == 10 and "10 tokens, $0.0100 so far" in text_of(page)


async def test_tables_and_pictures_of_an_answer_are_drawn_for_whom_it_is(house: House) -> None:
    memory = house.place.conversations.memory
    talk, other = memory.start("ada"), memory.start("eve")
    with memory.begun(talk, "draw", {}) as turn:
        memory.keep_drawings(turn, [Drawing(rows=(("name", HOSTILE), ("a", "1"))), Drawing(ending="svg", data=b"<svg onload='alert(1)'/>")])
        memory.answer(turn, "Drawn.", {"kind": "answered", "turn": turn})
    ada, eve = await Browser(house).signed_in(), await Browser(house).signed_in(name="eve")
    page, address = await ada.page(f"/ask/{talk}"), f"/ask/{talk}/pictures/{turn}/1"
    picture = await ada.open(address)

    assert f'src="{address}"' in page and "<td>a</td><td>1</td>" in page and "<script>alert" not in page
    assert (picture.headers["content-type"], picture.headers["x-content-type-options"]) == ("image/svg+xml", "nosniff")
    assert "sandbox" in picture.headers["content-security-policy"] and picture.content.startswith(b"<svg")
    for nobody in (f"/ask/{talk}/pictures/{turn}/0", f"/ask/{talk}/pictures/{turn}/9", f"/ask/{other}/pictures/{turn}/1"):
        assert (await ada.open(nobody)).status_code == 404
    assert (await eve.open(address)).status_code == 404 and (await eve.open(f"/ask/{other}/pictures/{turn}/1")).status_code == 404
    assert (await Browser(house).open(address)).status_code == 303


async def test_a_question_of_the_agents_takes_its_choices_by_buttons(tmp_path: Path) -> None:
    plan = {"question": f"Which text {HOSTILE}?", "choices": ["the first", "<b>the second"]}
    _, twin, page = await talked(tmp_path, {"plan": [plan]}, "How many words?")
    assert twin["question"]["choices"] == ["the first", "<b>the second"]
    assert 'name="text" value="the first"' in page and 'value="&lt;b&gt;the second"' in page and 'value="cancel"' in page
    assert "<script>alert" not in page


async def test_what_the_agent_is_at_is_stopped_in_the_talk(tmp_path: Path) -> None:
    def hang(question: Any) -> Any:
        pause(60)
        raise AssertionError("nobody broke it off")

    home = Home.founded(tmp_path / "skills", answers(plan=hang)).bare(FakeRuntime(tmp_path / "skill.sock"))  # type: ignore[arg-type]
    async with a_house(tmp_path, place=home.place, feed=Feed()) as house:
        browser, other = await Browser(house).signed_in(), await Browser(house).signed_in(name="mallory")
        path = (await browser.send("/ask", {"text": "How many words?"}, on="/ask")).headers["location"]
        assert f'action="{path}/stop"' in await browser.page(path)
        assert (await other.send(f"{path}/stop", on="/ask")).status_code == 404
        stopped = await browser.send(f"{path}/stop", on=path)
        twin, page = (await browser.open(path, accept="application/json")).json(), await browser.page(path)
        assert (stopped.status_code, stopped.headers["location"]) == (303, path)
        assert (twin["busy"], twin["turns"][-1]["kind"], twin["doing"]) == (False, "stopped", [])
        assert "Stopped: ada said so." in text_of(page) and "/stop" not in page
        await browser.send(path, {"text": "Once more"}, on=path)
        await browser.send(path, {"text": "stop"}, on=path)  # the word does what the button does
        key = {"authorization": f"Bearer {house.gateway.keys.create('ada', ('admin',))[1]}"}
        nothing = (await house.client.post(f"/conversations/{path.rpartition('/')[2]}/stop", headers=key)).json()
        assert (nothing["kind"], nothing["turn"]) == ("stopped", None)
        assert [turn["kind"] for turn in (await browser.open(path, accept="application/json")).json()["turns"]] == ["", "stopped"] * 2


async def test_a_request_is_taken_back_by_its_requester_or_who_may_approve(house: House) -> None:
    forge = house.place.parts.forge
    for number in (1, 2):
        forge.open_request(RequestDraft(key=str(number), title="Count", text="Count words.", requester="ada", source="gateway"))
    ada, eve = await Browser(house).signed_in("request"), await Browser(house).signed_in("request", name="eve")
    assert "Withdraw" in await ada.page("/requests/1") and "Withdraw" not in await eve.page("/requests/1")
    assert (await eve.send("/requests/1/withdraw", on="/requests")).status_code == 403
    assert (await ada.send("/requests/1/withdraw", {"why": "done by hand"}, on="/requests/1")).headers["location"] == "/requests/1?said=withdrawn"
    boss = await Browser(house).signed_in("request", "approve", name="boss")
    assert (await boss.send("/requests/2/withdraw", on="/requests/2")).status_code == 303
    assert [forge.request(number).closed_as for number in (1, 2)] == ["withdrawn", "withdrawn"]
    page = text_of(await ada.page("/requests/1?said=withdrawn"))
    assert "The request is taken back." in page and "ada took the request back: done by hand" in page


async def test_a_turn_that_cannot_be_told_about_says_why_in_the_talk(tmp_path: Path) -> None:
    _, twin, page = await talked(tmp_path, {"plan": []}, "How many words?")
    assert twin["trouble"]["code"] == "model-unavailable" and "Say it again" in text_of(page)
    assert [turn["role"] for turn in twin["turns"]] == ["person"]


# ---- live ------------------------------------------------------------------------------------------------------------


async def test_a_page_lives_and_what_is_sent_can_add_no_field(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        proposal = propose_retire("word-count", "bob", house.place.parts.forge, "x")
        browser = await Browser(house).signed_in()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            house.gateway.hosts = house.gateway.hosts | {"127.0.0.1"}
            async with a_server(house.app, listening):
                url = f"http://127.0.0.1:{listening.getsockname()[1]}"
                cookies = dict(browser.client.cookies)
                async with (
                    httpx.AsyncClient(base_url=url, cookies=cookies, headers=ACCEPTS, timeout=30) as client,
                    client.stream("GET", f"/live/proposals/{proposal.number}") as stream,
                ):
                    assert stream.headers["content-type"].startswith("text/event-stream")
                    messages = _messages(stream)
                    first = await anext(messages)
                    assert "by bob" in first and "csrf-" not in first and 'name="csrf"' in first
                    house.place.parts.record(Event(
                        stage="people", what="held", actor="dora", proposal=proposal.number, note="later\r\nevent: evil\rdata: x"
                    ))  # fmt: skip
                    second = await anext(messages)
                    assert "dora put it on hold" in second and "evil" in second
                    assert house.app._pages.site.live.viewers == 1  # type: ignore[union-attr]
                for _ in range(1200):
                    if not house.app._pages.site.live._channels:  # type: ignore[union-attr]
                        break
                    await asyncio.sleep(0.05)
                assert not house.app._pages.site.live._channels  # type: ignore[union-attr]


async def _messages(stream: httpx.Response) -> AsyncIterator[str]:
    """The data of each message; a field of any other kind fails."""
    data: list[str] = []
    async for line in stream.aiter_lines():
        if not line and data:
            yield "\n".join(data)
            data = []
        elif line and not line.startswith(":"):
            assert line.startswith("data: "), line
            data.append(line.removeprefix("data: "))


def test_a_feed_knows_what_is_at_work() -> None:
    heard: list[Event] = []
    feed = Feed(heard.append)
    begun = Event(stage="proposing", what="started", actor="pipeline", request=1, proposal=2)
    feed(begun)
    assert feed.doing(request=1, proposal=None).event == begun and feed.doing(request=9, proposal=None) is None  # type: ignore[union-attr]
    feed(replace_what(begun, "finished"))
    assert feed.doing(request=None, proposal=2) is None and feed.told == 2 and heard[0] == begun


def replace_what(event: Event, what: str) -> Event:
    return event.model_copy(update={"what": what})


async def test_where_there_is_nothing_yet_a_page_says_so(tmp_path: Path) -> None:
    async with a_house(tmp_path, place=a_place(tmp_path)) as house:
        browser = await Browser(house).signed_in()
        said = {
            "/attention": "Nothing waits for you.", "/skills": "There is no skill yet.", "/skills?q=count": "Nothing fits.",
            "/requests": "No request is open.", "/requests?state=all": "There is no request yet.",
            "/proposals?state=merged": "No proposal is merged.",
            "/proposals?state=all": "There is no proposal yet.", "/registry": "Nothing has been released yet.",
            "/ledger": "Nothing has happened yet.",
            "/ledger?q=count": "Nothing of this is in the ledger.", "/vault": "The vault holds no secret.",
            "/own-secrets": "No skill takes a secret from those who call it.", "/ask": "None yet.",
        }  # fmt: skip
        assert [path for path, words in said.items() if words not in text_of(await browser.page(path))] == []
