"""Planning: a task becomes steps, each a skill with inputs or a need; and what the steps gave becomes words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import Field

from agent.domain import Frozen
from agent.domain.plan import Plan
from agent.domain.schema import Json, violations
from agent.domain.skill import Manifest
from agent.domain.task import Task
from agent.ports import LanguageModel
from agent.prompts import Asked, ask

SHOWN = 20_000  # characters of outputs that a prompt carries


class Answer(Frozen):
    """What the person is told."""

    text: str = Field(min_length=1, max_length=20_000)


def plan(task: Task, history: Sequence[str], skills: Sequence[Manifest], model: LanguageModel, *, failure: Json = None) -> Asked[Plan]:
    """The plan for a task, with `skills` as found for it. `failure` says what broke in an earlier plan.

    Raises ModelUnavailable where the model gives no plan whose skills exist and whose inputs fit.
    """
    variables = {"task": task.text, "history": list(history), "skills": [_shown(manifest) for manifest in skills], "failure": failure}
    return ask(model, "plan", Plan, variables, check=_checker({manifest.name: manifest for manifest in skills}))


def answer(task: Task, results: Sequence[Mapping[str, Json]], model: LanguageModel) -> Asked[Answer]:
    """The answer to a task from its results (`skill`, `inputs`, `outputs` of each step). Raises ModelUnavailable."""
    shares = max(1, len(results))
    shown = [{name: cut(value, SHOWN // shares) for name, value in result.items()} for result in results]
    return ask(model, "answer", Answer, {"task": task.text, "results": shown})


def cut(value: Json, limit: int) -> Json:
    """`value`, or the beginning of its JSON where that is longer than `limit` characters."""
    text = json.dumps(value, ensure_ascii=False)
    return value if len(text) <= limit else f"{text[:limit]}… (cut: {len(text)} characters in all)"


def _shown(manifest: Manifest) -> dict[str, Any]:
    return {"name": manifest.name, "description": manifest.description, "inputs": manifest.inputs, "outputs": manifest.outputs}


def _checker(known: Mapping[str, Manifest]) -> Callable[[Plan], str | None]:
    def problem(plan: Plan) -> str | None:
        for step in plan.steps:
            if step.skill is None:
                continue
            if step.skill not in known:
                return f"step {step.id!r} calls the skill {step.skill!r}, which is not listed; listed are: {', '.join(known) or 'none'}"
            # What a reference will bring is not known yet; invoking holds it against the schema.
            if not step.after and (broken := violations(known[step.skill].inputs, step.inputs, limit=3)):
                return f"the inputs of step {step.id!r} do not fit {step.skill}: {'; '.join(broken)}"
        return None

    return problem
