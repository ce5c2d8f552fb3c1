"""Every sentence that a person reads on a request or a proposal, as pure functions.

What the pipeline must read back (the frozen Gap) rides in the same comment, in an HTML comment that a reader of the
page does not see: `embed` writes it and `extract` reads it. Only comments by our own identities are ever extracted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from agent.domain.check import CheckReport, Outcome
from agent.domain.decision import Action, Decision, Problem
from agent.domain.event import Event
from agent.domain.gap import Gap
from agent.domain.proposal import Proposal, ProposalDraft
from agent.domain.registry import Entry
from agent.domain.request import Request
from agent.domain.review import Review
from agent.domain.skill import Manifest, Permissions

T = TypeVar("T", bound=BaseModel)

# Markers of our sticky comments: one of each on a request or proposal.
GAP, PROGRESS, DECISION, OUTCOME = "gap", "progress", "decision", "outcome"


def embed(kind: str, thing: BaseModel) -> str:
    """`thing` as an invisible block; `>` is escaped so that no value can end it."""
    return f"<!-- skillops:{kind} {thing.model_dump_json().replace('>', chr(92) + 'u003e')} -->"


def extract(kind: str, text: str, type_: type[T]) -> T | None:
    """What `embed` wrote into `text`, or None."""
    match = re.search(rf"<!-- skillops:{re.escape(kind)} (\{{.*?\}}) -->", text, re.DOTALL)
    if not match:
        return None
    try:
        return type_.model_validate_json(match[1])
    except ValidationError:
        return None


# ---- on a request --------------------------------------------------------------------------------------------------


def gap_comment(gap: Gap, request: Request) -> str:
    """What the assessment found, for the requester."""
    return "\n\n".join((_GAP_SENTENCES[gap.verdict](gap, request), embed(GAP, gap)))


def _covered(gap: Gap, request: Request) -> str:
    call = f"\n\n```\nskillops invoke {gap.skill} --input '{json.dumps(gap.call)}'\n```" if gap.call is not None else ""
    return f"The skill `{gap.skill}` does this already: {gap.reason}{call}"


def _refused(gap: Gap, request: Request) -> str:
    return f"This will not be built: {gap.reason}\n\nIf that is a misunderstanding, raise a new request that says what is meant."


def _vague(gap: Gap, request: Request) -> str:
    return (
        f"@{request.requester} One question before this can be built: {gap.question}\n\nAnswer in a comment (`skillops reply {request.number} TEXT`)."
    )


def _contract(gap: Gap, request: Request) -> str:
    contract = gap.contract
    if contract is None:
        return gap.reason
    opening = f"Extending `{contract.name}` {gap.base_version}" if gap.verdict == "extend" else f"A new skill, `{contract.name}`"
    examples = "\n".join(f"- `{_line(e.inputs)}` gives `{_line(e.outputs)}`" for e in contract.examples)
    clauses = "\n".join(f"- {clause}" for clause in contract.acceptance)
    return (
        f"{opening}: {gap.reason}\n\nThe contract, frozen before anything is written:\n\n> {contract.description}\n\n"
        f"Examples\n{examples}\n\nIt is done when\n{clauses}\n\n{permissions_sentence(contract.permissions)}"
    )


_GAP_SENTENCES = {"covered": _covered, "refused": _refused, "vague": _vague, "new": _contract, "extend": _contract}


def deployed_comment(entry: Entry, proposal: Proposal | None) -> str:
    by = f" by #{proposal.number}" if proposal else ""
    return f"`{entry.name}` {entry.version} is deployed{by}: `skillops show {entry.name}` tells how to call it, `skillops explain` how it came to be."


def declined_comment(proposal: Proposal, why: str) -> str:
    return f"#{proposal.number} was not merged, and this request is closed: {why}"


def deploy_failed_comment(entry: Entry, why: str, revert: int | None) -> str:
    then = f"Whatever served before it still does; #{revert} takes it back." if revert else "Nothing serves it."
    return f"`{entry.name}` {entry.version} was released but did not become healthy: {why}\n\n{then}"


# ---- on a proposal -------------------------------------------------------------------------------------------------


def permissions_sentence(permissions: Permissions) -> str:
    asked = permissions.wider_than(Permissions())
    return "It asks for: " + ", ".join(asked) + "." if asked else "It asks for no network, no secrets and no storage."


def proposal_title(gap: Gap) -> str:
    contract = gap.contract
    if contract is None:
        return gap.reason
    return f"Extend {contract.name}" if gap.verdict == "extend" else f"Add {contract.name}"


def proposal_body(gap: Gap, manifest: Manifest, notes: str = "") -> str:
    """What a reviewer reads first: what it asks for, what it does, what it closes."""
    told = f"\n\nThe author's notes:\n\n> {_quoted(notes)}" if notes else ""
    return (
        f"{permissions_sentence(manifest.permissions)}\n\n**{manifest.name} {manifest.version}**: {manifest.description}{told}\n\n"
        f"Witness cases were written from the contract alone, before the code, and run from outside.\n\nCloses #{gap.request}"
    )


def draft_body(gap: Gap, problems: Sequence[Problem], budget: str) -> str:
    """Out of budget: what was tried and what still fails."""
    lines = "\n".join(f"- {problem_line(problem)}" for problem in problems[:20]) or "- nothing was drafted"
    return (
        f"The budget is spent ({budget}) and this is not ready. What still fails:\n\n{lines}\n\n"
        f"`skillops retry N` gives it a new budget; or push to the branch yourself.\n\nFor #{gap.request}"
    )


def person_body(manifest: Manifest, who: str) -> str:
    return f"{permissions_sentence(manifest.permissions)}\n\n**{manifest.name} {manifest.version}**: {manifest.description}\n\nProposed by {who}."


def rollback_body(name: str, to_version: str, as_version: str, why: str = "") -> str:
    because = f" {why}" if why else ""
    return f"Restores the tree of {name} {to_version} as {as_version}.{because} The verdicts on that tree are reused where it is unchanged."


def retire_body(name: str, version: str) -> str:
    return f"Retires {name}: {version} keeps its history, is found no more and refuses calls."


def problem_line(problem: Problem) -> str:
    place = f"{problem.path}:{problem.line}: " if problem.path and problem.line else f"{problem.path}: " if problem.path else ""
    return f"{problem.source}: {place}{problem.message}"


def progress_comment(report: CheckReport | None, reviews: Sequence[Review], decision: Decision | None) -> str:
    """The one sticky comment of a proposal."""
    signs = {Outcome.PASSED: "passed", Outcome.FAILED: "FAILED", Outcome.COULD_NOT_TELL: "could not tell"}
    rows = [f"| {r.name} | {signs[r.outcome]} | {_cell(r.summary)} | {r.seconds:.1f} s |" for r in (report.results if report else ())]
    rows += [f"| review by {r.reviewer} | {r.verdict.replace('_', ' ')} | {_cell(r.summary)} | {r.seconds:.1f} s |" for r in reviews]
    told = f"\n\n{decision_sentence(decision)}" if decision else ""
    return "| what | verdict | why | time |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + told


def decision_sentence(decision: Decision) -> str:
    opening = {Action.MERGE: "Merge", Action.WAIT: "Wait", Action.REVISE: "Revise", Action.REJECT: "Reject"}[decision.action]
    waits = f" (for the {decision.waiting_for})" if decision.waiting_for else ""
    return f"**{opening}**{waits}, at {decision.risk} risk: {decision.why}"


def review_comment(review: Review) -> str:
    lines = []
    for remark in review.remarks:
        place = f"`{remark.path}:{remark.line}` " if remark.path else ""
        weight = "blocks: " if remark.blocks else "its reproducer does not fail, so it blocks nothing: " if remark.reproduced is False else ""
        lines.append(f"- {place}{weight}{remark.message}")
    return f"**{review.reviewer}: {review.verdict.replace('_', ' ')}**. {review.summary}\n\n" + "\n".join(lines)


# ---- commit messages -----------------------------------------------------------------------------------------------


def merge_message(proposal: Proposal) -> str:
    closes = f"\n\nCloses #{proposal.request}" if proposal.request else ""
    return f"Merge #{proposal.number}: {proposal.title}{closes}"


def release_message(entries: Sequence[Entry], revision: int) -> str:
    return f"Release {', '.join(f'{e.name} {e.version}' for e in entries)} (registry revision {revision})"


def author_commit(name: str, version: str, request: int, *, revises: bool) -> str:
    did = f"fix({name}): mend what was found in {version}" if revises else f"feat({name}): {version}"
    return f"{did}\n\nFor request #{request}."


def witness_commit(name: str, request: int | None = None) -> str:
    asked = f"\n\nFor request #{request}." if request else ""
    return f"test({name}): witness cases, written from the contract alone{asked}"


def draft_commit(draft: ProposalDraft) -> str:
    """The commit of a proposal that is made in one go: a person's, a rollback, a retirement, a revert."""
    word = {"rollback": "revert", "revert": "revert", "retire": "chore"}.get(draft.kind, "feat")
    return f"{word}({draft.skill}): {draft.title}"


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
    return f"#{merged.number} was released but did not become healthy: {why}\n\nThis {then}, as {version}."


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).replace("`", "'")


def _quoted(text: str) -> str:
    return text.strip().replace("\n", "\n> ")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:160]


# ---- events, one line each: what `explain` and the live display say ------------------------------------------------

_EVENTS = {
    "asked": "asked the model {model}",
    "unanswered": "the model gave no answer: {note}",
    "answered": "answered the person",
    "asks": "asked the person a question",
    "waits": "waits for what it raised",
    "failed": "could not do the task",
    "raised": "raised request #{request}: {note}",
    "invoked": "called {skill}{why}",
    "assessed": "assessed as {outcome}: {note}",
    "witnessed": "the witness wrote {cases} cases from the contract alone",
    "attempt": "draft {attempt} {outcome}{problems}",
    "gave_up": "out of budget: {note}",
    "pushed": "pushed {short} to proposal #{proposal}",
    "proposed": "opened proposal #{proposal}: {skill} {version}",
    "checked": "{check}: {outcome}. {note}",
    "reviewed": "{actor}: {outcome}. {note}",
    "decided": "policy says {outcome}: {note}",
    "merged": "merged #{proposal} as {short}",
    "released": "released {skill} {version} as registry revision {revision}",
    "deployed": "{skill} {version} is healthy and serves",
    "deploy_failed": "{skill} {version} was not deployed: {note}",
    "removed": "{skill} serves no more",
    "approve": "{actor} approved{why}",
    "reject": "{actor} rejected it{why}",
    "revise": "{actor} sent it back{why}",
    "held": "{actor} put it on hold{why}",
    "retried": "{actor} let it go on, with a new budget",
    "stumbled": "could not go on: {note}",
}
WORDS = frozenset(_EVENTS)
SHORT = 110  # characters of a problem or, on a live display, of a note


def event_sentence(event: Event, width: int | None = None) -> str:
    """One event in one line; `width` is the most characters of its note, None all of them."""
    problems = [Problem.model_validate(problem) for problem in event.data.get("problems") or ()]
    told = "".join(f"; {_cut(problem_line(problem), SHORT)}" for problem in problems[:2])
    more = f"; and {len(problems) - 2} more" if len(problems) > 2 else ""
    note = _cut(event.note, width)
    values = {
        **event.data, "note": note, "outcome": event.outcome.replace("_", " "), "actor": event.actor, "skill": event.skill,
        "proposal": event.proposal, "request": event.request, "short": (event.commit or "")[:8], "problems": told + more,
        "why": f": {note}" if note else "",
    }  # fmt: skip
    return _cut(_EVENTS[event.what].format_map(_Missing(values))) if event.what in _EVENTS else f"{event.what} {note}".strip()


def _cut(text: str, width: int | None = None) -> str:
    """`text` in one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if width is None or len(line) <= width else line[: width - 1].rstrip() + "…"


class _Missing(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return ""
