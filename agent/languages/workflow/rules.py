"""What a workflow must be like: a plan that can be read, skills that it requires, and a manifest that says all that they may reach."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.domain.check import Finding
from agent.domain.plan import INPUT, references
from agent.domain.requirement import Shelf, circle, requirements, unmet
from agent.domain.skill import Manifest
from agent.domain.workflow import FILE, Workflow, annotations_of, permissions_of
from agent.errors import InvalidFile
from agent.strict_yaml import load_as, locate

NONE = "A workflow has no code, so it depends on no packages."
MANIFEST = "skill.yaml"
CARRIED = frozenset((MANIFEST, FILE, "SKILL.md"))


def read_workflow(data: bytes, path: str) -> Workflow:
    """`workflow.yaml`. Raises InvalidFile with the line, and what was expected there."""
    return load_as(Workflow, data, path)


def style(root: Path) -> Iterator[Finding]:
    """That the plan can be read, and uses what it says to take."""
    data = _data(root)
    try:
        workflow = read_workflow(data, FILE)
    except InvalidFile as error:
        yield Finding(message=error.expected, rule="workflow", path=FILE, line=error.line)
        return
    for number, step in enumerate(workflow.steps):
        used = any(ref.get("$step") == step.id for ref in references([workflow.outputs, *(part for other in workflow.steps for part in other.parts)]))
        if not used and step.when is None:
            message = f"nothing uses what step {step.id!r} gives: take it out, or say in the outputs that it was done"
            yield Finding(message=message, rule="unused", path=FILE, line=locate(data, f"/steps/{number}"), level="note")


def security(root: Path) -> Iterator[Finding]:
    """Nothing that could be run lies in it."""
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and name not in CARRIED and not name.startswith("tests/"):
            yield Finding(message=f"{name} is no part of a workflow, which has no code: take it out", rule="code", path=name)


def dependencies(root: Path, manifest: Manifest, shelf: Shelf) -> Iterator[Finding]:
    """Each skill that it calls is required and there, none requires it in turn, and the manifest claims neither less nor more than they do."""
    try:
        workflow = read_workflow(_data(root), FILE)
    except InvalidFile:
        return  # the check style says where
    if manifest.dependencies:
        yield _of_manifest(root, NONE, "/dependencies")
    required = requirements(manifest)
    for number, step in enumerate(workflow.steps):
        if step.skill not in required:
            message = f"step {step.id!r} calls {step.skill}, which `requires` in {MANIFEST} does not name, like '{step.skill} >=1.0,<2'"
            yield Finding(message=message, rule="requires", path=FILE, line=locate(_data(root), f"/steps/{number}"))
    for name in required.keys() - set(workflow.skills):
        yield _of_manifest(root, f"{name} is required, and no step calls it", "/requires")
    if way := circle(manifest, shelf):
        yield _of_manifest(root, f"it would call itself without end: {' → '.join(way)}", "/requires")
    missing = unmet(manifest, shelf)
    for why in missing.values():
        yield _of_manifest(root, why, "/requires")
    if not missing and not set(workflow.skills) - required.keys():
        yield from _claims(root, manifest, [found for name in workflow.skills if (found := shelf.manifest(name))])
    yield from _unknown_inputs(root, workflow, manifest)


def _claims(root: Path, manifest: Manifest, called: list[Manifest]) -> Iterator[Finding]:
    """Permissions and annotations are what the steps' skills have, together: who approves the workflow sees all that it can do."""
    wanted, asked = permissions_of(called), manifest.permissions
    same = (set(asked.network), set(asked.secrets), asked.storage) == (set(wanted.network), set(wanted.secrets), wanted.storage)
    same = same and (set(asked.broker), set(asked.personal)) == (set(wanted.broker), set(wanted.personal))
    if not same:
        pairs = ", ".join(f"{{secret: {one.secret}, host: {one.host}}}" for one in wanted.broker)
        broker = f", broker: [{pairs}]" if pairs else ""
        own = f", personal: [{', '.join(wanted.personal)}]" if wanted.personal else ""
        told = f"{{network: [{', '.join(wanted.network)}], secrets: [{', '.join(wanted.secrets)}], storage: {wanted.storage}{broker}{own}}}"
        yield _of_manifest(root, f"its permissions have to be those of its steps together: {told}", "/permissions")
    marks = annotations_of(called)
    if manifest.annotations != marks:
        told = ", ".join(f"{name}: {str(value).lower()}" for name, value in marks)
        yield _of_manifest(root, f"its annotations have to be those of its steps together: {{{told}}}", "/annotations")


def _unknown_inputs(root: Path, workflow: Workflow, manifest: Manifest) -> Iterator[Finding]:
    known = manifest.inputs.get("properties", {}).keys()
    parts = [workflow.outputs, *(part for step in workflow.steps for part in step.parts)]
    named = {str(ref[INPUT]).split("/")[1] for ref in references(parts) if INPUT in ref and str(ref[INPUT]).startswith("/")}
    for name in sorted(named - known):
        yield Finding(message=f"the input {name!r} is taken, and the schema of the inputs does not name it", rule="inputs", path=FILE)


def _of_manifest(root: Path, message: str, pointer: str) -> Finding:
    path = root / MANIFEST
    return Finding(message=message, rule="requires", path=MANIFEST, line=locate(path.read_bytes(), pointer) if path.is_file() else None)


def _data(root: Path) -> bytes:
    path = root / FILE
    return path.read_bytes() if path.is_file() else b""
