"""A Workflow: a plan that is a skill. Its steps call the skills that it requires, and it can do what they can and no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field, model_validator

from agent.domain import Frozen
from agent.domain.plan import ITEM, STEP, Step, check_order, path_fault, references
from agent.domain.schema import Json
from agent.domain.skill import Annotations, Manifest, Permissions

RUNTIME, FILE = "workflow", "workflow.yaml"
MOST_STEPS = 40


class Workflow(Frozen):
    """`workflow.yaml`. `outputs` are values and references; one that leads only to steps that were skipped is left out."""

    apiVersion: Literal["skillops/v1"]
    kind: Literal["Workflow"]
    steps: tuple[Step, ...] = Field(min_length=1, max_length=MOST_STEPS)
    outputs: dict[str, Json] = Field(min_length=1)

    @model_validator(mode="after")
    def _coherent(self) -> Workflow:
        check_order(self.steps)
        if need := next((step for step in self.steps if step.need), None):
            raise ValueError(f"step {need.id!r} is a need; a workflow calls skills alone")
        known = {step.id for step in self.steps}
        for ref in references(self.outputs):
            if ITEM in ref or (STEP in ref and ref[STEP] not in known):
                raise ValueError(f"the outputs refer to {ref.get(STEP, ITEM)!r}, which is no step")
            if (wrong := path_fault(ref)) is not None:
                raise ValueError(f"the outputs have the path {wrong!r}, which is no JSON Pointer: it is empty or begins with '/'")
        return self

    @property
    def skills(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(str(step.skill) for step in self.steps))


def permissions_of(required: Iterable[Manifest]) -> Permissions:
    """What skills may reach together."""
    found = [manifest.permissions for manifest in required]
    held = {name for each in found for name in each.held}
    brokered = {one for each in found for one in each.broker}
    hosts = Counter(one.secret for one in brokered)  # what goes to several is shown as what it may be at most: held
    return Permissions(
        network=tuple(sorted({rule for each in found for rule in each.network})),
        secrets=tuple(sorted({name for each in found for name in each.secrets})),
        broker=tuple(one for one in sorted(brokered, key=str) if one.secret not in held and hosts[one.secret] == 1),
        personal=tuple(sorted({name for each in found for name in each.personal} - {name for each in found for name in each.shared})),
        storage="persistent" if any(each.storage == "persistent" for each in found) else "none",
    )  # fmt: skip


def annotations_of(required: Sequence[Manifest]) -> Annotations:
    """What a caller may assume of skills that are called one after the other."""
    marks = [manifest.annotations for manifest in required]
    return Annotations(
        readOnly=all(mark.readOnly for mark in marks), idempotent=all(mark.idempotent for mark in marks),
        destructive=any(mark.destructive for mark in marks),
    )  # fmt: skip
