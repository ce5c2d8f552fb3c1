"""An Errand: one task of a conversation, as far as it goes now. Each step is kept before it is taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel

from agent import halting, messages
from agent.candidates import Candidates, candidates
from agent.domain.event import Event
from agent.domain.gap import Gap
from agent.domain.plan import Need, Plan
from agent.domain.profile import Profile
from agent.domain.proposal import AGENT
from agent.domain.question import Question
from agent.domain.request import Request, RequestDraft
from agent.domain.requirement import reach
from agent.domain.schema import Json
from agent.domain.skill import Manifest, digest_of
from agent.drawings import drawings
from agent.errors import BudgetSpent, ModelUnavailable, Refused, SkillOpsError, Stopped
from agent.leave import leave_text
from agent.means import Means
from agent.pending import KEPT, Pending, Result, declined, named
from agent.plan_kept import kept, lasting, told, unworded
from agent.plan_run import PlanRun, Rules, Verdict
from agent.prompts import Asked
from agent.situation import parts_of
from agent.stages.planning import Manner, answer, plan

TURNS, TURN_LENGTH = 20, 2000
ROUNDS = 3  # how often one task may raise requests: a model that always wants one more skill is stopped
WAITING = "That waits for a skill which is being built; I go on with it by myself."
REPEATED = (
    "I was stopped in the middle of this, and {} may have been called already. It does something each time that it is called: "
    "see what it did, and say this again where it is still to be done."
)

T = TypeVar("T", bound=BaseModel)


class Errand:
    """`task` is what it has come to; whoever goes on with it holds it in the memory."""

    def __init__(self, means: Means, task: Pending) -> None:
        self.means, self.task = means, task
        self.profile = means.profile(task.agent)
        self._model = means.model_of(self.profile)

    def go_on(self, *, again: bool = True) -> Result:
        """What the task comes to is entered in the ledger, then said; it ends, or waits. `again`: what its plan says may have been begun before."""
        try:
            result = self._came_to(again)
        except BudgetSpent as error:
            result = self.task.came_to("failed", str(error), note=error.what)
        except Stopped as stopped:
            return self.stop(stopped.who)
        return self.say(result)

    def stop(self, who: str) -> Result:
        """Ends the task, as a person wants; the requests that it raised stay where they are."""
        on = [request for request in self.means.requests(self.task) if request.state == "open"]
        stay = f" {named(on)} goes on without you; `/withdraw {on[-1].number}` takes it back." if on else ""
        return self.say(self.task.came_to("stopped", f"Stopped: {who} said so. Nothing more is done of it.{stay}", note=f"{who} said so"))

    def say(self, result: Result) -> Result:
        for number in self.task.requests or (None,):
            self.means.enter(result.kind, self.task, number, result.note, f"{result.kind}:{self.task.ident}:{number}")
        data = result.model_dump(mode="json", include=KEPT)
        goes_on = result.kind == "waits" or result.question is not None
        self.means.memory.answer(self.task.turn, result.text, data, pending=self.task.kept() if goes_on else None)
        return result

    def _came_to(self, again: bool) -> Result:
        task = self.task
        if task.plan is not None:
            return self._carried_out(task.plan, again=again)
        if lost := [request for request in self.means.requests(task) if request.closed_as in ("refused", "withdrawn")]:
            why = "\n".join(declined(request, self._gap(request)) for request in lost)
            return task.came_to("failed", why, note=f"{named(lost)} will not be built")
        if task.requests:
            self.task = task.but(round=task.round + 1, attempt=1)
        return self._carried_out(self._planned())

    def _carried_out(self, plan: Plan, *, again: bool = False) -> Result:
        """Does what the plan says, and plans once more where a step fails."""
        if plan.reply is not None:
            return self.task.came_to("answered", plan.reply)
        if plan.question is not None:
            return self._asks(Question(text=plan.question, choices=plan.choices, expects=plan.expects, until=self._until))
        if plan.needs:
            return self._raised(plan)
        if again and (name := self._unrepeatable(plan)):
            return self.task.came_to("failed", REPEATED.format(name), note=f"{name} is not called twice")
        ran = self._run(plan)
        if ran.error is None:
            return self._asks_leave(ran) if ran.held else self._answered(plan, ran)
        if self.task.attempt == 1 and not isinstance(ran.error, BudgetSpent):
            self.task = self.task.but(attempt=2, done={}, skipped=(), held=(), granted=())
            return self._carried_out(self._planned(ran.failure))
        return self._unworded(ran, ran.error)

    def _answered(self, plan: Plan, ran: PlanRun) -> Result:
        question = partial(answer, self.task.task, ran.shown, self._model, manner=self._manner, history=self._history(), strike=ran.struck)
        try:
            words, took = self._asked("answering", question)
        except (BudgetSpent, ModelUnavailable) as error:
            if isinstance(error, ModelUnavailable) and not self._unrepeatable(plan):
                raise  # begun anew, it comes to the same
            return self._unworded(ran, error)
        self.means.record(took)
        self.means.memory.keep_drawings(self.task.turn, drawings(ran.outputs, ran.struck))
        skills = ", ".join(dict.fromkeys(f"{receipt.skill} {receipt.version}" for receipt in ran.receipts))
        return self.task.came_to("answered", words.text, outputs=ran.outputs, receipts=ran.receipts, note=skills)

    def _unworded(self, ran: PlanRun, error: SkillOpsError) -> Result:
        """What skills did and gave is told, also where nothing more may be done or said of it."""
        return self.task.came_to("failed", unworded(ran, error), outputs=ran.outputs, receipts=tuple(ran.called), note=error.what)

    def _run(self, plan: Plan) -> PlanRun:
        task, limits, started = self.task, self.profile.limits, time.monotonic()
        rules = Rules(self._judged, task.granted, limits.calls - task.calls, started + 60 * limits.minutes - task.seconds)
        ran = PlanRun(
            plan.steps, self.means.catalog, self.means.runtime, self.means.record, self.means.workers, task.task.asked_by, task.ident,
            task.request, self.means.strike, rules=rules, tell=self.means.tell, done=dict(task.done), skipped=set(task.skipped),
            lines=self.means.lines, own=self.means.operator not in (None, task.task.asked_by),
        ).run()  # fmt: skip
        self.task = task.but(calls=task.calls + ran.calls, seconds=round(task.seconds + time.monotonic() - started, 3))
        self.means.memory.keep_run(task.turn, task.ident, kept(plan, ran, self.task).model_dump(mode="json"))
        halting.check()
        return ran

    def _judged(self, manifest: Manifest) -> Verdict:
        """Whether this agent may call a skill. Where the manifest says no, no plan and nothing that a skill said makes it a yes."""
        if not self.profile.may_use(manifest.name):
            raise _not_allowed(f"call {manifest.name}", self.profile, f"It may use: {', '.join(self.profile.skills)}.")
        if over := next((each.name for each in reach(manifest, self.means.catalog) if not self.profile.may_use(each.name)), None):
            raise _not_allowed(f"call {manifest.name}", self.profile, f"That calls {over}, and it may use: {', '.join(self.profile.skills)}.")
        if not manifest.annotations.destructive or self.profile.acts_alone_with(manifest.name):
            return "go"
        if self.profile.autonomy.destructive == "never":
            raise _not_allowed(f"call {manifest.name}", self.profile, "The skill is destructive, and this agent calls none that is.")
        return "ask"

    # ---- asking the person -----------------------------------------------------------------------------------------

    @property
    def _until(self) -> float:
        return round(self.means.clock() + 60 * self.profile.autonomy.question_minutes, 3)

    def _asks(self, question: Question, **more: Any) -> Result:
        self.task = self.task.but(question=question, **more)
        return self.task.came_to("asks", question.text, question=question)

    def _asks_leave(self, ran: PlanRun) -> Result:
        question = Question(text=leave_text(ran.held.values(), ran.struck), expects="yes-no", asks_for="leave", until=self._until)
        return self._asks(question, done=lasting(ran), skipped=tuple(sorted(ran.skipped)), held=tuple(ran.held))

    # ---- planning, and what a plan lacks ---------------------------------------------------------------------------

    def _planned(self, failure: Json = None) -> Plan:
        task, history = self.task, self._history()
        shown = self._candidates(history)
        planned, took = self._asked("planning", self._plan(shown, history, failure))
        if planned.look:
            self.means.record(took)
            planned, took = self._asked("planning", self._plan(shown.opened(planned.look, self.means.catalog), history, failure))
        drafts = {draft.key: draft for draft in (*task.drafts, *(self._draft(step.need) for step in planned.needs if step.need))}
        homeless = bool(planned.needs) and not task.requests
        if not homeless:
            self.means.record(took)
        self._keep_facts(planned)
        self.task = self.task.but(plan=planned, drafts=tuple(drafts.values()), unbooked=took if homeless else None)
        self.means.memory.keep(task.turn, self.task.kept())
        self.means.tell(told(planned, self.task))
        return planned

    def _plan(self, shown: Candidates, history: Sequence[str], failure: Json) -> Callable[[], Asked[Plan]]:
        return partial(plan, self.task.task, history, shown.skills, self._model, failure=failure, manner=self._manner, others=shown.others)

    def _raised(self, plan: Plan) -> Result:
        """Opens a request for each need, none twice, and waits for them; but not for ever."""
        task, forge = self.task, self.means.forge
        if not self.profile.autonomy.requests:
            raise _not_allowed("ask for new skills", self.profile, f"No skill that it may use does this: {plan.needs[0].need}.")
        wanted = [draft for draft in task.drafts if any(_asks_for(draft, step.need) for step in plan.needs)]
        requests = [forge.open_request(draft) for draft in wanted] if task.round <= ROUNDS else []
        numbers = tuple(request.number for request in requests)
        if set(numbers) <= set(task.requests):
            built = named(self.means.requests(task))
            text = f"I still find no skill for this, after what was done for it: {built}. `skillops search` shows what there is."
            return task.came_to("failed", text, note=f"found no skill after {built}")
        if task.unbooked:
            self.means.record(task.unbooked.model_copy(update={"request": numbers[0], "key": f"asked:{task.ident}"}))
        for request in requests:
            self.means.enter("raised", task, request.number, request.title, f"raised:{request.number}")
        text = f"No skill of mine does this yet. I raised {named(requests)} and go on when it is deployed."
        self.task = task.but(plan=None, unbooked=None, requests=tuple(dict.fromkeys((*task.requests, *numbers))))
        return task.came_to("waits", text, requests=numbers, note=named(requests))

    def _keep_facts(self, planned: Plan) -> None:
        if self.means.facts is None or self.profile.memory != "facts":
            return
        user = self.task.task.asked_by
        for number in planned.forget:
            if any(fact.number == number for fact in self.means.facts.of(user)):
                self.means.facts.forget(user, number)
        for fact in planned.remember:
            self.means.facts.keep(user, fact)

    # ---- what the model is shown, and what it costs ----------------------------------------------------------------

    @property
    def _manner(self) -> Manner:
        known = self.means.facts.of(self.task.task.asked_by) if self.means.facts and self.profile.memory == "facts" else None
        facts = None if known is None else {fact.number: fact.text for fact in known}
        return Manner(self.profile.instructions.strip(), facts, self.profile.autonomy.requests, self.profile.autonomy.judges)

    def _history(self) -> list[str]:
        """What was said before the task. Of requests it tells only that something still waits: their numbers help no plan."""
        if self.profile.memory == "none":
            return []
        conversation = self.task.task.conversation
        waiting = {undone.turn for undone in self.means.memory.undone(conversation)}
        lines = []
        for turn in [turn for turn in self.means.memory.turns(conversation) if turn.id < self.task.turn]:
            waits = turn.data and turn.data.get("kind") == "waits"
            if not waits or turn.data["turn"] in waiting:
                lines.append(f"{turn.role}: {WAITING if waits else turn.text[:TURN_LENGTH]}")
        return lines[-TURNS:]

    def _candidates(self, history: Sequence[str]) -> Candidates:
        asked_for = [each for request in self.means.requests(self.task) for each in (request, *parts_of(self.means.forge, request.number))]
        gaps = [self._gap(request) for request in asked_for]
        brought = [name for gap in gaps if gap and (name := gap.contract.name if gap.contract else gap.skill)]
        return candidates(self.means.catalog, self.profile, self.task.task.text, history, brought)

    def _asked(self, stage: str, question: Callable[[], Asked[T]]) -> tuple[T, Event]:
        """The model's answer, and what it took, for the ledger; where there is none, that is entered here."""
        self._afford()
        event = Event(stage=stage, what="asked", actor=AGENT, request=self.task.request)
        try:
            asked = question()
        except (ModelUnavailable, Stopped) as error:
            lost = {"what": "unanswered", "outcome": "could_not_tell", "note": error.fault, "tokens": error.tokens, "cost": error.cost}
            self.means.record(event.model_copy(update=lost))
            self._took(error.tokens, error.cost)
            raise
        self._took(asked.tokens, asked.cost)
        took = {"tokens": asked.tokens, "cost": asked.cost, "seconds": asked.seconds, "data": {"model": asked.model}}
        return asked.answer, event.model_copy(update=took)

    def _took(self, tokens: int, cost: float) -> None:
        self.task = self.task.but(tokens=self.task.tokens + tokens, cost=self.task.cost + cost)
        self.means.memory.took(self.task.turn, tokens, cost)

    def _afford(self) -> None:
        limits, task = self.profile.limits, self.task
        for spent, most, unit, name in ((task.tokens, limits.tokens, "tokens", "tokens"), (task.cost, limits.cost, "dollars", "cost")):
            if spent >= most:
                raise BudgetSpent(
                    f"This task has taken {spent:g} {unit}, and the agent {self.profile.name} may spend {most:g} on one.",
                    next_step=f"Ask for less at once, or raise `limits.{name}` in the agent's manifest.",
                )  # fmt: skip

    # ---- looking ---------------------------------------------------------------------------------------------------

    def _gap(self, request: Request) -> Gap | None:
        """The newest assessment that the agent wrote on a request."""
        ours = [comment for comment in self.means.forge.comments(request.number) if comment.author == AGENT]
        return next((gap for comment in reversed(ours) if (gap := messages.gap_of(comment))), None)

    def _draft(self, need: Need) -> RequestDraft:
        """The request for a need; where a task of this conversation waits for one in the same words, that one."""
        ident = self.task.task.conversation
        known = (draft for other in self.means.undone(ident) for draft in other.drafts if _asks_for(draft, need))
        return next(known, None) or RequestDraft(
            key=digest_of([ident, self.task.turn, need.model_dump()]), title=need.title, text=need.text,
            requester=self.task.task.asked_by, source="chat", conversation=ident,
        )  # fmt: skip

    def _unrepeatable(self, plan: Plan) -> str | None:
        """The first skill of the plan that does something each time that it is called, and is not known to have been called."""
        steps = [step for step in plan.steps if step.skill and step.id not in self.task.done]
        marks = [(step.skill, manifest.annotations) for step in steps if (manifest := self.means.catalog.manifest(step.skill or ""))]
        return next((name for name, mark in marks if not (mark.readOnly or mark.idempotent)), None)


def _not_allowed(what: str, profile: Profile, why: str) -> Refused:
    step = f"Ask another agent (--agent), or change agents/{profile.name}.yaml on main."
    return Refused(f"The agent {profile.name} may not {what}.", why=why, next_step=step)


def _asks_for(draft: RequestDraft, need: Need | None) -> bool:
    return need is not None and (draft.title, draft.text) == (need.title, need.text)
