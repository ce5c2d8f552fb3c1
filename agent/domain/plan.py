"""A Plan: the steps that a task becomes, each a skill with inputs or a gap, and the order that references impose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, model_validator

from agent.domain import Frozen
from agent.domain.schema import Json
from agent.domain.skill import SkillName

STEP, PATH = "$step", "path"


class Need(Frozen):
    """What no skill can do yet, in the words in which it is asked for."""

    title: str = Field(min_length=3, max_length=120)
    text: str = Field(min_length=10, max_length=4000)


class Step(Frozen):
    """One call of a skill, or a need. An input `{"$step": "a", "path": "/x/0"}` takes an earlier step's output."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")
    skill: SkillName | None = None
    inputs: dict[str, Json] = {}
    need: Need | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Step:
        if (self.skill is None) == (self.need is None):
            raise ValueError(f"step {self.id!r} needs either a skill or a need")
        for ref in _references(self.inputs):
            path = ref.get(PATH, "")
            if not isinstance(path, str) or not (path == "" or path.startswith("/")):
                raise ValueError(f"step {self.id!r} has the path {path!r}, which is no JSON Pointer: it is empty or begins with '/'")
        return self

    @property
    def after(self) -> tuple[str, ...]:
        """The ids of the steps whose outputs this one refers to."""
        return tuple(dict.fromkeys(ref[STEP] for ref in _references(self.inputs)))


class Plan(Frozen):
    """Steps to take, or a `question` for the person, or a `reply` where no skill is called for."""

    steps: tuple[Step, ...] = Field(default=(), max_length=20)
    question: str | None = None
    reply: str | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Plan:
        if sum((bool(self.steps), self.question is not None, self.reply is not None)) != 1:
            raise ValueError("a plan has exactly one of: steps, a question, a reply")
        ids = [step.id for step in self.steps]
        if len(set(ids)) != len(ids):
            raise ValueError("two steps have the same id")
        self.waves()
        return self

    @property
    def needs(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.need)

    def waves(self) -> tuple[tuple[Step, ...], ...]:
        """Steps in groups that may run side by side; raises ValueError on an unknown reference or a cycle."""
        done: set[str] = set()
        left = list(self.steps)
        waves = []
        known = {step.id for step in left}
        for step in left:
            if unknown := set(step.after) - known:
                raise ValueError(f"step {step.id!r} refers to {sorted(unknown)[0]!r}, which is no step")
        while left:
            wave = tuple(step for step in left if done.issuperset(step.after))
            if not wave:
                raise ValueError("the steps wait for one another in a circle: " + ", ".join(s.id for s in left))
            waves.append(wave)
            done.update(step.id for step in wave)
            left = [step for step in left if step.id not in done]
        return tuple(waves)


def resolve(inputs: Json, outputs: Mapping[str, Json]) -> Json:
    """`inputs` with every reference replaced from `outputs` (step id to outputs); LookupError where one leads nowhere."""
    if isinstance(inputs, dict):
        if _is_reference(inputs):
            return _pointed(outputs[inputs[STEP]], inputs.get(PATH, ""), inputs[STEP])
        return {key: resolve(value, outputs) for key, value in inputs.items()}
    if isinstance(inputs, list):
        return [resolve(value, outputs) for value in inputs]
    return inputs


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get(STEP), str) and set(value) <= {STEP, PATH}


def _references(value: Json) -> Iterator[dict[str, str]]:
    if _is_reference(value):
        yield value
    elif isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _references(child)


def _pointed(value: Json, pointer: str, step: str) -> Json:
    """The value at a JSON Pointer (RFC 6901)."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(key)] if isinstance(value, list) and key.isdecimal() else value[key]
        except (KeyError, IndexError, ValueError, TypeError):
            raise LookupError(f"step {step!r} has no output at {pointer!r}") from None
    return value
