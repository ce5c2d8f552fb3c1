"""A skill with code that calls another: checked with stand-ins, called at every door, shown, and not left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.domain.check import Outcome
from agent.manifest_file import write_manifest
from agent.wiring import app_of, check_folder, gateway_of
from tests.acceptance.harness import Home, a_contract, a_draft, an_assessment, answers
from tests.builders import a_manifest
from tests.callers import POSTED
from tests.command import skillops
from tests.gateways import a_key

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]

CODE = (
    f'''"""Counts the words of two texts, by the skill that counts those of one."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Any


class Failed(ValueError):
    """What the other skill said."""

    code = "no-count"


{POSTED}

'''
    + '''def ask(skill: str, inputs: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    """What another skill answers."""
    told = posted(os.environ["SKILL_GATEWAY"], skill, inputs, context)
    if not told["success"]:
        raise Failed(f"{told['error']['code']}: {told['error']['message']}")
    return dict(told["outputs"])


def execute(inputs: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    """The words of both texts."""
    return {"words": sum(ask("word-count", {"text": inputs[name]}, context)["words"] for name in ("one", "two"))}
'''
)
TESTS = """import skill


def test_both_are_counted(monkeypatch):
    asked = []
    monkeypatch.setattr(skill, "ask", lambda *given: asked.append(given) or {"words": len(given[1]["text"])})
    assert skill.execute({"one": "a", "two": "bcd"}, {"call": "t"}) == {"words": 4}
    assert asked == [("word-count", {"text": "a"}, {"call": "t"}), ("word-count", {"text": "bcd"}, {"call": "t"})]
"""
STAND_INS = """\
apiVersion: skillops/v1
kind: StandIns
skills:
  - name: word-count
    answers:
      - {inputs: {text: scripted}, outputs: {words: 40}}
"""
TEXT = {"type": "string"}
MANIFEST = a_manifest(
    name="word-sum", description="Count the words of two texts together. Use when there are two.", requires=["word-count >=1.0,<2"],
    inputs={"type": "object", "properties": {"one": TEXT, "two": TEXT}, "required": ["one", "two"], "additionalProperties": False},
    examples=[{"inputs": {"one": "scripted", "two": "a b"}, "outputs": {"words": 42}}],
)  # fmt: skip
FILES = {
    "skill.yaml": write_manifest(MANIFEST), "skill.py": CODE.encode(), "tests/test_skill.py": TESTS.encode(),
    "tests/stand-ins.yaml": STAND_INS.encode(),
    "SKILL.md": f"---\nname: word-sum\ndescription: {MANIFEST.description}\n---\n\nCall it with two texts.\n".encode(),
}  # fmt: skip

DRAFTED = '''"""Says how long a text is, by the skill that counts words."""

import json
import os
import urllib.request
from typing import Any


def execute(inputs: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    """How many words `text` has, as the other skill counts them."""
    body = json.dumps({"inputs": {"text": inputs["text"]}, "context": context}).encode()
    address = os.environ["SKILL_GATEWAY"] + "/skills/word-count/execute"
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return dict(json.load(answer)["outputs"])
'''
DRAFTED_TESTS = """import io
import json
import urllib.request

from skill import execute


def test_the_other_skill_is_asked_as_it_was_called(monkeypatch):
    asked = []

    def answered(request, timeout):
        asked.append((request.full_url, json.loads(request.data), request.headers, timeout))
        return io.BytesIO(b\'{"success": true, "outputs": {"words": 7}}\')

    monkeypatch.setenv("SKILL_GATEWAY", "http://there")
    monkeypatch.setattr(urllib.request, "urlopen", answered)
    assert execute({"text": "one two"}, {"call": "t"}) == {"words": 7}
    body = {"inputs": {"text": "one two"}, "context": {"call": "t"}}
    assert asked == [("http://there/skills/word-count/execute", body, {"Content-type": "application/json"}, 20)]
"""
NEEDED = {**a_contract("text-size"), "requires": ["word-count >=1.0,<2"]}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A repository whose registry holds both; what is asked for there is built on word-count."""
    said = answers(assess=lambda question: an_assessment("text-size", contract=NEEDED), author=lambda question: a_draft(DRAFTED, DRAFTED_TESTS))
    home = Home.founded(tmp_path_factory.mktemp("home") / "skills", said)
    home.commit({f"skills/word-count/{path}": data for path, data in home.folder_by_hand().items()})
    home.commit({f"skills/word-sum/{path}": data for path, data in FILES.items()})
    home.run()
    yield home
    home.close()


def test_its_checks_are_made_with_the_stand_ins_and_a_trial_of_what_it_requires(home: Home, tmp_path: Path) -> None:
    """The example's first text is answered by the script (40), its second by a trial of word-count (2)."""
    for path, data in FILES.items():
        (tmp_path / "word-sum" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "word-sum" / path).write_bytes(data)

    report = check_folder(tmp_path / "word-sum", home.parts.settings)

    by_name = {result.name: result for result in report.results}
    assert by_name["contract"].outcome is Outcome.PASSED, by_name["contract"].findings
    assert by_name["security"].outcome is Outcome.PASSED, by_name["security"].findings
    assert by_name["manifest"].outcome is Outcome.PASSED and [one.kind for one in by_name["manifest"].capabilities] == ["skills"]


def test_it_is_called_at_every_door_as_its_caller_and_counts_against_his_limits(home: Home) -> None:
    done = skillops("invoke", "word-sum", "--input", '{"one": "a b c", "two": "d"}', "-C", home.path, "--json")
    assert done.code == 0, done.said
    receipt = done.document["receipt"]
    assert done.document["outputs"] == {"words": 4}
    assert [each["request_id"] for each in receipt["calls"]] == [f"{receipt['request_id']}.1", f"{receipt['request_id']}.2"]
    assert {each["digest"] for each in receipt["calls"]} == {home.parts.catalog.entry("word-count").digest}  # type: ignore[union-attr]

    assert (
        ", which called word-count 1.0.0, word-count 1.0.0" in skillops("invoke", "word-sum", "-i", '{"one": "a", "two": "b"}', "-C", home.path).said
    )

    async def calls() -> tuple[Any, Any]:
        gateway = gateway_of(home.place, "127.0.0.1", work=False)
        gateway.rates._daily = 5
        transport = httpx.ASGITransport(app_of(gateway))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=a_key(gateway, "eve", "invoke")) as client:
            body = {"inputs": {"one": "a", "two": "b"}}
            one, two = [await client.post("/skills/word-sum/execute", json=body) for _ in range(2)]
        counted = gateway.rates._calls.total()
        await gateway.shelf.close()
        return (one.json(), counted), two.json()

    (one, counted), two = asyncio.run(calls())
    assert (one["outputs"], [each["skill"] for each in one["receipt"]["calls"]]) == ({"words": 2}, ["word-count", "word-count"])
    assert counted == 5 and two["code"] == "too-many-calls", "the outer call and its two, twice, are six"
    assert "word-sum met this in the middle of its work" in two["detail"] and [each["skill"] for each in two["receipt"]["calls"]] == ["word-count"]


def test_what_calls_what_is_shown_and_nobody_is_left_behind(home: Home) -> None:
    assert "uses       word-count >=1.0,<2" in (shown := skillops("show", "word-sum", "-C", home.path).out)
    assert "may call   word-count (reaches nothing)" in shown
    assert "used by    word-sum" in skillops("show", "word-count", "-C", home.path).out
    found = skillops("search", "count words of two texts", "-C", home.path, "--json").document
    assert {hit["name"]: hit["requires"] for hit in found}["word-sum"] == ["word-count >=1.0,<2"]
    refused = skillops("retire", "word-count", "-C", home.path)
    assert refused.code != 0 and "word-count cannot be retired: word-sum requires it" in refused.said


def test_a_request_becomes_a_skill_that_is_built_on_one_that_there_is(home: Home) -> None:
    """The witness's cases and the examples go through a trial of word-count; nobody scripted its answers."""
    number = home.request("Size of a text", "How long is a text, in words?")
    home.run(number)

    proposal = home.proposal()
    report = home.forge.checks(proposal.number, proposal.head)
    assert (report.outcome, proposal.skill) == (Outcome.PASSED, "text-size"), [finding for result in report.results for finding in result.findings]
    assert home.parts.catalog.entry("text-size"), "it calls what reaches nothing, so no person had to be asked"
    assert skillops("invoke", "text-size", "--input", '{"text": "a b c d"}', "-C", home.path, "--json").document["outputs"] == {"words": 4}
    assert "used by    text-size, word-sum" in skillops("show", "word-count", "-C", home.path).out
