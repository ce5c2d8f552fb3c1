"""An Invocation: a call of a skill, its reply, and the receipt. The wire format is the design's `/execute`."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import Field
from pydantic_core import from_json

from agent.domain import Frozen
from agent.domain.schema import Json
from agent.domain.skill import SkillName
from agent.domain.wire import written

MAX_BODY = 8 * 2**20  # bytes of inputs or outputs, either way
SAID = 8192  # characters of what a skill says in place of outputs; anybody is told much less


class Receipt(Frozen):
    """What was called: enough to find the pull request behind an answer. `struck`: how many witness cases an arbiter took out of those
    that it was held against. `failed`: the code with which the call ended that has no outputs. `pasted`: kinds of what looked like a secret in
    the inputs, which went to the skill as it came and is kept nowhere. `calls`: of the skills that it called on the way, as they ended."""

    skill: SkillName
    version: str
    digest: str
    proposal: int | None = None
    approvers: tuple[str, ...] = ()
    struck: int | None = Field(default=None, exclude_if=lambda struck: struck is None)
    request_id: str = ""
    seconds: float = 0.0
    failed: str = Field(default="", exclude_if=lambda code: not code)
    pasted: tuple[str, ...] = Field(default=(), exclude_if=lambda kinds: not kinds)
    calls: tuple[Receipt, ...] = Field(default=(), exclude_if=lambda calls: not calls)

    @property
    def inner(self) -> int:
        """How many calls of further skills it came to."""
        return sum(1 + each.inner for each in self.calls)

    @property
    def skills(self) -> set[str]:
        """What was called, and what that called."""
        return {self.skill}.union(*(each.skills for each in self.calls))


class Invocation(NamedTuple):
    """One call. `deadline_seconds` is how long the skill may take. `written`: the inputs as JSON, where somebody wrote them already.
    `ticket`: what the skill shows when it calls those that it requires, on behalf of `caller` and for as long as this call takes.

    It and its Reply are made for every call and leave no process, so nothing holds them against a schema of their own.
    """

    skill: str
    inputs: dict[str, Json]
    request_id: str
    caller: str
    deadline_seconds: float = 30.0
    traceparent: str = ""
    written: bytes = b""
    ticket: str = ""

    def body(self) -> bytes:
        context = {"request_id": self.request_id, "deadline": self.deadline_seconds, "traceparent": self.traceparent, "caller": self.caller}
        if self.ticket:
            context["call"] = self.ticket
        return b'{"inputs": %b, "context": %b}' % (self.written or written(self.inputs), written(context))


class Reply(NamedTuple):
    """What came back over `/execute`, before it is held against the schema. `error_code` is set where not `success`. `error_message` is longer
    than anybody is told: it is cut once no secret can be cut with it.

    `gone`: nobody answered, or not in the form of the contract; what a skill says of itself never sets it.
    """

    success: bool
    outputs: Json = None
    error_code: str | None = None
    error_message: str = ""
    seconds: float = 0.0
    gone: bool = False

    @classmethod
    def parse(cls, body: bytes, seconds: float = 0.0) -> Reply:
        """Reads a response body; anything that is not the contract's form becomes the error `bad-reply`."""
        try:
            raw: Any = from_json(body, allow_inf_nan=False)  # which also refuses nesting that no prompt or answer could carry
            if raw["success"] is True:
                return cls(success=True, outputs=raw["outputs"], seconds=seconds)
            error = raw["error"]
            return cls(success=False, error_code=str(error["code"])[:80], error_message=str(error["message"])[:SAID], seconds=seconds)
        except (ValueError, KeyError, TypeError):
            message = f"the reply is not of the form of /execute: {body[:SAID]!r}"
            return cls(success=False, error_code="bad-reply", error_message=message, seconds=seconds, gone=True)


class InvocationResult(NamedTuple):
    """Outputs that fit the schema, with the receipt."""

    outputs: dict[str, Json]
    receipt: Receipt
