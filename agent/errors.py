"""What stops us from knowing or doing, as types that carry an exit code and advice.

A failed check is a value (`domain.check.CheckResult`), never an exception. An exception means that the question
could not be answered, or was wrongly put. Each says what happened, why, and the next step; `agent/cli.py` is the one
place that prints them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from agent.domain.invocation import Receipt


class SkillOpsError(Exception):
    """Base of everything that a person is told about.

    `what` is one sentence; `why` and `next_step` may be empty. `code` is a stable kebab-case word for machines. `receipt` is of the call of
    a skill that ended with it, if one did. `of_caller`: it is the affair of whoever called, also where a skill in between met it.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "error"
    of_caller: ClassVar[bool] = False
    receipt: Receipt | None = None

    def __init__(self, what: str, *, why: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what, self.why, self.next_step = what, why, next_step

    def with_receipt(self, receipt: Receipt) -> Self:
        """The same, of this call."""
        self.receipt = receipt
        return self

    def met_by(self, skill: str) -> Self:
        """What `skill`, which was called, met when it called another and could not go on without."""
        told = copy.copy(self)
        told.why = " ".join(part for part in (f"{skill} met this in the middle of its work.", self.why) if part)
        return told

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.why, self.next_step) if part)

    @property
    def fault(self) -> str:
        """What and why, without the advice: for the trail and for verdicts, which are read later."""
        return " ".join(part for part in (self.what, self.why) if part)

    def told(self) -> dict[str, str]:
        """As JSON values."""
        return {"code": self.code, "what": self.what, "why": self.why, "next_step": self.next_step}


class Refused(SkillOpsError):
    """A gate, a reviewer or a rule said no."""

    exit_code, code = 1, "refused"


class UsageError(SkillOpsError):
    """The call was wrongly put: a bad argument, inputs that do not fit the schema, a name that is not there."""

    exit_code, code = 2, "usage"


class NotFound(UsageError):
    """A skill, request, proposal or version that does not exist; `next_step` names the nearest."""

    code = "not-found"


class InvalidInputs(UsageError):
    """Inputs that the skill's schema refuses."""

    code = "invalid-inputs"


class WaitsForPerson(SkillOpsError):
    """Nothing can move until a person says something; `next_step` says what and with which command."""

    exit_code, code = 3, "waits-for-person"


class MissingSecret(WaitsForPerson):
    """`skill` needs secrets, `names`, that the vault does not have, or not for it. With a `person`, they are that one's own.

    `links` are one-time forms by name, which a door makes for the person whom it answers.
    """

    code, of_caller = "missing-secret", True

    def __init__(self, what: str, *, why: str = "", next_step: str = "", skill: str = "", names: Sequence[str] = (), person: str = "") -> None:
        super().__init__(what, why=why, next_step=next_step)
        self.skill, self.names, self.person = skill, tuple(names), person
        self.links: Mapping[str, str] = {}


class CouldNotTell(SkillOpsError):
    """The third outcome: we could not find out. It never merges and never blames the author."""

    exit_code, code = 4, "could-not-tell"


class SandboxUnavailable(CouldNotTell):
    """No sandbox can run here. Code is never run bare instead."""

    code = "sandbox-unavailable"


class ModelUnavailable(CouldNotTell):
    """The model could not be reached, timed out, refused, or answered nothing that fits the type asked for.

    `tokens` and `cost` (US dollars) were spent all the same.
    """

    code = "model-unavailable"
    tokens: int = 0
    cost: float = 0.0


class UnusableAnswer(ModelUnavailable):
    """The model is there, but what it said twice over does not fit the type asked for; `why` says what was wrong."""

    code = "unusable-answer"


class ModelLimit(ModelUnavailable):
    """A rate of calls or a day's tokens would be exceeded: no model is asked."""

    code = "model-limit"


class NoRecording(ModelUnavailable):
    """The recorded model was asked a question that its session does not hold."""

    code = "no-recording"


class Stopped(SkillOpsError):
    """A person, `who`, said stop. `tokens` and `cost` (US dollars) of the call that was broken off are those of its finished parts."""

    exit_code, code = 1, "stopped"

    def __init__(self, who: str) -> None:
        super().__init__(f"{who} said stop.", next_step="Say it again to begin anew.")
        self.who, self.tokens, self.cost = who, 0, 0.0


class BudgetSpent(CouldNotTell):
    """Attempts, tokens, money or minutes ran out."""

    code = "budget-spent"


class HeadMoved(CouldNotTell):
    """A branch is no longer where the verdict left it (compare-and-swap lost); looking again heals it."""

    code = "head-moved"


class InQueue(CouldNotTell):
    """A merge is in the forge's merge queue: a machine is waited for, and nobody need do anything."""

    code = "in-queue"


class InvocationFailed(SkillOpsError):
    """A skill was called and did not answer with outputs; `code_` is the skill's or the caller's error code."""

    exit_code, code = 1, "invocation-failed"

    def __init__(self, code_: str, what: str, *, why: str = "", next_step: str = "") -> None:
        super().__init__(what, why=why, next_step=next_step)
        self.code_ = code_


class ConfigurationError(SkillOpsError):
    """Something on this machine or in this repository is set up wrongly."""

    exit_code, code = 5, "configuration"


class InvalidFile(ConfigurationError):
    """A file that cannot be understood, with the place and what was expected there."""

    code = "invalid-file"

    def __init__(self, path: str, expected: str, *, line: int | None = None, next_step: str = "") -> None:
        place = path if line is None else f"{path}:{line}"
        super().__init__(f"{place}: {expected}" + ("" if expected.endswith(".") else "."), next_step=next_step or f"Correct {path} and try again.")
        self.path, self.line, self.expected = path, line, expected
