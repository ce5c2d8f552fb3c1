"""What is known of one head of a proposal, and what can be said of it: what the rows of the table of decisions read. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.domain.check import CheckReport
from agent.domain.decision import Action, Decision, Policy, Problem, Risk, Spent
from agent.domain.proposal import OURS, Proposal, Written, wrote
from agent.domain.review import Review
from agent.domain.wording import counted


@dataclass(frozen=True)
class Evidence:
    """All that is known of one head. Reviews of other heads are not in it."""

    proposal: Proposal
    report: CheckReport | None
    reviews: tuple[Review, ...]
    policy: Policy
    risk: Risk
    risk_reasons: tuple[str, ...]
    check_names: tuple[str, ...]
    reviewer_names: tuple[str, ...]
    changed_paths: tuple[str, ...]
    spent: Spent | None
    revisable: bool
    overtaken: str
    excess: tuple[Problem, ...]
    for_person: tuple[Problem, ...]
    written: tuple[Written, ...]

    @property
    def models(self) -> tuple[Review, ...]:
        """The reviews of the reviewers that policy asks, the last of each."""
        said = {review.reviewer: review for review in self.reviews if review.kind == "model" and review.reviewer in self.reviewer_names}
        return tuple(said.values())

    @property
    def people(self) -> tuple[Review, ...]:
        """The last verdict of each person who has a say: the approvers, and whoever wrote the proposal, who may withdraw it."""
        said = {review.reviewer: review for review in self.reviews if review.kind == "person" and review.reviewer not in OURS}
        return tuple(review for person, review in said.items() if self.policy.may_approve(person) or person == self.proposal.author)

    @property
    def approvals(self) -> frozenset[str]:
        """The people whose approval counts: approvers, and who wrote any of it only where policy allows self-approval."""
        return frozenset(person for person in self._approving if not self.barring(person))

    @property
    def barred(self) -> tuple[str, ...]:
        """Who approved what they wrote, or may have."""
        return tuple(sorted(person for person in self._approving if self.barring(person)))

    @property
    def _approving(self) -> set[str]:
        return {review.reviewer for review in self.people if review.verdict == "approve" and self.policy.may_approve(review.reviewer)}

    def barring(self, person: str) -> str:
        """Why an approval of this person does not count; empty where it does."""
        if self.policy.self_approval:
            return ""
        if person == self.proposal.author:
            return f"{person} wrote it and cannot approve it: self_approval is off in the policy."
        why = wrote(self.written, person)
        return why and f"{person} cannot approve it, for nobody approves what they wrote. {why}"

    @property
    def approved(self) -> bool:
        return len(self.approvals) >= max(1, self.policy.approvals.at(self.risk))

    @property
    def over(self) -> str | None:
        return self.spent.over(self.policy.budget) if self.spent else None

    @property
    def agent_can_revise(self) -> bool:
        return self.proposal.by_agent and self.proposal.request is not None and self.revisable and self.over is None

    def merge(self, why: str) -> Decision:
        return self._decision(Action.MERGE, why)

    def reject(self, why: str) -> Decision:
        return self._decision(Action.REJECT, why)

    def wait(self, why: str, waiting_for: str = "person") -> Decision:
        return self._decision(Action.WAIT, why, waiting_for=waiting_for)

    def mend(self, why: str, problems: Sequence[Problem]) -> Decision:
        """Back to the agent's author while there is budget; else to whoever wrote it, or to a person."""
        if self.agent_can_revise:
            return self._decision(Action.REVISE, why, problems=tuple(problems))
        if not self.proposal.by_agent:
            return self._decision(Action.WAIT, why, waiting_for="author", problems=tuple(problems))
        spent = f" The budget is spent ({self.over})." if self.over else ""
        return self._decision(Action.WAIT, why + spent, waiting_for="person", problems=tuple(problems))

    def ask_person(self, why: str) -> Decision | None:
        """Waits for an approval, unless enough people gave theirs."""
        missing = max(1, self.policy.approvals.at(self.risk)) - len(self.approvals)
        if missing <= 0:
            return None
        count = counted(missing, "more approval" if self.approvals else "approval")
        return self.wait(f"{why} It needs {count}{self._by_whom()}: `skillops approve {self.proposal.number}`.{self._alone()}")

    def _by_whom(self) -> str:
        """Whose approval counts, where it is not anybody's."""
        author = () if self.proposal.by_agent or self.policy.self_approval else (self.proposal.author,)
        barred = dict.fromkeys((*author, *self.barred))
        able = " or ".join(person for person in self.policy.approvers if person not in barred)
        if "*" not in self.policy.approvers:
            return f" by {able or 'an approver, and policy names none who could give it'}"
        return f" by somebody else than {' or '.join(barred)}, who wrote it" if barred else ""

    def _alone(self) -> str:
        """What helps where the author may be the only one there is."""
        author, able = self.proposal.author, self.proposal.by_agent or self.policy.self_approval
        helps = not able and self.policy.may_approve(author)
        return f" Where there is nobody else, `self_approval: true` in reviewers/policy.yaml lets {author} approve it." if helps else ""

    def _decision(self, action: Action, why: str, **more: object) -> Decision:
        return Decision.model_validate({"action": action, "head": self.proposal.head, "rule": "", "why": why, "risk": self.risk, **more})
