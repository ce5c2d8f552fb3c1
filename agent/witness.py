"""The witness: acceptance cases, written from a contract by a model that never sees the code.

The author is not the examiner: what is asked here has the contract in it and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import Field

from agent import prompts
from agent.domain import Frozen
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
    clauses = {number: clause[:CLAUSE_LENGTH] for number, clause in enumerate((WHOLE, *contract.acceptance))}
    earlier = tuple(case for case in previous if case.misfit(contract.inputs, contract.outputs, contract.examples) is None)
    variables = {
        "contract": contract.model_dump(mode="json", exclude={"acceptance"}),  # they come by number
        "clauses": {str(number): clause for number, clause in clauses.items()},
        "earlier": [case.model_dump(mode="json", exclude_none=True) for case in earlier],
    }
    asked = prompts.ask(model, "witness", WitnessAnswer, variables, check=_problem(contract, clauses, earlier))
    kept = tuple(case for case in earlier if case.name not in asked.answer.superseded)
    cases = Witness(cases=(*kept, *(_case(case, clauses) for case in asked.answer.cases)))
    return Asked(cases, asked.tokens, asked.cost, asked.seconds, asked.model)


def contract_of(manifest: Manifest) -> Contract:
    """The contract that a manifest states: what a witness works from where nobody froze one."""
    return Contract(
        name=manifest.name, description=manifest.description, runtime=manifest.runtime, inputs=manifest.inputs, outputs=manifest.outputs,
        examples=manifest.examples[:20], acceptance=("It does what its description says.",), permissions=manifest.permissions,
        requires=manifest.requires[:8],
    )  # fmt: skip


def _problem(contract: Contract, clauses: dict[int, str], earlier: Sequence[Case]) -> Callable[[WitnessAnswer], str | None]:
    """What is wrong with an answer, in one sentence for the model, or None. What only a host's reply can show is no case: the replies are
    scripted by the author."""
    asks_hosts = bool(contract.permissions.network or contract.requires)

    def check(answer: WitnessAnswer) -> str | None:
        kept = [case for case in earlier if case.name not in answer.superseded]
        if unknown := set(answer.superseded) - {case.name for case in earlier}:
            return f"superseded names {sorted(unknown)[0]!r}, which is no earlier case"
        if not earlier and not asks_hosts and len(answer.cases) < FEWEST:
            return f"there are {len(answer.cases)} cases; {FEWEST} to {MOST} are wanted"
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
