"""The tools with which an MCP client extends itself: request_capability, capability_status and withdraw_capability."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from agent.domain.progress import State
from agent.domain.schema import Json, Schema, violations
from agent.errors import InvalidInputs
from agent.gateway.authority import demand
from agent.gateway.gateway import Gateway
from agent.gateway.verdicts import WHY
from agent.gateway.wishes import LONGEST_TITLE, Wish, raise_wish, request_of, standing, withdraw
from agent.keys import Key
from agent.stages.assessing import LIMIT

Progress = Callable[[float, str], Awaitable[None]]
LOOK_EVERY = 1.0  # seconds between two looks at a request that is waited for
LONGEST_WAIT = 600

_STATUS: Schema = {
    "type": "object",
    "properties": {
        "number": {"type": "integer", "description": "The request's number, for capability_status."},
        "title": {"type": "string"},
        "state": {"type": "string", "enum": [str(state) for state in State]},
        "stage": {"type": "string", "description": "What is done next."},
        "waiting_for": {"type": "string", "description": "Whom it waits for: requester, person, or nobody."},
        "why": {"type": "string", "description": "Why it waits, or the question that was asked."},
        "skill": {"type": "string", "description": "The skill that came of it, or is being made; empty where there is none yet."},
        "callable": {"type": "boolean", "description": "Whether that skill is a tool now."},
        "next_step": {"type": "string"},
    },
    "required": ["number", "title", "state", "stage", "waiting_for", "why", "skill", "callable", "next_step"],
}
_WAIT = {
    "type": "number", "minimum": 0, "maximum": LONGEST_WAIT,
    "description": "Seconds to wait until the skill can be called or somebody is waited for. 0 answers at once.",
}  # fmt: skip
TOOLS: dict[str, dict[str, Any]] = {
    "capability_status": {
        "name": "capability_status",
        "title": "Follow a capability request",
        "description": "Where a capability request stands: its state, the stage that is next, whom it waits for and why, and the skill it led to.",
        "inputSchema": {
            "type": "object",
            "properties": {"number": {"type": "integer", "minimum": 1, "maximum": 2**31}, "wait": _WAIT},
            "required": ["number"],
            "additionalProperties": False,
        },
        "outputSchema": _STATUS,
        "annotations": {"readOnlyHint": True, "idempotentHint": True, "destructiveHint": False, "openWorldHint": False},
    },
    "request_capability": {
        "name": "request_capability",
        "title": "Request a capability",
        "description": (
            "Ask for a tool that is missing. It is written with its tests, checked, reviewed and, once merged, appears among the tools. "
            "Use it when no tool does what the task needs; say what goes in and what should come out, with an example."
        ),
        "inputSchema": {
            "type": "object",
            "properties": {
                "text": {"type": "string", "minLength": 1, "maxLength": LIMIT, "description": "What is missing, in words, with an example."},
                "title": {"type": "string", "maxLength": LONGEST_TITLE, "description": "A few words; may be left out."},
                "wait": _WAIT,
            },
            "required": ["text"],
            "additionalProperties": False,
        },
        "outputSchema": _STATUS,
        "annotations": {"readOnlyHint": False, "idempotentHint": False, "destructiveHint": False, "openWorldHint": False},
    },
    "withdraw_capability": {
        "name": "withdraw_capability",
        "title": "Take a capability request back",
        "description": "Cancel a capability request of yours for which nothing is proposed yet: what is done for it stops, and costs nothing more.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "number": {"type": "integer", "minimum": 1, "maximum": 2**31},
                "why": {"type": "string", "maxLength": WHY, "description": "Why, for those who read of it; may be left out."},
            },
            "required": ["number"],
            "additionalProperties": False,
        },
        "outputSchema": _STATUS,
        "annotations": {"readOnlyHint": False, "idempotentHint": False, "destructiveHint": True, "openWorldHint": False},
    },
}


_TAKES = {
    "request_capability": "a text and perhaps a title", "capability_status": "the number of a request",
    "withdraw_capability": "the number of a request and perhaps a why",
}  # fmt: skip


async def call(name: str, arguments: Json, key: Key, gateway: Gateway, progress: Progress) -> dict[str, Any]:
    """The outputs of one of them. `progress` hears each new state while it is waited for. Forbidden without the scope request."""
    demand(key, "request")
    if broken := violations(TOOLS[name]["inputSchema"], arguments):
        raise InvalidInputs(f"The inputs of {name} are not right.", why="; ".join(broken), next_step=f"It takes {_TAKES[name]}.")
    parts, number = gateway.place.parts, int(arguments.get("number", 0))
    if name == "request_capability":
        wish = Wish(text=arguments["text"], title=arguments.get("title", ""))
        number = (await asyncio.to_thread(raise_wish, wish, key, parts)).number
        gateway.raised()
    if name == "withdraw_capability":
        await asyncio.to_thread(withdraw, number, key, parts, arguments.get("why", ""), "`skillops list` and GET /requests")
        gateway.raised()
    return await _followed(number, arguments.get("wait", 0), gateway, progress)


async def _followed(number: int, patience: float, gateway: Gateway, progress: Progress) -> dict[str, Any]:
    until, state, heard = time.monotonic() + patience, "", 0
    while True:
        status = await asyncio.to_thread(_status, number, gateway)
        left = until - time.monotonic()
        if left <= 0 or status["callable"] or status["waiting_for"] not in ("", "parts") or status["state"] == State.CLOSED:
            return status
        if status["state"] != state:
            state, heard = status["state"], heard + 1  # work may go back to its author; progress only rises
            await progress(float(heard), f"#{number} is {state}; {status['stage']} is next.")
        await asyncio.sleep(min(LOOK_EVERY, left))


def _status(number: int, gateway: Gateway) -> dict[str, Any]:
    parts = gateway.place.parts
    asked = request_of(number, parts, where="`skillops list` and GET /requests")
    seen, step = standing(number, parts)
    asked = seen.request or asked  # it may have ended since: what is told is of one moment
    gap = seen.gap
    skill = seen.proposal.skill if seen.proposal else (gap.contract.name if gap and gap.contract else gap.skill if gap else None) or ""
    merged = seen.proposal is not None and seen.proposal.state == "merged" and seen.released
    entry = parts.catalog.entry(skill) if merged or (gap and gap.verdict == "covered") else None
    why = step.why or (gap.reason if gap and step.state is State.CLOSED else "")
    return {
        "number": number, "title": asked.title, "state": str(step.state), "stage": str(step.stage), "waiting_for": step.waiting_for, "why": why,
        "skill": skill, "callable": entry is not None and entry.status == "active",
        "next_step": _advice(step.state, skill if entry else "", step.waiting_for, gateway.worker is not None, divided=asked.met),
    }  # fmt: skip


def _advice(state: State, skill: str, waiting_for: str, works: bool, *, divided: bool) -> str:
    if skill:
        return f"Call the tool {skill}."
    if waiting_for == "requester":
        return "Answer the question with `skillops reply`, or POST /requests/NUMBER/replies."
    if waiting_for and waiting_for != "parts":
        return "A person has to look: `skillops explain NUMBER` tells what they should decide."
    if state is State.CLOSED and divided:
        return "Each of its parts has a skill now: list the tools again."
    if state is State.CLOSED:
        return "It was closed without a skill; `skillops explain NUMBER` tells why."
    return "Ask capability_status again." if works else "`skillops run` carries it on; then ask capability_status again."
