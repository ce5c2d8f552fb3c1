"""A Gap: what is missing, with the contract frozen before anything is written."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from agent.domain import Frozen
from agent.domain.schema import Json, violations
from agent.domain.skill import Example, ObjectSchema, Permissions, Runtime, SkillName, digest_of

Verdict = Literal["covered", "extend", "new", "refused", "vague"]


class Contract(Frozen):
    """What author and witness both work from: the shape of the skill, and how we would know that the gap is closed."""

    name: SkillName
    description: str = Field(min_length=10, max_length=1024)
    runtime: Runtime = "python"
    inputs: ObjectSchema
    outputs: ObjectSchema
    examples: tuple[Example, ...] = Field(min_length=1, max_length=20)
    acceptance: tuple[str, ...] = Field(min_length=1, max_length=20)
    permissions: Permissions = Permissions()

    @model_validator(mode="after")
    def _examples_fit(self) -> Contract:
        for number, example in enumerate(self.examples, 1):
            for what, schema in (("inputs", self.inputs), ("outputs", self.outputs)):
                if broken := violations(schema, getattr(example, what), limit=1):
                    raise ValueError(f"example {number}: its {what} do not fit the schema: {broken[0]}")
        return self


class Gap(Frozen):
    """The assessment of one request.

    `covered`: `skill` answers it, called with `call`. `extend`: `skill` at `base_version` grows to `contract`.
    `new`: `contract` describes it. `refused`: `reason` says why. `vague`: `question` goes to the requester.
    """

    request: int
    verdict: Verdict
    reason: str
    skill: SkillName | None = None
    base_version: str | None = None
    call: dict[str, Json] | None = None
    question: str | None = None
    contract: Contract | None = None

    @model_validator(mode="after")
    def _complete(self) -> Gap:
        needed = {
            "covered": ("skill",),
            "extend": ("skill", "contract", "base_version"),
            "new": ("contract",),
            "refused": (),
            "vague": ("question",),
        }[self.verdict]
        if missing := [name for name in needed if getattr(self, name) is None]:
            raise ValueError(f"a {self.verdict!r} gap needs {', '.join(missing)}")
        if self.verdict == "extend" and self.contract and self.contract.name != self.skill:
            raise ValueError("an extension keeps the name of the skill that it extends")
        return self

    @property
    def buildable(self) -> bool:
        return self.verdict in ("new", "extend")

    @property
    def digest(self) -> str:
        """Identifies the frozen contract: a change of one word is a change of digest."""
        return digest_of(self.model_dump(mode="json"))
