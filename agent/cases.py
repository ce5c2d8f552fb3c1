"""The witness cases of a branch: written before the skill, kept as they were recorded, and taken out where an arbiter struck them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agent import messages
from agent import rulings as words
from agent.domain.dispute import Ruling, Struck, key_of
from agent.domain.event import Event
from agent.domain.gap import Contract, Gap
from agent.domain.proposal import WITNESS, Proposal
from agent.domain.skill import WITNESS_PATH, Case, digest_of
from agent.errors import Refused, WaitsForPerson
from agent.manifest_file import read_struck, read_witness, witness_digest, write_witness
from agent.ports import Forge, LanguageModel, Ledger
from agent.witness import corrected, uncovered, witness

Record = Callable[[Event], Any]
WITNESSING = ("witnessed", "struck")  # the events that say what the cases have to be; the newest counts


def path_of(name: str) -> str:
    return f"skills/{name}/{WITNESS_PATH}"


def cases_at(head: str, name: str, forge: Forge) -> tuple[Case, ...]:
    """In their order, which gives each its number, from 1."""
    data = forge.read(head, path_of(name))
    return read_witness(data, path_of(name))[1] if data is not None else ()


def witnessed(gap: Gap, contract: Contract, branch: str, forge: Forge, model: LanguageModel, ledger: Ledger, record: Record) -> str:
    """The head of the branch, which holds the witness cases whose digest the ledger recorded; writes them where they are missing."""
    path, head = path_of(contract.name), forge.head(branch)
    if head is not None:
        found = forge.read(head, path)
        known = [entry.event.data for entry in ledger.entries(request=gap.request) if entry.event.what in WITNESSING]
        if found is None or not known or witness_digest(found) not in (known[-1]["witness_digest"], known[-1].get("before")):
            raise WaitsForPerson(
                f"The witness cases on the branch {branch} are not those that were recorded.",
                why="Somebody else wrote to the branch.", next_step=f"Restore {path} on it, or reject the proposal and raise the request again.",
            )  # fmt: skip
        return head
    if gap.verdict == "new" and forge.object_id(forge.main, f"skills/{contract.name}"):
        raise Refused(
            f"There is a skill {contract.name} already, so request #{gap.request} cannot add one.",
            why="Main holds its folder, and the registry does not.",
            next_step="`skillops release` enters it, or says what is wrong with it; then the request is assessed anew.",
        )
    earlier = forge.read(forge.main, path)
    asked = witness(contract, read_witness(earlier, path)[1] if earlier is not None else (), model)
    data = write_witness(gap.digest, asked.answer.cases)
    record(Event(
        stage="proposing", what="witnessed", actor=WITNESS, request=gap.request, skill=contract.name, tokens=asked.tokens, cost=asked.cost,
        seconds=asked.seconds, data={"witness_digest": witness_digest(data), "gap": gap.digest, "cases": len(asked.answer.cases)},
    ))  # fmt: skip
    return forge.commit(branch, {path: data}, parent=None, message=messages.witness_commit(contract.name, gap.request), author=WITNESS)


def add_witness(proposal: Proposal, contract: Contract, forge: Forge, model: LanguageModel, record: Record) -> None:
    """Witness cases on top of a person's proposal, unless those that are there were written from this very contract."""
    digest, path = digest_of(contract.model_dump(mode="json")), path_of(contract.name)
    found = forge.read(proposal.head, path)
    gap, earlier = read_witness(found, path) if found is not None else (None, ())
    if gap == digest or not model.available().ok:
        return
    asked = witness(contract, earlier, model)
    data = write_witness(digest, asked.answer.cases)
    record(Event(
        stage="proposing", what="witnessed", actor=WITNESS, proposal=proposal.number, skill=contract.name, tokens=asked.tokens, cost=asked.cost,
        seconds=asked.seconds, data={"witness_digest": witness_digest(data), "cases": len(asked.answer.cases)},
    ))  # fmt: skip
    forge.commit(proposal.branch, {path: data}, parent=proposal.head, message=messages.witness_commit(contract.name), author=WITNESS)


def without_struck(
    gap: Gap, contract: Contract, branch: str, head: str, rulings: Sequence[Ruling], forge: Forge, model: LanguageModel, record: Record
) -> str:
    """The branch's head without the cases that were struck; `head` where none of them is there.

    A clause of which no case would be left gets one anew, from a witness that hears which words of the requirement the old one went against,
    and nothing of the dispute. What was taken out stays in the file, to be read.
    """
    ruled = {ruling.case: ruling for ruling in rulings if not ruling.stands}
    path, data = path_of(contract.name), forge.read(head, path_of(contract.name)) if ruled else None
    cases = read_witness(data, path)[1] if data is not None else ()
    out = [Struck(case=case, quote=ruling.quote, why=ruling.why) for case in cases if (ruling := ruled.get(key_of(case)))]
    if data is None or not out:
        return head
    left = tuple(case for case in cases if key_of(case) not in ruled)
    struck = (*read_struck(data, path), *out)
    tokens, cost, seconds = 0, 0.0, 0.0
    if uncovered(contract, left, out):
        asked = corrected(contract, left, struck, model)
        left, tokens, cost, seconds = asked.answer.cases, asked.tokens, asked.cost, asked.seconds
    written = write_witness(gap.digest, left, struck)
    record(Event(
        stage="proposing", what="struck", actor=WITNESS, request=gap.request, skill=contract.name, tokens=tokens, cost=cost, seconds=seconds,
        note=", ".join(each.case.name for each in out),
        data={"witness_digest": witness_digest(written), "before": witness_digest(data), "gap": gap.digest, "cases": len(left), "struck": len(out)},
    ))  # fmt: skip
    return forge.commit(branch, {path: written}, parent=head, message=words.struck_commit(contract.name, len(out), gap.request), author=WITNESS)
