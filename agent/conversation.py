"""A chat turn: plan, invoke, ask the person, or raise a Request and resume when it is deployed.

What a task came to so far is in the memory before anything is done that can be seen, and the requests are on the forge;
so any process goes on with a task whose own was killed, and its answer is given once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field

from agent import messages
from agent.catalog import Catalog
from agent.domain import Frozen
from agent.domain.event import Event
from agent.domain.gap import Gap
from agent.domain.invocation import Receipt
from agent.domain.plan import Need, Plan
from agent.domain.proposal import AGENT
from agent.domain.request import Request, RequestDraft
from agent.domain.schema import Json
from agent.domain.skill import Manifest, digest_of
from agent.domain.task import Task
from agent.errors import ModelUnavailable, SkillOpsError
from agent.memory import Memory
from agent.plan_run import PlanRun
from agent.ports import Forge, LanguageModel, Runtime
from agent.prompts import Asked
from agent.situation import in_work
from agent.stages.assessing import LIMIT, unreadable
from agent.stages.invoking import Strike, unstruck
from agent.stages.planning import answer, plan

HITS, TURNS, TURN_LENGTH = 8, 20, 2000
ROUNDS = 3  # how often one task may raise requests: a model that always wants one more skill is stopped
EMPTY = "What would you like to have done?"
ENORMOUS = f"That has more than {LIMIT:,} characters. What would you like to have done, in a page?"
BINARY = "That has control characters and looks like binary data. What would you like to have done, in words?"
WAITING = "That waits for a skill which is being built; I go on with it by myself."
REPEATED = (
    "I was stopped in the middle of this, and {} may have been called already. It does something each time that it is called: "
    "see what it did, and say this again where it is still to be done."
)

T = TypeVar("T", bound=BaseModel)
Kind = Literal["answered", "asks", "waits", "failed"]


class Result(Frozen):
    """What a turn came to; `turn` is the id of what the person said, where it was a task. `waits`: for `requests`.
    `failed`: `text` says what went wrong and what can be done. `note` is for the trail, where nothing private belongs."""

    conversation: str
    kind: Kind
    text: str
    turn: int | None = None
    requests: tuple[int, ...] = ()
    outputs: dict[str, dict[str, Json]] = {}
    receipts: tuple[Receipt, ...] = ()
    note: str = Field(default="", exclude=True)


class Pending(Frozen):
    """A task as far as it went. `turn` is the id of what was said; `round` rises with each wait for requests, `attempt` when
    a plan has failed, both from 1. `plan` is being carried out: after a crash the same is done again, and nothing else.
    `drafts` and `requests` are all that it ever raised; `unbooked` is what the plan took that raised the first of them,
    until they have the number under which it is entered."""

    task: Task
    turn: int = 0
    round: int = 1
    attempt: int = 1
    plan: Plan | None = None
    drafts: tuple[RequestDraft, ...] = ()
    requests: tuple[int, ...] = ()
    unbooked: Event | None = None

    @property
    def ident(self) -> str:
        """Names what is being done: the same in each process that does it."""
        return f"{self.task.conversation}-{self.turn}-{self.round}-{self.attempt}"

    @property
    def request(self) -> int | None:
        """The request that its events belong to."""
        return next(iter(self.requests), None)

    def kept(self) -> Json:
        return self.model_dump(mode="json")

    def but(self, **changes: Any) -> Pending:
        return self.model_copy(update=changes)

    def came_to(self, kind: Kind, text: str, **more: Any) -> Result:
        return Result(conversation=self.task.conversation, kind=kind, text=text, turn=self.turn, **more)


class Conversations:
    """The agent as people talk to it. Of `runtime` only the endpoints are used."""

    def __init__(
        self, forge: Forge, catalog: Catalog, runtime: Runtime, model: LanguageModel, memory: Memory, record: Callable[[Event], Any],
        workers: int, strike: Strike = unstruck,
    ) -> None:  # fmt: skip
        self.memory = memory
        self._forge, self._catalog, self._runtime, self._model = forge, catalog, runtime, model
        self._record, self._workers, self._strike = record, workers, strike

    def turn(self, conversation: str | None, text: str, asked_by: str) -> Result:
        """Takes what a person says (None: in a new conversation) as far as it goes now.

        CouldNotTell (no model, no sandbox …) is raised: then saying it again tries again.
        """
        ident = conversation or self.memory.start(asked_by)
        task = Task(text=text, asked_by=asked_by, conversation=ident)
        if fault := EMPTY if not text.strip() else ENORMOUS if len(text) > LIMIT else BINARY if unreadable(text) else None:
            self._enter("asks", task)
            self.memory.say(ident, "agent", fault, {"kind": "asks"})
            return Result(conversation=ident, kind="asks", text=fault)
        with self.memory.begun(ident, text, Pending(task=task).kept()) as turn:
            try:
                return self._go_on(Pending(task=task, turn=turn))
            except SkillOpsError:
                if not any(kept.drafts for kept in self._undone(ident) if kept.turn == turn):
                    self.memory.drop(turn)  # what has raised requests goes on by itself, the rest is said again
                raise

    def unanswered(self) -> dict[int, int | None]:
        """The turns whose tasks are not answered yet, the oldest first, each with the request that it waits for, if any."""
        return {task.turn: next(reversed(task.requests), None) for task in self._undone()}

    def resume(self, turn: int) -> Result | None:
        """Goes on with a task that waited, or whose process was killed. None while a request that it waits for is open, and
        where somebody else is at it, or was. What cannot be told is raised, and the task goes on waiting."""
        with self.memory.taken(turn) as kept:
            task = Pending.model_validate({**kept, "turn": turn}) if kept else None
            if task is None or any(in_work(request, self._forge) for request in self._requests(task)):
                return None
            return self._go_on(task)

    def latest(self, result: Result) -> Result:
        """What a turn has come to by now, its outputs left out; where somebody else is at it, once they are done."""
        assert result.turn is not None, "what was no task came to all that it will"
        with self.memory.taken(result.turn, wait=True):
            said = [turn for turn in self.memory.turns(result.conversation) if turn.data and turn.data.get("turn") == result.turn]
        return Result(conversation=result.conversation, text=said[-1].text, **said[-1].data) if said else result

    # ---- one task, as far as it goes now; each step is kept before it is taken --------------------------------------

    def _go_on(self, task: Pending) -> Result:
        """What a task comes to is entered in the ledger, then said; with that it ends, or it waits."""
        if task.plan is not None:
            result, task = self._carried_out(task, again=True)
        elif declined := [request for request in self._requests(task) if request.closed_as in ("refused", "withdrawn")]:
            told = "\n".join(_declined(request, self._gap(request)) for request in declined)
            result = task.came_to("failed", told, note=f"{_named(declined)} will not be built")
        else:
            result, task = self._carried_out(self._planned(task.but(round=task.round + 1, attempt=1) if task.requests else task))
        for number in task.requests or (None,):
            self._enter(result.kind, task.task, number, result.note, f"{result.kind}:{task.ident}:{number}")
        data = result.model_dump(mode="json", include={"kind", "turn", "requests", "receipts"})
        self.memory.answer(task.turn, result.text, data, pending=task.kept() if result.kind == "waits" else None)
        return result

    def _carried_out(self, task: Pending, *, again: bool = False) -> tuple[Result, Pending]:
        """Does what the plan says, and plans once more where a step fails. `again`: it may have been begun before."""
        assert task.plan is not None
        if task.plan.reply is not None:
            return task.came_to("answered", task.plan.reply), task
        if task.plan.question is not None:
            return task.came_to("asks", task.plan.question), task
        if task.plan.needs:
            return self._raised(task, task.plan)
        if again and (name := self._unrepeatable(task.plan)):
            return task.came_to("failed", REPEATED.format(name), note=f"{name} is not called twice"), task
        asked_by = task.task.asked_by
        ran = PlanRun(task.plan, self._catalog, self._runtime, self._record, self._workers, asked_by, task.ident, task.request, self._strike).run()
        if ran.error is None:
            told, took = self._asked("answering", task, partial(answer, task.task, ran.shown, self._model))
            self._record(took)
            outputs = {step: end.outputs for step, end in ran.results.items()}
            receipts = tuple(end.receipt for end in ran.results.values())
            skills = ", ".join(dict.fromkeys(f"{receipt.skill} {receipt.version}" for receipt in receipts))
            return task.came_to("answered", told.text, outputs=outputs, receipts=receipts, note=skills), task
        if task.attempt == 1:
            return self._carried_out(self._planned(task.but(attempt=2), ran.failure))
        return task.came_to("failed", str(ran.error), note=ran.error.what), task

    def _planned(self, task: Pending, failure: Json = None) -> Pending:
        history = self._history(task)
        skills = self._skills(task, history)
        planned, took = self._asked("planning", task, partial(plan, task.task, history, skills, self._model, failure=failure))
        drafts = {draft.key: draft for draft in (*task.drafts, *(self._draft(task, step.need) for step in planned.needs if step.need))}
        homeless = bool(planned.needs) and not task.requests
        if not homeless:
            self._record(took)
        task = task.but(plan=planned, drafts=tuple(drafts.values()), unbooked=took if homeless else None)
        self.memory.keep(task.turn, task.kept())
        return task

    def _raised(self, task: Pending, plan: Plan) -> tuple[Result, Pending]:
        """Opens a request for each need, none twice, and waits for them; but not for ever."""
        wanted = [draft for draft in task.drafts if any(_asks_for(draft, step.need) for step in plan.needs)]
        requests = [self._forge.open_request(draft) for draft in wanted] if task.round <= ROUNDS else []
        numbers = tuple(request.number for request in requests)
        if set(numbers) <= set(task.requests):
            built = _named(self._requests(task))
            text = f"I still find no skill for this, after what was done for it: {built}. `skillops search` shows what there is."
            return task.came_to("failed", text, note=f"found no skill after {built}"), task
        if task.unbooked:
            self._record(task.unbooked.model_copy(update={"request": numbers[0], "key": f"asked:{task.ident}"}))
        for request in requests:
            self._enter("raised", task.task, request.number, request.title, f"raised:{request.number}")
        text = f"No skill of mine does this yet. I raised {_named(requests)} and go on when it is deployed."
        waiting = task.but(plan=None, unbooked=None, requests=tuple(dict.fromkeys((*task.requests, *numbers))))
        return task.came_to("waits", text, requests=numbers, note=_named(requests)), waiting

    # ---- what the model is shown, and what it costs ----------------------------------------------------------------

    def _history(self, task: Pending) -> list[str]:
        """What was said before the task. Of requests it tells only that something still waits: their numbers help no plan."""
        conversation = task.task.conversation
        waiting = {undone.turn for undone in self.memory.undone(conversation)}
        lines = []
        for turn in [turn for turn in self.memory.turns(conversation) if turn.id < task.turn]:
            waits = turn.data and turn.data.get("kind") == "waits"
            if not waits or turn.data["turn"] in waiting:
                lines.append(f"{turn.role}: {WAITING if waits else turn.text[:TURN_LENGTH]}")
        return lines[-TURNS:]

    def _skills(self, task: Pending, history: Sequence[str]) -> list[Manifest]:
        """Candidates: those that its requests brought, those that the task finds, and a few that what was said before finds."""
        gaps = [self._gap(request) for request in self._requests(task)]
        names = [name for gap in gaps if gap and (name := gap.contract.name if gap.contract else gap.skill)]
        names += [hit.entry.name for hit in self._catalog.search(task.task.text, limit=HITS)]
        if history:
            names += [hit.entry.name for hit in self._catalog.search(" ".join(history[-3:]), limit=HITS // 2)]
        manifests = [self._catalog.manifest(name) for name in dict.fromkeys(names)]
        return [manifest for manifest in manifests if manifest and manifest.status != "retired"]

    def _asked(self, stage: str, task: Pending, question: Callable[[], Asked[T]]) -> tuple[T, Event]:
        """The model's answer, and what it took, for the ledger; where there is none, that is entered here."""
        event = Event(stage=stage, what="asked", actor=AGENT, request=task.request)
        try:
            asked = question()
        except ModelUnavailable as error:
            lost = {"what": "unanswered", "outcome": "could_not_tell", "note": error.fault, "tokens": error.tokens, "cost": error.cost}
            self._record(event.model_copy(update=lost))
            raise
        took = {"tokens": asked.tokens, "cost": asked.cost, "seconds": asked.seconds, "data": {"model": asked.model}}
        return asked.answer, event.model_copy(update=took)

    def _enter(self, what: str, task: Task, request: int | None = None, note: str = "", key: str | None = None) -> None:
        data = {"conversation": task.conversation, "asked_by": task.asked_by}
        self._record(Event(stage="conversation", what=what, actor=AGENT, request=request, note=note, data=data, key=key))

    # ---- looking ---------------------------------------------------------------------------------------------------

    def _undone(self, conversation: str | None = None) -> list[Pending]:
        return [Pending.model_validate({**undone.pending, "turn": undone.turn}) for undone in self.memory.undone(conversation)]

    def _requests(self, task: Pending) -> list[Request]:
        return [self._forge.request(number) for number in task.requests]

    def _gap(self, request: Request) -> Gap | None:
        """The newest assessment that the agent wrote on a request."""
        ours = [comment for comment in self._forge.comments(request.number) if comment.author == AGENT]
        return next((gap for comment in reversed(ours) if (gap := messages.gap_of(comment))), None)

    def _draft(self, task: Pending, need: Need) -> RequestDraft:
        """The request for a need; where a task of this conversation waits for one in the same words, that one."""
        ident = task.task.conversation
        known = (draft for other in self._undone(ident) for draft in other.drafts if _asks_for(draft, need))
        return next(known, None) or RequestDraft(
            key=digest_of([ident, task.turn, need.model_dump()]), title=need.title, text=need.text,
            requester=task.task.asked_by, source="chat", conversation=ident,
        )  # fmt: skip

    def _unrepeatable(self, plan: Plan) -> str | None:
        """The first skill of the plan that does something each time that it is called."""
        marks = [(step.skill, manifest.annotations) for step in plan.steps if step.skill and (manifest := self._catalog.manifest(step.skill))]
        return next((name for name, mark in marks if not (mark.readOnly or mark.idempotent)), None)


def _asks_for(draft: RequestDraft, need: Need | None) -> bool:
    return need is not None and (draft.title, draft.text) == (need.title, need.text)


def _named(requests: Sequence[Request]) -> str:
    return " and ".join(f"#{request.number} ({request.title})" for request in requests)


def _declined(request: Request, gap: Gap | None) -> str:
    why = gap.reason if gap and gap.verdict == "refused" else f"`skillops explain {request.number}` tells why."
    return f"What this needed will not be built: {_named([request])} was {request.closed_as}. {why}"
