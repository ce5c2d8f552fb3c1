"""A plan that ran becomes a workflow: the folder of a skill, to be read, checked and proposed like any other."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from agent.domain.plan import Step, references, resolve
from agent.domain.requirement import Shelf, within_major
from agent.domain.schema import Json
from agent.domain.skill import API_VERSION, NAME_LENGTH, NAME_PATTERN, Manifest, same_json
from agent.domain.workflow import FILE, RUNTIME, Workflow, annotations_of, permissions_of
from agent.errors import Refused, UsageError
from agent.languages.document import document
from agent.manifest_file import write_manifest
from agent.plan_kept import KeptRun, KeptStep
from agent.snapshot import write_files
from agent.strict_yaml import dump

LONGEST = 900  # seconds that a call of a skill may take


def saved(run: KeptRun, name: str, folder: Path, shelf: Shelf) -> Path:
    """Makes `folder/name` and returns it. What the plan's steps were given as plain values are the workflow's inputs, but for what chooses
    among words of a skill's own, and this run is its example. UsageError for a name that cannot be, Refused where the run did not end well."""
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > NAME_LENGTH:
        raise UsageError(f"{name!r} is no skill name.", next_step="Lower-case words joined by hyphens: weekly-report.")
    root = folder / name
    if root.exists():
        raise UsageError(f"{root} exists already.", next_step="Take another name, or edit what is there.")
    if broken := [kept for kept in run.steps if kept.state not in ("done", "skipped")]:
        step, state = broken[0].step.id, broken[0].state
        raise Refused(f"Step {step!r} of this plan is {state}: a workflow is made of one that ended well.", next_step="Run it again first.")
    files = _files(name, run, shelf)
    try:
        write_files(root, files)
    except OSError:
        shutil.rmtree(root, ignore_errors=True)
        raise
    return root


def _files(name: str, run: KeptRun, shelf: Shelf) -> dict[str, bytes]:
    skills = {skill: _manifest(skill, shelf) for skill in dict.fromkeys(str(kept.step.skill) for kept in run.steps)}
    inputs, steps = _Inputs(), list[Step]()
    for kept in run.steps:
        steps.append(inputs.lifted(kept.step, skills[str(kept.step.skill)]))
    outputs, schema = _outputs(run.steps, skills)
    given = {kept.step.id: _whole(kept) for kept in run.steps if kept.state == "done"}
    done = {key: value for key, value in outputs.items() if all(ref["$step"] in given for ref in references(value))}
    called = list(skills.values())
    manifest = Manifest.model_validate({
        "apiVersion": API_VERSION, "name": name, "version": "1.0.0", "runtime": RUNTIME, "entrypoint": FILE,
        "description": f"Say what {name} is for, and when an agent should use it. It calls {', '.join(skills)}.",
        "inputs": {"type": "object", "properties": inputs.schemas, "required": [*inputs.schemas], "additionalProperties": False},
        "outputs": schema, "examples": [{"inputs": inputs.values, "outputs": resolve(done, given)}],
        "permissions": permissions_of(called), "annotations": annotations_of(called),
        "resources": {"timeout": f"{min(LONGEST, int(sum(each.resources.timeout_seconds for each in called)))}s"},
        "requires": [within_major(each.name, each.semver) for each in called],
    })  # fmt: skip
    plan = Workflow(apiVersion=API_VERSION, kind="Workflow", steps=tuple(steps), outputs=outputs)
    return {"skill.yaml": write_manifest(manifest), FILE: write_workflow(plan), "SKILL.md": document(manifest).encode()}


def write_workflow(workflow: Workflow) -> bytes:
    """`workflow.yaml`, what is as by default left out."""
    steps = [step.model_dump(mode="json", exclude_defaults=True) for step in workflow.steps]
    return dump({"apiVersion": workflow.apiVersion, "kind": workflow.kind, "steps": steps, "outputs": workflow.outputs}).encode()


class _Inputs:
    """The plain values of a plan's steps, each an input of the workflow: two of one name, schema and value are one."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}
        self.values: dict[str, Json] = {}

    def lifted(self, step: Step, manifest: Manifest) -> Step:
        """The step with references to inputs in the place of its values."""
        properties = manifest.inputs.get("properties", {})
        lifted = {
            key: value if any(references(value)) or _is_mode(properties.get(key, {})) else self._taken(step.id, key, value, properties.get(key, {}))
            for key, value in step.inputs.items()
        }
        each = step.each
        if isinstance(each, list) and not any(references(each)):
            each = self._taken(step.id, "items", each, {"type": "array"})
        return step.model_copy(update={"inputs": lifted, "each": each})

    def _taken(self, step: str, name: str, value: Json, schema: Any) -> Json:
        schema = {} if "$ref" in json.dumps(schema) else schema
        if name in self.schemas and not (self.schemas[name] == schema and same_json(self.values[name], value)):
            name = f"{step}_{name}"
        self.schemas[name], self.values[name] = schema, value
        return {"$input": f"/{_escaped(name)}"}


def _is_mode(schema: Any) -> bool:
    """Whether an input chooses what a skill does, like an operation: that is the plan's own, and no matter of whoever calls the workflow."""
    return isinstance(schema, dict) and ("enum" in schema or schema.get("type") == "boolean" or _is_mode(schema.get("items")))


def _outputs(steps: tuple[KeptStep, ...], skills: dict[str, Manifest]) -> tuple[dict[str, Json], dict[str, Any]]:
    """What the workflow gives and its schema: what the last step gave or, where several are last, all that each of them gave."""
    used = {name for kept in steps for name in kept.step.after}
    last = [kept for kept in steps if kept.step.id not in used]
    if len(last) == 1 and last[0].step.each is None and last[0].state == "done":
        schema = skills[str(last[0].step.skill)].outputs
        return {key: {"$step": last[0].step.id, "path": f"/{_escaped(key)}"} for key in _whole(last[0])}, schema
    schemas = {kept.step.id: skills[str(kept.step.skill)].outputs for kept in last}
    for kept in last:
        inner = {} if "$ref" in json.dumps(schemas[kept.step.id]) else schemas[kept.step.id]
        schemas[kept.step.id] = inner if kept.step.each is None else _list_of(inner)
    always = [kept.step.id for kept in last if kept.step.when is None and kept.state == "done"]
    return {kept.step.id: {"$step": kept.step.id} for kept in last}, {"type": "object", "properties": schemas, "required": always}


def _list_of(schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"items": {"type": "array", "items": schema}}, "required": ["items"]}


def _whole(kept: KeptStep) -> dict[str, Json]:
    if not isinstance(kept.outputs, dict):
        raise Refused(
            f"What step {kept.step.id!r} gave is too long to be an example of a workflow.", next_step="Run the plan with less, and save that."
        )
    return kept.outputs


def _manifest(skill: str, shelf: Shelf) -> Manifest:
    manifest = shelf.manifest(skill)
    if manifest is None:
        raise Refused(f"There is no skill {skill} any more.", next_step="Run the plan again, and save that.")
    return manifest


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
