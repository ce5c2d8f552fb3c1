"""A Profile: who an agent is (`agents/<name>.yaml`): what it is told, which models and skills it has, what it may do alone."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field

from agent.domain import Frozen
from agent.domain.skill import SkillName

Pattern = Annotated[str, Field(pattern=r"^[a-z0-9*?-]+$", max_length=63)]
ASSISTANT = "assistant"


class Models(Frozen):
    """As LiteLLM names them. Empty: those of the settings."""

    primary: str = ""
    fallback: tuple[Annotated[str, Field(min_length=1)], ...] = ()


class TaskLimits(Frozen):
    """What one task may take in all: calls of skills, tokens, US dollars (where the model's price is known), minutes of work."""

    calls: int = Field(default=50, ge=0, le=1000)
    tokens: int = Field(default=500_000, ge=1)
    cost: float = Field(default=5.0, gt=0)
    minutes: float = Field(default=15.0, gt=0, le=24 * 60)


class Autonomy(Frozen):
    """`requests`: whether it may ask for skills that there are not. `judges`: whether it may itself judge what it is given, as its
    instructions say, where else it says only what skills gave. `destructive`: whether a person is asked before a destructive skill is
    called, or none ever is called; those that `alone` names are called without asking. `question_minutes`: how long it waits for a person."""

    requests: bool = True
    judges: bool = False
    destructive: Literal["ask", "never"] = "ask"
    alone: tuple[Pattern, ...] = ()
    question_minutes: float = Field(default=24 * 60.0, gt=0, le=30 * 24 * 60)


class Profile(Frozen):
    """`skills` are names, or patterns with `*` and `?`. `memory`: what it knows beside the task: nothing, what was said before in the
    conversation, or that and the facts that the person had it keep."""

    apiVersion: Literal["skillops/v1"]
    kind: Literal["Agent"]
    name: SkillName
    description: str = Field(min_length=10, max_length=400)
    instructions: str = Field(default="", max_length=8000)
    models: Models = Models()
    skills: tuple[Pattern, ...] = Field(default=("*",), min_length=1)
    memory: Literal["none", "conversation", "facts"] = "conversation"
    limits: TaskLimits = TaskLimits()
    autonomy: Autonomy = Autonomy()

    def may_use(self, skill: str) -> bool:
        return any(fnmatchcase(skill, pattern) for pattern in self.skills)

    def acts_alone_with(self, skill: str) -> bool:
        """Whether it may call this destructive skill without asking."""
        return any(fnmatchcase(skill, pattern) for pattern in self.autonomy.alone)
