"""Calls in the middle of a call: what the caller of the first can mend is told and asked for as if they had made the inner one, it counts for
them, and what was called until then has its receipts, whatever the end."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.chats.confided import own_forms
from agent.chats.inbox import Said
from agent.domain.release import Endpoint
from agent.errors import MissingSecret, SkillOpsError
from agent.gateway.mcp_answers import ERROR, RECEIPT
from agent.manifest_file import write_manifest
from agent.pipeline import Pipeline
from agent.stages.invoking import invoke
from agent.stages.releasing import artifact_of
from agent.workflow_runtime import WorkflowRuntime
from tests.builders import a_manifest
from tests.gateways import FakeRuntime, _opened, a_place_with, reply
from tests.mcp_clients import MODERN, Served, a_call, a_served_house, call_headers
from tests.unit.test_mcp_secrets import Person

pytestmark = pytest.mark.anyio
VALUE = "correct-horse-battery"
COUNT = a_manifest()
NEEDY = a_manifest(name="needy", permissions={"secrets": ["TOKEN"], "personal": ["TOKEN"]})
SUM = a_manifest(
    name="word-sum", requires=["word-count", "needy"], inputs={"type": "object", "properties": {"text": {}, "via": {}}, "required": ["text"]}
)
FLOW = a_manifest(name="flow", runtime="workflow", entrypoint="workflow.yaml", requires=["word-count", "needy"])
PLAN = b"""\
apiVersion: skillops/v1
kind: Workflow
steps:
  - {id: count, skill: word-count, inputs: {text: {$input: /text}}}
  - {id: need, skill: needy, when: {value: {$step: count, path: /words}, test: above, to: 0}, inputs: {text: {$input: /text}}}
outputs: {words: {$step: need, path: /words}}
"""
TWICE = {"text": "one two", "via": ["word-count", "needy"]}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Runtime(FakeRuntime):
    """A person's own server of `needy` starts where the vault has their secret, as in the real runtimes."""

    vault: Any

    def endpoint(self, skill: str, person: str = "") -> Endpoint:
        if skill == "needy":
            self.vault.values(skill, ("TOKEN",), person)
        return super().endpoint(skill)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose registry holds them all; each test has a copy."""
    folder = tmp_path_factory.mktemp("made")
    place = a_place_with(folder, COUNT, NEEDY, SUM)
    files = {"skills/flow/skill.yaml": write_manifest(FLOW), "skills/flow/workflow.yaml": PLAN}
    forge = place.parts.forge
    forge.commit(forge.main, files, parent=forge.head(forge.main), message="By hand", author="bob")
    place.pipeline.run()
    return folder


@asynccontextmanager
async def a_house_of(made: Path, folder: Path, **traits: Any) -> AsyncIterator[Served]:
    shutil.copytree(made, folder, dirs_exist_ok=True)
    config = folder / "skills/.git/config"
    config.write_text(config.read_text().replace(str(made), str(folder)))
    place = _opened(folder / "skills")
    inner, parts = Runtime(folder / "skill.sock"), place.parts
    inner.vault = parts.vault
    built = partial(artifact_of, forge=parts.forge, builder=parts.builder)
    runtime: Any = WorkflowRuntime(inner, parts.catalog, built, folder / "state/workflows", 2)  # type: ignore[arg-type]
    runtime.socket = inner.socket
    parts = replace(parts, runtime=runtime, lines=runtime.lines)
    place = replace(place, parts=parts, pipeline=Pipeline(parts))
    runtime.deploy_now = place.pipeline.deploy

    async def says(call: dict[str, Any]) -> bytes:
        """word-sum asks others on its way, and has no answer where one of them has none; the others count."""
        for name in call["inputs"].get("via", ()):
            asked = json.dumps({"inputs": {"text": call["inputs"]["text"]}, "context": call["context"]}).encode()
            told = json.loads((await asyncio.to_thread(runtime.lines.board.answer, "word-sum", name, asked))[1])
            if not told["success"]:
                return json.dumps({"success": False, "error": {"code": "no-count", "message": f"{name}: {told['error']['code']}"}}).encode()
        return reply(words=len(call["inputs"]["text"].split()))

    try:
        async with a_served_house(folder, place=place, **traits) as served:
            served.house.skill.says = says
            yield served
    finally:
        runtime.close()


def called(receipt: dict[str, Any]) -> list[tuple[str, str]]:
    return [(call["skill"], call.get("failed", "")) for call in receipt["calls"]]


async def test_a_secret_that_an_inner_skill_lacks_is_asked_for_at_every_door(made: Path, tmp_path: Path) -> None:
    async with a_house_of(made, tmp_path) as served:
        house, parts = served.house, served.house.place.parts
        vault = parts.vault
        for who, name, inputs in (("eve", "word-sum", TWICE), ("fay", "flow", {"text": "one two"})):
            key = house.key("invoke", name=who)
            answer = await house.client.post(f"/skills/{name}/execute", json={"inputs": inputs}, headers={**key, "host": "127.0.0.1"})
            told = answer.json()
            assert (answer.status_code, told["code"]) == (409, "missing-secret"), told
            assert name in told["detail"] and f"needy works with each caller's own TOKEN, and has none of {who}" in told["title"]
            assert told["receipt"]["skill"] == name and called(told["receipt"]) == [("word-count", "")], "what was called before has its receipt"
            form = vault.form(told["links"]["TOKEN"].rpartition("/")[2])
            assert form and (form.skills, form.person) == (("needy",), who), "of the inner skill, and of who called"
            with pytest.raises(MissingSecret) as caught:  # as the command calls it, and an agent's plan
                await asyncio.to_thread(
                    invoke, parts.catalog.manifest(name), parts.catalog.entry(name), inputs, parts.runtime, "bob", lines=parts.lines
                )
            assert caught.value.receipt and [call.skill for call in caught.value.receipt.calls] == ["word-count"]
            assert "--skill needy --for bob" in caught.value.next_step
            said = Said(id="1", kind="say", thread="t", who="U1", person="bob", known=True, text="Count.")
            (post,) = own_forms(said, parts, caught.value)
            assert "your own TOKEN" in post.text and "needy uses it" in post.text

            person = Person()
            async with served.client(MODERN, key, elicitation_callback=person) as client:
                for _ in range(2):  # the second time the library is loaded, and a call that is plain would take the hot path
                    result = await client.call_tool(name, inputs)
                assert result.structured_content == {"words": 2} and len(person.asked) == 1
            assert "The skill needy needs the secret TOKEN" in person.asked[0].message
            assert [(secret.skills, secret.person) for secret in vault.personal(who)] == [(("needy",), who)]


async def test_what_an_inner_skill_says_is_the_outer_ones_to_tell(made: Path, tmp_path: Path) -> None:
    """And the receipts are there all the same, over HTTP, MCP and in what the command is handed."""
    async with a_house_of(made, tmp_path) as served:
        house = served.house
        answers, usual = iter(("", "odd-words")), house.skill.says

        async def says(call: dict[str, Any]) -> bytes:
            code = "" if "via" in call["inputs"] else next(answers)
            return json.dumps({"success": False, "error": {"code": code, "message": "odd"}}).encode() if code else await usual(call)

        house.skill.says = says
        inputs = {"text": "one two", "via": ["word-count", "word-count"]}
        told = (await house.client.post("/skills/word-sum/execute", json={"inputs": inputs})).json()
        assert (told["reason"], told["detail"]) == ("no-count", "word-count: odd-words")
        assert (told["receipt"]["skill"], told["receipt"]["failed"]) == ("word-sum", "no-count")
        assert called(told["receipt"]) == [("word-count", ""), ("word-count", "odd-words")]

        answers = iter(("", "odd-words"))
        headers = {**call_headers("word-sum")}
        failed = (await served.post(a_call("word-sum", inputs), headers)).json()["result"]
        assert failed["isError"] and failed["_meta"][ERROR]["reason"] == "no-count"
        assert called(failed["_meta"][RECEIPT]) == [("word-count", ""), ("word-count", "odd-words")]


async def test_the_steps_of_a_workflow_count_as_calls_of_its_caller_do(made: Path, tmp_path: Path) -> None:
    async with a_house_of(made, tmp_path, daily=5) as served:
        house, eve = served.house, served.house.key("invoke")
        house.place.parts.vault.set("TOKEN", VALUE, "eve", ("needy",), "eve")
        body = {"inputs": {"text": "one two"}}
        whole = await house.client.post("/skills/flow/execute", json=body, headers=eve)
        assert whole.json()["outputs"] == {"words": 2} and called(whole.json()["receipt"]) == [("word-count", ""), ("needy", "")]
        assert house.gateway.meters.usage["word-count"].calls == 1, "a step is metered as any call is"

        broken = await house.client.post("/skills/flow/execute", json=body, headers=eve)
        told = broken.json()
        assert (broken.status_code, told["code"], told["title"]) == (429, "too-many-calls", "This key has made its calls of today.")
        assert int(broken.headers["retry-after"]) >= 1 and told["detail"].startswith("flow met this in the middle of its work. It may make 5")
        assert called(told["receipt"]) == [("word-count", "")], "the sixth call was not made"
        assert (await house.client.post("/skills/flow/execute", json=body, headers=eve)).status_code == 429
        assert house.gateway.meters.usage["flow"].calls == 2


def test_an_error_is_told_of_the_call_that_it_ended() -> None:
    """A copy: whoever made it may keep it for others."""
    error = MissingSecret("needy waits.", why="Of ada.", skill="needy", names=["TOKEN"], person="ada")
    told = error.met_by("flow").met_by("word-sum")
    assert (told.why, told.skill, told.person) == (
        "word-sum met this in the middle of its work. flow met this in the middle of its work. Of ada.",
        "needy",
        "ada",
    )
    assert error.why == "Of ada." and isinstance(told, MissingSecret) and not SkillOpsError("x").of_caller
