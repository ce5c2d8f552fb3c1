"""A dispute of a witness case: what the author holds against it, and what an arbiter made of that."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.domain import Frozen
from agent.domain.skill import Case, digest_of

Outcome = Literal["struck", "upheld", "could_not_tell", "addressed"]


class Objection(Frozen):
    """What the author says against the case of this number, which it has never seen."""

    case: int = Field(ge=1, description="One of the numbers under `cases` of what is to be mended.")
    clause: str = Field(min_length=3, max_length=400, description="The words of the contract that the case cannot agree with.")
    why: str = Field(min_length=10, max_length=1500, description="Why a program that does just what the contract says fails it.")


class Struck(Frozen):
    """A case that was taken out, as it was, with the words of the requirement that it went against."""

    case: Case
    quote: str = Field(max_length=400)
    why: str = Field(max_length=600)


class Ruling(Frozen):
    """What became of one dispute. `case` identifies the case, whatever its number and name; `quote` is of the requirement, word for word.

    `addressed`: the objection spoke to whoever judges, so that nobody was asked; `could_not_tell`: the arbiter gave no usable answer. The
    case stands in both.
    """

    case: str
    name: str
    clause: str
    outcome: Outcome
    why: str
    quote: str = ""
    objection: str = ""

    @property
    def stands(self) -> bool:
        return self.outcome != "struck"


def key_of(case: Case) -> str:
    """Identifies a case by what is asked and expected: another name makes no other case of it."""
    return digest_of(case.model_dump(mode="json", exclude={"name"}))
