"""Ask: a talk with the agent in a page. A door to `conversation.py` and nothing more: what was said, and how far it went, is its memory's."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.domain import Frozen
from agent.domain.invocation import Receipt
from agent.domain.plan import Step
from agent.domain.profile import ASSISTANT, Profile
from agent.domain.question import Question, says_stop
from agent.drawings import Drawing
from agent.errors import MissingSecret, NotFound, SkillOpsError, UsageError
from agent.gateway.own_secrets import offer_links
from agent.gateway.pages.requests import Progress, progress
from agent.gateway.pages.site import Site
from agent.gateway.pages.visitors import Visitor
from agent.gateway.problems import Busy
from agent.gateway.secrets import address
from agent.gateway.shares import Places
from agent.memory import Turn
from agent.pending import Pending
from agent.plan_kept import KeptRun
from agent.profiles import profile_named, profiles
from agent.stages.assessing import LIMIT

AT_ONCE, EACH = 8, 6  # turns: of all who ask, and of one of them
TOLD = "The agent talks with as many people as it can, or with you as often."
SEEN = 1.0  # seconds in which what was said is in the memory, as a rule
_MEDIA = {"png": "image/png", "jpg": "image/jpeg", "gif": "image/gif", "webp": "image/webp", "svg": "image/svg+xml"}
# A picture is a skill's word for it: as a page of its own it runs nothing and loads nothing.
_PICTURE = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox", "cache-control": "private, max-age=3600",
    "x-content-type-options": "nosniff",
}  # fmt: skip
log = logging.getLogger("agent.gateway")


class Said(Frozen):
    """One thing said. Of the agent's: what kind of answer it is, how its plans ran, the receipts behind it, the requests that it waits for, and
    what is drawn: tables as rows of text, the first their head, and the addresses of pictures."""

    role: str
    text: str
    at: str
    kind: str = ""
    runs: tuple[KeptRun, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    requests: tuple[Progress, ...] = ()
    tables: tuple[tuple[tuple[str, ...], ...], ...] = ()
    pictures: tuple[str, ...] = ()


class Doing(Frozen):
    """A task that is not answered yet: the plan, as far as there is one, which of its steps are `called` now, and what it waits for."""

    turn: int
    steps: tuple[Step, ...] = ()
    called: tuple[str, ...] = ()
    question: Question | None = None
    waits: bool = False


class Ask:
    """The turns under way. Each has a thread, which no end of the gateway waits for: the task lies in the memory."""

    def __init__(self, site: Site) -> None:
        self._site, self._place = site, site.gateway.place
        self._busy: set[str] = set()
        self._troubles: dict[str, SkillOpsError] = {}
        self._lock, self._places = threading.Lock(), Places(AT_ONCE, EACH, TOLD)

    def say(self, conversation: str, text: str, person: str, base: str) -> None:
        """Begins a turn; `base` is where the person reaches us. Busy where one is under way in this conversation, or too many in all."""
        if conversation in self._busy and says_stop(text):
            self.stop(conversation, person)
            return
        with self._lock:
            if conversation in self._busy:
                raise Busy("The agent is still at your last question.", next_step="Wait for its answer, or begin another conversation.")
            self._places.take(person)
            self._busy.add(conversation)
            self._troubles.pop(conversation, None)
        before = len(self._place.conversations.memory.turns(conversation))
        thread = threading.Thread(target=self._turn, args=(conversation, text, person, base), name=f"ask {conversation[:8]}", daemon=True)
        thread.start()
        until = time.monotonic() + SEEN
        while thread.is_alive() and time.monotonic() < until and len(self._place.conversations.memory.turns(conversation)) == before:
            time.sleep(0.01)

    def stop(self, conversation: str, person: str) -> None:
        """Breaks off the turn that is under way, and lets go what waits. Waits a moment for it to be seen."""
        self._place.conversations.stop(conversation, person)
        until = time.monotonic() + SEEN
        while conversation in self._busy and time.monotonic() < until:
            time.sleep(0.01)

    def _turn(self, conversation: str, text: str, person: str, base: str) -> None:
        try:
            self._place.parts.sync()
            result = self._place.conversations.turn(conversation, text, person)
            if result.kind == "waits":
                self._site.gateway.raised()
        except SkillOpsError as error:
            log.warning("conversation %s: %s", conversation, error)
            if isinstance(error, MissingSecret):
                offer_links(error, self._place.parts, base, person)
            self._troubles[conversation] = error
        finally:
            with self._lock:
                self._busy.discard(conversation)
                self._places.give_back(person)

    def show(self, conversation: str) -> dict[str, Any]:
        memory = self._place.conversations.memory
        turns, undone = memory.turns(conversation), memory.undone(conversation)
        doing = [self._doing(each.turn, Pending.model_validate({**each.pending, "turn": each.turn})) for each in undone]
        tokens, cost = self._place.conversations.spent(conversation)
        return {
            "title": turns[0].text[:80] if turns else "Ask", "conversation": conversation, "agent": memory.get(conversation).agent,
            "turns": [self._said(turn) for turn in turns], "doing": doing, "question": next((each.question for each in doing if each.question), None),
            "busy": conversation in self._busy, "trouble": _told(self._troubles.get(conversation)), "limit": LIMIT, "tokens": tokens, "cost": cost,
            "working": self._site.gateway.worker is not None,
        }  # fmt: skip

    def _said(self, turn: Turn) -> Said:
        data = turn.data or {}
        kind, of = data.get("kind", ""), data.get("turn")
        requests = tuple(progress(self._site.parts, number) for number in data.get("requests", ())) if kind == "waits" else ()
        runs = tuple(self._place.conversations.runs(of)) if of is not None and kind in ("answered", "failed", "stopped") else ()
        drawn = self._place.conversations.memory.drawings(of, data=False) if of is not None and kind == "answered" else []
        return Said(
            role=turn.role, text=turn.text, at=turn.at, kind=kind, runs=runs, receipts=data.get("receipts", ()), requests=requests,
            tables=tuple(each.rows for each in drawn if each.rows),
            pictures=tuple(f"/ask/{turn.conversation}/pictures/{of}/{number}" for number, each in enumerate(drawn) if each.ending),
        )  # fmt: skip

    def picture(self, conversation: str, turn: str, number: str) -> Drawing:
        """A picture of an answer in the conversation. NotFound where there is none."""
        memory = self._place.conversations.memory
        mine = {each.id for each in memory.turns(conversation)}
        drawn = memory.drawings(int(turn)) if turn.isdecimal() and len(turn) < 12 and int(turn) in mine else []
        found = drawn[int(number)] if number.isdecimal() and len(number) < 3 and int(number) < len(drawn) else None
        if found is None or not found.ending:
            raise NotFound("There is no such picture.", next_step=f"/ask/{conversation} shows what there is.")
        return found

    def _doing(self, turn: int, task: Pending) -> Doing:
        feed, begun = self._site.gateway.feed, f"{task.ident}-"
        lines = feed.lately() if feed else []
        called = [line.event.data.get("step", "") for line in lines if str(line.event.data.get("call", "")).startswith(begun)]
        steps = task.plan.steps if task.plan else ()
        return Doing(turn=turn, steps=steps, called=tuple(called), question=task.question, waits=bool(task.requests) and task.plan is None)


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
        agents = [found for _, found in profiles(site.parts.forge) if isinstance(found, Profile)]
        return {"title": "Ask", "talks": memory.talks(visitor.name), "limit": LIMIT, "agents": agents}

    def show(visitor: Visitor, request: Request) -> dict[str, Any]:
        return ask.show(mine(request.path_params["conversation"], visitor))

    def begin(visitor: Visitor, request: Request, fields: dict[str, str]) -> str:
        text, agent = _fitting(fields), fields.get("agent") or ASSISTANT
        profile_named(agent[:63], site.parts.forge)  # one that is not there begins nothing
        conversation = memory.start(visitor.name, agent)
        ask.say(conversation, text, visitor.name, address(request, site.parts.settings))
        return f"/ask/{conversation}"

    def go_on(visitor: Visitor, request: Request, fields: dict[str, str]) -> str:
        conversation = mine(request.path_params["conversation"], visitor)
        ask.say(conversation, _fitting(fields), visitor.name, address(request, site.parts.settings))
        return f"/ask/{conversation}"

    def stop(visitor: Visitor, request: Request, fields: dict[str, str]) -> str:
        conversation = mine(request.path_params["conversation"], visitor)
        ask.stop(conversation, visitor.name)
        return f"/ask/{conversation}"

    async def picture(request: Request) -> Response:
        visitor = await run_in_threadpool(site.allowed, request, ("invoke", "request"))
        words = request.path_params
        found = await run_in_threadpool(lambda: ask.picture(mine(words["conversation"], visitor), words["turn"], words["number"]))
        return Response(found.data, headers=_PICTURE, media_type=_MEDIA[found.ending])

    site.forms.append(Route("/ask/{conversation}/pictures/{turn}/{number}", picture, methods=["GET"]))
    site.page("/ask", "ask.html", start, "invoke", "request", personal=True)
    site.page("/ask/{conversation}", "talk.html", show, "invoke", "request", personal=True)
    site.form("/ask", begin, "invoke", "request")
    site.form("/ask/{conversation}", go_on, "invoke", "request")
    site.form("/ask/{conversation}/stop", stop, "invoke", "request")


def _fitting(fields: dict[str, str]) -> str:
    text = fields.get("text", "")
    if not text.strip():
        raise UsageError("Nothing was said.", next_step="Say what you would like to have done.")
    if len(text) > LIMIT:
        raise UsageError(
            "That is too much to ask at once.", why=f"It has {len(text):,} characters; {LIMIT:,} is the most.", next_step="Say it in a page."
        )
    return text


def _told(error: SkillOpsError | None) -> dict[str, Any] | None:
    return {**error.told(), "links": dict(getattr(error, "links", {}))} if error else None
