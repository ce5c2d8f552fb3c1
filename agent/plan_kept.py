"""A plan and how it ran, as they are kept and shown; and a plan as those hear of it who watch."""

from __future__ import annotations

import json
from typing import Literal

from agent.domain import Frozen
from agent.domain.event import Event
from agent.domain.invocation import Receipt
from agent.domain.plan import Plan, Step, StepEnd
from agent.domain.proposal import AGENT
from agent.domain.schema import Json
from agent.errors import SkillOpsError
from agent.pasted import json_struck
from agent.pending import Pending
from agent.plan_run import PlanRun
from agent.stages.planning import cut

SHOWN = 1500  # characters of a step's outputs

State = Literal["done", "skipped", "held", "failed", "not begun"]


class KeptStep(Frozen):
    """A step and how it ended: `outputs` cut where they are long, `error` where it failed. `held`: it waits for a person's leave."""

    step: Step
    state: State
    outputs: Json = None
    error: str = ""
    receipts: tuple[Receipt, ...] = ()


class KeptRun(Frozen):
    """One run of a task's plan. `calls`, `tokens`, `cost` (US dollars) and `seconds` are what the task had taken by its end."""

    task: str
    agent: str
    conversation: str
    turn: int
    steps: tuple[KeptStep, ...]
    calls: int
    tokens: int
    cost: float
    seconds: float


def kept(plan: Plan, ran: PlanRun, task: Pending) -> KeptRun:
    """What is kept of a run."""
    return KeptRun(
        task=task.task.text, agent=task.agent, conversation=task.task.conversation, turn=task.turn,
        steps=tuple(_step(step, ran) for step in plan.steps), calls=task.calls, tokens=task.tokens, cost=task.cost, seconds=task.seconds,
    )  # fmt: skip


def lasting(ran: PlanRun) -> dict[str, StepEnd]:
    """The steps that are done, to go on from once a person has answered. What gave something that looks like a secret is called again where that
    does nothing twice; where it does, the secret is struck out, and with it from the inputs of what follows."""
    found: dict[str, StepEnd] = {}
    for step in ran.steps:
        if (end := ran.done.get(step.id)) is None:
            continue
        outputs = json_struck(end.outputs, ran.struck)
        manifest = ran.catalog.manifest(step.skill or "")
        if outputs == end.outputs:
            found[step.id] = end
        elif manifest is None or not (manifest.annotations.readOnly or manifest.annotations.idempotent):
            found[step.id] = end.model_copy(update={"outputs": outputs})
    return found


def told(planned: Plan, task: Pending) -> Event:
    """A plan for whoever watches. Its inputs are left out: they are the person's."""
    steps = [{"id": step.id, "skill": step.skill, "need": step.need and step.need.title, "after": list(step.after)} for step in planned.steps]
    data = {"conversation": task.task.conversation, "turn": task.turn, "steps": steps}
    note = ", ".join(str(step["skill"] or step["need"]) for step in steps) or "no skill"
    return Event(stage="planning", what="planned", actor=AGENT, request=task.request, note=note, data=data)


def _step(step: Step, ran: PlanRun) -> KeptStep:
    if step.id in ran.failed:
        return KeptStep(step=step, state="failed", error=ran.failed[step.id].fault)
    if step.id in ran.done:
        end = ran.done[step.id]
        return KeptStep(step=step, state="done", outputs=cut(end.outputs, SHOWN, ran.struck), receipts=end.receipts)
    return KeptStep(step=step, state="skipped" if step.id in ran.skipped else "held" if step.id in ran.held else "not begun")


def unworded(run: PlanRun, error: SkillOpsError) -> str:
    """What is said where a task ends before its answer: why, and what the skills that were called gave."""
    if not run.receipts:
        return str(error)
    skills = ", ".join(dict.fromkeys(f"{receipt.skill} {receipt.version}" for receipt in run.receipts))
    gave = cut(run.outputs, SHOWN, run.struck)
    return f"{error}\n\nBefore that {skills} did its part, and gave: {gave if isinstance(gave, str) else json.dumps(gave, ensure_ascii=False)}"
