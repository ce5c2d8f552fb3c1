"""A person's verdict on a proposal: who may give it, and the Review that it becomes. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from agent.domain.decision import Policy
from agent.domain.proposal import HOLD, OURS, Proposal, Written, wrote
from agent.domain.review import Review
from agent.errors import Refused, UsageError

Said = Literal["approve", "reject", "revise"]
UNKNOWN = "Make those commits anew, by `skillops propose` or under an address that the forge knows, in a branch here; then another person approves."


def judge(verdict: Said, proposal: Proposal, person: str, policy: Policy, why: str = "", written: Sequence[Written] = ()) -> Review:
    """The Review of the proposal's head that a person's word becomes.

    Raises Refused, saying why, where this person's word could not count; UsageError where a reason is missing.
    Whoever opened a proposal may always reject it or ask for a change. Who did, or wrote a part of it (`written`), approves it only where
    policy allows self-approval.
    """
    _may_judge(verdict, proposal, person, policy)
    if verdict == "approve":
        _can_be_approved(proposal, person, policy, written)
    elif not why.strip():
        raise UsageError("A reason is needed: it is all that the author learns.", next_step=f'skillops {verdict} {proposal.number} --why "…"')
    return Review(reviewer=person, head=proposal.head, verdict=verdict, summary=why.strip() or "Approved.", kind="person")


def _can_be_approved(proposal: Proposal, person: str, policy: Policy, written: Sequence[Written]) -> None:
    number = proposal.number
    if person == proposal.author and not policy.self_approval:
        raise Refused(
            f"{person} wrote proposal #{number} and cannot approve it.",
            why="self_approval is off in reviewers/policy.yaml.",
            next_step="Ask another approver. In a repository of your own: `self_approval: true` in that file, committed and pushed to main.",
        )
    if not policy.self_approval and (told := wrote(written, person)):
        known = not any(each.stranger for each in written)
        raise Refused(
            f"{person} cannot approve proposal #{number}: nobody approves what they wrote.", why=told,
            next_step="Another person must approve it." if known else UNKNOWN,
        )  # fmt: skip
    if proposal.draft:
        raise Refused(f"Proposal #{number} is a draft.", next_step=f"`skillops retry {number}` gives it a new budget.")
    if HOLD in proposal.labels:
        raise Refused(f"Proposal #{number} is on hold.", next_step=f"`skillops retry {number}` lets it go on.")


def _may_judge(verdict: Said, proposal: Proposal, person: str, policy: Policy) -> None:
    if proposal.state != "open":
        raise Refused(f"Proposal #{proposal.number} is {proposal.state}.", why="Only an open proposal can be judged.")
    if person in OURS:
        raise Refused(f"{person} is no person.", why="The agent does not judge what it wrote.", next_step="Set SKILLOPS_USER to your own login.")
    withdraws = person == proposal.author and verdict != "approve"
    if not policy.may_approve(person) and not withdraws:
        raise Refused(
            f"{person} may not {verdict} proposal #{proposal.number}.",
            why=f"The approvers are {', '.join(policy.approvers) or 'nobody'}.",
            next_step="Ask one of them, or propose a change of reviewers/policy.yaml.",
        )
