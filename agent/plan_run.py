"""A PlanRun: the steps of one plan, each called as soon as it can be, with what they gave or where they broke."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from agent.catalog import Catalog
from agent.domain.event import Event
from agent.domain.invocation import InvocationResult
from agent.domain.plan import Plan, Step, resolve
from agent.domain.proposal import AGENT
from agent.domain.schema import Json
from agent.errors import InvalidInputs, InvocationFailed, NotFound, Refused, SkillOpsError
from agent.ports import Runtime
from agent.stages.invoking import Strike, invoke, unstruck
from agent.stages.planning import cut

SHOWN = 4000  # characters of a value that the next plan is shown, and of an error
SHOWN_IN_ALL = 20_000  # characters of all that was done, in the same place

Record = Callable[[Event], Any]


@dataclass
class PlanRun:
    """`caller` is who asked; `ident` names the run, so that a step done over has the same request id; `request` is the
    number that its events belong to. After `run`, `done` and `failed` hold how the steps ended, by their ids."""

    plan: Plan
    catalog: Catalog
    runtime: Runtime
    record: Record
    workers: int
    caller: str
    ident: str
    request: int | None = None
    strike: Strike = unstruck
    done: dict[str, InvocationResult] = field(default_factory=dict)
    failed: dict[str, SkillOpsError] = field(default_factory=dict)

    def run(self) -> PlanRun:
        """Calls each step once those that it refers to are done. Where one fails none is begun any more, and those under
        way are let finish. That nobody can tell (CouldNotTell) is raised."""
        left = list(self.plan.steps)
        calls: dict[Future[InvocationResult | SkillOpsError], Step] = {}
        with ThreadPoolExecutor(self.workers) as pool:
            while True:
                due = [] if self.failed else [step for step in left if self.done.keys() >= set(step.after)]
                for step in due:
                    left.remove(step)
                    calls[pool.submit(self._call, step)] = step
                if not calls:
                    return self
                for call in wait(calls, return_when=FIRST_COMPLETED).done:
                    step, end = calls.pop(call), call.result()
                    if isinstance(end, InvocationResult):
                        self.done[step.id] = end
                    else:
                        self.failed[step.id] = end

    @property
    def results(self) -> dict[str, InvocationResult]:
        """What is done, in the plan's order, whatever the order that it came in."""
        return {step.id: self.done[step.id] for step in self.plan.steps if step.id in self.done}

    @property
    def shown(self) -> list[dict[str, Json]]:
        """What is done, for the model."""
        steps = [step for step in self.plan.steps if step.id in self.done]
        return [{"skill": step.skill, "inputs": self._inputs(step), "outputs": self.done[step.id].outputs} for step in steps]

    @property
    def error(self) -> SkillOpsError | None:
        """Why the first step of the plan that failed did."""
        return next((self.failed[step.id] for step in self.plan.steps if step.id in self.failed), None)

    @property
    def failure(self) -> dict[str, Json] | None:
        """What broke and what was done, for the model that plans anew."""
        broken = next((step for step in self.plan.steps if step.id in self.failed), None)
        if broken is None:
            return None
        share = min(SHOWN, SHOWN_IN_ALL // max(1, 2 * len(self.done)))
        done = [{name: cut(value, share) for name, value in each.items()} for each in self.shown]
        return {"skill": broken.skill, "inputs": cut(broken.inputs, SHOWN), "error": str(self.failed[broken.id])[:SHOWN], "done": done}

    def _call(self, step: Step) -> InvocationResult | SkillOpsError:
        """One call. That it failed is a value."""
        end: InvocationResult | SkillOpsError
        try:
            end = self._invoked(step)
        except (InvalidInputs, InvocationFailed, NotFound, Refused) as error:
            end = error
        event = Event(stage="invoking", what="invoked", actor=AGENT, request=self.request, skill=step.skill, data={"call": f"{self.ident}-{step.id}"})
        if isinstance(end, InvocationResult):
            self.record(event.model_copy(update={"outcome": "passed", "seconds": end.receipt.seconds}))
        else:
            self.record(event.model_copy(update={"outcome": "failed", "note": end.what}))
        return end

    def _invoked(self, step: Step) -> InvocationResult:
        """The skill is looked up now: since the plan was made it may have become another version, or have been retired."""
        name = step.skill or ""
        entry, manifest = self.catalog.entry(name), self.catalog.manifest(name)
        if entry is None or manifest is None:
            raise NotFound(f"There is no skill {name!r} any more.")
        try:
            inputs = self._inputs(step)
        except LookupError as error:
            raise InvalidInputs(f"The inputs of {name} cannot be put together.", why=str(error.args[0])) from None
        return invoke(manifest, entry, inputs, self.runtime, caller=self.caller, request_id=f"{self.ident}-{step.id}", strike=self.strike)

    def _inputs(self, step: Step) -> Json:
        return resolve(step.inputs, {ident: self.done[ident].outputs for ident in step.after})
