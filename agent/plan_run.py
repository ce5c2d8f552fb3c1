"""A PlanRun: the steps of one plan, called wave by wave, with what they gave or where they broke."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from agent.catalog import Catalog
from agent.domain.event import Event
from agent.domain.invocation import InvocationResult
from agent.domain.plan import Plan, Step, resolve
from agent.domain.proposal import AGENT
from agent.domain.schema import Json
from agent.domain.skill import Manifest
from agent.errors import InvalidInputs, InvocationFailed, NotFound, Refused, SkillOpsError
from agent.ports import Runtime
from agent.stages.invoking import invoke
from agent.stages.planning import cut

VALUE_LENGTH = 4000  # characters of a value that the next plan is shown

Record = Callable[[Event], Any]


@dataclass
class PlanRun:
    """`caller` is who asked; `ident` names the run, so that a step done over has the same request id; `request` is the
    number that its events belong to. `shown` and `failure` are for the model, `error` is for the person."""

    catalog: Catalog
    runtime: Runtime
    record: Record
    workers: int
    caller: str
    ident: str
    request: int | None = None
    done: dict[str, InvocationResult] = field(default_factory=dict)
    shown: list[dict[str, Json]] = field(default_factory=list)
    failure: dict[str, Json] | None = None
    error: str = ""

    def through(self, plan: Plan, skills: Mapping[str, Manifest]) -> PlanRun:
        """Runs until a step fails; what its wave began is let finish. That nobody can tell (CouldNotTell) is raised."""
        for wave in plan.waves():
            known = {ident: result.outputs for ident, result in self.done.items()}
            with ThreadPoolExecutor(min(self.workers, len(wave))) as pool:
                ends = list(pool.map(lambda step, known=known: self._step(step, skills, known), wave))
            for step, end in zip(wave, ends, strict=True):
                if isinstance(end, InvocationResult):
                    self.done[step.id] = end
                    self.shown.append({"skill": step.skill, "inputs": resolve(step.inputs, known), "outputs": end.outputs})
            broken = [(step, end) for step, end in zip(wave, ends, strict=True) if isinstance(end, SkillOpsError)]
            if broken:
                self._broke(*broken[0])
                break
        return self

    def _step(self, step: Step, skills: Mapping[str, Manifest], known: Mapping[str, Json]) -> InvocationResult | SkillOpsError:
        """One call. That it failed is a value."""
        manifest = skills[step.skill or ""]
        end: InvocationResult | SkillOpsError
        try:
            entry = self.catalog.entry(manifest.name)
            if entry is None:
                raise NotFound(f"There is no skill {manifest.name!r} any more.")
            end = invoke(manifest, entry, resolve(step.inputs, known), self.runtime, caller=self.caller, request_id=f"{self.ident}-{step.id}")
        except (InvalidInputs, InvocationFailed, NotFound, Refused) as error:
            end = error
        except LookupError as error:
            end = InvalidInputs(f"The inputs of {manifest.name} cannot be put together.", why=str(error.args[0]))
        event = Event(
            stage="invoking", what="invoked", actor=AGENT, request=self.request, skill=manifest.name, data={"call": f"{self.ident}-{step.id}"}
        )
        if isinstance(end, InvocationResult):
            self.record(event.model_copy(update={"outcome": "passed", "seconds": end.receipt.seconds}))
        else:
            self.record(event.model_copy(update={"outcome": "failed", "note": end.what}))
        return end

    def _broke(self, step: Step, error: SkillOpsError) -> None:
        self.error = str(error)
        done = [{name: cut(value, VALUE_LENGTH) for name, value in each.items()} for each in self.shown]
        self.failure = {"skill": step.skill, "inputs": cut(step.inputs, VALUE_LENGTH), "error": self.error[:VALUE_LENGTH], "done": done}
