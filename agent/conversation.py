"""A chat turn: plan, invoke, ask the person, or raise a Request and resume when it is deployed.

What must outlast this process (what was said, what is waited for) is in the memory, and the requests are on the forge;
so a conversation goes on in any process, and its answer is given once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from agent import messages
from agent.catalog import Catalog
from agent.domain import Frozen
from agent.domain.event import Event
from agent.domain.gap import Gap
from agent.domain.invocation import InvocationResult, Receipt
from agent.domain.plan import Plan, Step, resolve
from agent.domain.proposal import AGENT
from agent.domain.request import Request, RequestDraft
from agent.domain.schema import Json
from agent.domain.skill import Manifest, digest_of
from agent.domain.task import Task
from agent.errors import InvalidInputs, InvocationFailed, ModelUnavailable, NotFound, Refused, SkillOpsError
from agent.memory import Memory
from agent.ports import LanguageModel, Requests, Runtime
from agent.prompts import Asked
from agent.stages.assessing import LIMIT, unreadable
from agent.stages.invoking import invoke
from agent.stages.planning import answer, cut, plan

HITS, TURNS, TURN_LENGTH, VALUE_LENGTH = 8, 20, 2000, 4000
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
    """A task under way. `turns` were in the conversation before it; `round` counts how often it was planned, from 1;
    `request` is one that it waited for."""

    task: Task
    turns: int
    round: int = 1
    request: int | None = None


@dataclass
class Ran:
    """What the steps of a plan gave. `shown` and `failure` are for the model, `error` is for the person."""

    done: dict[str, InvocationResult] = field(default_factory=dict)
    shown: list[dict[str, Json]] = field(default_factory=list)
    failure: dict[str, Json] | None = None
    error: str = ""


class Conversations:
    """The agent as people talk to it. `runtime` needs to hand out endpoints, no more."""

    def __init__(
        self, forge: Requests, catalog: Catalog, runtime: Runtime, model: LanguageModel, memory: Memory, record: Callable[[Event], Any], workers: int
    ) -> None:
        self.memory = memory
        self._forge, self._catalog, self._runtime, self._model = forge, catalog, runtime, model
        self._record, self._workers, self._resuming = record, workers, threading.Lock()

    def turn(self, conversation: str | None, text: str, asked_by: str) -> Result:
        """Takes what a person says (None: in a new conversation) as far as it goes now.

        CouldNotTell (no model, no sandbox …) is raised: then saying it again tries again.
        """
        ident = conversation or self.memory.start(asked_by)
        before = len(self.memory.turns(ident))
        fault = EMPTY if not text.strip() else ENORMOUS if len(text) > LIMIT else BINARY if unreadable(text) else None
        if fault:
            return self._said(Result(conversation=ident, kind="asks", text=fault))
        self.memory.say(ident, "person", text)
        return self._said(self._pursue(Pending(task=Task(text=text, asked_by=asked_by, conversation=ident), turns=before)))

    def ready(self) -> list[int]:
        """Requests of conversations whose every awaited request is closed."""
        waits = self.memory.waiting()
        closed = {number: self._forge.request(number).state == "closed" for number in {wait.request for wait in waits}}
        stuck = {wait.conversation for wait in waits if not closed[wait.request]}
        return sorted({wait.request for wait in waits if wait.conversation not in stuck})

    def resume(self, request: int) -> list[Result]:
        """Finishes the tasks that waited for a request, where nothing that they wait for is open any more.

        Each is answered once, whoever else resumes it. What cannot be told is raised, and the task goes on waiting.
        """
        results = []
        with self._resuming:
            for ident in dict.fromkeys(wait.conversation for wait in self.memory.waiting(request)):
                waits = [wait for wait in self.memory.waiting() if wait.conversation == ident]
                requests = [self._forge.request(wait.request) for wait in waits]
                if all(each.state == "closed" for each in requests) and self.memory.claim(ident):
                    latest = max((Pending.model_validate(wait.pending) for wait in waits), key=lambda pending: pending.round)
                    results += self._resumed(ident, requests, latest)
        return results

    def _resumed(self, ident: str, requests: Sequence[Request], pending: Pending) -> list[Result]:
        resumed = [each.number for each in requests]
        if any((turn.data or {}).get("resumed") == resumed for turn in self.memory.turns(ident)):  # killed after the answer was kept
            self.memory.resolve(ident)
            return []
        gaps = [self._gap(each) for each in requests]
        told = [_declined(each, gap) for each, gap in zip(requests, gaps, strict=True) if each.closed_as in ("refused", "withdrawn")]
        if told:
            result = Result(conversation=ident, kind="failed", text="\n".join(told))
        else:
            names = [name for gap in gaps if gap and (name := gap.contract.name if gap.contract else gap.skill)]
            result = self._pursue(pending.model_copy(update={"round": pending.round + 1, "request": resumed[0]}), names)
        self._said(result, resumed)
        if result.kind != "waits":
            self.memory.resolve(ident)
        return [result]

    # ---- one task, as far as it goes now ---------------------------------------------------------------------------

    def _pursue(self, pending: Pending, names: Iterable[str] = ()) -> Result:
        """Plans, runs, and plans once more where a step failed. `names` are skills to have among the candidates."""
        task, failure, ran = pending.task, None, Ran()
        history = self._history(pending)
        skills = self._skills(task.text, history, names)
        for attempt in (1, 2):
            planned = self._asked("planning", pending, lambda failure=failure: plan(task, history, [*skills.values()], self._model, failure=failure))
            if planned.reply is not None:
                return Result(conversation=task.conversation, kind="answered", text=planned.reply)
            if planned.question is not None:
                return Result(conversation=task.conversation, kind="asks", text=planned.question)
            if planned.needs:
                return self._raise_requests(planned, pending)
            ran = self._run(planned, skills, pending, attempt)
            if ran.failure is None:
                return self._answered(ran, pending)
            failure = ran.failure
        return Result(conversation=task.conversation, kind="failed", text=ran.error)

    def _answered(self, ran: Ran, pending: Pending) -> Result:
        told = self._asked("answering", pending, lambda: answer(pending.task, ran.shown, self._model))
        outputs = {step: result.outputs for step, result in ran.done.items()}
        receipts = tuple(result.receipt for result in ran.done.values())
        return Result(conversation=pending.task.conversation, kind="answered", text=told.text, outputs=outputs, receipts=receipts)

    def _raise_requests(self, planned: Plan, pending: Pending) -> Result:
        """One request for each need; saying the same again in a conversation, after a crash say, opens no second one."""
        task = pending.task
        raised = []
        for step in planned.needs:
            assert step.need is not None
            draft = RequestDraft(
                key=digest_of([task.conversation, step.need.model_dump()]), title=step.need.title, text=step.need.text,
                requester=task.asked_by, source="chat", conversation=task.conversation,
            )  # fmt: skip
            request = self._forge.open_request(draft)
            while request.state == "closed" and pending.round == 1:  # an earlier task asked for this; this one is new
                request = self._forge.open_request(draft.model_copy(update={"key": digest_of([draft.key, request.number])}))
            raised.append(request)
        waiting = [request for request in raised if request.state == "open"]
        if pending.round > ROUNDS or not waiting:
            named = ", ".join(f"“{request.title}” (#{request.number}, {request.closed_as or 'open'})" for request in raised)
            text = f"I still find no skill for this, after what was built for it: {named}. `skillops search` shows what there is."
            return Result(conversation=task.conversation, kind="failed", text=text)
        for request in waiting:
            self.memory.wait(task.conversation, request.number, pending.model_dump(mode="json"))
            self._record(Event(stage="conversation", what="raised", actor=AGENT, request=request.number, note=request.title, key=f"raised:{request.number}"))
        named = " and ".join(f"#{request.number} ({request.title})" for request in waiting)
        text = f"No skill of mine does this yet. I raised {named} and go on when it is deployed."
        return Result(conversation=task.conversation, kind="waits", text=text, requests=tuple(request.number for request in waiting))

    # ---- running the steps -----------------------------------------------------------------------------------------

    def _run(self, planned: Plan, skills: dict[str, Manifest], pending: Pending, attempt: int) -> Ran:
        """Runs wave by wave until a step fails; what a wave began is let finish."""
        ran = Ran()
        for wave in planned.waves():
            known = {name: result.outputs for name, result in ran.done.items()}
            with ThreadPoolExecutor(min(self._workers, len(wave))) as pool:
                ends = list(pool.map(lambda step, known=known: self._step(step, skills, known, pending, attempt), wave))
            for step, end in zip(wave, ends, strict=True):
                if isinstance(end, SkillOpsError):
                    done = [{name: cut(value, VALUE_LENGTH) for name, value in shown.items()} for shown in ran.shown]
                    ran.error = str(end)
                    ran.failure = {"skill": step.skill, "inputs": cut(step.inputs, VALUE_LENGTH), "error": ran.error[:VALUE_LENGTH], "done": done}
                else:
                    ran.done[step.id] = end
                    ran.shown.append({"skill": step.skill, "inputs": resolve(step.inputs, known), "outputs": end.outputs})
            if ran.failure is not None:
                break
        return ran

    def _step(self, step: Step, skills: dict[str, Manifest], known: dict[str, Json], pending: Pending, attempt: int) -> InvocationResult | SkillOpsError:
        """One call. That it failed is a value; that nobody can tell is raised. A call done over has the same request id."""
        manifest = skills[step.skill or ""]
        call = f"{pending.task.conversation}-{pending.turns}-{pending.round}-{attempt}-{step.id}"
        try:
            entry = self._catalog.entry(manifest.name)
            if entry is None:
                raise NotFound(f"There is no skill {manifest.name!r} any more.")
            end: InvocationResult | SkillOpsError = invoke(
                manifest, entry, resolve(step.inputs, known), self._runtime, caller=pending.task.asked_by, request_id=call
            )
        except (InvalidInputs, InvocationFailed, NotFound, Refused) as error:
            end = error
        except LookupError as error:
            end = InvalidInputs(f"The inputs of step {step.id} cannot be put together.", why=str(error.args[0]))
        failed = isinstance(end, SkillOpsError)
        self._record(Event(
            stage="invoking", what="invoked", actor=AGENT, request=pending.request, skill=manifest.name, outcome="failed" if failed else "passed",
            note=end.what if isinstance(end, SkillOpsError) else "", seconds=0.0 if isinstance(end, SkillOpsError) else end.receipt.seconds,
            data={"call": call},
        ))  # fmt: skip
        return end

    # ---- what the model is shown, and what is kept -----------------------------------------------------------------

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

    def _asked(self, stage: str, pending: Pending, question: Callable[[], Asked[T]]) -> T:
        """The model's answer; what it cost is entered in the ledger either way."""
        event = Event(stage=stage, what="asked", actor=AGENT, request=pending.request)
        try:
            asked = question()
        except ModelUnavailable as error:
            spent = {"tokens": error.tokens, "cost": error.cost}
            self._record(event.model_copy(update={"what": "unanswered", "outcome": "could_not_tell", "note": str(error), **spent}))
            raise
        spent = {"tokens": asked.tokens, "cost": asked.cost, "seconds": asked.seconds}
        self._record(event.model_copy(update={**spent, "data": {"model": asked.model}}))
        return asked.answer

    def _gap(self, request: Request) -> Gap | None:
        """The newest assessment that the agent wrote on a request."""
        ours = [comment.text for comment in self._forge.comments(request.number) if comment.author == AGENT]
        return next((gap for text in reversed(ours) if (gap := messages.extract(messages.GAP, text, Gap))), None)

    def _said(self, result: Result, resumed: Sequence[int] = ()) -> Result:
        """Keeps what the agent says, with what it resumed: nothing is said twice."""
        data = {"kind": result.kind, "resumed": list(resumed)} if resumed else {"kind": result.kind}
        self.memory.say(result.conversation, "agent", result.text, data)
        for number in resumed or (None,):
            self._record(Event(stage="conversation", what=result.kind, actor=AGENT, request=number, data={"conversation": result.conversation}))
        return result


def _declined(request: Request, gap: Gap | None) -> str:
    why = gap.reason if gap and gap.verdict == "refused" else f"`skillops explain {request.number}` tells why."
    return f"What this needed will not be built: #{request.number} ({request.title}) was {request.closed_as}. {why}"
