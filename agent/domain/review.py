"""A Review: an opinion on a proposal at one commit, by a model or a person."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.domain import Frozen
from agent.domain.skill import Case

Verdict = Literal["approve", "revise", "reject", "could_not_tell"]


class Remark(Frozen):
    """A reviewer's finding. A blocking one names file and line and brings a reproducer; an `injection` is text that speaks to whoever judges,
    and goes to a person.

    `reproduced` is None until the reproducer was run: True where the skill fails it, False where it does not
    (then the remark is shown and blocks nothing).
    """

    message: str = Field(max_length=2000)
    path: str | None = None
    line: int | None = Field(default=None, ge=1)
    blocking: bool = False
    reproducer: Case | None = None
    reproduced: bool | None = None
    kind: Literal["fault", "injection"] = "fault"

    @property
    def blocks(self) -> bool:
        return self.blocking and self.reproduced is True


class Review(Frozen):
    """`head` is the commit that was judged; a push makes the review stale. `pasted`: as of a request."""

    reviewer: str
    head: str
    verdict: Verdict
    summary: str
    kind: Literal["model", "person"] = "model"
    remarks: tuple[Remark, ...] = ()
    seconds: float = 0.0
    tokens: int = 0
    cost: float = 0.0
    pasted: tuple[str, ...] = Field(default=(), exclude=True)

    @property
    def blocking(self) -> tuple[Remark, ...]:
        return tuple(remark for remark in self.remarks if remark.blocks)
