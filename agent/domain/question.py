"""A Question: what the agent asks a person, which answers it takes, and until when it waits."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from agent.domain import Frozen

Expects = Literal["text", "number", "integer", "date", "yes-no"]
YES, NO = "yes", "no"
CANCEL = frozenset(("cancel", "/cancel"))
STOP = CANCEL | {"stop", "/stop"}
LONGEST = 20_000  # characters of an answer

_FORMS: dict[Expects, tuple[str, str]] = {
    "number": (r"-?\d+(\.\d+)?([eE][-+]?\d+)?", "a number, like 12.5"),
    "integer": (r"-?\d+", "a whole number, like 12"),
    "date": (r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", "a date, like 2026-03-31"),
}
_SAYS = {YES: (YES, "y", "ok"), NO: (NO, "n")}


class Question(Frozen):
    """`choices`, where there are any, are all the answers that it takes: a word for word or its number, from 1.

    `asks_for`: a clarification, or leave to call destructive skills. `until`: seconds since 1970 after which nobody waits any more.
    """

    text: str = Field(min_length=1, max_length=20_000)
    choices: tuple[str, ...] = ()
    expects: Expects = "text"
    asks_for: Literal["clarification", "leave"] = "clarification"
    until: float

    def answered(self, text: str) -> str | None:
        """The answer in its plain form: one of the choices, yes or no, or what was said. None where it is not one that is taken."""
        said = text.strip()
        if self.choices:
            if re.fullmatch(r"[1-9]\d?", said) and said not in self.choices:
                return self.choices[int(said) - 1] if int(said) <= len(self.choices) else None
            return next((choice for choice in self.choices if choice.casefold() == said.casefold()), None)
        if self.expects == "yes-no":
            return next((word for word, says in _SAYS.items() if said.casefold() in says), None)
        if self.expects in _FORMS:
            return said if re.fullmatch(_FORMS[self.expects][0], said) else None
        return said if 0 < len(said) <= LONGEST else None

    @property
    def wanted(self) -> str:
        """Which answers it takes, in words."""
        if self.choices:
            return "one of: " + ", ".join(f"{number}. {choice}" for number, choice in enumerate(self.choices, 1))
        if self.expects == "yes-no":
            return "yes or no"
        return _FORMS[self.expects][1] if self.expects in _FORMS else "an answer in words"


def is_cancelled(text: str) -> bool:
    """Whether a person gives up on what they were asked."""
    return text.strip().casefold() in CANCEL


def says_stop(text: str) -> bool:
    """Whether a person wants that the agent leaves what it is at."""
    return text.strip().casefold().rstrip(".!") in STOP
