"""What an MCP client is answered, as JSON values: the same words for the hot path and for the library's server. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from agent.domain.invocation import InvocationResult
from agent.domain.schema import Json
from agent.domain.wire import written
from agent.errors import InvocationFailed, NotFound, SkillOpsError
from agent.gateway.problems import Forbidden

RECEIPT, ERROR = "skillops/receipt", "skillops/error"  # keys of a result's `_meta`
INVALID_PARAMS = -32602  # of JSON-RPC 2.0; MCP has it for a tool or a resource that is not there


class Fault(NamedTuple):
    """A JSON-RPC error: the call was wrongly put, and no tool heard of it."""

    code: int
    message: str
    data: dict[str, str]


def told(result: InvocationResult) -> dict[str, Any]:
    """The result of tools/call: the outputs as structured content and as text, the receipt in `_meta`. Raises InvocationFailed."""
    return structured(result.outputs, result.receipt.skill, {RECEIPT: dict(result.receipt)})


def structured(outputs: Json, tool: str, meta: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        text = written(outputs).decode()
    except ValueError:  # 1e999 is JSON, and reads as Infinity
        raise InvocationFailed("bad-outputs", f"{tool} answered a number that is too large.") from None
    result = {"content": [{"type": "text", "text": text}], "structuredContent": outputs, "isError": False, "resultType": "complete"}
    return {**result, "_meta": meta} if meta else result


def failed(error: SkillOpsError) -> dict[str, Any] | Fault:
    """What a call came to that has no outputs.

    What a model can mend or must know (wrong inputs, what the skill says, one that is busy) is a tool's error, in the result; a
    tool that is not there, or is not this key's, is an error of the protocol (MCP 2026-07-28, server/tools, "Error Handling").
    """
    if isinstance(error, NotFound | Forbidden):
        return Fault(INVALID_PARAMS, str(error), error.told())
    meta: dict[str, Any] = {ERROR: error.told() | ({"reason": error.code_} if isinstance(error, InvocationFailed) else {})}
    if error.receipt:
        meta[RECEIPT] = error.receipt.model_dump(mode="json")
    return {"content": [{"type": "text", "text": str(error)}], "isError": True, "resultType": "complete", "_meta": meta}
