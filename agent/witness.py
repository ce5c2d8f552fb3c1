"""The witness: acceptance cases, written from a contract by a model that never sees the code.

The author is not the examiner: what is asked here has the contract in it and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field

from agent import prompts
from agent.domain import Frozen
from agent.domain.dispute import Struck, key_of
from agent.domain.gap import Contract
from agent.domain.schema import Json
from agent.domain.skill import Case, Expectation, Manifest, same_json
from agent.ports import LanguageModel
from agent.prompts import Asked

FEWEST, MOST = 6, 15  # new cases; an extension needs but one
WHOLE = "the description and the schemas"  # clause 0
CLAUSE_LENGTH = 400


class WitnessCase(Frozen):
    """One call and what must come back; `clause` counts from 1, 0 is the description and the schemas."""

    name: str = Field(min_length=3, max_length=100)
    clause: int = Field(ge=0)
    inputs: dict[str, Json]
    expect: Expectation


class WitnessAnswer(Frozen):
    """The new cases, and the names of earlier cases that the contract now contradicts."""

    cases: tuple[WitnessCase, ...] = Field(min_length=1, max_length=MOST)
    superseded: tuple[str, ...] = ()


class Witness(Frozen):
    """All cases of a contract, the earlier ones first."""

    cases: tuple[Case, ...]


def witness(contract: Contract, previous: Sequence[Case], model: LanguageModel) -> Asked[Witness]:
    """Cases for `contract`; `previous` are those of the version before, which are kept where they can still be met.

    Raises ModelUnavailable where the model gives none that fit.
    """
    clauses = _clauses(contract)
    earlier = tuple(case for case in previous if case.misfit(contract.inputs, contract.outputs, contract.examples) is None)
    asked = prompts.ask(model, "witness", WitnessAnswer, _variables(contract, clauses, earlier), check=_problem(contract, clauses, earlier))
    kept = tuple(case for case in earlier if case.name not in asked.answer.superseded)
    cases = Witness(cases=(*kept, *(_case(case, clauses) for case in asked.answer.cases)))
    return Asked(cases, asked.tokens, asked.cost, asked.seconds, asked.model)


def uncovered(contract: Contract, left: Sequence[Case], out: Sequence[Struck]) -> tuple[str, ...]:
    """The clauses of the cases taken out that need a case again: those of the contract that none of the cases left tests.

    Where hosts are asked, a clause may be without one, as when the cases were written; but some case there has to be.
    """
    covered, clauses = {case.clause for case in left}, {clause[:CLAUSE_LENGTH] for clause in contract.acceptance}
    needed = dict.fromkeys(each.case.clause for each in out if each.case.clause in clauses - covered)
    if _asks_hosts(contract) or not needed:
        return () if left else tuple(dict.fromkeys(each.case.clause for each in out if each.case.clause in clauses)) or (WHOLE,)
    return tuple(needed)


def corrected(contract: Contract, left: Sequence[Case], struck: Sequence[Struck], model: LanguageModel) -> Asked[Witness]:
    """The cases left, with new ones for the clauses of which none is. The witness sees each struck case and the words of the requirement that
    it went against. Raises ModelUnavailable where the model gives none that fit."""
    clauses = _clauses(contract)
    needed, gone = uncovered(contract, left, struck), {key_of(each.case) for each in struck}
    fits = _problem(contract, clauses, left, fewest=1)

    def check(answer: WitnessAnswer) -> str | None:
        for given in answer.cases:
            case = _case(given, clauses) if given.clause in clauses else None
            if case and case.clause not in needed:
                return f"the case {given.name!r} is for another clause; those of the struck cases are asked for"
            if case and key_of(case) in gone:
                return f"the case {given.name!r} was struck"
        if missing := set(needed) - {clauses.get(given.clause) for given in answer.cases}:
            return f"no case tests the clause {sorted(missing)[0]!r}"
        return "`superseded` is not empty" if answer.superseded else fits(answer)

    shown = [each.model_dump(mode="json", exclude_none=True, exclude={"why"}) for each in struck]
    variables = {**_variables(contract, clauses, left), "struck": shown}
    asked = prompts.ask(model, "witness", WitnessAnswer, variables, template=prompts.with_sections("witness", ["struck"]), check=check)
    cases = Witness(cases=(*left, *(_case(case, clauses) for case in asked.answer.cases)))
    return Asked(cases, asked.tokens, asked.cost, asked.seconds, asked.model)


def contract_of(manifest: Manifest) -> Contract:
    """The contract that a manifest states: what a witness works from where nobody froze one."""
    return Contract(
        name=manifest.name, description=manifest.description, runtime=manifest.runtime, inputs=manifest.inputs, outputs=manifest.outputs,
        examples=manifest.examples[:20], acceptance=("It does what its description says.",), permissions=manifest.permissions,
        requires=manifest.requires[:8],
    )  # fmt: skip


def _clauses(contract: Contract) -> dict[int, str]:
    return {number: clause[:CLAUSE_LENGTH] for number, clause in enumerate((WHOLE, *contract.acceptance))}


def _asks_hosts(contract: Contract) -> bool:
    return bool(contract.permissions.network or contract.requires)


def _variables(contract: Contract, clauses: dict[int, str], earlier: Sequence[Case]) -> dict[str, Any]:
    return {
        "contract": contract.model_dump(mode="json", exclude={"acceptance"}),  # they come by number
        "clauses": {str(number): clause for number, clause in clauses.items()},
        "earlier": [case.model_dump(mode="json", exclude_none=True) for case in earlier],
    }


def _problem(contract: Contract, clauses: dict[int, str], earlier: Sequence[Case], fewest: int = FEWEST) -> Callable[[WitnessAnswer], str | None]:
    """What is wrong with an answer, in one sentence for the model, or None. What only a host's reply can show is no case: the replies are
    scripted by the author."""
    asks_hosts = _asks_hosts(contract)

    def check(answer: WitnessAnswer) -> str | None:
        kept = [case for case in earlier if case.name not in answer.superseded]
        if unknown := set(answer.superseded) - {case.name for case in earlier}:
            return f"superseded names {sorted(unknown)[0]!r}, which is no earlier case"
        if not earlier and not asks_hosts and len(answer.cases) < fewest:
            return f"there are {len(answer.cases)} cases; {fewest} to {MOST} are wanted"
        seen = list(kept)
        for given in answer.cases:
            if given.clause not in clauses:
                return f"the case {given.name!r} names clause {given.clause}; the clauses are 0 to {max(clauses)}"
            case = _case(given, clauses)
            if misfit := case.misfit(contract.inputs, contract.outputs, contract.examples):
                return f"the case {case.name!r} cannot be met: {misfit}"
            for other in seen:
                if other.name == case.name:
                    return f"two cases have the name {case.name!r}"
                if same_json(other.inputs, case.inputs):
                    return f"the cases {other.name!r} and {case.name!r} have the same inputs"
            seen.append(case)
        covered = {case.clause for case in seen}
        missing = [str(number) for number, clause in clauses.items() if number and clause not in covered and not asks_hosts]
        return f"no case tests the clauses {', '.join(missing)}" if missing else None

    return check


def _case(given: WitnessCase, clauses: dict[int, str]) -> Case:
    return Case(name=given.name, clause=clauses[given.clause], inputs=given.inputs, expect=given.expect)
