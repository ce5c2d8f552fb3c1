"""The situation of a piece of work: read off the forge, the registry, the runtime and the ledger each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent import messages
from agent.disputes import rulings_of
from agent.domain.decision import Decision, Policy, Problem
from agent.domain.gap import Gap
from agent.domain.progress import Situation, verdicts_needed
from agent.domain.proposal import AGENT, DEPLOY_FAILED, DONE, HOLD, OURS, OVERTAKEN, Proposal
from agent.domain.request import Comment, Request
from agent.domain.requirement import reach
from agent.domain.risk import excess_of, risk_of
from agent.domain.skill import Manifest
from agent.errors import InvalidFile
from agent.manifest_file import read_manifest
from agent.parts import Parts
from agent.ports import Forge
from agent.stages.deciding import decide
from agent.stages.deploying import serves


@dataclass(frozen=True)
class Work:
    """One piece of work: a request, a proposal that nobody requested, or both numbers once they are known."""

    request: int | None = None
    proposal: int | None = None

    def __str__(self) -> str:
        number = self.request or self.proposal
        return f"#{number}" if number else "The registry"


def open_work(parts: Parts) -> tuple[Work, ...]:
    """Everything that may still move, the oldest first: open requests, those that the forge closed at the merge, and proposals without
    one that are open, or merged and not done."""
    forge = parts.forge
    merged = forge.proposals("merged")
    lone = [each.number for each in (*forge.proposals("open"), *merged) if each.request is None and DONE not in each.labels]
    asked = {each.request for each in merged}
    ended = [request for request in forge.requests("closed") if request.number in asked and not request.closed_as] if asked - {None} else []
    works = [Work(request=request.number) for request in (*forge.requests("open"), *ended)] + [Work(proposal=number) for number in lone]
    return tuple(sorted(works, key=lambda work: work.request or work.proposal or 0))


def in_work(request: Request, forge: Forge) -> bool:
    """Whether there is more to come of a request: it is open, or the forge closed it at the merge and it is not deployed and answered yet."""
    if request.state == "open" or request.closed_as:
        return request.state == "open"
    return bool(forge.proposals("merged", request=request.number))


def look(parts: Parts, work: Work) -> Situation:
    """The situation of one piece of work, decision included where the verdicts are in, or where none of them could change it."""
    request = parts.forge.request(work.request) if work.request else None
    gap, answered = assessment(parts.forge.comments(work.request)) if work.request else (None, False)
    proposal = parts.forge.proposal(work.proposal) if work.proposal else _proposal_of(parts, work.request) if work.request else None
    if gap and proposal is None and _outdated(parts, gap):
        gap = None
    if request and gap and gap.verdict == "several" and proposal is None:
        return _divided(parts, request, gap, answered)
    seen = Situation(request=request, gap=gap, answered=answered, proposal=proposal)
    if proposal is None or proposal.state == "closed":
        return seen
    if proposal.state == "merged":
        return seen.model_copy(update=_after_merge(parts, proposal))
    policy = parts.policy()
    seen = seen.model_copy(update={
        "report": parts.forge.checks(proposal.number, proposal.head),
        "reviews": parts.forge.reviews(proposal.number, proposal.head),
        "check_names": tuple(check.name for check in parts.checks),
        "reviewer_names": tuple(reviewer.name for reviewer in parts.panel(policy)),
    })  # fmt: skip
    said = any(review.kind == "person" and review.verdict in ("reject", "revise") for review in seen.reviews)
    overtaken = _overtaken(parts, proposal)
    if said or HOLD in proposal.labels or overtaken or verdicts_needed(seen) is None or excess_of(_manifests(parts, proposal)[0], policy):
        seen = seen.model_copy(update={"decision": _decision(parts, proposal, seen, policy, overtaken)})
    return seen


def assessment(comments: Sequence[Comment]) -> tuple[Gap | None, bool]:
    """The newest Gap that the agent wrote down, and whether the requester has spoken since."""
    gap, at = None, 0
    for comment in comments:
        if comment.author == AGENT and (found := messages.gap_of(comment)):
            gap, at = found, comment.id
    return gap, any(comment.id > at and comment.author not in OURS for comment in comments)


def parts_of(forge: Forge, number: int | None) -> tuple[Request, ...]:
    """The requests that one of several skills became, as far as they were raised and shown."""
    comments = forge.comments(number) if number else ()
    gap = assessment(comments)[0]
    divided = next((found for comment in comments if comment.author == AGENT and (found := messages.divided_of(comment))), None)
    numbers = divided.numbers if gap and divided and divided.gap == gap.digest else ()
    return tuple(forge.request(each) for each in numbers)


def brought_by(forge: Forge, number: int) -> tuple[str, ...]:
    """The skills that the parts of a request became, as far as they were assessed: whoever assesses it anew has to know of them."""
    gaps = [assessment(forge.comments(part.number))[0] for part in parts_of(forge, number)]
    return tuple(name for gap in gaps if gap and (name := gap.contract.name if gap.contract else gap.skill))


def _divided(parts: Parts, request: Request, gap: Gap, spoken: bool) -> Situation:
    """The situation of a request of several skills: what the sticky comment ought to say of its parts, and what it says.

    What the requester has `spoken` since it was divided answers what was told of a lost part where it came after that.
    """
    children, comments = parts_of(parts.forge, request.number), parts.forge.comments(request.number)
    told = {comment.marker: comment for comment in comments if comment.author == AGENT}
    lost = [told.get(f"{messages.LOST}-{child.number}") for child in children if child.lost]
    shown = bool(children) and all(lost) and told[messages.PARTS].text == messages.parts_comment(gap, children)
    since = max((comment.id for comment in lost if comment), default=0)
    answered = spoken and bool(since) and any(comment.id > since and comment.author not in OURS for comment in comments)
    return Situation(request=request, gap=gap, answered=answered, parts=children, shown=shown)


def _decision(parts: Parts, proposal: Proposal, seen: Situation, policy: Policy, overtaken: str) -> Decision:
    """Deciding is arithmetic; this gathers its numbers."""
    manifest, base_manifest = _manifests(parts, proposal)
    called = reach(manifest, parts.catalog) if manifest else ()
    ruled = rulings_of(parts.ledger, proposal.request, seen.gap.digest) if proposal.request and seen.gap else ()
    struck = [ruling.name for ruling in ruled if not ruling.stands]
    risk, reasons = risk_of(manifest, base_manifest, policy, seen.report.gained if seen.report else (), called, struck)
    approved = any(review.kind == "person" and review.verdict == "approve" for review in seen.reviews)
    return decide(
        proposal, seen.report, seen.reviews, policy, risk=risk, risk_reasons=reasons,
        check_names=seen.check_names, reviewer_names=seen.reviewer_names,
        changed_paths=tuple(change.path for change in parts.forge.changes(parts.forge.main, proposal.head)),
        spent=parts.ledger.spent(proposal.request) if proposal.request else None, overtaken=overtaken,
        excess=excess_of(manifest, policy),
        written=parts.forge.written(proposal) if approved and not policy.self_approval else (),
        for_person=[Problem(source="dispute", message=ruling.why) for ruling in ruled if ruling.outcome == "addressed"],
    )  # fmt: skip


def _overtaken(parts: Parts, proposal: Proposal) -> str:
    """How the skill changed on main since the proposal was begun, in a sentence; empty where it did not.

    Its checks held it against another version then, and a merge would mix two pieces of work that nobody judged together.
    """
    forge, folder = parts.forge, f"skills/{proposal.skill}/"
    if not any(change.path.startswith(folder) for change in forge.changes(proposal.head, forge.main)):
        return ""
    now = _manifests(parts, proposal)[1]
    return f"{proposal.skill} {f'is at {now.version}' if now else 'was changed'} on main since this proposal was begun."


def _outdated(parts: Parts, gap: Gap) -> bool:
    """Whether a contract that nothing was proposed for yet was frozen on a registry that has moved on."""
    if gap.contract is None:
        return False
    entry = parts.catalog.entry(gap.contract.name)
    return entry is not None if gap.verdict == "new" else entry is None or entry.version != gap.base_version


def _proposal_of(parts: Parts, request: int) -> Proposal | None:
    """The proposal for a request: the newest that was not closed, else the newest. One that was overtaken is none any more."""
    found = [proposal for proposal in parts.forge.proposals("all", request=request) if proposal.kind in ("new", "extend", "person")]
    found = [proposal for proposal in found if proposal.state != "closed" or OVERTAKEN not in proposal.labels]
    return max(found, key=lambda proposal: (proposal.state != "closed", proposal.number), default=None)


def _after_merge(parts: Parts, proposal: Proposal) -> dict[str, object]:
    """`released` and `deployed` of a merged proposal. A later release of the same skill counts: the work was overtaken."""
    entry = parts.catalog.entry(proposal.skill)
    tree = parts.forge.object_id(parts.forge.main, f"skills/{proposal.skill}")
    released = entry.tree == tree if entry else tree is None
    if DEPLOY_FAILED in proposal.labels:
        return {"released": released, "deployed": "failed"}
    served = entry is None or entry.status == "retired" or serves(entry, parts.runtime.services())
    return {"released": released, "deployed": "yes" if served else "no"}


def _manifests(parts: Parts, proposal: Proposal) -> tuple[Manifest | None, Manifest | None]:
    """The manifest at the head and on main; None where there is none that can be read."""
    path = f"skills/{proposal.skill}/skill.yaml"
    found = []
    for ref in (proposal.head, parts.forge.main):
        data = parts.forge.read(ref, path)
        try:
            found.append(read_manifest(data, path) if data is not None else None)
        except InvalidFile:
            found.append(None)
    return found[0], found[1]
