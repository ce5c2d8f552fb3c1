"""The gateway's other routes: the registry, tools, requests, proposals, builds, and the OpenAPI document."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.domain.skill import Manifest
from agent.errors import CouldNotTell
from agent.gateway.openapi import embedded
from agent.gateway.tools import FORMATS, tool
from agent.gateway.wishes import standing
from agent.gateway.worker import Worker
from agent.manifest_file import write_manifest
from tests.builders import EXAMPLES, INPUTS, OUTPUTS, a_manifest
from tests.engines import need_base_images
from tests.gateways import a_house, a_place, publish
from tests.images import Images

JSON = {"content-type": "application/json"}
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_the_registry_is_listed_by_status(tmp_path: Path) -> None:
    async with a_house(tmp_path, a_manifest(), a_manifest(name="old-one", status="deprecated")) as house:
        every, active = (await house.client.get("/skills")).json(), (await house.client.get("/skills?status=active")).json()
    assert [skill["name"] for skill in every["skills"]] == ["old-one", "word-count"]
    assert [skill["name"] for skill in active["skills"]] == ["word-count"]
    assert every["revision"] == 1


async def test_a_skill_is_shown_with_its_contract_versions_health_and_use(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        publish(house.place, a_manifest(version="1.1.0"))
        await house.execute()
        told = (await house.client.get("/skills/word-count")).json()
        missing = await house.client.get("/skills/word-cuont")
    assert (told["inputs"], told["outputs"]) == (INPUTS, OUTPUTS)
    assert [version["version"] for version in told["versions"]] == ["1.1.0", "1.0.0"]
    assert [(service["version"], service["state"]) for service in told["services"]] == [("1.1.0", "healthy")]
    assert told["usage"]["calls"] == 1 and told["circuit"] == "closed"
    assert missing.status_code == 404 and "word-count" in missing.json()["next_step"]


async def test_logs_are_read_as_text(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        told = await house.client.get("/skills/word-count/logs?lines=7")
        wrong = await house.client.get("/skills/word-count/logs?lines=-1")
    assert told.headers["content-type"].startswith("text/plain")
    assert told.text == "the last 7 lines of word-count\n"
    assert (wrong.status_code, wrong.json()["code"]) == (400, "usage")


def schema_of(form: str, given: dict[str, Any]) -> Any:
    """Where each form has the inputs' schema: platform.openai.com, docs.anthropic.com, modelcontextprotocol.io."""
    if form == "openai":
        return given["function"]["parameters"]
    return given[{"openai-responses": "parameters", "anthropic": "input_schema", "mcp": "inputSchema"}[form]]


@pytest.mark.parametrize("form", FORMATS)
async def test_active_skills_are_tools_in_each_form(tmp_path: Path, form: str) -> None:
    async with a_house(tmp_path, a_manifest(), a_manifest(name="old-one", status="deprecated")) as house:
        told = (await house.client.get("/tools", params={"format": form})).json()
    assert len(told["tools"]) == 1
    assert schema_of(form, told["tools"][0]) == INPUTS
    assert "word-count" in str(told["tools"][0])


def test_a_tool_of_mcp_says_what_a_caller_may_assume() -> None:
    marks = {"readOnly": False, "idempotent": False, "destructive": True}
    given = tool(a_manifest(annotations=marks, permissions={"network": ["example.com:443"]}), "mcp")
    assert given["annotations"] == {"readOnlyHint": False, "idempotentHint": False, "destructiveHint": True, "openWorldHint": True}
    assert given["outputSchema"] == OUTPUTS


async def test_tools_can_be_searched_for_and_an_unknown_form_is_wrong_usage(tmp_path: Path) -> None:
    other = a_manifest(name="weather", description="Tell the weather of a city. Use when somebody asks about rain.", aliases=["rain"])
    async with a_house(tmp_path, a_manifest(), other) as house:
        found = (await house.client.get("/tools?format=mcp&search=rain+in+town")).json()
        wrong = await house.client.get("/tools?format=soap")
    assert [given["name"] for given in found["tools"]] == ["weather"]
    assert (wrong.status_code, wrong.json()["code"]) == (400, "usage")
    assert "openai" in wrong.json()["detail"]


async def test_a_request_is_raised_listed_and_followed(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        raised = await house.client.post("/requests", json={"text": "Turn 1h 30m into seconds, please"}, headers=house.key("request"))
        number = raised.json()["number"]
        listed = (await house.client.get("/requests")).json()
        followed = (await house.client.get(raised.headers["location"])).json()
    assert raised.status_code == 201
    assert (raised.json()["requester"], raised.json()["source"], raised.json()["title"]) == ("eve", "gateway", "Turn 1h 30m into seconds, please")
    assert [request["number"] for request in listed] == [number]
    assert (followed["state"], followed["stage"]) == ("requested", "assessing")
    assert [entry["event"]["what"] for entry in followed["story"]["entries"]] == ["raised"]


async def test_the_same_idempotency_key_raises_one_request_for_each_caller(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        once = {"idempotency-key": "7"}
        numbers = [(await house.client.post("/requests", json={"text": "Count"}, headers=once)).json()["number"] for _ in range(2)]
        other = (await house.client.post("/requests", json={"text": "Count"}, headers={**once, **house.key("request")})).json()["number"]
        plain = (await house.client.post("/requests", json={"text": "Count"})).json()["number"]
    assert numbers[0] == numbers[1]
    assert len({numbers[0], other, plain}) == 3


@pytest.mark.parametrize(
    "body",
    [{}, {"text": ""}, {"text": "  \n"}, {"text": "a\x00b"}, {"text": "a" * 20_001}, {"text": "\ud800"}, {"text": 1}, {"text": "a", "x": 1}, []],
)
async def test_a_request_that_is_none_is_wrong_usage_and_opens_nothing(tmp_path: Path, body: Any) -> None:
    async with a_house(tmp_path) as house:
        answer = await house.client.post("/requests", content=json.dumps(body), headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (400, "usage"), answer.text
        assert (await house.client.get("/requests?state=all")).json() == []


async def test_a_reply_is_said_on_an_open_request_alone(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        number = (await house.client.post("/requests", json={"text": "Count"})).json()["number"]
        said = await house.client.post(f"/requests/{number}/replies", json={"text": "Words, please"}, headers=house.key("request"))
        comments = (await house.client.get(f"/requests/{number}")).json()["comments"]
        house.place.parts.forge.close_request(number, "withdrawn")
        late = await house.client.post(f"/requests/{number}/replies", json={"text": "Words, please"})
        nowhere = await house.client.post("/requests/99/replies", json={"text": "Words, please"})
    assert said.status_code == 201
    assert [(comment["author"], comment["text"]) for comment in comments] == [("eve", "Words, please")]
    assert (late.status_code, nowhere.status_code) == (400, 404)


async def test_a_request_is_taken_back_by_who_asked_or_who_may_approve(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        eve, bob, boss = house.key("request"), house.key("request", name="bob"), house.key("request", "approve", name="boss")
        for number in (1, 2):
            assert (await house.client.post("/requests", json={"text": f"Count {number}"}, headers=eve)).json()["number"] == number
        refused = await house.client.post("/requests/1/withdraw", json={}, headers=bob)
        pasted = await house.client.post("/requests/1/withdraw", json={"why": "ghp_" + "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC3"}, headers=eve)
        still = house.place.parts.forge.request(1).state
        done = await house.client.post("/requests/1/withdraw", json={"why": "done by hand"}, headers=eve)
        others = await house.client.post("/requests/2/withdraw", headers=boss)
        late, nowhere = [await house.client.post(f"/requests/{number}/withdraw", headers=eve) for number in (1, 99)]
        spoken = await house.client.post("/conversations", json={"text": "/withdraw 2"}, headers=house.key("request", "invoke", name="bob"))
    assert (refused.status_code, pasted.status_code, still) == (403, 400, "open")
    assert [(each.status_code, each.json()["closed_as"]) for each in (done, others)] == [(200, "withdrawn")] * 2
    assert (late.status_code, nowhere.status_code) == (400, 404)
    assert (spoken.status_code, spoken.json()["title"]) == (409, "bob did not ask for #2 here.")


@pytest.mark.parametrize(
    "path", ["/requests/99", "/proposals/99", "/builds/sha256:00", "/builds/..%2f", "/requests/0", "/requests/x", "/requests/" + "9" * 30]
)
async def test_what_is_not_there_is_a_problem(tmp_path: Path, path: str) -> None:
    async with a_house(tmp_path) as house:
        answer = await house.client.get(path)
    assert answer.status_code in (400, 404)
    assert answer.json()["next_step"]


async def test_a_proposal_is_shown_with_its_verdicts(tmp_path: Path) -> None:
    from agent.stages.proposing import propose_retire

    async with a_house(tmp_path) as house:
        parts = house.place.parts
        proposal = propose_retire("word-count", "ada", parts.forge, "nobody needs it")
        listed = (await house.client.get("/proposals")).json()
        told = (await house.client.get(f"/proposals/{proposal.number}")).json()
    assert [each["number"] for each in listed] == [proposal.number]
    assert told["proposal"]["head"] == proposal.head
    assert (told["checks"], told["reviews"]) == ([], [])


def a_folder(manifest: Manifest) -> dict[str, str]:
    return {"skill.yaml": write_manifest(manifest).decode(), "skill.py": "def execute(inputs, context):\n    return {'words': 1}\n"}


async def test_a_folder_is_built_once_for_the_same_digest(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        files = a_folder(a_manifest(name="new-one"))
        first = await house.client.post("/builds", json={"files": files})
        encoded = {path: base64.b64encode(text.encode()).decode() for path, text in files.items()}
        again = await house.client.post("/builds", json={"files": encoded, "encoding": "base64"})
        there = await house.client.get(f"/builds/{first.json()['digest']}")
        skills = (await house.client.get("/skills")).json()["skills"]
    assert (first.status_code, first.json()["skill"], first.json()["version"]) == (201, "new-one", "1.0.0")
    assert again.json()["digest"] == first.json()["digest"] == there.json()["digest"]
    assert str(tmp_path) not in first.text + there.text
    assert [skill["name"] for skill in skills] == ["word-count"], "what is built does not serve"


async def test_a_manifest_is_built_with_the_code_on_main(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        served = (await house.client.get("/skills/word-count")).json()["entry"]["digest"]
        same = await house.client.post("/builds", json={"manifest": a_manifest().model_dump(mode="json")})
        other = await house.client.post("/builds", json={"manifest": a_manifest(environment={"A": "1"}).model_dump(mode="json")})
        nowhere = await house.client.post("/builds", json={"manifest": a_manifest(name="nowhere").model_dump(mode="json")})
    assert same.json()["digest"] == served != other.json()["digest"]
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not-found")


@pytest.mark.docker
async def test_an_image_is_built_and_told_by_its_reference(tmp_path: Path, images: Callable[..., Images]) -> None:
    need_base_images("python")
    made, place = images(tmp_path / "contexts"), a_place(tmp_path)
    place = replace(place, parts=replace(place.parts, builder=made.builder(place.parts.languages)))
    async with a_house(tmp_path, place=place) as house:
        first = await house.client.post("/builds", json={"files": a_folder(a_manifest(name="new-one"))})
        there = await house.client.get(f"/builds/{first.json()['digest']}")
    assert (first.status_code, first.json()["kind"]) == (201, "image"), first.text
    assert there.json()["image"] == first.json()["image"] == made.artifacts()[0]


@pytest.mark.parametrize(
    "body",
    [
        {}, {"files": {}}, {"files": {"skill.py": ""}}, {"files": {"skill.yaml": "a: ["}}, {"files": {"skill.yaml": "!"}, "encoding": "base64"},
        {"manifest": {"name": "x"}}, {"files": {}, "manifest": {}}, {"files": {"skill.yaml": "\ud800"}},
    ],
)  # fmt: skip
async def test_what_is_no_skill_is_not_built(tmp_path: Path, body: Any) -> None:
    async with a_house(tmp_path) as house:
        answer = await house.client.post("/builds", content=json.dumps(body), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, "usage"), answer.text


async def test_a_file_outside_of_the_folder_is_not_built(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        answer = await house.client.post("/builds", json={"files": {**a_folder(a_manifest()), "../../escaped.py": "x"}})
    assert (answer.status_code, answer.json()["code"]) == (409, "refused")
    assert list(tmp_path.rglob("escaped.py")) == []


async def test_the_openapi_document_has_each_skills_real_schemas_and_follows_the_registry(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        before = (await house.client.get("/openapi.json")).json()
        publish(house.place, a_manifest(name="late"))
        await house.gateway.shelf.look(now=True)
        after = (await house.client.get("/openapi.json")).json()
        page = await house.client.get("/docs")
    schemas = before["components"]["schemas"]
    assert (schemas["word-count.inputs"], schemas["word-count.outputs"]) == (INPUTS, OUTPUTS)
    asked = before["paths"]["/skills/word-count/execute"]["post"]["requestBody"]["content"]["application/json"]
    assert asked["examples"]["example 1"]["value"]["inputs"] == EXAMPLES[0]["inputs"]
    assert "/skills/late/execute" not in before["paths"]
    assert "/skills/late/execute" in after["paths"]
    assert {"/skills", "/tools", "/requests", "/proposals", "/builds", "/healthz"} <= before["paths"].keys()
    assert "/skills/late/execute" in page.text and "<script" not in page.text


async def test_every_reference_in_the_openapi_document_leads_somewhere(tmp_path: Path) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [found for key, item in value.items() for found in ([item] if key == "$ref" else references(item))]
        return [found for item in value for found in references(item)] if isinstance(value, list) else []

    nested = {
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/node"}},
        "$defs": {"node": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
    }
    manifest = a_manifest(name="tree", inputs=nested, examples=[{"inputs": {"tree": [[]]}, "outputs": {"words": 1}}])
    async with a_house(tmp_path, manifest) as house:
        document = (await house.client.get("/openapi.json")).json()

    found = references(document)
    assert "#/components/schemas/tree.inputs/$defs/node" in found
    for reference in found:
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_a_schema_without_references_lies_in_the_document_as_it_is() -> None:
    assert embedded(INPUTS, "word-count.inputs") == INPUTS


async def test_what_a_skill_says_of_itself_cannot_write_into_the_page(tmp_path: Path) -> None:
    async with a_house(tmp_path, a_manifest(description="<img src=x onerror=alert(1)> and more of it")) as house:
        page = (await house.client.get("/docs")).text
    assert "<img" not in page and "&lt;img" in page


async def test_with_a_worker_what_is_raised_is_worked_on_at_once(tmp_path: Path) -> None:
    place = a_place(tmp_path, {"assess": lambda question: {"verdict": "refused", "reason": "We buy this."}})
    worker = Worker(place, every=60)
    async with a_house(tmp_path, place=place, worker=worker) as house:
        worker.start()
        number = (await house.client.post("/requests", json={"text": "Predict the lottery"})).json()["number"]
        for _ in range(2000):
            await asyncio.sleep(0.05)
            followed = (await house.client.get(f"/requests/{number}")).json()
            if followed["state"] == "closed":
                break
        ready = (await house.client.get("/readyz")).json()
        worker.stop()
    assert followed["request"]["closed_as"] == "refused"
    assert ready["checks"]["worker"] == "ok"


async def test_what_is_told_of_a_request_that_ends_meanwhile_is_of_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(number: int, parts: Any) -> Any:
        parts.forge.close_request(number, "refused")
        return standing(number, parts)

    monkeypatch.setattr("agent.gateway.requests.standing", ended)
    async with a_house(tmp_path) as house:
        number = (await house.client.post("/requests", json={"text": "Predict the lottery"})).json()["number"]
        followed = (await house.client.get(f"/requests/{number}")).json()
    assert (followed["state"], followed["request"]["closed_as"]) == ("closed", "refused")


async def test_a_worker_that_has_ended_makes_the_gateway_not_ready(tmp_path: Path) -> None:
    async with a_house(tmp_path, worker=Worker(a_place(tmp_path / "other"))) as house:
        ready = await house.client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (503, "not ready")


def test_a_worker_outlives_what_cannot_be_told() -> None:
    tries = threading.Semaphore(0)

    def work() -> None:
        tries.release()
        raise CouldNotTell("The disk is full.")

    worker = Worker(SimpleNamespace(work=work), every=60)  # type: ignore[arg-type]
    worker.start()
    assert tries.acquire(timeout=60)
    worker.wake()
    assert tries.acquire(timeout=60)
    assert worker.state() == "ok"
    worker.stop()
