"""A Plan: the steps that a task becomes, each a skill with inputs or a gap, and the order that references impose.

A value in a step's inputs may be a reference, an object with one of these keys (and `path`, a JSON Pointer into what it leads to, in
which `*` stands for each item of a list): `$step` (what an earlier step gave), `$item` (what the step is called for, where it has
`each`), `$input` (what a workflow was called with). `{"$first": [references]}` is the first whose step was not skipped.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from agent.domain import Frozen
from agent.domain.invocation import Receipt
from agent.domain.question import Expects
from agent.domain.schema import Json
from agent.domain.skill import SkillName, same_json

STEP, ITEM, INPUT, FIRST, PATH = "$step", "$item", "$input", "$first", "path"
MOST_RETRIES = 3


class Need(Frozen):
    """What no skill can do yet, in the words in which it is asked for."""

    title: str = Field(min_length=3, max_length=120)
    text: str = Field(min_length=10, max_length=4000)


class Condition(Frozen):
    """Whether a step is taken: `value` (most often a reference) held against `to`. `above` and `below` hold for numbers alone."""

    value: Json
    test: Literal["is", "is not", "above", "below", "contains", "is empty", "is not empty"] = "is"
    to: Json = None

    def holds(self, value: Json) -> bool:
        """Of `value` with its references resolved."""
        if self.test in ("is empty", "is not empty"):
            return (value in (None, "", [], {})) == (self.test == "is empty")
        if self.test in ("above", "below"):
            numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (value, self.to))
            return numbers and (value > self.to if self.test == "above" else value < self.to)
        if self.test == "contains":
            if isinstance(value, str):
                return isinstance(self.to, str) and self.to in value
            return isinstance(value, list | dict) and any(same_json(each, self.to) for each in value)
        return same_json(value, self.to) == (self.test == "is")


class Step(Frozen):
    """One call of a skill, or a need. `when` it does not hold, the step is skipped, and with it what refers to it.

    `each` is a list or a reference to one: the skill is called once for each item, and the step gives {"items": [outputs]}.
    `retries` counts further tries of a call that failed; `seconds` is the most that one call may take.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")
    skill: SkillName | None = None
    inputs: dict[str, Json] = {}
    need: Need | None = None
    when: Condition | None = None
    each: Json = None
    retries: int = Field(default=0, ge=0, le=MOST_RETRIES)
    seconds: float | None = Field(default=None, gt=0, le=900)

    @model_validator(mode="after")
    def _one_of(self) -> Step:
        if (self.skill is None) == (self.need is None):
            raise ValueError(f"step {self.id!r} needs either a skill or a need")
        if self.each is not None and not (isinstance(self.each, list) or _is_reference(self.each)):
            raise ValueError(f"step {self.id!r} is called for each of something that is neither a list nor a reference")
        for ref in references(self.parts):
            if (wrong := path_fault(ref)) is not None:
                raise ValueError(f"step {self.id!r} has the path {wrong!r}, which is no JSON Pointer: it is empty or begins with '/'")
        if self.each is None and any(ITEM in ref for ref in references(self.inputs)):
            raise ValueError(f"step {self.id!r} takes an item, and has no `each` that gives one")
        if any(ITEM in ref for ref in references([self.each, self.when and self.when.value])):
            raise ValueError(f"step {self.id!r} takes an item outside its inputs")
        return self

    @property
    def parts(self) -> list[Json]:
        """Everything in it that may hold references."""
        return [self.inputs, self.each, self.when.value if self.when else None]

    @property
    def after(self) -> tuple[str, ...]:
        """The ids of the steps whose outputs this one refers to."""
        return tuple(dict.fromkeys(ref[STEP] for ref in references(self.parts) if STEP in ref))

    def lost(self, skipped: Container[str]) -> bool:
        """Whether it refers to a step that was skipped, so that it cannot be taken."""
        return any(_lost(part, skipped) for part in self.parts)


class StepEnd(Frozen):
    """What a step gave, with a receipt for each call that it took."""

    outputs: dict[str, Json]
    receipts: tuple[Receipt, ...]


class Held(Frozen):
    """A step that waits for a person's leave, with the very inputs that its skill would be called with, once for each item."""

    step: str
    skill: str
    inputs: tuple[Json, ...]


class Plan(Frozen):
    """Steps to take, or a `question` for the person, or a `reply` where no skill is called for, or skills to `look` at before.

    `choices` and `expects` say which answers a question takes. `remember` holds what the person wants kept, in their words,
    `forget` the numbers of facts that they want forgotten.
    """

    steps: tuple[Step, ...] = Field(default=(), max_length=20)
    question: str | None = Field(default=None, max_length=4000)
    reply: str | None = Field(default=None, max_length=20_000)
    look: tuple[SkillName, ...] = Field(default=(), max_length=8)
    choices: tuple[str, ...] = Field(default=(), max_length=12)
    expects: Expects = "text"
    remember: tuple[str, ...] = Field(default=(), max_length=5)
    forget: tuple[int, ...] = Field(default=(), max_length=20)

    @model_validator(mode="after")
    def _coherent(self) -> Plan:
        if sum((bool(self.steps), self.question is not None, self.reply is not None, bool(self.look))) != 1:
            raise ValueError("a plan has exactly one of: steps, a question, a reply, skills to look at")
        if self.question is None and (self.choices or self.expects != "text"):
            raise ValueError("choices and expects belong to a question")
        if any(INPUT in ref for step in self.steps for ref in references(step.parts)):
            raise ValueError("$input belongs to workflows; copy the value from the task")
        check_order(self.steps)
        return self

    @property
    def needs(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.need)

    def waves(self) -> tuple[tuple[Step, ...], ...]:
        """Steps in groups that may run side by side."""
        return waves(self.steps)


def check_order(steps: tuple[Step, ...]) -> None:
    """Raises ValueError on two steps with one id, an unknown reference or a cycle."""
    ids = [step.id for step in steps]
    if len(set(ids)) != len(ids):
        raise ValueError("two steps have the same id")
    waves(steps)


def waves(steps: tuple[Step, ...]) -> tuple[tuple[Step, ...], ...]:
    """Steps in groups that may run side by side; raises ValueError on an unknown reference or a cycle."""
    done: set[str] = set()
    left = list(steps)
    found = []
    known = {step.id for step in left}
    for step in left:
        if unknown := set(step.after) - known:
            raise ValueError(f"step {step.id!r} refers to {sorted(unknown)[0]!r}, which is no step")
    while left:
        wave = tuple(step for step in left if done.issuperset(step.after))
        if not wave:
            raise ValueError("the steps wait for one another in a circle: " + ", ".join(s.id for s in left))
        found.append(wave)
        done.update(step.id for step in wave)
        left = [step for step in left if step.id not in done]
    return tuple(found)


def resolve(inputs: Json, outputs: Mapping[str, Json], *, item: Json = None, given: Json = None) -> Json:
    """`inputs` with every reference replaced: from `outputs` (step id to outputs), the `item`, or what was `given` to a workflow.

    LookupError where one leads nowhere. What a step gave is a value, whatever it looks like: it is not searched for references.
    """
    if isinstance(inputs, dict):
        if _is_first(inputs):
            there = next((ref for ref in inputs[FIRST] if ref[STEP] in outputs), None)
            if there is None:
                raise LookupError("none of the steps that $first names has given anything")
            return resolve(there, outputs)
        if _is_reference(inputs):
            if STEP in inputs:
                return _pointed(outputs[inputs[STEP]], _path(inputs), f"step {inputs[STEP]!r} has no output")
            value, name = (item, "the item") if ITEM in inputs else (given, "the inputs")
            return _pointed(value, _path(inputs), f"{name} has nothing")
        return {key: resolve(value, outputs, item=item, given=given) for key, value in inputs.items()}
    if isinstance(inputs, list):
        return [resolve(value, outputs, item=item, given=given) for value in inputs]
    return inputs


def references(value: Json) -> Iterator[dict[str, Any]]:
    """Every reference in `value`, those of a `$first` one by one."""
    if _is_first(value):
        yield from value[FIRST]
    elif _is_reference(value):
        yield value
    elif isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from references(child)


def path_fault(ref: Mapping[str, Any]) -> Json:
    """The path of a reference, where it is no JSON Pointer; else None."""
    path = "null" if (path := _path(ref)) is None else path
    return None if isinstance(path, str) and (path == "" or path.startswith("/")) else path


def _is_reference(value: Any) -> bool:
    """An object with exactly one of the keys, and at most `path` beside `$step`. `$item` and `$input` hold the path themselves."""
    if not isinstance(value, dict):
        return False
    if isinstance(value.get(STEP), str):
        return set(value) <= {STEP, PATH}
    return set(value) in ({ITEM}, {INPUT})


def _is_first(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {FIRST}:
        return False
    refs = value[FIRST]
    return isinstance(refs, list) and bool(refs) and all(_is_reference(ref) and STEP in ref for ref in refs)


def _path(ref: Mapping[str, Any]) -> Any:
    return ref.get(PATH, "") if STEP in ref else next(iter(ref.values()))


def _lost(value: Json, skipped: Container[str]) -> bool:
    if _is_first(value):
        return all(ref[STEP] in skipped for ref in value[FIRST])
    if _is_reference(value):
        return value.get(STEP) in skipped
    if isinstance(value, dict | list):
        return any(_lost(child, skipped) for child in (value.values() if isinstance(value, dict) else value))
    return False


def _pointed(value: Json, pointer: str, missing: str) -> Json:
    """The value at a JSON Pointer (RFC 6901), where `*` in a list gives the list of what each item has there."""
    parts = pointer.split("/")[1:]
    for number, part in enumerate(parts):
        key = part.replace("~1", "/").replace("~0", "~")
        if key == "*" and isinstance(value, list):
            rest = "".join(f"/{each}" for each in parts[number + 1 :])
            return [_pointed(each, rest, missing) for each in value]
        try:
            value = value[int(key)] if isinstance(value, list) and key.isdecimal() else value[key]
        except (KeyError, IndexError, ValueError, TypeError):
            raise LookupError(f"{missing} at {pointer!r}") from None
    return value
