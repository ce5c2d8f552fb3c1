"""What a turn of a conversation came to, and a task as far as it went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from agent.domain import Frozen
from agent.domain.event import Event
from agent.domain.gap import Gap
from agent.domain.invocation import Receipt
from agent.domain.plan import Plan, StepEnd
from agent.domain.profile import ASSISTANT
from agent.domain.question import Question
from agent.domain.request import Request, RequestDraft
from agent.domain.schema import Json
from agent.domain.task import Task

Kind = Literal["answered", "asks", "waits", "failed", "stopped"]
KEPT = {"kind", "turn", "requests", "receipts", "question", "tokens", "cost"}  # of a result, beside what was said


class Result(Frozen):
    """What a turn came to; `turn` is the id of what the person said, where it was a task. `waits`: for `requests`. `asks`: `question`
    says which answers are taken, where only some are, and until when. `failed`: `text` says what went wrong and what can be done.
    `stopped`: a person said stop.
    `tokens` and `cost` (US dollars) are what the task took so far. `note` is for the trail, where nothing private belongs."""

    conversation: str
    kind: Kind
    text: str
    turn: int | None = None
    requests: tuple[int, ...] = ()
    question: Question | None = None
    outputs: dict[str, dict[str, Json]] = {}
    receipts: tuple[Receipt, ...] = ()
    tokens: int = 0
    cost: float = 0.0
    note: str = Field(default="", exclude=True)


def taken(tokens: int, cost: float) -> str:
    """What something took, in words. No cost is most often a model whose price nobody knows, and is not told as money."""
    return f"{tokens:,} tokens, {f'${cost:.4f}' if cost else 'no price known'}"


def named(requests: Sequence[Request]) -> str:
    return " and ".join(f"#{request.number} ({request.title})" for request in requests)


def declined(request: Request, gap: Gap | None) -> str:
    why = gap.reason if gap and gap.verdict == "refused" else f"`skillops explain {request.number}` tells why."
    return f"What this needed will not be built: {named([request])} was {request.closed_as}. {why}"


class Pending(Frozen):
    """A task as far as it went. `turn` is the id of what was said; `round` rises with each wait for requests, `attempt` when
    a plan has failed, both from 1. `plan` is being carried out: after a crash the same is done again, and nothing else.
    `drafts` and `requests` are all that it ever raised; `unbooked` is what the plan took that raised the first of them,
    until they have the number under which it is entered. With a `question` it waits for a person; `done` and `skipped` are the steps
    that ended before it was asked, and `granted` those for which leave was given. `calls`, `tokens`, `cost` (US dollars) and `seconds`
    of running plans are what it took so far."""

    task: Task
    agent: str = ASSISTANT
    turn: int = 0
    round: int = 1
    attempt: int = 1
    plan: Plan | None = None
    drafts: tuple[RequestDraft, ...] = ()
    requests: tuple[int, ...] = ()
    unbooked: Event | None = None
    question: Question | None = None
    done: dict[str, StepEnd] = {}
    skipped: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    granted: tuple[str, ...] = ()
    calls: int = 0
    tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0

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
        taken = {"tokens": self.tokens, "cost": round(self.cost, 6)}
        return Result(conversation=self.task.conversation, kind=kind, text=text, turn=self.turn, **taken, **more)
