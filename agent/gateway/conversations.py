"""The routes of conversations: a task for the agent, its answer, and the answers to what the agent asks. A door to `conversation.py`."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from agent.domain import Frozen
from agent.domain.profile import Profile
from agent.domain.question import Question
from agent.errors import MissingSecret, NotFound
from agent.gateway.access import key_of, needs
from agent.gateway.bodies import Body
from agent.gateway.gateway import Gateway
from agent.gateway.own_secrets import offer_links
from agent.gateway.secrets import address
from agent.gateway.shares import Places
from agent.pending import Result
from agent.plan_kept import KeptRun
from agent.profiles import profiles
from agent.stages.assessing import LIMIT

AT_ONCE, EACH = 8, 6  # turns: of all who ask, and of one of them
TOLD = "The agent talks with as many people as it can, or with you as often."
Ident = Annotated[str, Path(max_length=64)]


class Words(Body):
    """A task, or the answer to a question."""

    text: str = Field(min_length=1, max_length=LIMIT)


class Begun(Words):
    """The first words of a conversation, and whom they are for."""

    agent: str = Field(default="assistant", max_length=63)


class Line(Frozen):
    """One thing said. `turn` is the task that it belongs to; `at` is ISO 8601."""

    role: Literal["person", "agent"]
    text: str
    at: str
    kind: str = ""
    turn: int | None = None


class Talk(Frozen):
    """A conversation. `question` is what the agent waits for; `tokens` and `cost` (US dollars) are what all of it took."""

    conversation: str
    agent: str
    lines: tuple[Line, ...]
    question: Question | None
    tokens: int
    cost: float


def router(gateway: Gateway) -> APIRouter:
    routes, conversations = APIRouter(dependencies=[needs("invoke"), needs("request")], tags=["conversations"]), gateway.place.conversations
    turns = Places(AT_ONCE, EACH, TOLD)

    def mine(conversation: str, request: Request) -> str:
        """A conversation of the caller's; to anybody else it is not there."""
        try:
            if conversations.memory.get(conversation).user == key_of(request).name:
                return conversation
        except NotFound:
            pass
        raise NotFound("There is no such conversation of yours.", next_step="POST /conversations begins one.")

    def said(conversation: str | None, text: str, request: Request, agent: str | None = None) -> Result:
        parts, key = gateway.place.parts, key_of(request)
        with turns.one(key.id):
            parts.sync()
            try:
                result = conversations.turn(conversation, text, key.name, agent)
            except MissingSecret as missing:
                offer_links(missing, parts, address(request, parts.settings), key.name)
                raise
        if result.kind == "waits":
            gateway.raised()
        return result

    @routes.post("/conversations", status_code=201)
    def begin(words: Begun, request: Request, response: Response) -> Result:
        """Gives an agent a task, and waits for what it comes to: `answered`, `asks` (see `question`), `waits` for a skill that is being
        built, or `failed`."""
        result = said(None, words.text, request, words.agent)
        response.headers["location"] = f"/conversations/{result.conversation}"
        return result

    @routes.post("/conversations/{conversation}/turns", status_code=201)
    def go_on(words: Words, conversation: Ident, request: Request) -> Result:
        """Says more. Where the agent has asked something, these words are the answer; `cancel` leaves it."""
        return said(mine(conversation, request), words.text, request)

    @routes.post("/conversations/{conversation}/stop")
    def stop(conversation: Ident, request: Request) -> Result:
        """Breaks off what the agent does in the conversation, the call of a model that is under way included, and lets go what waits there."""
        return conversations.stop(mine(conversation, request), key_of(request).name)

    @routes.get("/conversations/{conversation}")
    def show(conversation: Ident, request: Request) -> Talk:
        """What was said so far, and what is waited for."""
        memory = conversations.memory
        mine(conversation, request)
        tokens, cost = conversations.spent(conversation)
        lines = [Line(role=turn.role, text=turn.text, at=turn.at, **_of(turn.data)) for turn in memory.turns(conversation)]
        waiting = [question for each in memory.undone(conversation) if (question := each.pending.get("question"))]
        return Talk(
            conversation=conversation, agent=memory.get(conversation).agent, lines=tuple(lines),
            question=Question.model_validate(waiting[0]) if waiting else None, tokens=tokens, cost=cost,
        )  # fmt: skip

    @routes.get("/conversations/{conversation}/plans")
    def plans(conversation: Ident, request: Request) -> list[KeptRun]:
        """The plans of the conversation, as they ran."""
        return [run for turn in conversations.memory.turns(mine(conversation, request)) for run in conversations.runs(turn.id)]

    @routes.get("/agents")
    def agents() -> list[Profile]:
        """The agents that there are; one whose manifest cannot be read is left out (`skillops agents` says why)."""
        return [found for _, found in profiles(gateway.place.parts.forge) if isinstance(found, Profile)]

    return routes


def _of(data: object) -> dict[str, object]:
    given = data if isinstance(data, dict) else {}
    return {"kind": given.get("kind", ""), "turn": given.get("turn")}
