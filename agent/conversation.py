"""A chat turn: plan, invoke, ask the person, or raise a Request and resume when it is deployed.

What must outlast this process (what was said, what is waited for) is in the memory, and the requests are on the forge;
so a conversation goes on in any process, and its answer is given once.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from agent import messages
from agent.catalog import Catalog
from agent.domain import Frozen
from agent.domain.event import Event
from agent.domain.gap import Gap
from agent.domain.invocation import Receipt
from agent.domain.plan import Plan
from agent.domain.proposal import AGENT
from agent.domain.request import Request, RequestDraft
from agent.domain.schema import Json
from agent.domain.skill import Manifest, digest_of
from agent.domain.task import Task
from agent.errors import ModelUnavailable
from agent.memory import Memory
from agent.plan_run import PlanRun
from agent.ports import LanguageModel, Requests, Runtime
from agent.prompts import Asked
from agent.stages.assessing import LIMIT, unreadable
from agent.stages.planning import answer, plan

HITS, TURNS, TURN_LENGTH = 8, 20, 2000
LEASE = 10.0  # seconds after which the conversation of a killed process is free again; a living one renews its claim
ROUNDS = 3  # how often one task may raise requests: a model that always wants one more skill is stopped
EMPTY = "What would you like to have done?"
ENORMOUS = f"That has more than {LIMIT:,} characters. What would you like to have done, in a page?"
BINARY = "That has control characters and looks like binary data. What would you like to have done, in words?"

T = TypeVar("T", bound=BaseModel)


class Result(Frozen):
    """What a turn came to. `waits`: for `requests`. `failed`: `text` says what went wrong and what can be done."""

    conversation: str
    kind: Literal["answered", "asks", "waits", "failed"]
    text: str
    requests: tuple[int, ...] = ()
    outputs: dict[str, dict[str, Json]] = {}
    receipts: tuple[Receipt, ...] = ()


class Pending(Frozen):
    """A task under way. `turns` were in the conversation before it; `round` counts how often it was taken up, from 1;
    `requests` is what it waits, or waited, for."""

    task: Task
    turns: int
    round: int = 1
    requests: tuple[int, ...] = ()


class Conversations:
    """The agent as people talk to it. Of `runtime` only the endpoints are used."""

    def __init__(
        self, forge: Requests, catalog: Catalog, runtime: Runtime, model: LanguageModel, memory: Memory, record: Callable[[Event], Any], workers: int
    ) -> None:
        self.memory = memory
        self._forge, self._catalog, self._runtime, self._model = forge, catalog, runtime, model
        self._record, self._workers = record, workers

    def turn(self, conversation: str | None, text: str, asked_by: str) -> Result:
        """Takes what a person says (None: in a new conversation) as far as it goes now.

        CouldNotTell (no model, no sandbox …) is raised: then saying it again tries again.
        """
        ident = conversation or self.memory.start(asked_by)
        pending = Pending(task=Task(text=text, asked_by=asked_by, conversation=ident), turns=len(self.memory.turns(ident)))
        fault = EMPTY if not text.strip() else ENORMOUS if len(text) > LIMIT else BINARY if unreadable(text) else None
        if fault:
            result = Result(conversation=ident, kind="asks", text=fault)
        else:
            self.memory.say(ident, "person", text)
            result = self._pursue(pending)
        if result.kind == "waits":
            self._put_aside([*self._tasks(ident), pending.model_copy(update={"requests": result.requests})])
        self.memory.say(ident, "agent", result.text, {"kind": result.kind})
        self._record(_spoke(result, None))
        return result

    def ready(self) -> list[int]:
        """The requests (of several that one task awaits, the last) whose tasks can be finished now."""
        return sorted({task.requests[-1] for wait in self.memory.waiting() if self._closed(task := Pending.model_validate(wait.pending))})

    def resume(self, request: int) -> list[Result]:
        """Finishes the tasks that wait for a request, where nothing that they wait for is open any more.

        Each is answered once, whoever else resumes it. What cannot be told is raised, and the task goes on waiting.
        """
        results = []
        for ident in dict.fromkeys(wait.conversation for wait in self.memory.waiting(request)):
            with self._claimed(ident) as owner:
                due = [task for task in self._tasks(ident) if request in task.requests and self._closed(task)]
                if owner is not None and due:
                    results += self._finished(due[0], owner)
        return results

    def _finished(self, pending: Pending, owner: str) -> list[Result]:
        """Answers one task that has waited. What is said carries a mark, so that a killed process is not repeated."""
        ident, mark = pending.task.conversation, [pending.turns, pending.round]
        told = any((turn.data or {}).get("finishes") == mark for turn in self.memory.turns(ident))
        result = None if told else self._taken_up(pending)
        if not self.memory.claim(ident, owner, LEASE):
            return []  # the claim was lost to somebody who answers instead
        if result:
            self.memory.say(ident, "agent", result.text, {"kind": result.kind, "finishes": mark})
        others = [task for task in self._tasks(ident) if task.turns != pending.turns]
        if result and result.kind == "waits":
            others.append(pending.model_copy(update={"round": pending.round + 1, "requests": result.requests}))
        if others:
            self._put_aside(others)
        else:
            self.memory.resolve(ident, owner)
        if result is None:
            return []
        for number in pending.requests:
            self._record(_spoke(result, number))
        return [result]

    def _taken_up(self, pending: Pending) -> Result:
        """The task planned anew, with the skills that its requests brought; or why there are none."""
        requests = [self._forge.request(number) for number in pending.requests]
        gaps = [self._gap(request) for request in requests]
        declined = [_declined(each, gap) for each, gap in zip(requests, gaps, strict=True) if each.closed_as in ("refused", "withdrawn")]
        if declined:
            return Result(conversation=pending.task.conversation, kind="failed", text="\n".join(declined))
        names = [name for gap in gaps if gap and (name := gap.contract.name if gap.contract else gap.skill)]
        return self._pursue(pending.model_copy(update={"round": pending.round + 1}), names)

    # ---- one task, as far as it goes now ---------------------------------------------------------------------------

    def _pursue(self, pending: Pending, names: Iterable[str] = ()) -> Result:
        """Plans, runs, and plans once more where a step failed. `names` are skills to have among the candidates."""
        task, request = pending.task, next(iter(pending.requests), None)
        history = self._history(pending)
        skills = self._skills(task.text, history, names)
        failure, error = None, ""
        for attempt in (1, 2):
            planned = self._asked("planning", request, partial(plan, task, history, [*skills.values()], self._model, failure=failure))
            if planned.reply is not None:
                return Result(conversation=task.conversation, kind="answered", text=planned.reply)
            if planned.question is not None:
                return Result(conversation=task.conversation, kind="asks", text=planned.question)
            if planned.needs:
                return self._raise_requests(planned, pending)
            ident = f"{task.conversation}-{pending.turns}-{pending.round}-{attempt}"
            ran = PlanRun(self._catalog, self._runtime, self._record, self._workers, task.asked_by, ident, request).through(planned, skills)
            if ran.failure is None:
                told = self._asked("answering", request, partial(answer, task, ran.shown, self._model))
                outputs = {step: end.outputs for step, end in ran.done.items()}
                receipts = tuple(end.receipt for end in ran.done.values())
                return Result(conversation=task.conversation, kind="answered", text=told.text, outputs=outputs, receipts=receipts)
            failure, error = ran.failure, ran.error
        return Result(conversation=task.conversation, kind="failed", text=error)

    def _raise_requests(self, planned: Plan, pending: Pending) -> Result:
        """One request for each need; where the same is said in a conversation again, after a crash say, none is opened twice."""
        task = pending.task
        raised = []
        for need in [step.need for step in planned.needs if step.need]:
            draft = RequestDraft(
                key=digest_of([task.conversation, need.model_dump()]), title=need.title, text=need.text,
                requester=task.asked_by, source="chat", conversation=task.conversation,
            )  # fmt: skip
            request = self._forge.open_request(draft)
            while request.state == "closed" and pending.round == 1:  # an earlier task asked for this; the skill is gone since
                request = self._forge.open_request(draft.model_copy(update={"key": digest_of([draft.key, request.number])}))
            raised.append(request)
        waiting = {request.number: request for request in raised if request.state == "open"}
        if pending.round > ROUNDS or not waiting:
            built = ", ".join(f"#{request.number} ({request.title})" for request in raised)
            text = f"I still find no skill for this, after what was done for it: {built}. `skillops search` shows what there is."
            return Result(conversation=task.conversation, kind="failed", text=text)
        for request in waiting.values():
            self._record(
                Event(stage="conversation", what="raised", actor=AGENT, request=request.number, note=request.title, key=f"raised:{request.number}")
            )
        named = " and ".join(f"#{request.number} ({request.title})" for request in waiting.values())
        text = f"No skill of mine does this yet. I raised {named} and go on when it is deployed."
        return Result(conversation=task.conversation, kind="waits", text=text, requests=tuple(waiting))

    # ---- what the model is shown, and what it costs ----------------------------------------------------------------

    def _history(self, pending: Pending) -> list[str]:
        """What was said before the task. That a request was raised helps no plan, and its number differs by repository."""
        turns = self.memory.turns(pending.task.conversation)[: pending.turns]
        return [f"{turn.role}: {turn.text[:TURN_LENGTH]}" for turn in turns if (turn.data or {}).get("kind") != "waits"][-TURNS:]

    def _skills(self, text: str, history: Sequence[str], names: Iterable[str]) -> dict[str, Manifest]:
        """Candidates: those named, those that the task finds, and a few that what was said before finds."""
        found = [hit.entry.name for hit in self._catalog.search(text, limit=HITS)]
        if history:
            found += [hit.entry.name for hit in self._catalog.search(" ".join(history[-3:]), limit=HITS // 2)]
        manifests = {name: self._catalog.manifest(name) for name in (*names, *found)}
        return {name: manifest for name, manifest in manifests.items() if manifest and manifest.status != "retired"}

    def _asked(self, stage: str, request: int | None, question: Callable[[], Asked[T]]) -> T:
        """The model's answer; what it took is entered in the ledger either way."""
        event = Event(stage=stage, what="asked", actor=AGENT, request=request)
        try:
            asked = question()
        except ModelUnavailable as error:
            lost = {"what": "unanswered", "outcome": "could_not_tell", "note": error.fault, "tokens": error.tokens, "cost": error.cost}
            self._record(event.model_copy(update=lost))
            raise
        spent = {"tokens": asked.tokens, "cost": asked.cost, "seconds": asked.seconds, "data": {"model": asked.model}}
        self._record(event.model_copy(update=spent))
        return asked.answer

    # ---- what is waited for ----------------------------------------------------------------------------------------

    def _tasks(self, ident: str) -> list[Pending]:
        """The tasks of a conversation that wait, each as it was last put aside."""
        waits = [Pending.model_validate(wait.pending) for wait in self.memory.waiting() if wait.conversation == ident]
        return list({task.turns: task for task in sorted(waits, key=lambda task: task.round)}.values())

    def _put_aside(self, tasks: Sequence[Pending]) -> None:
        """Lets these tasks wait. Where the conversation was claimed, they take the place of what waited before."""
        for task in tasks:
            for number in task.requests:
                self.memory.wait(task.task.conversation, number, task.model_dump(mode="json"))

    def _closed(self, task: Pending) -> bool:
        return all(self._forge.request(number).state == "closed" for number in task.requests)

    def _gap(self, request: Request) -> Gap | None:
        """The newest assessment that the agent wrote on a request."""
        ours = [comment.text for comment in self._forge.comments(request.number) if comment.author == AGENT]
        return next((gap for text in reversed(ours) if (gap := messages.extract(messages.GAP, text, Gap))), None)

    @contextmanager
    def _claimed(self, ident: str) -> Iterator[str | None]:
        """Holds a waiting conversation alone, under the name that is given; None where somebody else finishes it.

        A killed process renews nothing, so its claim is waited for no longer than the lease.
        """
        owner, done, until = uuid.uuid4().hex, threading.Event(), time.monotonic() + LEASE * 1.2
        while not self.memory.claim(ident, owner, LEASE):
            if time.monotonic() > until or not self._tasks(ident):
                yield None
                return
            time.sleep(LEASE / 50)

        def renew() -> None:
            while not done.wait(LEASE / 4):
                self.memory.claim(ident, owner, LEASE)

        renewing = threading.Thread(target=renew, daemon=True)
        renewing.start()
        try:
            yield owner
        finally:
            done.set()
            renewing.join()
            self.memory.release(ident, owner)


def _spoke(result: Result, request: int | None) -> Event:
    return Event(stage="conversation", what=result.kind, actor=AGENT, request=request, data={"conversation": result.conversation})


def _declined(request: Request, gap: Gap | None) -> str:
    why = gap.reason if gap and gap.verdict == "refused" else f"`skillops explain {request.number}` tells why."
    return f"What this needed will not be built: #{request.number} ({request.title}) was {request.closed_as}. {why}"
