"""Every sentence that a person reads on a request or a proposal, as pure functions.

What the pipeline must read back (the frozen Gap) rides in the same comment, in an HTML comment that a reader of the
page does not see: `embed` writes it and `extract` reads it. Only comments by our own identities are ever extracted.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from agent import widening
from agent.domain import Frozen
from agent.domain.check import CheckReport, Outcome
from agent.domain.decision import Action, Decision, Problem
from agent.domain.gap import Gap
from agent.domain.proposal import Proposal, ProposalDraft
from agent.domain.registry import Entry
from agent.domain.request import Comment, Request
from agent.domain.review import Review
from agent.domain.skill import Manifest, Permissions
from agent.markdown import plain

T = TypeVar("T", bound=BaseModel)

# Markers of our sticky comments: one of each on a request or proposal.
GAP, PROGRESS, SECRET, OUTCOME, PARTS, STALE = "gap", "progress", "secret", "outcome", "parts", "stale"
LOST = "lost"  # the beginning of the marker of what is said of a part that will not be built


def embed(kind: str, thing: BaseModel) -> str:
    """`thing` as an invisible block, for the end of a comment; without angle brackets, so that no value can end it or begin another."""
    return f"<!-- skillops:{kind} {thing.model_dump_json().replace('<', chr(92) + 'u003c').replace('>', chr(92) + 'u003e')} -->"


def extract(kind: str, text: str, type_: type[T]) -> T | None:
    """What `embed` wrote at the end of `text`, or None. Words before it may quote a block, and are not read."""
    _, found, block = text.rstrip().rpartition(f"<!-- skillops:{kind} ")
    try:
        return type_.model_validate_json(block.removesuffix(" -->")) if found else None
    except ValidationError:
        return None


def gap_of(comment: Comment) -> Gap | None:
    """The assessment that a comment of ours carries, or None. One that is not marked as such may end in somebody else's words."""
    return extract(GAP, comment.text, Gap) if (comment.marker or "").startswith(GAP) else None


# ---- on a request --------------------------------------------------------------------------------------------------


def gap_comment(gap: Gap, request: Request) -> str:
    """What the assessment found, for the requester."""
    return "\n\n".join((_GAP_SENTENCES[gap.verdict](gap, request), embed(GAP, gap)))


def _covered(gap: Gap, request: Request) -> str:
    call = f"\n\n```\nskillops invoke {gap.skill} --input {shlex.quote(json.dumps(gap.call))}\n```" if gap.call is not None else ""
    return f"The skill `{gap.skill}` does this already: {plain(gap.reason)}{call}"


def _refused(gap: Gap, request: Request) -> str:
    return f"This will not be built: {plain(gap.reason)}\n\nIf that is a misunderstanding, raise a new request that says what is meant."


def _vague(gap: Gap, request: Request) -> str:
    asked = f"@{request.requester} One question before this can be built: {plain(gap.question or '')}"
    return f"{asked}\n\nAnswer in a comment (`skillops reply {request.number} TEXT`)."


def _several(gap: Gap, request: Request) -> str:
    parts = "\n".join(f"- {plain(part.title)}" for part in gap.parts)
    return f"This needs several skills: {plain(gap.reason)}\n\n{parts}\n\nEach becomes a request of its own; this one is answered when all are there."


class Divided(Frozen):
    """The numbers of the requests that the parts of a gap became, in their order."""

    gap: str
    numbers: tuple[int, ...]


def parts_comment(gap: Gap, parts: Sequence[Request]) -> str:
    """The one sticky comment of a request of several skills: how far they are."""
    rows = "\n".join(
        f"- [{'x' if part.met else ' '}] #{part.number} {plain(part.title)}{f': {part.closed_as}' if part.lost else ''}" for part in parts
    )
    there = f"{sum(part.met for part in parts)} of {len(parts)} are there."
    return "\n\n".join((rows, there, embed(PARTS, Divided(gap=gap.digest, numbers=tuple(part.number for part in parts)))))


def divided_of(comment: Comment) -> Divided | None:
    return extract(PARTS, comment.text, Divided) if comment.marker == PARTS else None


def lost_comment(part: Request, request: Request) -> str:
    return (
        f"@{request.requester} #{part.number} ({plain(part.title)}) was {part.closed_as}, and this cannot be done without it; why is said there. "
        f"The other parts go on.\n\nSay here what is to be done instead (`skillops reply {request.number} TEXT`): it is assessed anew with that. "
        "Or close this request."
    )


def parts_met_comment(parts: Sequence[Request]) -> str:
    rows = "\n".join(f"- #{part.number} {plain(part.title)}" for part in parts)
    return f"Every part of this is there:\n\n{rows}\n\nEach part says how its skill is called."


def _contract(gap: Gap, request: Request) -> str:
    if (contract := gap.contract) is None:
        return plain(gap.reason)
    opening = f"Extending `{contract.name}` {gap.base_version}" if gap.verdict == "extend" else f"A new skill, `{contract.name}`"
    examples = "\n".join(f"- `{_line(e.inputs)}` gives `{_line(e.outputs)}`" for e in contract.examples)
    clauses = "\n".join(f"- {plain(clause)}" for clause in contract.acceptance)
    calls = f" It calls {plain(', '.join(contract.requires))}." if contract.requires else ""
    return (
        f"{opening}: {plain(gap.reason)}\n\nThe contract, frozen before anything is written:\n\n> {plain(contract.description)}\n\n"
        f"Examples\n{examples}\n\nIt is done when\n{clauses}\n\n{permissions_sentence(contract.permissions)}{calls}"
    )


_GAP_SENTENCES = {"covered": _covered, "refused": _refused, "vague": _vague, "several": _several, "new": _contract, "extend": _contract}


def deployed_comment(entry: Entry, proposal: Proposal | None) -> str:
    by = f" by #{proposal.number}" if proposal else ""
    if entry.status == "retired":
        return f"`{entry.name}` is retired{by}: it keeps its history, is found no more and refuses calls."
    return f"`{entry.name}` {entry.version} is deployed{by}: `skillops show {entry.name}` tells how to call it, `skillops explain` how it came to be."


def secret_comment(skill: str, why: str, next_step: str) -> str:
    return f"`{skill}` is merged and released, and is deployed once it has its secret. {why}\n\n{next_step} Then `skillops run` goes on."


def declined_comment(proposal: Proposal, why: str, *, again: bool = False) -> str:
    return f"#{proposal.number} was not merged{'' if again else ', and this request is closed'}: {plain(why)}"


def deploy_failed_comment(entry: Entry, why: str, revert: int | None) -> str:
    then = f"Whatever served before it still does; #{revert} takes it back." if revert else "Nothing serves it."
    return f"`{entry.name}` {entry.version} was released but did not become healthy: {plain(why)}\n\n{then}"


# ---- on a proposal -------------------------------------------------------------------------------------------------


def permissions_sentence(permissions: Permissions, before: Permissions | None = None) -> str:
    asked = permissions.wider_than(Permissions())
    told = "It asks for: " + ", ".join(asked) + "." if asked else "It asks for no network, no secrets and no storage."
    return widening.of_permissions(permissions, before) + told


def proposal_title(gap: Gap) -> str:
    contract = gap.contract
    if contract is None:
        return gap.reason
    return f"Extend {contract.name}" if gap.verdict == "extend" else f"Add {contract.name}"


def proposal_body(gap: Gap, manifest: Manifest, notes: str = "", before: Permissions | None = None) -> str:
    told = f"\n\nThe author's notes:\n\n> {_quoted(plain(notes))}" if notes else ""
    return (
        f"{permissions_sentence(manifest.permissions, before)}\n\n**{manifest.name} {manifest.version}**: {plain(manifest.description)}{told}\n\n"
        f"Witness cases were written from the contract alone, before the code, and run from outside.\n\nCloses #{gap.request}"
    )


def draft_body(gap: Gap, problems: Sequence[Problem], budget: str) -> str:
    """Out of budget: what was tried and what still fails."""
    lines = "\n".join(f"- {problem_line(problem)}" for problem in problems[:20]) or "- nothing was drafted"
    return (
        f"The budget is spent ({budget}) and this is not ready. What still fails:\n\n{lines}\n\n"
        f"`skillops retry N` gives it a new budget; or push to the branch yourself.\n\nFor #{gap.request}"
    )


def person_body(manifest: Manifest, who: str, before: Permissions | None = None) -> str:
    asks, does = permissions_sentence(manifest.permissions, before), plain(manifest.description)
    return f"{asks}\n\n**{manifest.name} {manifest.version}**: {does}\n\nProposed by {who}."


def rollback_body(name: str, to_version: str, as_version: str, why: str = "") -> str:
    because = f" {plain(why)}" if why else ""
    return f"Restores the tree of {name} {to_version} as {as_version}.{because} The verdicts on that tree are reused where it is unchanged."


def retire_body(name: str, version: str) -> str:
    return f"Retires {name}: {version} keeps its history, is found no more and refuses calls."


def update_title(name: str) -> str:
    return f"Raise the dependencies of {name}"


def update_body(name: str, version: str, raised: Sequence[tuple[str, str]], mends: Sequence[str]) -> str:
    rows = "\n".join(f"- `{old}` → `{new}`" for old, new in raised)
    told = f"\n\nMends {', '.join(sorted(set(mends)))}, where these versions do." if mends else ""
    return f"{name} {version} is the same with the newest compatible versions of what it depends on.\n\n{rows}{told}"


def stale_comment(days: int, why: str) -> str:
    return f"This has waited for a person for {days} days: {plain(why)}"


def problem_line(problem: Problem) -> str:
    place = f"{problem.path}:{problem.line}: " if problem.path and problem.line else f"{problem.path}: " if problem.path else ""
    return f"{problem.source}: {place}{plain(problem.message, 2_000)}"


def progress_comment(report: CheckReport | None, reviews: Sequence[Review], decision: Decision | None) -> str:
    signs = {Outcome.PASSED: "passed", Outcome.FAILED: "FAILED", Outcome.COULD_NOT_TELL: "could not tell"}
    rows = [f"| {r.name} | {signs[r.outcome]} | {_cell(r.summary)} | {r.seconds:.1f} s |" for r in (report.results if report else ())]
    rows += [f"| review by {r.reviewer} | {r.verdict.replace('_', ' ')} | {_cell(r.summary)} | {r.seconds:.1f} s |" for r in reviews]
    told = f"\n\n{decision_sentence(decision)}" if decision else ""
    return widening.of_report(report) + "| what | verdict | why | time |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + told


def decision_sentence(decision: Decision) -> str:
    opening = {Action.MERGE: "Merge", Action.WAIT: "Wait", Action.REVISE: "Revise", Action.REJECT: "Reject"}[decision.action]
    waits = f" (for the {decision.waiting_for})" if decision.waiting_for else ""
    return f"**{opening}**{waits}, at {decision.risk} risk: {plain(decision.why)}"


# ---- commit messages -----------------------------------------------------------------------------------------------


def merge_message(proposal: Proposal) -> str:
    closes = f"\n\nCloses #{proposal.request}" if proposal.request else ""
    return f"Merge #{proposal.number}: {plain(proposal.title)}{closes}"


def release_message(entries: Sequence[Entry], revision: int, gone: Sequence[str] = (), ledger: str = "") -> str:
    """`ledger`: how far it was, as whoever holds the commit can hold against it."""
    did = [f"Release {', '.join(f'{each.name} {each.version}' for each in entries)}"] if entries else []
    return f"{', '.join(did + [f'remove {name}' for name in gone])} (registry revision {revision})" + (f"\n\nLedger: {ledger}\n" if ledger else "")


def author_commit(name: str, version: str, request: int, *, revises: bool) -> str:
    did = f"fix({name}): mend what was found in {version}" if revises else f"feat({name}): {version}"
    return f"{did}\n\nFor request #{request}."


def witness_commit(name: str, request: int | None = None) -> str:
    asked = f"\n\nFor request #{request}." if request else ""
    return f"test({name}): witness cases, written from the contract alone{asked}"


def draft_commit(draft: ProposalDraft) -> str:
    """The commit of a proposal that is made in one go: a person's, a rollback, a retirement, a revert, an update."""
    word = {"rollback": "revert", "revert": "revert", "retire": "chore", "update": "build"}.get(draft.kind, "feat")
    return f"{word}({draft.skill}): {plain(draft.title)}"


# ---- titles and bodies of proposals that are not the agent's work --------------------------------------------------


def person_title(manifest: Manifest, *, extends: bool) -> str:
    return f"Change {manifest.name} to {manifest.version}" if extends else f"Add {manifest.name} {manifest.version}"


def rollback_title(name: str, to_version: str) -> str:
    return f"Roll {name} back to {to_version}"


def retire_title(name: str) -> str:
    return f"Retire {name}"


def revert_title(merged: Proposal) -> str:
    return f"Take back #{merged.number}: {merged.title}"


def revert_body(merged: Proposal, version: str, why: str, *, first: bool) -> str:
    then = f"retires {merged.skill}, which has no version before it" if first else "restores the version before it"
    return f"#{merged.number} was released but did not become healthy: {plain(why)}\n\nThis {then}, as {version}."


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).replace("`", "'")[:2_000]


def _quoted(text: str) -> str:
    return text.strip().replace("\n", "\n> ")


def _cell(text: str) -> str:
    return plain(text[:160]).replace("|", "\\|").replace("\n", " ")
