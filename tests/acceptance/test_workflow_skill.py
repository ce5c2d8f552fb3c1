"""A plan that ran is saved as a workflow, passes the gates as any skill does, and is called at every door."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.domain.check import Outcome
from agent.domain.skill import Manifest
from agent.errors import InvocationFailed, Refused
from agent.languages.workflow.rules import read_workflow
from agent.manifest_file import read_manifest, write_manifest
from agent.stages.proposing import propose_folder
from agent.wiring import app_of, check_folder, gateway_of
from agent.workbench import read_folder
from agent.workflow_server import PREFIX
from tests.acceptance.harness import Home, answers
from tests.command import skillops
from tests.gateways import a_key
from tests.mcp_clients import MODERN, a_call

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]

EACH = {"steps": [{"id": "count", "skill": "word-count", "each": ["one", "one two"], "inputs": {"text": {"$item": ""}}}]}
BY_HAND = """\
apiVersion: skillops/v1
kind: Workflow
steps:
  - id: first
    skill: word-count
    inputs: {text: {$input: /text}}
  - id: again
    skill: word-count
    when: {value: {$step: first, path: /words}, test: above, to: 1}
    inputs: {text: {$input: /text}}
    retries: 1
outputs: {words: {$first: [{$step: again, path: /words}, {$step: first, path: /words}]}}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A repository whose registry holds word-count and the workflow `count-words`, proposed by a person and merged."""
    said = answers(plan=lambda question: EACH, answer=lambda question: {"text": "One and two."})
    home = Home.founded(tmp_path_factory.mktemp("home") / "skills", said)
    home.commit({f"skills/word-count/{path}": data for path, data in home.folder_by_hand().items()})
    home.run()
    yield home
    home.close()


@pytest.fixture(scope="module")
def folder(home: Home) -> Path:
    """The workflow that is made of a plan that ran."""
    result = home.place.ask("Count the words of 'one' and 'one two'.", None)[0]
    assert (result.kind, result.outputs) == ("answered", {"count": {"items": [{"words": 1}, {"words": 2}]}})
    shown = skillops("plan", "-C", home.path)
    assert "✓ count: word-count, for each item" in shown.out and "agent assistant" in shown.out
    made = skillops("plan", "--save", "count-words", "--in", home.path.parent, "-C", home.path, "--json")
    assert made.code == 0, made.said
    path = Path(made.document["folder"])
    (path / "workflow.yaml").write_text(BY_HAND)
    manifest = read_manifest((path / "skill.yaml").read_bytes(), "skill.yaml")
    word_count = home.parts.catalog.manifest("word-count")
    assert word_count is not None
    mine = {"inputs": word_count.inputs, "outputs": word_count.outputs, "examples": word_count.examples}
    (path / "skill.yaml").write_bytes(write_manifest(manifest.model_copy(update=mine)))
    return path


@pytest.fixture(scope="module")
def merged(home: Home, folder: Path) -> Home:
    """The same, through the gates; it asks for nothing that would need a person."""
    proposal = propose_folder(read_folder(folder), "ada", home.forge, home.parts.model, home.parts.record)
    home.run()
    report = home.forge.checks(proposal.number, home.proposal().head)
    assert (report.outcome, len(report.results)) == (Outcome.PASSED, 8), report
    assert home.proposal(proposal.number).state == "merged"
    return home


def test_a_saved_plan_is_checked_with_the_skills_that_it_requires(home: Home, folder: Path) -> None:
    report = check_folder(folder, home.parts.settings)

    assert report.outcome is Outcome.PASSED, [finding.message for result in report.results for finding in result.findings]


def test_a_workflow_whose_example_does_not_hold_fails_the_contract(home: Home, folder: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "count-words"
    wrong.mkdir()
    for path, data in read_folder(folder).items():
        (wrong / path).write_bytes(data)
    text = (wrong / "skill.yaml").read_text()
    (wrong / "skill.yaml").write_text(text.replace("words: 2", "words: 3"))

    failed = check_folder(wrong, home.parts.settings).of(Outcome.FAILED)

    assert [result.name for result in failed] == ["contract"] and 'expected {"words": 3}, got {"words": 2}' in failed[0].summary


def test_it_is_in_the_registry_and_answers_the_command_with_its_receipt(merged: Home) -> None:
    entry = merged.parts.catalog.entry("count-words")
    done = skillops("invoke", "count-words", "--input", '{"text": "a b c"}', "-C", merged.path, "--json")

    assert entry is not None and (entry.runtime, entry.artifact) == ("workflow", "directory")
    receipt = done.document["receipt"]
    assert (done.document["outputs"], receipt["skill"], receipt["digest"]) == ({"words": 3}, "count-words", entry.digest)
    assert receipt["approvers"] == ["correctness", "fit", "security"]
    services = {service.skill: service.state for service in merged.parts.runtime.services()}
    assert services["count-words"] == "healthy"
    assert "first word-count passed" in merged.parts.runtime.logs("count-words")
    shown = skillops("show", "count-words", "-C", merged.path)
    assert "uses       word-count >=1.0.0,<2" in shown.out


def test_it_is_called_through_the_gateway_and_mcp_as_any_other_skill(merged: Home) -> None:
    async def calls() -> tuple[Any, Any]:
        gateway = gateway_of(merged.place, "127.0.0.1", work=False)
        transport = httpx.ASGITransport(app_of(gateway))  # type: ignore[arg-type]
        key = a_key(gateway, "eve", "invoke")
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=key) as client:
            one = await client.post("/skills/count-words/execute", json={"inputs": {"text": "a b"}})
            headers = {**key, "accept": "application/json, text/event-stream", "mcp-protocol-version": MODERN}
            headers |= {"mcp-method": "tools/call", "mcp-name": "count-words"}
            two = await client.post("/mcp", json=a_call("count-words", {"text": "a"}), headers=headers)
        await gateway.shelf.close()
        return one.json(), two.json()

    one, two = asyncio.run(calls())

    assert (one["outputs"], one["receipt"]["skill"]) == ({"words": 2}, "count-words")
    assert two["result"]["structuredContent"] == {"words": 1}


def test_what_a_step_meets_is_told_with_the_step(merged: Home) -> None:
    assert skillops("invoke", "count-words", "--input", '{"text": 7}', "-C", merged.path).code == 2, "its own schema is held first"
    runtime = merged.parts.runtime
    real = runtime._inner.endpoint  # type: ignore[attr-defined]

    def gone(skill: str, person: str) -> Any:
        raise Refused("It does not start.")

    runtime._inner.endpoint = gone  # type: ignore[attr-defined]
    try:
        with pytest.raises(InvocationFailed, match="step-failed") as caught:
            _invoke(merged, "count-words", {"text": "a"})
    finally:
        runtime._inner.endpoint = real  # type: ignore[attr-defined]
    assert "step first: It does not start." in caught.value.why


def test_a_required_skill_that_became_another_is_not_called(merged: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    real = merged.parts.catalog.manifest

    def newer(name: str) -> Manifest | None:
        found = real(name)
        return found.model_copy(update={"version": "2.0.0"}) if found and name == "word-count" else found

    monkeypatch.setattr(merged.parts.catalog, "manifest", newer)

    with pytest.raises(InvocationFailed) as caught:
        _invoke(merged, "count-words", {"text": "a"})

    assert "word-count is 2.0.0 in the registry, and 'word-count >=1.0.0,<2' is required" in caught.value.why


def test_nothing_is_left_of_a_workflow_that_was_called(merged: Home) -> None:
    _invoke(merged, "count-words", {"text": "a"})
    endpoint = merged.parts.runtime.endpoint("count-words").socket
    assert endpoint and Path(endpoint).parent.name.startswith(PREFIX)

    merged.parts.runtime.close()  # type: ignore[attr-defined]

    assert not Path(endpoint).parent.exists()
    assert read_workflow(BY_HAND.encode(), "workflow.yaml").skills == ("word-count",)


def _invoke(home: Home, name: str, inputs: dict[str, Any]) -> Any:
    from agent.stages.deploying import OnDemand
    from agent.stages.invoking import invoke

    entry, manifest = home.parts.catalog.entry(name), home.parts.catalog.manifest(name)
    assert entry and manifest
    return invoke(manifest, entry, inputs, OnDemand(home.parts.runtime, home.place.pipeline.deploy), caller="ada").outputs
