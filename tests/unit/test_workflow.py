"""A workflow is a plan that is a skill: what it must be like, what it may reach, and how one is made of a plan that ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.domain.check import Finding
from agent.domain.requirement import Requirement, circle, unmet
from agent.domain.skill import Manifest, Permissions, Version
from agent.domain.workflow import FILE
from agent.errors import InvalidFile, Refused, UsageError
from agent.languages.workflow import WorkflowLanguage
from agent.languages.workflow.rules import read_workflow
from agent.manifest_file import read_manifest, write_manifest
from agent.plan_kept import KeptRun, KeptStep
from agent.starter.workflow import saved
from tests.builders import a_manifest

PLAN = """\
apiVersion: skillops/v1
kind: Workflow
steps:
  - id: a
    skill: word-count
    inputs: {text: {$input: /text}}
outputs: {words: {$step: a, path: /words}}
"""


class Shelf:
    """A registry of manifests."""

    def __init__(self, *manifests: Manifest) -> None:
        self.held = {manifest.name: manifest for manifest in manifests}

    def manifest(self, name: str) -> Manifest | None:
        return self.held.get(name)


def a_workflow(name: str = "report", **traits: Any) -> Manifest:
    return a_manifest(name=name, runtime="workflow", entrypoint=FILE, **{"requires": ["word-count >=1.0,<2"], **traits})


def findings(tmp_path: Path, manifest: Manifest, *shelf: Manifest, plan: str = PLAN, **files: str) -> list[str]:
    """What the checks of the language say of a folder with this manifest and plan."""
    root = tmp_path / manifest.name
    root.mkdir()
    for path, text in {FILE: plan, **files}.items():
        (root / path).write_text(text)
    (root / "skill.yaml").write_bytes(write_manifest(manifest))
    language = WorkflowLanguage(Shelf(*shelf))
    found: list[Finding] = [*language.style(root), *language.security(root), *language.dependencies(root, manifest)]
    return [finding.message for finding in found if finding.level == "error"]


# ---- requirements ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("a", ["0.0.1", "9.9.9"], []), ("a >=1.2,<2", ["1.2.0", "1.9.9"], ["1.1.9", "2.0.0"]), ("a ==1.2", ["1.2.7"], ["1.3.0"]),
        ("a ~=1.2", ["1.2.0", "1.9.0"], ["1.1.0", "2.0.0"]), ("a ~=1.2.3", ["1.2.9"], ["1.3.0", "1.2.2"]),
        ("a >1, <=1.5.0", ["1.5.0"], ["1.0.0", "1.5.1"]),
    ],
)  # fmt: skip
def test_a_requirement_admits_the_versions_of_its_range(text: str, yes: list[str], no: list[str]) -> None:
    requirement = Requirement.parse(text)

    assert [version for version in [*yes, *no] if requirement.admits(Version.parse(version))] == yes


# ---- what it must be like --------------------------------------------------------------------------------------------


def test_a_workflow_that_says_all_that_it_does_passes(tmp_path: Path) -> None:
    assert findings(tmp_path, a_workflow(), a_manifest()) == []


@pytest.mark.parametrize(
    ("plan", "place"),
    [
        ("steps: []", f"{FILE}:1: "),
        (PLAN.replace("skill: word-count", "skil: word-count"), f"{FILE}:5: steps.0.skil: this key is not known here"),
        (PLAN.replace("$step: a", "$step: b"), "the outputs refer to 'b', which is no step"),
        (PLAN.replace("{$input: /text}", "{$step: a, path: /words}"), "wait for one another in a circle: a"),
        (PLAN.replace("/words}", "words}"), "path 'words', which is no JSON Pointer"),
        (PLAN.replace("skill: word-count", "need: {title: Count, text: Count the words of it}"), "a workflow calls skills alone"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_told_with_its_place(plan: str, place: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        read_workflow(plan.encode(), FILE)

    assert place in caught.value.what and caught.value.next_step


NET = Permissions(network=("api.example.com:443",), secrets=("API_KEY",), storage="persistent")


@pytest.mark.parametrize(
    ("manifest", "shelf", "problem"),
    [
        (a_workflow(requires=[]), [a_manifest()], "step 'a' calls word-count, which `requires` in skill.yaml does not name"),
        (a_workflow(requires=["word-count", "other"]), [a_manifest(), a_manifest(name="other")], "other is required, and no step calls it"),
        (a_workflow(), [], "word-count is not in the registry"),
        (a_workflow(), [a_manifest(status="retired")], "word-count is retired"),
        (a_workflow(), [a_manifest(version="2.0.0")], "word-count is 2.0.0 in the registry, and 'word-count >=1.0,<2' is required"),
        (a_workflow(), [a_manifest(permissions=NET)], "{network: [api.example.com:443], secrets: [API_KEY], storage: persistent}"),
        (a_workflow(permissions=NET), [a_manifest()], "its permissions have to be those of its steps together"),
        (a_workflow(), [a_manifest(annotations={"destructive": True})], "{readOnly: true, idempotent: true, destructive: true}"),
        (a_workflow(dependencies=["requests==2.32.0"]), [a_manifest()], "no code, so it depends on no packages"),
        (a_workflow(inputs={"type": "object"}, examples=[{"inputs": {}, "outputs": {"words": 2}}]), [a_manifest()], "the input 'text' is taken"),
    ],
)  # fmt: skip
def test_what_a_manifest_leaves_out_or_claims_beyond_is_found(tmp_path: Path, manifest: Manifest, shelf: list[Manifest], problem: str) -> None:
    assert any(problem in message for message in findings(tmp_path, manifest, *shelf))


def test_code_has_no_place_in_a_workflow(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, a_workflow(), a_manifest(), **{"skill.py": "import os"})

    assert found == "skill.py is no part of a workflow, which has no code: take it out"


def test_workflows_that_require_one_another_are_refused(tmp_path: Path) -> None:
    first = a_workflow("word-count", requires=["middle"])
    middle = a_workflow("middle", requires=["report"])

    assert circle(a_workflow(), Shelf(first, middle)) == ("report", "word-count", "middle", "report")
    assert "it would call itself without end: report → word-count → middle → report" in findings(tmp_path, a_workflow(), first, middle)
    assert circle(a_workflow(), Shelf(a_workflow("word-count", requires=["middle"]), a_manifest(name="middle"))) == ()
    assert unmet(a_workflow(), Shelf(first)) == {}


def test_there_is_no_template_and_nothing_to_lock_or_serve(tmp_path: Path) -> None:
    language = WorkflowLanguage(Shelf())
    for refused in (
        lambda: language.template(a_workflow()),
        lambda: language.server(tmp_path, a_workflow(), tmp_path),
        lambda: language.lock(a_workflow(dependencies=["a==1"])),
        lambda: language.prepare(tmp_path, a_workflow(), tmp_path / "target"),
    ):
        with pytest.raises(Refused):
            refused()
    assert language.lock(a_workflow()) == {}


# ---- of a plan that ran ----------------------------------------------------------------------------------------------


def a_run(*steps: dict[str, Any]) -> KeptRun:
    """`{"step": {…}, "outputs": {…}}` each."""
    kept = [KeptStep.model_validate({"state": "done", **step}) for step in steps]
    return KeptRun(task="Count.", agent="assistant", conversation="c", turn=1, steps=tuple(kept), calls=1, tokens=1, cost=0.0, seconds=0.1)


COUNTS = {"step": {"id": "a", "skill": "word-count", "inputs": {"text": "one two"}}, "outputs": {"words": 2}}
UPPER = a_manifest(
    name="upper", version="0.3.1", inputs={"type": "object", "properties": {"text": {"type": "string"}, "n": {"type": "integer"}}},
    outputs={"type": "object", "properties": {"text": {"type": "string"}}}, examples=[{"inputs": {}, "outputs": {}}],
    permissions=NET, annotations={"readOnly": False, "idempotent": False}, resources={"timeout": "20s"},
)  # fmt: skip


def test_a_plan_is_saved_as_a_skill_whose_values_are_inputs_and_whose_run_is_the_example(tmp_path: Path) -> None:
    second = {
        "step": {"id": "b", "skill": "upper", "inputs": {"text": "x", "n": {"$step": "a", "path": "/words"}}},
        "outputs": {"text": "X"},
    }  # fmt: skip
    shelf = Shelf(a_manifest(version="1.2.3"), UPPER)

    made = saved(a_run(COUNTS, second), "count-up", tmp_path, shelf)

    manifest = read_manifest((made / "skill.yaml").read_bytes(), "skill.yaml")
    workflow = read_workflow((made / FILE).read_bytes(), FILE)
    assert manifest.examples[0].model_dump() == {"inputs": {"text": "one two", "b_text": "x"}, "outputs": {"text": "X"}}
    assert [step.inputs for step in workflow.steps] == [
        {"text": {"$input": "/text"}}, {"text": {"$input": "/b_text"}, "n": {"$step": "a", "path": "/words"}},
    ]  # fmt: skip
    assert manifest.requires == ("word-count >=1.2.3,<2", "upper >=0.3.1,<1")
    assert (manifest.permissions, manifest.annotations.idempotent, manifest.resources.timeout) == (NET, False, "50s")
    language = WorkflowLanguage(shelf)
    assert [*language.style(made), *language.security(made), *language.dependencies(made, manifest)] == []


def test_lists_and_branches_are_saved_with_all_that_they_gave(tmp_path: Path) -> None:
    counts = {
        "step": {"id": "a", "skill": "word-count", "each": ["one", "one two"], "inputs": {"text": {"$item": ""}}},
        "outputs": {"items": [{"words": 1}, {"words": 2}]},
    }  # fmt: skip
    skipped = {"step": {"id": "b", "skill": "upper", "when": {"value": 1, "to": 2}}, "state": "skipped"}

    made = saved(a_run(counts, skipped), "count-all", tmp_path, Shelf(a_manifest(), UPPER))

    manifest = read_manifest((made / "skill.yaml").read_bytes(), "skill.yaml")
    assert manifest.examples[0].model_dump() == {
        "inputs": {"items": ["one", "one two"]}, "outputs": {"a": {"items": [{"words": 1}, {"words": 2}]}},
    }  # fmt: skip
    assert read_workflow((made / FILE).read_bytes(), FILE).steps[0].each == {"$input": "/items"}
    assert manifest.outputs["required"] == ["a"]


def test_what_chooses_among_a_skills_own_words_stays_in_the_plan(tmp_path: Path) -> None:
    """Whoever calls the workflow decides on data, and not on what its steps do."""
    modes = {"mode": {"enum": ["get", "set"]}, "parts": {"type": "array", "items": {"enum": ["a", "b"]}}, "deep": {"type": "boolean"}}
    word_count = a_manifest()
    properties = {**word_count.inputs["properties"], **modes}
    skill = word_count.model_copy(update={"inputs": {**word_count.inputs, "properties": properties}})
    fixed = {"mode": "get", "parts": ["a"], "deep": True}
    step = {"step": {"id": "a", "skill": "word-count", "inputs": {"text": "one", **fixed}}, "outputs": {"words": 1}}

    made = saved(a_run(step), "count-one", tmp_path, Shelf(skill))

    assert read_workflow((made / FILE).read_bytes(), FILE).steps[0].inputs == {"text": {"$input": "/text"}, **fixed}
    assert list(read_manifest((made / "skill.yaml").read_bytes(), "skill.yaml").inputs["properties"]) == ["text"]


@pytest.mark.parametrize(
    ("steps", "name", "kind", "told"),
    [
        ([COUNTS], "Count All", UsageError, "is no skill name"),
        ([{**COUNTS, "state": "failed", "outputs": None}], "count-all", Refused, "'a' of this plan is failed"),
        ([{**COUNTS, "outputs": "{…} (cut: 9000 characters in all)"}], "count-all", Refused, "too long to be an example"),
        ([{**COUNTS, "step": {"id": "a", "skill": "gone"}}], "count-all", Refused, "no skill gone any more"),
    ],
)
def test_what_cannot_be_saved_leaves_no_folder(tmp_path: Path, steps: list[Any], name: str, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        saved(a_run(*steps), name, tmp_path, Shelf(a_manifest()))

    assert list(tmp_path.iterdir()) == []
