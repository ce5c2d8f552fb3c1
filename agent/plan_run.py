"""A PlanRun: the steps of one plan, each called as soon as it can be, with what they gave or where they broke.

The same engine runs a task's plan and a workflow: what it may call, for how long and how often comes from its Rules.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Container, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Literal

from agent import halting
from agent.domain.event import Event
from agent.domain.invocation import InvocationResult, Receipt
from agent.domain.plan import Held, Step, StepEnd, resolve
from agent.domain.proposal import AGENT
from agent.domain.schema import Json
from agent.domain.skill import Manifest
from agent.errors import BudgetSpent, InvalidInputs, InvocationFailed, NotFound, Refused, SkillOpsError
from agent.lines import Known, Lines, OpenLine
from agent.ports import Endpoints
from agent.stages.invoking import Strike, invoke, struck_of, unstruck
from agent.stages.planning import cut

SHOWN = 4000  # characters of a value that the next plan is shown, and of an error
SHOWN_IN_ALL = 20_000  # characters of all that was done, in the same place
MOST_ITEMS = 200  # of a list that a step is called for
PAUSE = 0.2  # seconds before the first retry; twice as many before each further one
FINAL = frozenset(("bad-outputs", "invalid-input", "invalid-inputs", "too-large"))  # codes that the same call would give again

Record = Callable[[Event], Any]
Verdict = Literal["go", "ask"]


def anything(manifest: Manifest) -> Verdict:
    """Where whoever asked for the run answers for what it does."""
    return "go"


def silent(event: Event) -> None:
    """Where nobody watches."""


@dataclass(frozen=True)
class Rules:
    """`judge` says whether a skill is called, or a person asked first; it raises Refused where it may not be called at all.
    `granted` are the steps for which a person gave leave. `calls` is the most that are made; `until`: time.monotonic() when the time is up.
    """

    judge: Callable[[Manifest], Verdict] = anything
    granted: Collection[str] = ()
    calls: int = 1000
    until: float = math.inf


@dataclass
class PlanRun:
    """`caller` is who asked; `ident` names the run, so that a step done over has the same request id; `request` is the number that
    its events belong to; `given` are a workflow's inputs, `line` that of its call, `own` as in `invoke`; `tell` hears of calls as they begin.
    After `run`, `done`, `skipped`, `held` and `failed` hold how the steps ended, by their ids; `called` are the receipts of all calls, and
    `stuck` is the step of which nobody can tell. A run that is given `done` goes on from there.
    """

    steps: Sequence[Step]
    catalog: Known
    runtime: Endpoints
    record: Record
    workers: int
    caller: str
    ident: str
    request: int | None = None
    strike: Strike = unstruck
    given: Json = None
    rules: Rules = Rules()
    lines: Lines | None = None
    own: bool = False
    line: OpenLine | None = None
    tell: Record = silent
    done: dict[str, StepEnd] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    held: dict[str, Held] = field(default_factory=dict)
    failed: dict[str, SkillOpsError] = field(default_factory=dict)
    called: list[Receipt] = field(default_factory=list)
    stuck: str = ""
    calls: int = 0

    def run(self) -> PlanRun:
        """Calls each step once those that it refers to are done, and each of a list's items side by side. Where one fails, or a person
        says stop, none is begun any more, and those under way are let finish. That nobody can tell (CouldNotTell) is raised."""
        left = [step for step in self.steps if step.id not in self.done and step.id not in self.skipped]
        under_way: dict[Future[InvocationResult | SkillOpsError], tuple[Step, int]] = {}
        got: dict[str, dict[int, InvocationResult]] = {}
        with ThreadPoolExecutor(self.workers) as pool:
            while True:
                begun = True
                while begun and not self.failed and not halting.who_stops():  # one that is skipped, or called for no item, lets others begin
                    begun = False
                    for step in [step for step in left if self._ended >= set(step.after)]:
                        left.remove(step)
                        begun = True
                        calls = self._calls_of(step)
                        got[step.id] = {}
                        for number, inputs in enumerate(calls or ()):
                            under_way[pool.submit(self._call, step, inputs, number)] = step, number
                        if calls == []:
                            self.done[step.id] = StepEnd(outputs={"items": []}, receipts=())
                if not under_way:
                    return self
                for call in wait(under_way, return_when=FIRST_COMPLETED).done:
                    (step, number), end = under_way.pop(call), call.result()
                    self.calls += end.receipt.inner if end.receipt else 0
                    if not isinstance(end, InvocationResult):
                        self.failed.setdefault(step.id, end)
                        continue
                    got[step.id][number] = end
                    if step.id not in self.failed and not any(other is step for other, _ in under_way.values()):
                        self.done[step.id] = _end_of(step, [got[step.id][each] for each in sorted(got[step.id])])

    @property
    def results(self) -> dict[str, StepEnd]:
        """What is done, in the plan's order, whatever the order that it came in."""
        return {step.id: self.done[step.id] for step in self.steps if step.id in self.done}

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        return tuple(receipt for end in self.results.values() for receipt in end.receipts)

    @property
    def outputs(self) -> dict[str, Json]:
        """What each step that is done gave."""
        return {ident: end.outputs for ident, end in self.results.items()}

    @property
    def shown(self) -> list[dict[str, Json]]:
        """What is done, and what was skipped, for the model."""
        return [*self._done, *({"skill": step.skill, "skipped": _why_skipped(step, self.skipped)} for step in self.steps if step.id in self.skipped)]

    @property
    def _done(self) -> list[dict[str, Json]]:
        ended = ((step, self.done[step.id]) for step in self.steps if step.id in self.done)
        return [{"skill": step.skill, "inputs": self._shown(step), "outputs": end.outputs} for step, end in ended]

    def struck(self, text: str) -> str:
        return struck_of(self.strike, (*self.called, *self.receipts), text)

    @property
    def error(self) -> SkillOpsError | None:
        """Why the first step of the plan that failed did."""
        return next((self.failed[step.id] for step in self.steps if step.id in self.failed), None)

    @property
    def failure(self) -> dict[str, Json] | None:
        """What broke and what was done, for the model that plans anew."""
        if (broken := next((step for step in self.steps if step.id in self.failed), None)) is None:
            return None
        share = min(SHOWN, SHOWN_IN_ALL // max(1, 2 * len(self.done)))
        done = [{name: cut(value, share, self.struck) for name, value in each.items()} for each in self._done]
        told = {"skill": broken.skill, "inputs": cut(broken.inputs, SHOWN), "error": str(self.failed[broken.id])[:SHOWN], "done": done}
        others = [step for step in self.steps if step.id in self.failed and step is not broken]
        also = [{"skill": step.skill, "inputs": cut(step.inputs, share), "error": str(self.failed[step.id])[:share]} for step in others]
        return {**told, "failed_too": also} if also else told

    # ---- beginning a step -------------------------------------------------------------------------------------------

    @property
    def _ended(self) -> set[str]:
        return {*self.done, *self.skipped}

    def _calls_of(self, step: Step) -> list[Json] | None:
        """The inputs of each call that a step takes now. None: of none, as it is skipped, held or has failed."""
        try:
            if step.lost(self.skipped) or not self._wanted(step):
                self.skipped.add(step.id)
                return None
            manifest = self._manifest(step)
            calls = self._inputs(step)
            if len(calls) > MOST_ITEMS or self.calls + len(calls) > self.rules.calls:
                raise _too_many(step, min(MOST_ITEMS, self.rules.calls))
            if calls and self.rules.judge(manifest) == "ask" and step.id not in self.rules.granted:
                self.held[step.id] = Held(step=step.id, skill=manifest.name, inputs=tuple(calls))
                return None
        except (InvalidInputs, InvocationFailed, NotFound, Refused, BudgetSpent) as error:
            self.failed[step.id] = error
            self._enter(step, 0, error)
            return None
        self.calls += len(calls)
        return calls

    def _wanted(self, step: Step) -> bool:
        return step.when is None or step.when.holds(self._resolved(step, step.when.value))

    def _inputs(self, step: Step) -> list[Json]:
        """The inputs of each call: one, or one for each item."""
        if step.each is None:
            return [self._resolved(step, step.inputs)]
        items = self._resolved(step, step.each)
        if not isinstance(items, list):
            raise InvalidInputs(f"{step.skill} cannot be called for each item.", why=f"Step {step.id!r} names what is no list.")
        return [self._resolved(step, step.inputs, item) for item in items]

    def _shown(self, step: Step) -> Json:
        return self._inputs(step) if step.each is not None else self._inputs(step)[0]

    def _resolved(self, step: Step, value: Json, item: Json = None) -> Json:
        try:
            return resolve(value, self.outputs, item=item, given=self.given)
        except LookupError as error:
            raise InvalidInputs(f"The inputs of {step.skill} cannot be put together.", why=str(error.args[0])) from None

    def _manifest(self, step: Step) -> Manifest:
        """The skill is looked up now: since the plan was made it may have become another version, or have been retired."""
        manifest = self.catalog.manifest(step.skill or "")
        if manifest is None:
            raise NotFound(f"There is no skill {step.skill!r} any more.")
        return manifest

    # ---- one call ---------------------------------------------------------------------------------------------------

    def _call(self, step: Step, inputs: Json, number: int) -> InvocationResult | SkillOpsError:
        """One call with its retries. That it failed is a value."""
        self.tell(self._event(step, number).model_copy(update={"what": "started"}))
        try:
            end: InvocationResult | SkillOpsError = self._tried(step, inputs, number)
        except (InvalidInputs, InvocationFailed, NotFound, Refused, BudgetSpent) as error:
            end = error
        except SkillOpsError as error:
            self.stuck = self.stuck or step.id
            self._enter(step, number, error)
            raise
        self._enter(step, number, end)
        return end

    def _tried(self, step: Step, inputs: Json, number: int) -> InvocationResult:
        """Only what does nothing twice is called again."""
        again = step.retries if self._manifest(step).annotations.idempotent else 0
        for attempt in range(again + 1):
            try:
                return self._invoked(step, inputs, number)
            except InvocationFailed as error:
                pause = PAUSE * 2**attempt
                if attempt == again or error.code_ in FINAL or time.monotonic() + pause > self.rules.until:
                    raise
                self.called += [error.receipt] if error.receipt else []
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _invoked(self, step: Step, inputs: Json, number: int) -> InvocationResult:
        manifest = self._manifest(step)
        entry = self.catalog.entry(manifest.name)
        if entry is None:
            raise NotFound(f"There is no skill {manifest.name!r} any more.")
        if (left := self.rules.until - time.monotonic()) <= 0:
            raise BudgetSpent(
                "The time of this plan is spent.", why=f"Step {step.id!r} was not begun.",
                next_step="Ask for less at once, or raise `limits.minutes` in the agent's manifest.",
            )  # fmt: skip
        seconds = min(left, step.seconds or math.inf)
        if self.line:  # over which the limits and rights of its caller count, as for every call
            return self.line.carry(manifest.name, inputs, None if seconds == math.inf else seconds, self._ident(step, number))
        return invoke(
            manifest, entry, inputs, self.runtime, caller=self.caller, request_id=self._ident(step, number), strike=self.strike,
            deadline=None if seconds == math.inf else seconds, lines=self.lines.judged(self.rules.judge) if self.lines else None,
            own=self.own,
        )  # fmt: skip

    def _ident(self, step: Step, number: int) -> str:
        return f"{self.ident}-{step.id}" + (f"-{number}" if step.each is not None else "")

    def _event(self, step: Step, number: int) -> Event:
        data = {"call": self._ident(step, number), "step": step.id}
        return Event(stage="invoking", what="invoked", actor=AGENT, request=self.request, skill=step.skill, data=data)

    def _enter(self, step: Step, number: int, end: InvocationResult | SkillOpsError) -> None:
        event, calls = self._event(step, number), end.receipt.calls if end.receipt else ()
        data = {**event.data, "calls": [receipt.model_dump(mode="json") for receipt in calls]} if calls else event.data
        self.called += [end.receipt] if end.receipt else []
        passed = isinstance(end, InvocationResult)
        how = {"outcome": "passed", "seconds": end.receipt.seconds} if passed else {"outcome": "failed", "note": end.what}  # type: ignore[union-attr]
        self.record(event.model_copy(update={**how, "data": data}))


def _why_skipped(step: Step, skipped: Container[str]) -> str:
    return "what it refers to was skipped" if step.lost(skipped) else "its condition did not hold"


def _end_of(step: Step, results: Sequence[InvocationResult]) -> StepEnd:
    receipts = tuple(result.receipt for result in results)
    if step.each is None:
        return StepEnd(outputs=results[0].outputs, receipts=receipts)
    return StepEnd(outputs={"items": [result.outputs for result in results]}, receipts=receipts)


def _too_many(step: Step, most: int) -> BudgetSpent:
    return BudgetSpent(
        f"Step {step.id!r} would make more calls than are left.", why=f"At most {most} are made.",
        next_step="Ask for less at once, or raise `limits.calls` in the agent's manifest.",
    )  # fmt: skip
