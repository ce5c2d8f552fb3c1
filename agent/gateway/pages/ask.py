"""Ask: a talk with the agent in a page. A door to `conversation.py` and nothing more: what was said, and how far it went, is its memory's."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from starlette.requests import Request

from agent.conversation import Pending
from agent.domain import Frozen
from agent.domain.invocation import Receipt
from agent.domain.plan import Step
from agent.errors import NotFound, SkillOpsError, UsageError
from agent.gateway.pages.requests import Progress, progress
from agent.gateway.pages.site import Site
from agent.gateway.pages.visitors import Visitor
from agent.gateway.problems import Busy
from agent.memory import Turn
from agent.stages.assessing import LIMIT

AT_ONCE = 8  # turns, of all who ask
SEEN = 1.0  # seconds in which what was said is in the memory, as a rule
log = logging.getLogger("agent.gateway")


class Said(Frozen):
    """One thing said. Of the agent's: what kind of answer it is, the receipts behind it, and the requests that it waits for."""

    role: str
    text: str
    at: str
    kind: str = ""
    receipts: tuple[Receipt, ...] = ()
    requests: tuple[Progress, ...] = ()


class Undone(Frozen):
    """A task that is being done: the plan, as far as there is one."""

    text: str
    steps: tuple[Step, ...] = ()
    waits: bool = False


class Ask:
    """The turns under way. Each has a thread, which no end of the gateway waits for: the task lies in the memory."""

    def __init__(self, site: Site) -> None:
        self._site, self._place = site, site.gateway.place
        self._busy: set[str] = set()
        self._troubles: dict[str, SkillOpsError] = {}
        self._lock = threading.Lock()

    def say(self, conversation: str, text: str, person: str) -> None:
        """Begins a turn. Busy where one is under way in this conversation, or too many in all."""
        if not text.strip():
            raise UsageError("Nothing was said.", next_step="Say what you would like to have done.")
        if len(text) > LIMIT:
            raise UsageError(
                "That is too much to ask at once.", why=f"It has {len(text):,} characters; {LIMIT:,} is the most.", next_step="Say it in a page."
            )
        with self._lock:
            if conversation in self._busy:
                raise Busy("The agent is still at your last question.", next_step="Wait for its answer, or begin another conversation.")
            if len(self._busy) >= AT_ONCE:
                raise Busy("The agent talks with as many people as it can.", next_step="Try again in a moment.", headers={"retry-after": "5"})
            self._busy.add(conversation)
            self._troubles.pop(conversation, None)
        before = len(self._place.conversations.memory.turns(conversation))
        thread = threading.Thread(target=self._turn, args=(conversation, text, person), name=f"ask {conversation[:8]}", daemon=True)
        thread.start()
        until = time.monotonic() + SEEN
        while thread.is_alive() and time.monotonic() < until and len(self._place.conversations.memory.turns(conversation)) == before:
            time.sleep(0.01)

    def _turn(self, conversation: str, text: str, person: str) -> None:
        try:
            self._place.parts.sync()
            result = self._place.conversations.turn(conversation, text, person)
            if result.kind == "waits":
                self._site.gateway.raised()
        except SkillOpsError as error:
            log.warning("conversation %s: %s", conversation, error)
            self._troubles[conversation] = error
        finally:
            with self._lock:
                self._busy.discard(conversation)

    def show(self, conversation: str, person: str) -> dict[str, Any]:
        memory = self._place.conversations.memory
        turns = memory.turns(conversation)
        undone = memory.undone(conversation)
        waiting = {each.turn for each in undone}
        pending = [(each.turn, Pending.model_validate({**each.pending, "turn": each.turn})) for each in undone]
        told = {turn.id: turn for turn in turns}
        return {
            "title": turns[0].text[:80] if turns else "Ask", "conversation": conversation, "said": [self._said(turn, waiting) for turn in turns],
            "undone": [
                Undone(text=told[turn].text, steps=task.plan.steps if task.plan else (), waits=bool(task.requests) and task.plan is None)
                for turn, task in pending if turn in told
            ],
            "busy": conversation in self._busy, "trouble": _told(self._troubles.get(conversation)), "limit": LIMIT,
            "working": self._site.gateway.worker is not None,
        }  # fmt: skip

    def _said(self, turn: Turn, waiting: set[int]) -> Said:
        data = turn.data or {}
        kind = data.get("kind", "")
        requests = tuple(self._progress(number) for number in data.get("requests", ())) if kind == "waits" else ()
        return Said(role=turn.role, text=turn.text, at=turn.at, kind=kind, receipts=data.get("receipts", ()), requests=requests)

    def _progress(self, number: int) -> Progress:
        return progress(self._site.parts, number)


def add_to(site: Site) -> None:
    ask, memory = Ask(site), site.gateway.place.conversations.memory

    def mine(conversation: str, visitor: Visitor) -> str:
        """The conversation, where it is this person's: to anybody else it is not there."""
        try:
            if memory.get(conversation[:64]).user == visitor.name:
                return conversation[:64]
        except NotFound:
            pass
        raise NotFound("There is no such conversation of yours.", next_step="/ask begins one.")

    def start(visitor: Visitor, request: Request) -> dict[str, Any]:
        return {"title": "Ask", "talks": memory.talks(visitor.name), "limit": LIMIT}

    def show(visitor: Visitor, request: Request) -> dict[str, Any]:
        return ask.show(mine(request.path_params["conversation"], visitor), visitor.name)

    def begin(visitor: Visitor, request: Request, fields: dict[str, str]) -> str:
        if not fields.get("text", "").strip() or len(fields["text"]) > LIMIT:
            ask.say("", fields.get("text", ""), visitor.name)  # which says why not, and begins nothing
        conversation = memory.start(visitor.name)
        ask.say(conversation, fields["text"], visitor.name)
        return f"/ask/{conversation}"

    def go_on(visitor: Visitor, request: Request, fields: dict[str, str]) -> str:
        conversation = mine(request.path_params["conversation"], visitor)
        ask.say(conversation, fields.get("text", ""), visitor.name)
        return f"/ask/{conversation}"

    site.page("/ask", "ask.html", start, "invoke", "request", personal=True)
    site.page("/ask/{conversation}", "talk.html", show, "invoke", "request", personal=True)
    site.form("/ask", begin, "invoke", "request")
    site.form("/ask/{conversation}", go_on, "invoke", "request")


def _told(error: SkillOpsError | None) -> dict[str, str] | None:
    return error.told() if error else None
