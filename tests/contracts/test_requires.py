"""A skill calls those that it requires, at $SKILL_GATEWAY, as its caller: one suite for each runtime."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agent.caller import execute
from agent.domain.invocation import Invocation
from agent.domain.release import Artifact
from agent.domain.requirement import DEEPEST
from agent.domain.skill import Manifest
from agent.domain.stand_in import StandIns
from agent.errors import Refused
from agent.stages.invoking import prepare
from agent.workflow_runtime import WorkflowRuntime
from tests.callers import ASKS, Place, asker
from tests.runtimes import BENCHES, COUNTS


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
