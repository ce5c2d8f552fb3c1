"""The arbiter: whether a witness case that the author disputes contradicts the requirement.

Its question is its own: it sees the request, the contract, the case and the objection, and neither the code nor who is right so far. It
rules with words that stand in the requirement; what it cannot quote it has not found.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field

from agent import prompts
from agent.domain import Frozen
from agent.domain.dispute import Objection
from agent.domain.gap import Contract
from agent.domain.skill import Case
from agent.ports import LanguageModel
from agent.prompts import Asked

SHORTEST = 8  # characters of a quotation, spaces not counted


class Verdict(Frozen):
    """In this order: the working, then the words that settle it, then the ruling."""

    working: str = Field(min_length=10, max_length=4000, description="What the requirement says of these inputs, step by step.")
    quote: str = Field(max_length=400, description="One passage of the request or the contract, word for word.")
    ruling: Literal["uphold", "strike"]
    why: str = Field(min_length=10, max_length=600, description="One to three sentences for the person who reads the pull request.")


def arbitrate(requirement: str, contract: Contract, case: Case, objection: Objection, model: LanguageModel) -> Asked[Verdict]:
    """The ruling on one case; `requirement` is what was requested, in the requester's words.

    Raises UnusableAnswer where the arbiter rules twice over without words of the requirement, ModelUnavailable where it cannot be asked.
    """
    frozen = contract.model_dump(mode="json")
    variables = {
        "request": requirement, "contract": frozen, "case": case.model_dump(mode="json", exclude_none=True),
        "objection": objection.model_dump(mode="json", exclude={"case"}),
    }  # fmt: skip
    written = "\n".join((requirement, contract.description, *contract.acceptance, json.dumps(frozen, ensure_ascii=False)))

    def check(verdict: Verdict) -> str | None:
        said = _bare(verdict.quote).strip("\"'`“”„«»")
        if len(said) < SHORTEST:
            return f"the quotation {verdict.quote!r} is too short to settle anything; quote the whole passage"
        missing = "`quote` stands neither in the request nor in the contract; copy one passage of them, word for word"
        return None if said in _bare(written) else missing

    return prompts.ask(model, "arbiter", Verdict, variables, check=check)


def _bare(text: str) -> str:
    """Without white space and capitals, which a quotation may change."""
    return "".join(text.split()).casefold()
