"""Invoking: a skill is called with inputs that fit its schema, and its reply is held against the contract.

`prepare` and `interpret` are pure; `invoke` is the thin sync driver around them (the gateway has an async one).
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Protocol

from agent.caller import execute
from agent.domain.invocation import MAX_BODY, SAID, Invocation, InvocationResult, Receipt, Reply
from agent.domain.registry import Entry
from agent.domain.schema import Json, violations
from agent.domain.skill import Manifest
from agent.domain.wire import written
from agent.errors import InvalidInputs, InvocationFailed, Refused, SkillOpsError
from agent.pasted import kinds_given, without_secrets
from agent.ports import Endpoints

_HINT = 600  # characters of the schema that a person is shown
_TOLD, _QUOTED = 2000, 300  # characters of what a skill said of its fault, and of what it gave that is none


Strike = Callable[[str, str], str]
"""The text of the skill named, without its secrets."""


class OpenLine(Protocol):
    """What a call of a skill that requires others has while it is made (`agent/lines.py`)."""

    @property
    def ticket(self) -> str: ...
    @property
    def receipts(self) -> Sequence[Receipt]: ...
    @property
    def met(self) -> SkillOpsError | None:
        """What an inner call ended with that is the affair of whoever called the outer one."""
        ...


class Lines(Protocol):
    """Where such a call gets its line."""

    def open(self, manifest: Manifest, invocation: Invocation) -> AbstractContextManager[OpenLine]: ...


def unstruck(skill: str, text: str) -> str:
    """Where there is no vault: what has the form of a secret is struck out alone."""
    return without_secrets(text).text


def struck_of(strike: Strike, receipts: Iterable[Receipt], text: str) -> str:
    """What skills gave that these receipts are of, or a part of it, without any secret of theirs: for a model, a page, and what is kept."""
    for skill in sorted(set[str]().union(*(receipt.skills for receipt in receipts))):
        text = strike(skill, text)
    return unstruck("", text)


def prepare(manifest: Manifest, inputs: Json, caller: str, request_id: str, deadline: float | None = None, traceparent: str = "") -> Invocation:
    """The call of the skill with `inputs`; it may take its own timeout, or `deadline` seconds where that is less.

    Raises InvalidInputs where the inputs do not fit the schema, Refused where the skill is retired.
    """
    if manifest.status == "retired":
        raise Refused(
            f"{manifest.name} is retired.",
            why="A retired skill is kept for its history and is not called.",
            next_step=f"`skillops search` finds one that replaces it; `skillops history {manifest.name}` tells why it went.",
        )
    text, problem = _written(manifest, inputs)
    if problem:
        why = without_secrets(problem).text  # which quotes them
        raise InvalidInputs(f"The inputs of {manifest.name} are not right.", why=why, next_step=f"It takes {_shape(manifest)}.")
    seconds = manifest.resources.timeout_seconds
    return Invocation(
        skill=manifest.name,
        inputs=inputs,
        request_id=request_id,
        caller=caller,
        deadline_seconds=seconds if deadline is None else min(deadline, seconds),
        traceparent=traceparent,
        written=text,
    )


def interpret(
    manifest: Manifest, entry: Entry, invocation: Invocation, reply: Reply, strike: Strike = unstruck, line: OpenLine | None = None
) -> InvocationResult:
    """The outputs with their receipt, which holds those of the inner calls over the `line`. Raises InvocationFailed with the skill's or the
    caller's code, or `bad-outputs`; where the skill had no answer because of what it met over the line and the caller can mend, that. Each
    carries the receipt, too.

    `strike` takes the skill's secrets out of what an error quotes.
    """
    receipt = receipt_of(entry, invocation, reply.seconds, line)
    if not reply.success:
        code = strike(manifest.name, reply.error_code or "error")
        why = strike(manifest.name, reply.error_message)[: _TOLD if not reply.gone else _QUOTED]
        if line and line.met:
            raise line.met.met_by(manifest.name).with_receipt(receipt.model_copy(update={"failed": code}))
        raise _failed(receipt, code, f"{manifest.name} did not answer: {code}.", why, _advice(code, manifest))
    broken = violations(manifest.outputs, reply.outputs, most=SAID)
    if broken:
        raise _failed(
            receipt, "bad-outputs", f"{manifest.name} answered outputs that its own schema does not allow.",
            "; ".join(strike(manifest.name, each)[:_QUOTED] for each in broken),
            f"Raise a request to mend it (`skillops request`), or go back with `skillops rollback {manifest.name}`.",
        )  # fmt: skip
    return InvocationResult(outputs=reply.outputs, receipt=receipt)


def receipt_of(entry: Entry, invocation: Invocation, seconds: float, line: OpenLine | None, failed: str = "") -> Receipt:
    """The receipt of a call of the skill as the registry has it; `failed` is the code with which it ended, where it has no outputs."""
    return Receipt(
        skill=entry.name, version=entry.version, digest=entry.digest, proposal=entry.proposal, approvers=entry.approvals,
        struck=entry.struck, request_id=invocation.request_id, seconds=seconds, failed=failed, pasted=kinds_given(invocation.written),
        calls=tuple(line.receipts) if line else (),
    )  # fmt: skip


def keep_receipts(error: SkillOpsError, entry: Entry, invocation: Invocation, seconds: float, line: OpenLine | None) -> None:
    """Has what ended a call that was under way carry the receipts of what had been called until then."""
    if error.receipt is None and line and line.receipts:
        error.with_receipt(receipt_of(entry, invocation, seconds, line, error.code))


def invoke(
    manifest: Manifest,
    entry: Entry,
    inputs: Json,
    runtime: Endpoints,
    caller: str,
    *,
    request_id: str | None = None,
    deadline: float | None = None,
    strike: Strike = unstruck,
    traceparent: str = "",
    lines: Lines | None = None,
    own: bool = False,
) -> InvocationResult:
    """Calls a deployed skill. Without `lines` it cannot call those that it requires. `own`: on a server of the caller's own, where the skill
    can have one. Raises what `prepare`, `interpret` and `Runtime.endpoint` raise."""
    invocation = prepare(manifest, inputs, caller, request_id or uuid.uuid4().hex, deadline, traceparent)
    theirs = manifest.permissions.personal or (own and manifest.apart)
    place = partial(runtime.endpoint, entry.name, caller if theirs else "")
    endpoint = place()
    started = time.monotonic()
    with lines.open(manifest, invocation) if lines and manifest.requires else nullcontext() as line:
        try:
            reply = execute(endpoint, invocation._replace(ticket=line.ticket) if line else invocation, again=place)
        except SkillOpsError as error:
            keep_receipts(error, entry, invocation, time.monotonic() - started, line)
            raise
    return interpret(manifest, entry, invocation, reply, strike, line)


def _failed(receipt: Receipt, code: str, what: str, why: str, next_step: str) -> InvocationFailed:
    return InvocationFailed(code, what, why=why, next_step=next_step).with_receipt(receipt.model_copy(update={"failed": code}))


def _written(manifest: Manifest, inputs: Json) -> tuple[bytes, str]:
    """The inputs as JSON, and why the skill does not take them, or nothing."""
    try:
        text = written(inputs)
        if len(text) > MAX_BODY:
            return b"", f"they have {len(text)} bytes as JSON; {MAX_BODY} are allowed"
        return text, "; ".join(violations(manifest.inputs, inputs))
    except (TypeError, ValueError, RecursionError) as error:
        return b"", f"they are not JSON: {error}"


def _shape(manifest: Manifest) -> str:
    """What the skill takes, in one line: its properties with their types, and an example."""
    required = manifest.inputs.get("required", [])
    properties = manifest.inputs.get("properties", {})
    names = [f"{name} ({_type(schema)}{'' if name in required else ', optional'})" for name, schema in properties.items()]
    example = json.dumps(manifest.examples[0].inputs, ensure_ascii=False)
    return f"{', '.join(names) or 'an object'}; for example {example}"[:_HINT]


def _type(schema: Json) -> str:
    kind = schema.get("type", "any") if isinstance(schema, dict) else "any"
    return " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def _advice(code: str, manifest: Manifest) -> str:
    return {
        "timeout": f"It may take {manifest.resources.timeout}; ask for less at once, or raise a request to make it faster.",
        "unreachable": f"`skillops logs {manifest.name}` tells what it met; `skillops deploy` starts what should run.",
        "too-large": f"Outputs may have {MAX_BODY // 2**20} MiB; ask for less at once.",
        "bad-reply": f"It may have crashed; `skillops show {manifest.name}` tells its state.",
    }.get(code, "")
