"""A Gap: what is missing, with the contract frozen before anything is written."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from agent.domain import Frozen
from agent.domain.schema import Json, violations
from agent.domain.skill import Example, ObjectSchema, Permissions, Runtime, SkillName, digest_of

Verdict = Literal["covered", "extend", "new", "several", "refused", "vague"]
MOST_PARTS = 5  # of a request that needs several skills


class Contract(Frozen):
    """What author and witness both work from: the shape of the skill, and how we would know that the gap is closed. `requires`: existing
    skills that do a part of it, with version ranges, as in skill.yaml."""

    name: SkillName
    description: str = Field(min_length=10, max_length=1024)
    runtime: Runtime = "python"
    inputs: ObjectSchema
    outputs: ObjectSchema
    examples: tuple[Example, ...] = Field(min_length=1, max_length=20)
    acceptance: tuple[str, ...] = Field(min_length=1, max_length=20)
    permissions: Permissions = Permissions()
    requires: tuple[str, ...] = Field(default=(), max_length=8)

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `requires` where it names nothing, so that the digest of what was frozen before there was such a thing stays."""
        return {name: value for name, value in dump(self).items() if name != "requires" or value}

    @model_validator(mode="after")
    def _examples_fit(self) -> Contract:
        for number, example in enumerate(self.examples, 1):
            for what, schema in (("inputs", self.inputs), ("outputs", self.outputs)):
                if broken := violations(schema, getattr(example, what), limit=1):
                    raise ValueError(f"example {number}: its {what} do not fit the schema: {broken[0]}")
        return self


class Part(Frozen):
    """What one of several skills has to do, in words that need no others: it becomes a request of its own."""

    title: str = Field(min_length=1, max_length=120, pattern=r"^\S([^\r\n]*\S)?$")
    text: str = Field(min_length=10, max_length=4000)


class Gap(Frozen):
    """The assessment of one request.

    `covered`: `skill` answers it, called with `call`. `extend`: `skill` at `base_version` grows to `contract`.
    `new`: `contract` describes it. `several`: each of `parts` is a request of its own. `refused`: `reason` says why.
    `vague`: `question` goes to the requester.
    """

    request: int
    verdict: Verdict
    reason: str
    skill: SkillName | None = None
    base_version: str | None = None
    call: dict[str, Json] | None = None
    question: str | None = None
    contract: Contract | None = None
    parts: tuple[Part, ...] = Field(default=(), max_length=MOST_PARTS)

    @model_validator(mode="after")
    def _complete(self) -> Gap:
        needed = {
            "covered": ("skill",),
            "extend": ("skill", "contract", "base_version"),
            "new": ("contract",),
            "several": (),
            "refused": (),
            "vague": ("question",),
        }[self.verdict]
        if missing := [name for name in needed if getattr(self, name) is None]:
            raise ValueError(f"a {self.verdict!r} gap needs {', '.join(missing)}")
        if self.verdict == "extend" and self.contract and self.contract.name != self.skill:
            raise ValueError("an extension keeps the name of the skill that it extends")
        if self.verdict == "several" and len({part.title for part in self.parts}) < max(2, len(self.parts)):
            raise ValueError(f"a 'several' gap needs two to {MOST_PARTS} parts with titles that differ")
        return self

    @property
    def buildable(self) -> bool:
        return self.verdict in ("new", "extend")

    @property
    def digest(self) -> str:
        """Identifies the frozen contract: a change of one word is a change of digest."""
        return digest_of(self.model_dump(mode="json", exclude=None if self.parts else {"parts"}))
