"""Planning: a task becomes steps, each a skill with inputs or a need; and what the steps gave becomes words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import Field

from agent.domain import Frozen
from agent.domain.plan import Plan, Step, references
from agent.domain.schema import Json, violations
from agent.domain.skill import Manifest
from agent.domain.task import Task
from agent.pasted import json_struck, unpasted
from agent.ports import LanguageModel
from agent.prompts import Asked, ask, with_sections

SHOWN = 20_000  # characters of outputs that a prompt carries
MARGIN = 4096  # characters behind a cut that are looked at, so that none cuts a secret in two
SAID = 6  # turns of the conversation that an answer is read with
PROBLEMS = 3  # of a plan that are told at once
NOTHING: Mapping[str, str] = MappingProxyType({})


class Answer(Frozen):
    """What the person is told."""

    text: str = Field(min_length=1, max_length=20_000)


@dataclass(frozen=True)
class Manner:
    """How an agent goes about a task: the instructions of its manifest, and the facts that a person had it keep (number to words).
    None: it keeps none. `requests`: whether it may ask for skills that there are not. `judges`: whether it may say what it thinks itself."""

    instructions: str = ""
    facts: Mapping[int, str] | None = None
    requests: bool = True
    judges: bool = False

    @property
    def variables(self) -> dict[str, Json]:
        """Only what there is: nobody pays for a section that says nothing."""
        given: dict[str, Json] = {"instructions": self.instructions} if self.instructions else {}
        if self.facts:
            given["facts"] = [{"number": number, "fact": fact} for number, fact in self.facts.items()]
        return given

    def asked(self, purpose: str, **more: Json) -> tuple[dict[str, Json], str]:
        """The variables of a question, and the prompt with a section for each of them; `more` are left out where they are empty."""
        given = {**self.variables, **{name: value for name, value in more.items() if value}}
        rules = [f"judging-{purpose}"] if self.judges else []
        if purpose == "plan":
            rules += ["remembering"] * (self.facts is not None) + ["no-requests"] * (not self.requests)
        return given, with_sections(purpose, [*given, *rules])


PLAIN = Manner()


def plan(
    task: Task, history: Sequence[str], skills: Sequence[Manifest], model: LanguageModel, *, failure: Json = None, manner: Manner = PLAIN,
    others: Mapping[str, str] = NOTHING,
) -> Asked[Plan]:  # fmt: skip
    """The plan for a task, with `skills` as found for it. `failure` says what broke in an earlier plan; `others` are further skills with
    their descriptions, which a plan may ask to see (`look`).

    Raises ModelUnavailable where the model gives no plan whose skills exist and whose inputs fit.
    """
    variables = {"task": task.text, "history": list(history), "skills": [_shown(manifest) for manifest in skills], "failure": failure}
    more, template = manner.asked("plan", others=dict(others))
    known = {manifest.name: manifest for manifest in skills}
    return ask(model, "plan", Plan, {**variables, **more}, template=template, check=_checker(known, others, task, manner, again=failure is not None))


def answer(
    task: Task,
    results: Sequence[Mapping[str, Json]],
    model: LanguageModel,
    *,
    manner: Manner = PLAIN,
    history: Sequence[str] = (),
    strike: Callable[[str], str] = unpasted,
) -> Asked[Answer]:
    """The answer to a task from its results (`skill`, `inputs`, `outputs` of each step), read with what was said before it, without the secrets
    that `strike` knows. Raises ModelUnavailable."""
    shares = max(1, len(results))
    shown = [{name: cut(value, SHOWN // shares, strike) for name, value in result.items()} for result in results]
    more, template = manner.asked("answer", history=list(history[-SAID:]))
    return ask(model, "answer", Answer, {"task": task.text, "results": shown, **more}, template=template)


def cut(value: Json, limit: int, strike: Callable[[str], str] = unpasted) -> Json:
    """`value`, or the beginning of its JSON where that is longer than `limit` characters; without what looks like a secret or, by `strike`, is
    one, which a model, a page and what is kept get along without."""
    text = json.dumps(value, ensure_ascii=False)
    seen = strike(text[: limit + MARGIN])
    if len(text) <= limit:
        return value if seen == text else json_struck(value, strike)
    return f"{seen[:limit]}… (cut: {len(text)} characters in all)"


def _shown(manifest: Manifest) -> dict[str, Any]:
    """As a plan has to know it. Of its marks only those that a plan may not pass over."""
    shown = {"name": manifest.name, "description": manifest.description, "inputs": manifest.inputs, "outputs": manifest.outputs}
    marks = {"destructive": True} if manifest.annotations.destructive else {}
    return {**shown, **marks, **({} if manifest.annotations.idempotent else {"idempotent": False})}


def _checker(
    known: Mapping[str, Manifest], others: Mapping[str, str], task: Task, manner: Manner, *, again: bool
) -> Callable[[Plan], str | None]:  # fmt: skip
    def problem(plan: Plan) -> str | None:
        if strange := [name for name in plan.look if name not in others]:
            return f"`look` names {strange[0]!r}, which is none of the further skills: {', '.join(others) or 'there are none'}"
        if plan.needs and not manner.requests:
            return f"step {plan.needs[0].id!r} is a need, and this agent may not ask for new skills: use a listed skill, or `reply` what is missing"
        wrong = [found for step in plan.steps if (found := _misfit(step, known, others))]
        return "; ".join(wrong[:PROBLEMS]) or _unsaid(plan, task, manner, again)

    return problem


def _misfit(step: Step, known: Mapping[str, Manifest], others: Mapping[str, str]) -> str | None:
    """What is wrong with one step."""
    if step.skill is None:
        return None
    if step.skill in others:
        return f"step {step.id!r} calls {step.skill}, whose schemas were not shown: `look` at it first"
    if step.skill not in known:
        return f"step {step.id!r} calls the skill {step.skill!r}, which is not listed; listed are: {', '.join(known) or 'none'}"
    # What a reference will bring is not known yet; invoking holds it against the schema.
    if not any(references(step.inputs)) and (broken := violations(known[step.skill].inputs, step.inputs, limit=3)):
        return f"the inputs of step {step.id!r} do not fit {step.skill}: {'; '.join(broken)}"
    if step.retries and not known[step.skill].annotations.idempotent:
        return f"step {step.id!r} has retries, and {step.skill} does something each time that it is called: leave them out"
    return None


def _unsaid(plan: Plan, task: Task, manner: Manner, again: bool) -> str | None:
    """A fact is what the person said, word for word: neither a model nor what a skill gave can plant one."""
    if (plan.remember or plan.forget) and (manner.facts is None or again):
        return "`remember` and `forget` are not for this agent now: leave them out"
    said = _words(task.text)
    for fact in plan.remember:
        if not _words(fact) or _words(fact) not in said:
            return f"`remember` holds {fact[:80]!r}, which the task does not say in these words: copy the person's own words"
    if unknown := [number for number in plan.forget if number not in (manner.facts or {})]:
        return f"`forget` names {unknown[0]}, which is the number of no fact"
    return None


def _words(text: str) -> str:
    return " ".join(text.split()).casefold()
