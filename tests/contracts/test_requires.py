"""A skill calls those that it requires, at $SKILL_GATEWAY, as its caller: one suite for each runtime."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agent.caller import execute
from agent.domain.event import Event
from agent.domain.invocation import Invocation
from agent.domain.plan import Step
from agent.domain.release import Artifact
from agent.domain.requirement import DEEPEST
from agent.domain.skill import Manifest
from agent.domain.stand_in import StandIns
from agent.errors import Refused
from agent.languages.bash import BashLanguage
from agent.languages.go import GoLanguage
from agent.languages.node import NodeLanguage
from agent.manifest_file import write_manifest
from agent.plan_run import PlanRun
from agent.ports import Deployment, Language
from agent.runtimes.process import ProcessRuntime
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from agent.stages.invoking import invoke, prepare
from agent.switchboard import Switchboard
from agent.trial_calls import TrialLine
from agent.workflow_runtime import WorkflowRuntime
from tests.builders import a_manifest, an_entry
from tests.callers import ASKS, Place, Registry, asker
from tests.runtimes import BENCHES, COUNTS

PLAN = """\
apiVersion: skillops/v1
kind: Workflow
steps:
  - {id: own, skill: word-count, inputs: {text: {$input: /text}}}
  - {id: far, skill: asks, inputs: {text: {$input: /text}, whom: word-count}}
outputs: {words: {$step: own, path: /words}, inner: {$step: far, path: /told/outputs/words}}
"""
NODE = """'use strict';

exports.execute = async (inputs, context) => {
  const answer = await fetch(`${process.env.SKILL_GATEWAY}/skills/other/execute`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ inputs, context }),
  });
  const told = await answer.json();
  if (!told.success) throw Object.assign(new Error(told.error.code), { code: 'other-failed' });
  return told.outputs;
};
"""
GO = """package skill

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
)

type fault struct{ code, message string }

func (f fault) Error() string { return f.message }
func (f fault) Code() string  { return f.code }

// Execute gives what the other skill does.
func Execute(inputs, context map[string]any) (map[string]any, error) {
	body, err := json.Marshal(map[string]any{"inputs": inputs, "context": context})
	if err != nil {
		return nil, fault{"other-failed", "not written"}
	}
	answer, err := http.Post(os.Getenv("SKILL_GATEWAY")+"/skills/other/execute", "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, fault{"other-failed", "not reached"}
	}
	defer answer.Body.Close()
	var told struct {
		Success bool
		Outputs map[string]any
		Error   struct{ Code, Message string }
	}
	if err := json.NewDecoder(answer.Body).Decode(&told); err != nil || !told.Success {
		return nil, fault{"other-failed", told.Error.Code}
	}
	return told.Outputs, nil
}
"""
BASH = """#!/usr/bin/env bash
set -euo pipefail
told="$(jq --compact-output --argjson context "$SKILL_CONTEXT" '{inputs: ., context: $context}' |
  curl --silent --max-time 20 --header 'Content-Type: application/json' --data-binary @- "$SKILL_GATEWAY/skills/other/execute")"
if [[ "$(jq --raw-output .success <<<"$told")" != true ]]; then
  jq --compact-output '{code: "other-failed", message: .error.code}' <<<"$told" >&2
  exit 1
fi
jq .outputs <<<"$told"
"""


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


def test_a_workflow_calls_its_steps_there_as_well_and_its_receipt_holds_theirs(place: Place) -> None:
    """One step is code that calls another skill in turn: its receipt has that of the call in it."""
    bench, plan = place.bench, place.bench.folder / "plan"
    plan.mkdir()
    (plan / "workflow.yaml").write_text(PLAN)
    runtime = WorkflowRuntime(bench.runtime, place.registry, not_built, bench.state / "workflows", 2)
    manifest = a_manifest(name="report", runtime="workflow", entrypoint="workflow.yaml", requires=["word-count", "asks"], outputs={"type": "object"})
    runtime.deploy(Deployment(skill="report", version="1.0.0", digest="sha256:1", runtime="workflow", location=str(plan), manifest=manifest))
    result = invoke(manifest, an_entry(name="report"), {"text": "a b"}, runtime, "ada", request_id="r9", lines=runtime.lines)
    assert result.outputs == {"words": 3, "inner": 3}
    calls = {each.skill: each for each in result.receipt.calls}
    assert set(calls) == {"word-count", "asks"} and [each.skill for each in calls["asks"].calls] == ["word-count"]
    runtime.close()


def test_inner_calls_are_in_the_trail_of_a_plan_and_count_against_what_its_agent_may_call(place: Place) -> None:
    events = list[Event]()
    step = Step(id="one", skill="thief", inputs={"text": "a", "whom": "asks"})
    run = PlanRun((step,), place.registry, place.bench.runtime, events.append, 2, "ada", "r3", lines=place.lines).run()
    assert run.calls == 3, "thief, and asks, and word-count"
    assert [each["skill"] for each in events[-1].data["calls"]] == ["asks"]
    assert [each["skill"] for each in events[-1].data["calls"][0]["calls"]] == ["word-count"]


def test_the_way_is_open_again_after_its_supervisor_was_killed(place: Place) -> None:
    running = place.bench.running()
    os.kill(place.bench.supervisor(), signal.SIGKILL)
    assert place.call().outputs["told"]["success"]
    assert place.bench.running() == running, "it is the same skill, which found the new door at the old place"


@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    ("language", "code"),
    [
        pytest.param(NodeLanguage(), NODE, id="node", marks=pytest.mark.node_tools),
        pytest.param(GoLanguage(), GO, id="go", marks=pytest.mark.go_tools),
        pytest.param(BashLanguage(), BASH, id="bash", marks=pytest.mark.bash_tools),
    ],
)
def test_each_language_calls_by_plain_http_and_its_rules_let_it(tmp_path: Path, language: Language, code: str) -> None:
    """With what the language itself has; where nothing is required, the same code uses the network without leave."""
    manifest = a_manifest(runtime=language.name, entrypoint=language.entrypoint, requires=["other"])
    source = tmp_path / "word-count"
    source.mkdir()
    (source / language.entrypoint).write_text(code)
    for allowed in (manifest, manifest.model_copy(update={"requires": ()})):
        (source / "skill.yaml").write_bytes(write_manifest(allowed))
        found = [finding for finding in language.security(source) if finding.level == "error"]
        assert bool(found) == (allowed is not manifest), found
    built = tmp_path / "built"
    built.mkdir()
    language.prepare(source, manifest, built)
    runtime, board = ProcessRuntime(tmp_path / "state", BubblewrapSandbox(), {language.name: language}, ()), Switchboard(tmp_path / "state")
    script = StandIns.model_validate({"skills": [{"name": "other", "answers": [
        {"inputs": {"text": "a b"}, "outputs": {"words": 7}}, {"error": {"code": "odd", "message": "none"}},
    ]}]})  # fmt: skip
    line = TrialLine(manifest, script, Registry(), not_built, runtime.trial, ExitStack())
    with board.line(line) as ticket, runtime.trial(Artifact(digest="sha256:1", kind="directory", location=str(built)), manifest) as endpoint:
        told = [execute(endpoint, prepare(manifest, {"text": text}, "ada", "r1")._replace(ticket=ticket)) for text in ("a b", "c")]
    board.close()
    assert told[0].outputs == {"words": 7}, told[0]
    assert (told[1].error_code, told[1].error_message) == ("other-failed", "odd"), told[1]


def not_built(entry: Any) -> Any:
    raise AssertionError(f"{entry} was built")
