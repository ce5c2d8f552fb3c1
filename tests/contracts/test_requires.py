"""A skill calls those that it requires, at $SKILL_GATEWAY, as its caller: one suite for each runtime."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agent.domain.invocation import InvocationResult
from agent.domain.schema import Json
from agent.domain.skill import Manifest
from agent.lines import Lines
from agent.stages.invoking import invoke
from agent.switchboard import Switchboard
from tests.builders import an_entry
from tests.runtimes import BENCHES, COUNTS, ProcessBench

ASKS = '''
import json, os, urllib.error, urllib.request

def execute(inputs, context):
    """Calls `skill` with the `text`, and tells what came back; `how` says what it does wrongly."""
    how, gateway = inputs.get("how", ""), os.environ.get("SKILL_GATEWAY", "none")
    if how == "other host":
        gateway = gateway.replace("gateway.", "vault.")
    given = {"stolen": {**context, "call": inputs.get("call", "")}, "nothing": {}}.get(how, context)
    body = json.dumps({"inputs": {"text": inputs["text"]}, "context": given}).encode()
    asked = urllib.request.Request(f"{gateway}/skills/{inputs['skill']}/execute", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            told = json.load(answer)
    except urllib.error.HTTPError as error:
        told = json.load(error)
    except (OSError, ValueError) as error:
        told = {"success": False, "error": {"code": "no-way", "message": str(error)}}
    return {"told": told, "context": context}
'''
CALLER = "def execute(inputs, context):\n    return {'words': len(context['caller']), 'said': json.dumps(context)}\n"
FAILS = "class Odd(ValueError):\n    code = 'odd-words'\n\ndef execute(inputs, context):\n    raise Odd('there are odd words')\n"
SHAPE = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def asker(name: str = "asks", requires: tuple[str, ...] = ("word-count >=1.0,<2",), **traits: Any) -> dict[str, Any]:
    example = {"inputs": {"text": "a"}, "outputs": {"told": {}}}
    return {"name": name, "requires": requires, "inputs": SHAPE, "outputs": {"type": "object"}, "examples": [example], **traits}


class Registry:
    """What there is, by name."""

    def __init__(self, *manifests: Manifest) -> None:
        self.manifests = {each.name: each for each in manifests}

    def manifest(self, name: str) -> Manifest | None:
        return self.manifests.get(name)

    def entry(self, name: str) -> Any:
        found = self.manifests.get(name)
        return found and an_entry(name=name, version=found.version, proposal=7, approvals=("bob",))


class Place:
    """A runtime with skills on it, and whoever calls them."""

    def __init__(self, bench: ProcessBench) -> None:
        self.bench, self.board, self.registry = bench, Switchboard(bench.state), Registry()
        self.put(COUNTS % 3)
        self.put(FAILS, name="fails")
        self.put(ASKS, **asker())
        self.put(ASKS, **asker("thief", ("fails",)))

    def put(self, code: str, **traits: Any) -> None:
        deployment = self.bench.deployment(code, **traits)
        self.bench.runtime.deploy(deployment)
        self.registry.manifests[deployment.skill] = deployment.manifest

    @property
    def lines(self) -> Lines:
        return Lines(self.board, self.registry, self.bench.runtime)

    def call(self, skill: str = "asks", lines: Lines | None = None, seconds: float | None = None, **inputs: Json) -> InvocationResult:
        manifest = self.registry.manifests[skill]
        asked = {"text": "one two", "skill": "word-count", **inputs}
        return invoke(
            manifest, self.registry.entry(skill), asked, self.bench.runtime, "ada", request_id="r1", deadline=seconds, lines=lines or self.lines
        )

    def code(self, skill: str = "asks", **inputs: Json) -> str:
        return str(self.call(skill, **inputs).outputs["told"]["error"]["code"])


@pytest.fixture(scope="module", params=[pytest.param("process", marks=pytest.mark.bubblewrap), pytest.param("docker", marks=pytest.mark.docker)])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    bench = BENCHES[request.param](tmp_path_factory.mktemp(request.param))
    found = Place(bench)
    yield found
    found.board.close()
    bench.close()


def test_a_required_skill_answers_and_its_receipt_is_part_of_the_outer_one(place: Place) -> None:
    result = place.call()
    told = result.outputs["told"]
    assert told["success"] and told["outputs"] == {"words": 3}
    assert [(each.skill, each.request_id, each.proposal, each.approvers) for each in result.receipt.calls] == [("word-count", "r1.1", 7, ("bob",))]
    assert told["receipt"]["digest"] == result.receipt.calls[0].digest
