"""Errors as problem+json (RFC 9457), with the codes that the command has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from agent.errors import (
    ConfigurationError,
    CouldNotTell,
    InvalidInputs,
    InvocationFailed,
    MissingSecret,
    NotFound,
    Refused,
    SkillOpsError,
    UsageError,
    WaitsForPerson,
)

KIND = "application/problem+json"

# The first that an error is an instance of.
_STATUS: tuple[tuple[type[SkillOpsError], int], ...] = (
    (NotFound, 404),
    (InvalidInputs, 422),
    (UsageError, 400),
    (Refused, 409),
    (WaitsForPerson, 409),
    (CouldNotTell, 503),
    (ConfigurationError, 500),
)
# Of an invocation, by its reason; any other is the skill's own word on what it was given.
_INVOCATION_STATUS = {
    "timeout": 504, "unreachable": 503, "busy": 503, "unhealthy": 503, "crashed": 502, "out-of-memory": 502, "bad-reply": 502, "bad-outputs": 502,
    "too-large": 502, "bad-request": 502,
}  # fmt: skip


class TurnedAway(SkillOpsError):
    """The gateway's own no, before a skill or the pipeline hears of a call."""

    status: ClassVar[int] = 400

    def __init__(self, what: str, *, why: str = "", next_step: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(what, why=why, next_step=next_step)
        self.headers = dict(headers or {})


class Unauthorized(TurnedAway):
    exit_code, code, status = 5, "unauthorized", 401


class Forbidden(TurnedAway):
    code, status = "forbidden", 403


class WrongMethod(TurnedAway):
    exit_code, code, status = 2, "method-not-allowed", 405


class TooLarge(TurnedAway):
    exit_code, code, status = 2, "too-large", 413


class HeadTooLarge(TurnedAway):
    exit_code, code, status = 2, "head-too-large", 431


class WrongType(TurnedAway):
    exit_code, code, status = 2, "unsupported-media-type", 415


class WrongHost(TurnedAway):
    exit_code, code, status = 2, "wrong-host", 421


class TooMany(TurnedAway):
    exit_code, code, status, of_caller = 4, "too-many-calls", 429, True


class Busy(TurnedAway):
    exit_code, code, status, of_caller = 4, "busy", 503, True


class CircuitOpen(TurnedAway):
    exit_code, code, status, of_caller = 4, "circuit-open", 503, True


class TooSlow(TurnedAway):
    exit_code, code, status = 2, "request-timeout", 408


def status_of(error: SkillOpsError) -> int:
    if isinstance(error, TurnedAway):
        return error.status
    if isinstance(error, InvocationFailed):
        return _INVOCATION_STATUS.get(error.code_, 422)
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem(error: SkillOpsError, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body. `exit_code` is what the command would have ended with; `receipt` is of the call that ended so, if one did."""
    status = status_of(error)
    document: dict[str, Any] = {
        "type": f"urn:skillops:{error.code}", "title": error.what, "status": status, "detail": error.why, "code": error.code,
        "next_step": error.next_step, "exit_code": error.exit_code, "request_id": request_id,
    }  # fmt: skip
    if isinstance(error, InvocationFailed):
        document["reason"] = error.code_
    if isinstance(error, MissingSecret) and error.links:
        document["links"] = dict(error.links)
    if error.receipt:
        document["receipt"] = error.receipt.model_dump(mode="json")
    return status, {"content-type": KIND, **getattr(error, "headers", {})}, json.dumps(document).encode()
