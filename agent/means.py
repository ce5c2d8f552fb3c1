"""The Means of the agent: what every task of every conversation stands on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.catalog import Catalog
from agent.domain.event import Event
from agent.domain.profile import ASSISTANT, Profile
from agent.domain.proposal import AGENT
from agent.domain.request import Request
from agent.domain.skill import API_VERSION
from agent.facts import Facts
from agent.lines import Lines
from agent.memory import Memory
from agent.pending import Pending
from agent.plan_run import Record, silent
from agent.ports import Endpoints, Forge, LanguageModel
from agent.stages.invoking import Strike, unstruck


def plain_assistant(name: str) -> Profile:
    """Where no agents are described: one that may do everything, asks before it destroys, and keeps no facts."""
    return Profile(apiVersion=API_VERSION, kind="Agent", name=ASSISTANT, description="Does what any skill can do.")


@dataclass(frozen=True)
class Means:
    """What every errand stands on. `profile` gives an agent by its name, `model_of` its model; `tell` hears what no trail keeps.
    `operator`: all but they have servers of their own of what they call; None: nobody has."""

    forge: Forge
    catalog: Catalog
    runtime: Endpoints
    model_of: Callable[[Profile], LanguageModel]
    memory: Memory
    record: Record
    workers: int
    strike: Strike = unstruck
    profile: Callable[[str], Profile] = plain_assistant
    facts: Facts | None = None
    lines: Lines | None = None
    operator: str | None = None
    tell: Record = silent
    clock: Callable[[], float] = time.time

    def enter(self, what: str, task: Pending, request: int | None = None, note: str = "", key: str | None = None) -> None:
        data = {"conversation": task.task.conversation, "asked_by": task.task.asked_by}
        self.record(Event(stage="conversation", what=what, actor=AGENT, request=request, note=note, data=data, key=key))

    def undone(self, conversation: str | None = None) -> list[Pending]:
        """The tasks that are not answered yet, the oldest first."""
        return [Pending.model_validate({**undone.pending, "turn": undone.turn}) for undone in self.memory.undone(conversation)]

    def requests(self, task: Pending) -> list[Request]:
        return [self.forge.request(number) for number in task.requests]
