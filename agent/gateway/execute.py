"""The hot route: POST /skills/NAME/execute and /skills/NAME@VERSION/execute."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from pydantic_core import from_json, to_json

from agent.domain.invocation import InvocationResult
from agent.domain.wire import written
from agent.errors import InvocationFailed, MissingSecret, UsageError
from agent.gateway.authority import demand
from agent.gateway.door import Answer, Visit
from agent.gateway.gateway import Call, Gateway
from agent.gateway.own_secrets import offer_links
from agent.gateway.problems import WrongMethod

_PATH = re.compile(r"/skills/([^/@]+)(?:@([^/@]+))?/execute")
_JSON = {"content-type": "application/json"}
EXAMPLE = 'For example {"inputs": {"text": "one two"}}.'


def route(gateway: Gateway) -> Callable[[Visit], Coroutine[Any, Any, Answer] | None]:
    """The door's hot route."""

    def hot(visit: Visit) -> Coroutine[Any, Any, Answer] | None:
        found = _PATH.fullmatch(visit.path)
        return _execute(gateway, visit, found[1], found[2]) if found else None

    return hot


async def _execute(gateway: Gateway, visit: Visit, name: str, version: str | None) -> Answer:
    if visit.method != "POST":
        raise WrongMethod(f"{visit.method} calls no skill.", next_step="Send a POST.", headers={"allow": "POST"})
    assert visit.key is not None, "the door asks for a key here"
    demand(visit.key, "invoke")
    inputs, deadline = _asked(visit.body)
    call = Call(visit.request_id, visit.traceparent, deadline)
    try:
        return 200, _JSON, _answer(await gateway.invoke(name, inputs, visit.key, call, version))
    except MissingSecret as missing:
        base = gateway.place.parts.settings.gateway_url or f"http://{visit.headers.get('host', '')}"
        await asyncio.to_thread(offer_links, missing, gateway.place.parts, base, visit.key.name)
        raise


def _answer(result: InvocationResult) -> bytes:
    try:
        return b'{"success": true, "outputs": %b, "receipt": %b}' % (written(result.outputs), to_json(result.receipt))
    except ValueError:  # 1e999 is JSON, and reads as Infinity
        raise InvocationFailed("bad-outputs", f"{result.receipt.skill} answered a number that is too large.") from None


def _asked(body: bytes) -> tuple[Any, float | None]:
    """The inputs, and the deadline in seconds where the context has one. UsageError for what is not of the form."""
    try:
        document = _read(body)
    except (ValueError, RecursionError) as error:
        raise UsageError("The body is not JSON.", why=f"{str(error)[:200]}.", next_step=EXAMPLE) from None
    if not isinstance(document, dict) or "inputs" not in document or document.keys() - {"inputs", "context"}:
        raise UsageError('The body must be {"inputs": {…}}.', why="Beside it there may be a context.", next_step=EXAMPLE)
    context = document.get("context", {})
    if not isinstance(context, dict):
        raise UsageError("The context must be an object.", next_step='Leave it out, or give {"deadline": SECONDS}.')
    deadline = context.get("deadline")
    if deadline is not None and (isinstance(deadline, bool) or not isinstance(deadline, int | float) or not 0 < deadline < 1e6):
        raise UsageError("The deadline must be a number of seconds above 0.", next_step='For example {"deadline": 5}.')
    return document["inputs"], deadline


def _read(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:  # wrong, or one of the few things that Rust does not take; and here it is told in words that are known
        return _DECODER.decode(body.decode())


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON's")


_DECODER = json.JSONDecoder(parse_constant=_no_number)
