"""A chat turn: plan, invoke, ask the person, or raise a Request and resume when it is deployed.

What a task came to so far is in the memory before anything is done that can be seen, and the requests are on the forge;
so any process goes on with a task whose own was killed, and its answer is given once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from agent.catalog import Catalog
from agent.domain.event import Event
from agent.domain.profile import ASSISTANT
from agent.domain.question import NO, is_cancelled, says_stop
from agent.domain.task import Task
from agent.errand import WAITING, Errand
from agent.errors import MissingSecret, Refused, SkillOpsError, UsageError
from agent.facts import Facts
from agent.halting import Halts
from agent.means import Means
from agent.memory import Memory
from agent.pasted import without_secrets
from agent.pending import Pending, Result
from agent.plan_kept import KeptRun
from agent.ports import Endpoints, Forge, LanguageModel
from agent.situation import in_work
from agent.stages.assessing import LIMIT, unreadable
from agent.stages.invoking import Strike, unstruck

EMPTY = "What would you like to have done?"
ENORMOUS = f"That has more than {LIMIT:,} characters. What would you like to have done, in a page?"
BINARY = "That has control characters and looks like binary data. What would you like to have done, in words?"
LEFT = "All right, I leave it at that."
_WITHDRAW = re.compile(r"\s*(?:/withdraw\s+#?|withdraw\s+#)(\d{1,9})(?:[\s:,.]+(.*))?", re.DOTALL | re.IGNORECASE)
STOPPING, NOTHING = "I stop with it.", "There is nothing that I am at."


class Conversations:
    """The agent as people talk to it. Of `runtime` only the endpoints are used; `more` are further Means, by their names."""

    def __init__(
        self, forge: Forge, catalog: Catalog, runtime: Endpoints, model: LanguageModel, memory: Memory, record: Callable[[Event], Any],
        workers: int, strike: Strike = unstruck, **more: Any,
    ) -> None:  # fmt: skip
        self.memory = memory
        self.facts: Facts | None = more.get("facts")
        self._take_back: Callable[[int, str, str], Any] | None = more.pop("take_back", None)
        self.halts: Halts = more.pop("halts", None) or Halts(memory.path.with_name("halts.sqlite"))
        given = {"model_of": lambda profile: model, **more}
        self._means = Means(forge=forge, catalog=catalog, runtime=runtime, memory=memory, record=record, workers=workers, strike=strike, **given)

    def turn(self, conversation: str | None, text: str, asked_by: str, agent: str | None = None) -> Result:
        """Takes what a person says (None: in a new conversation, with the agent named, or the assistant) as far as it goes now. Where
        the agent has asked them something in this conversation, it is the answer.

        CouldNotTell (no model, no sandbox …) is raised: then saying it again tries again.
        """
        ident = conversation or self._started(asked_by, agent)
        with self.halts.heeding(ident):
            return self._turn(ident, text, asked_by, conversation, agent)

    def _turn(self, ident: str, text: str, asked_by: str, conversation: str | None, agent: str | None) -> Result:
        with_agent = self._agent(ident, agent if conversation else None)
        fault = EMPTY if not text.strip() else ENORMOUS if len(text) > LIMIT else BINARY if unreadable(text) else None
        found = without_secrets(text[:LIMIT])
        text, fault = found.text if found.kinds else text, fault or (found.told if found.kinds else None)
        task = Task(text=text, asked_by=asked_by, conversation=ident)
        if fault:
            self._means.enter("asks", Pending(task=task))
            self.memory.say(ident, "agent", fault, {"kind": "asks"})
            return Result(conversation=ident, kind="asks", text=fault)
        if self._take_back and (wanted := _WITHDRAW.fullmatch(text)):
            self.memory.say(ident, "person", text)
            self._take_back(int(wanted[1]), asked_by, (wanted[2] or "").strip())
            self.memory.say(ident, "agent", said := f"#{wanted[1]} is taken back.")
            return Result(conversation=ident, kind="answered", text=said)
        for open_one in [pending.turn for pending in self._means.undone(ident) if pending.question]:
            reply = self._replied(open_one, text, asked_by)
            if isinstance(reply, Result):
                return reply
            if reply is not None:
                text = reply
                break
        if says_stop(text):  # also where there is nothing to stop: no model is asked what that may mean
            if (result := self.stop(ident, asked_by)).turn is None:
                self.memory.say(ident, "person", text)
                self.memory.say(ident, "agent", result.text, {"kind": "stopped"})
            return result
        return self._begun(Pending(task=task.model_copy(update={"text": text}), agent=with_agent))

    def stop(self, conversation: str, who: str) -> Result:
        """Breaks off what is done in a conversation, wherever that is, and lets go what waits there."""
        self.halts.stop(conversation, who)
        said = Result(conversation=conversation, kind="stopped", text=NOTHING)
        for turn in [pending.turn for pending in self._means.undone(conversation)]:
            said = said.model_copy(update={"text": STOPPING, "turn": turn})
            with self.memory.taken(turn) as kept:
                if kept:  # nobody is at it, so that nobody else would say it
                    said = Errand(self._means, Pending.model_validate({**kept, "turn": turn})).stop(who)
        return said

    def unanswered(self) -> dict[int, int | None]:
        """The turns whose tasks are not answered yet, the oldest first, each with the request that it waits for, if any. Those that wait
        for the person are left out while they may."""
        return {task.turn: next(reversed(task.requests), None) for task in self._means.undone() if not self._asks_still(task)}

    def resume(self, turn: int) -> Result | None:
        """Goes on with a task that waited, or whose process was killed, and ends one whose question nobody answered in time. None while
        a request or a person that it waits for is open, and where somebody else is at it, or was. What cannot be told is raised, and
        the task goes on waiting."""
        with self.memory.taken(turn) as kept:
            task = Pending.model_validate({**kept, "turn": turn}) if kept else None
            if task is None or self._asks_still(task) or any(in_work(request, self._means.forge) for request in self._means.requests(task)):
                return None
            errand = Errand(self._means, task)
            try:
                with self.halts.heeding(task.task.conversation):
                    return errand.say(self._late(errand)) if task.question else errand.go_on()
            except MissingSecret as missing:
                if not missing.person:  # which whoever runs this is asked for elsewhere
                    raise
                text = f"{missing.what} Give yours (`/own-secrets` in the browser), then say it again."
                return errand.say(errand.task.came_to("failed", text, note=missing.what))

    def latest(self, result: Result) -> Result:
        """What a turn has come to by now, its outputs left out; where somebody else is at it, once they are done."""
        assert result.turn is not None, "what was no task came to all that it will"
        with self.memory.taken(result.turn, wait=True):
            said = [turn for turn in self.memory.turns(result.conversation) if turn.data and turn.data.get("turn") == result.turn]
        return Result(conversation=result.conversation, text=said[-1].text, **said[-1].data) if said else result

    def spent(self, conversation: str) -> tuple[int, float]:
        """The tokens and US dollars that a conversation has taken so far. What building skills took is in the story of its requests."""
        taken: dict[int, tuple[int, float]] = {}
        for turn in self.memory.turns(conversation):
            if turn.role == "agent" and turn.data and turn.data.get("turn") is not None:
                taken[turn.data["turn"]] = turn.data.get("tokens", 0), turn.data.get("cost", 0.0)
        taken |= self.memory.taken_of(conversation)  # of those, too, that ended without a word
        return sum(tokens for tokens, _ in taken.values()), round(sum(cost for _, cost in taken.values()), 6)

    def runs(self, turn: int) -> list[KeptRun]:
        """The plans of a turn, as they ran, the first first."""
        return [KeptRun.model_validate(run) for run in self.memory.runs(turn)]

    # ---- beginning --------------------------------------------------------------------------------------------------

    def _started(self, asked_by: str, agent: str | None) -> str:
        name = agent or ASSISTANT
        self._means.profile(name)  # one that is not there, or is described wrongly, starts no conversation
        return self.memory.start(asked_by, name)

    def _agent(self, conversation: str, wanted: str | None) -> str:
        agent = self.memory.get(conversation).agent
        if wanted not in (None, agent):
            raise UsageError(
                f"This conversation is with the agent {agent}, not {wanted}.",
                next_step="Leave out --conversation, or `skillops chat --new`: both start one.",
            )
        return agent

    def _begun(self, task: Pending) -> Result:
        ident = task.task.conversation
        with self.memory.begun(ident, task.task.text, task.kept()) as turn:
            try:
                return Errand(self._means, task.but(turn=turn)).go_on()
            except SkillOpsError:
                if not any(kept.drafts for kept in self._means.undone(ident) if kept.turn == turn):
                    self.memory.drop(turn)  # what has raised requests goes on by itself, the rest is said again
                raise

    # ---- questions that the agent asked ----------------------------------------------------------------------------

    def _asks_still(self, task: Pending) -> bool:
        return task.question is not None and self._means.clock() < task.question.until

    def _late(self, errand: Errand) -> Result:
        assert errand.task.question is not None
        question, errand.task = errand.task.question, errand.task.but(question=None)
        at = datetime.fromtimestamp(question.until, UTC).isoformat(" ", "minutes").removesuffix("+00:00")
        text = f"I asked “{question.text[:200]}” and had no answer by {at} UTC, so I wait no longer; nothing more was done. Say it again to go on."
        return errand.task.came_to("failed", text, note="the question was not answered in time")

    def _replied(self, turn: int, text: str, asked_by: str) -> Result | str | None:
        """What an answer to an open question comes to: the words of a task of its own, which it is planned as with all that was said before,
        or the end of the task that asked. None where nobody waits for it any more."""
        with self.memory.taken(turn, wait=True) as kept:
            if not kept or not kept.get("question"):
                return None
            errand = Errand(self._means, Pending.model_validate({**kept, "turn": turn}))
            task, question = errand.task, errand.task.question
            assert question is not None
            if not self._asks_still(task):
                errand.say(self._late(errand))
                return None
            if question.asks_for == "leave" and asked_by != task.task.asked_by:
                raise Refused(f"{task.task.asked_by} was asked, and nobody else gives leave for them.", next_step="Start a conversation of your own.")
            answer = None if is_cancelled(text) else question.answered(text)
            if question.asks_for == "clarification" and answer is not None:
                self.memory.drop(turn)
                return answer
            self.memory.say(task.task.conversation, "person", text)
            if answer is None and not is_cancelled(text):
                return errand.say(task.came_to("asks", f"I need {question.wanted}; `cancel` leaves it. {question.text}", question=question))
            errand.task = task.but(question=None)
            if answer in (None, NO):
                return errand.say(errand.task.came_to("answered", LEFT, note="the person said no"))
            errand.task = errand.task.but(granted=(*task.granted, *task.held), held=())
            self.memory.keep(turn, errand.task.kept())
            return errand.go_on(again=False)


__all__ = ["BINARY", "EMPTY", "ENORMOUS", "WAITING", "Conversations", "Result"]
