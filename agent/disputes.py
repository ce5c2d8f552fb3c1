"""The disputes of one request: which cases may be disputed, what the arbiter says of those that are, and what the author hears of it.

Nobody is asked twice about a case, and an arbiter is asked about few in all. What speaks to whoever judges is never put to one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agent import rulings as words
from agent.arbiter import arbitrate
from agent.checks.addressed import said
from agent.domain.decision import Problem
from agent.domain.dispute import Objection, Ruling, key_of
from agent.domain.event import Event
from agent.domain.gap import Contract, Gap
from agent.domain.proposal import ARBITER
from agent.domain.skill import Case
from agent.errors import UnusableAnswer
from agent.ports import LanguageModel, Ledger

OUTCOMES = {"uphold": "upheld", "strike": "struck"}


def rulings_of(ledger: Ledger, request: int, gap: str) -> tuple[Ruling, ...]:
    """What was ruled on the cases of a contract, by the digest of its gap, in order."""
    events = (entry.event for entry in ledger.entries(request=request))
    return tuple(Ruling.model_validate(each.data["ruling"]) for each in events if each.what == "ruled" and each.data.get("gap") == gap)


def still_to_mend(mend: Sequence[Problem], before: Sequence[Case], now: Sequence[Case]) -> tuple[Problem, ...]:
    """The problems of which a case is still there, by its number now."""
    places = {key_of(case): number for number, case in enumerate(now, 1)}
    moved = {number: places.get(key_of(case)) for number, case in enumerate(before, 1)}
    kept = []
    for problem in mend:
        numbers = tuple(number for each in problem.cases if (number := moved.get(each)))
        if numbers or not problem.cases:
            kept.append(problem.model_copy(update={"cases": numbers}))
    return tuple(kept)


class Disputes:
    """Of the cases of `gap`: at most `most` rulings, each entered in the ledger. `requirement` is what was requested, in its own words."""

    def __init__(
        self, requirement: str, gap: Gap, contract: Contract, model: LanguageModel, ledger: Ledger, record: Callable[[Event], Any], most: int
    ) -> None:
        self._requirement, self._gap, self._contract = requirement, gap, contract
        self._model, self._ledger, self._record, self._most = model, ledger, record, most

    def rulings(self) -> tuple[Ruling, ...]:
        return rulings_of(self._ledger, self._gap.request, self._gap.digest)

    def open(self, mend: Sequence[Problem], cases: Sequence[Case]) -> tuple[int, ...]:
        """The numbers of the failed cases that may be disputed."""
        known = {ruling.case for ruling in self.rulings()}
        if len(known) >= self._most:
            return ()
        failed = {number for problem in mend for number in problem.cases}
        return tuple(sorted(number for number in failed if key_of(cases[number - 1]) not in known))

    def told(self, mend: Sequence[Problem], cases: Sequence[Case]) -> tuple[Problem, ...]:
        """The problems, each with what was ruled on its cases."""
        known = {ruling.case: ruling for ruling in self.rulings()}
        found = []
        for problem in mend:
            ruled = [words.to_author(number, ruling) for number in problem.cases if (ruling := known.get(key_of(cases[number - 1])))]
            found.append(problem.model_copy(update={"message": " ".join((problem.message, *ruled))}))
        return tuple(found)

    def hear(self, objections: Sequence[Objection], cases: Sequence[Case], head: str) -> None:
        """Settles them in turn, as far as there may be rulings. Raises ModelUnavailable where the arbiter cannot be asked."""
        for objection in objections:
            known = {ruling.case for ruling in self.rulings()}
            case = cases[objection.case - 1]
            if len(known) < self._most and key_of(case) not in known:
                self._record(self._ruled(objection, case, head))

    def _ruled(self, objection: Objection, case: Case, head: str) -> Event:
        tokens, cost, seconds = 0, 0.0, 0.0
        held, outcome, quote = f"{objection.clause} {objection.why}", "addressed", ""
        if what := said(held):
            why = f"The dispute speaks to whoever judges: {what}."
        else:
            try:
                asked = arbitrate(self._requirement, self._contract, case, objection, self._model)
            except UnusableAnswer as error:
                outcome, why, tokens, cost = "could_not_tell", f"The arbiter gave no usable answer. {error.why}"[:600], error.tokens, error.cost
            else:
                tokens, cost, seconds, verdict = asked.tokens, asked.cost, asked.seconds, asked.answer
                outcome, why, quote = OUTCOMES[verdict.ruling], verdict.why, verdict.quote
        said_of = {"case": key_of(case), "name": case.name, "clause": case.clause, "objection": objection.why}
        ruling = Ruling.model_validate({**said_of, "outcome": outcome, "why": why, "quote": quote})
        return Event(
            stage="proposing", what="ruled", actor=ARBITER, request=self._gap.request, skill=self._contract.name, commit=head, outcome=outcome,
            note=why, seconds=seconds, tokens=tokens, cost=cost, data={"ruling": ruling.model_dump(), "case": case.name, "gap": self._gap.digest},
            key=f"ruled:{self._gap.digest}:{ruling.case}",
        )  # fmt: skip
