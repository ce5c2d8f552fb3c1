"""A skill calls those that it requires, at $SKILL_GATEWAY, as its caller: one suite for each runtime."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agent.caller import execute
from agent.domain.invocation import Invocation, InvocationResult
from agent.domain.release import Artifact
from agent.domain.requirement import DEEPEST
from agent.domain.schema import Json
from agent.domain.skill import Manifest
from agent.domain.stand_in import StandIns
from agent.errors import Refused
from agent.lines import Lines
from agent.stages.invoking import invoke, prepare
from agent.switchboard import Switchboard
from agent.workflow_runtime import WorkflowRuntime
from tests.builders import an_entry
from tests.runtimes import BENCHES, COUNTS, ProcessBench

ASKS = '''
import json, os, urllib.error, urllib.request

def execute(inputs, context):
    """Calls `whom` with the `text`, and tells what came back; `how` says what it does wrongly."""
    how, gateway = inputs.get("how", ""), os.environ.get("SKILL_GATEWAY", "none")
    if how == "other host":
        gateway = gateway.replace("gateway.", "vault.")
    given = {"stolen": {**context, "call": inputs.get("call", "")}, "nothing": {}}.get(how, context)
    sent = {"text": inputs["text"]}
    if how == "round":  # each asks the other to go on
        sent.update(how=how, whom="asks" if inputs["whom"] == "thief" else "thief")
    elif inputs["whom"] == "asks":
        sent.update(whom="word-count")
    body = json.dumps({"inputs": sent, "context": given}).encode()
    asked = urllib.request.Request(f"{gateway}/skills/{inputs['whom']}/execute", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            told = json.load(answer)
    except urllib.error.HTTPError as error:
        told = json.load(error)
    except (OSError, ValueError) as error:
        told = {"success": False, "error": {"code": "no-way", "message": str(error)}}
    return {"told": told, "context": context}
'''
WORDS = """
class Odd(ValueError):
    code = 'odd-words'

def execute(inputs, context):
    if inputs['text'] == 'odd':
        raise Odd('there are odd words')
    return {'words': 3}
"""
SHAPE = {"type": "object", "properties": {"text": {}}, "required": ["text"]}


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
        self.put(WORDS)
        self.put(ASKS, **asker(requires=("word-count >=1.0,<2", "thief")))
        self.put(ASKS, **asker("thief", ("asks",)))

    def put(self, code: str, **traits: Any) -> None:
        deployment = self.bench.deployment(code, **traits)
        self.bench.runtime.deploy(deployment)
        self.registry.manifests[deployment.skill] = deployment.manifest

    @property
    def lines(self) -> Lines:
        return Lines(self.board, self.registry, self.bench.runtime)

    def call(self, skill: str = "asks", lines: Lines | None = None, seconds: float | None = None, **inputs: Json) -> InvocationResult:
        manifest, entry = self.registry.manifests[skill], self.registry.entry(skill)
        asked = {"text": "one two", "whom": "word-count", **inputs}
        return invoke(manifest, entry, asked, self.bench.runtime, "ada", request_id="r1", deadline=seconds, lines=lines or self.lines)

    def code(self, skill: str = "asks", lines: Lines | None = None, **inputs: Json) -> str:
        return str(self.call(skill, lines, **inputs).outputs["told"]["error"]["code"])


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


def test_the_inner_call_is_the_callers_own_and_what_goes_wrong_comes_back_as_its_code(place: Place) -> None:
    inner = place.call("thief", whom="asks", text="odd").outputs["told"]["outputs"]
    assert (inner["context"]["caller"], inner["context"]["request_id"]) == ("ada", "r1.1")
    assert inner["context"]["deadline"] < 30, "what is left of the outer call's time, and no more"
    assert inner["told"] == {"success": False, "error": {"code": "odd-words", "message": "there are odd words"}}
    assert place.code(text=5) == "invalid-inputs", "inputs that the inner schema does not allow never reach it"


def test_only_what_is_required_is_called_and_only_by_whom_the_call_is_of(place: Place) -> None:
    """Nor does another name lead anywhere, nor a context that is none, nor the context of another skill's call."""
    assert place.code("thief", whom="word-count") == "not-required"
    assert place.code(how="nothing") == place.code(how="stolen", call="1-00000000." + "0" * 32) == "no-call"
    assert place.code(how="other host") == "no-way"
    with place.lines.open(place.registry.manifests["asks"], place_call("asks")) as line:
        assert place.code("thief", whom="asks", how="stolen", call=line.ticket) == "no-call"
    assert place.code(how="stolen", call=line.ticket) == "no-call", "a call that is over"


def test_what_the_caller_may_not_call_nobody_calls_for_him(place: Place) -> None:
    def judge(manifest: Manifest) -> str:
        if manifest.name == "word-count":
            raise Refused("You may not call word-count.")
        return "go"

    assert place.code(lines=place.lines.judged(judge)) == "refused"
    assert place.code(lines=place.lines.judged(lambda manifest: "ask")) == "refused", "a person was asked of no destructive skill"


def test_skills_that_call_one_another_come_to_an_end(place: Place) -> None:
    """Two proposals that were judged side by side may close a circle that neither showed."""
    told, names = place.call(text="a", whom="thief", how="round").outputs["told"], []
    while told["success"]:
        names.append(told["receipt"]["skill"])
        told = told["outputs"]["told"]
    assert told["error"]["code"] == "too-deep" and len(names) == DEEPEST - 1


def test_a_trial_is_answered_by_its_stand_ins_and_else_by_a_trial_of_the_skill_itself(place: Place) -> None:
    """Whatever serves is not called: what serves says 3."""
    bench, built = place.bench, place.bench.deployment(COUNTS % 5)

    def artifact_of(entry: Any) -> tuple[Artifact, Manifest]:
        return Artifact(digest=built.digest, kind="directory", location=built.location), built.manifest

    runtime = WorkflowRuntime(bench.runtime, place.registry, artifact_of, bench.state / "workflows", 2)
    asks = bench.deployment(ASKS, **asker())
    script = StandIns.model_validate({
        "skills": [{"name": "word-count", "answers": [
            {"inputs": {"text": "scripted"}, "outputs": {"words": 9}},
            {"inputs": {"text": "wrong"}, "error": {"code": "scripted-error", "message": "as it is written"}},
        ]}]
    })  # fmt: skip
    with runtime.trial(Artifact(digest=asks.digest, kind="directory", location=asks.location), asks.manifest, script) as endpoint:

        def told(text: str, skill: str = "word-count") -> Any:
            reply = execute(endpoint, prepare(asks.manifest, {"text": text, "whom": skill}, "skillops", "witness"))
            return reply.outputs["told"]

        assert told("scripted")["outputs"] == {"words": 9}
        assert told("wrong")["error"] == {"code": "scripted-error", "message": "as it is written"}
        assert told("anything else")["outputs"] == {"words": 5}
        assert told("a", "thief")["error"]["code"] == "not-required"
    runtime.lines.board.close()


def place_call(skill: str) -> Invocation:
    return Invocation(skill, {}, "r2", "eve")
