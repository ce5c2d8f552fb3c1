"""Invoking: what goes to a skill and what comes back is held against its contract."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.invocation import MAX_BODY, Reply
from agent.domain.release import Endpoint
from agent.errors import InvalidInputs, InvocationFailed, Refused
from agent.screen import receipt_line
from agent.stages import invoking
from agent.stages.invoking import interpret, invoke, prepare
from tests.builders import a_manifest, an_entry

ANSWERED = Reply(success=True, outputs={"words": 2}, seconds=0.25)


def test_inputs_that_fit_become_a_call_with_the_skills_own_timeout() -> None:
    invocation = prepare(a_manifest(resources={"timeout": "7s"}), {"text": "a b"}, "ada", "r1")
    assert (invocation.skill, invocation.inputs, invocation.caller, invocation.request_id) == ("word-count", {"text": "a b"}, "ada", "r1")
    assert invocation.deadline_seconds == 7.0


@pytest.mark.parametrize(("deadline", "allowed"), [(3.0, 3.0), (60.0, 30.0)])
def test_a_caller_can_shorten_the_deadline_but_not_stretch_it(deadline: float, allowed: float) -> None:
    assert prepare(a_manifest(), {"text": ""}, "ada", "r1", deadline).deadline_seconds == allowed


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, '"text" is a required property'),
        ({"text": 1}, "/text: 1 is not of type"),
        ({"text": "a", "more": 1}, "more"),
        ("text", "is not of type"),
        (None, "is not of type"),
        ({"text": float("nan")}, "not JSON"),
        ({"text": b"a"}, "not JSON"),
        ({"text": "a" * MAX_BODY}, f"{MAX_BODY} are allowed"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_the_shape_that_would(inputs: Any, said: str) -> None:
    with pytest.raises(InvalidInputs) as refused:
        prepare(a_manifest(), inputs, "ada", "r1")
    assert said in refused.value.why
    assert 'text (string); for example {"text": "one two"}' in refused.value.next_step


def test_the_hint_tells_optional_inputs_and_unions() -> None:
    inputs = {"type": "object", "properties": {"a": {"type": ["string", "null"]}, "b": {}}, "required": ["b"]}
    with pytest.raises(InvalidInputs) as refused:
        prepare(a_manifest(inputs=inputs, examples=[{"inputs": {"b": 1}, "outputs": {"words": 2}}]), {}, "ada", "r1")
    assert "a (string or null, optional), b (any)" in refused.value.next_step


def test_a_retired_skill_is_refused_and_a_deprecated_one_works() -> None:
    with pytest.raises(Refused, match="retired"):
        prepare(a_manifest(status="retired"), {"text": ""}, "ada", "r1")
    assert prepare(a_manifest(status="deprecated"), {"text": ""}, "ada", "r1").skill == "word-count"


def test_outputs_come_with_the_receipt_of_what_answered() -> None:
    manifest, entry = a_manifest(), an_entry(version="1.2.0", proposal=7, approvals=["fit", "ada"])
    result = interpret(manifest, entry, prepare(manifest, {"text": ""}, "ada", "r1"), ANSWERED)
    assert result.outputs == {"words": 2}
    assert result.receipt.model_dump() == {
        "skill": "word-count",
        "version": "1.2.0",
        "digest": entry.digest,
        "proposal": 7,
        "approvers": ("fit", "ada"),
        "request_id": "r1",
        "seconds": 0.25,
    }
    looser = interpret(manifest, an_entry(struck=2, proposal=7), prepare(manifest, {"text": ""}, "ada", "r1"), ANSWERED).receipt
    assert looser.model_dump()["struck"] == 2 and "2 of its witness cases struck" in receipt_line(looser)


@pytest.mark.parametrize("outputs", [{"words": -1}, {"words": "2"}, {}, {"words": 2, "more": 1}, [], None, "2"])
def test_outputs_that_break_the_schema_are_a_failure_of_their_own(outputs: Any) -> None:
    manifest = a_manifest()
    with pytest.raises(InvocationFailed) as failed:
        interpret(manifest, an_entry(), prepare(manifest, {"text": ""}, "ada", "r1"), Reply(success=True, outputs=outputs))
    assert failed.value.code_ == "bad-outputs"
    assert failed.value.why


@pytest.mark.parametrize("code", ["timeout", "unreachable", "too-large", "bad-reply", "no-table"])
def test_an_error_keeps_its_code_and_message(code: str) -> None:
    manifest = a_manifest()
    with pytest.raises(InvocationFailed) as failed:
        interpret(manifest, an_entry(), prepare(manifest, {"text": ""}, "ada", "r1"), Reply(success=False, error_code=code, error_message="so it is"))
    assert (failed.value.code_, failed.value.why) == (code, "so it is")


class OneEndpoint:
    """As much of a Runtime as invoking needs."""

    def endpoint(self, skill: str, person: str = "") -> Endpoint:
        return Endpoint(socket=f"/nowhere/{skill}")


def test_invoke_calls_the_endpoint_of_the_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str | None] = []

    def execute(endpoint: Endpoint, invocation: object, again: object) -> Reply:
        called.append(endpoint.socket)
        return ANSWERED

    monkeypatch.setattr(invoking, "execute", execute)
    result = invoke(a_manifest(), an_entry(), {"text": "a b"}, OneEndpoint(), "ada")  # type: ignore[arg-type]
    assert called == ["/nowhere/word-count"]
    assert result.receipt.request_id


def test_a_skill_that_does_not_run_is_a_failed_invocation() -> None:
    with pytest.raises(InvocationFailed) as failed:
        invoke(a_manifest(), an_entry(), {"text": "a b"}, OneEndpoint(), "ada", request_id="r1")  # type: ignore[arg-type]
    assert failed.value.code_ == "unreachable"
