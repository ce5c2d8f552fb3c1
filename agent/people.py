"""What a person says of a proposal, by whichever door: the command, the gateway, a slash command on GitHub, a button in a chat."""

from __future__ import annotations

from agent.domain.event import Event
from agent.domain.proposal import DEPLOY_FAILED, HOLD, OUT_OF_BUDGET, Proposal
from agent.domain.request import Request
from agent.domain.review import Review
from agent.errors import Refused, UsageError
from agent.parts import Parts
from agent.pasted import refuse_secrets
from agent.stages.assessing import unreadable
from reviewers import human
from reviewers.human import Said


def judge(parts: Parts, verdict: Said, number: int, person: str, why: str, seen: str = "") -> Review:
    """Approves, rejects or sends back a proposal at its head. Raises Refused where this person's word could not count, and where they
    have `seen` another commit than the head."""
    proposal = _open(parts.forge.proposal(number))
    if seen not in ("", proposal.head):
        raise Refused(
            f"Proposal #{number} has changed since it was shown.", why=f"You saw {seen[:8]}, and it is at {proposal.head[:8]} now.",
            next_step="Look at it again, and decide on what it is now.",
        )  # fmt: skip
    policy = parts.policy()
    written = parts.forge.written(proposal) if verdict == "approve" and not policy.self_approval else ()
    review = human.judge(verdict, proposal, person, policy, _fit(why), written)
    parts.forge.post_review(number, review)
    parts.record(_event(verdict, proposal, person, why).model_copy(update={"commit": proposal.head, "outcome": verdict}))
    return review


def hold(parts: Parts, number: int, person: str, why: str) -> Proposal:
    """Keeps a proposal where it is until `retry`."""
    _fit(why)
    proposal = _open(parts.forge.proposal(number))
    parts.forge.label(number, add=[HOLD])
    parts.record(_event("held", proposal, person, why))
    for each in (number, proposal.request):  # what is done on it now breaks off
        if each is not None:
            parts.halts.stop(f"#{each}", person)
    return proposal


def withdraw(parts: Parts, number: int, person: str, why: str) -> Request:
    """Takes a request back for which nothing was proposed yet; whoever works on it stops. Refused where there is a proposal for it."""
    _fit(why)
    request = parts.forge.request(number)
    if request.state != "open":
        how = "taken back already, and nothing is done for it" if request.closed_as == "withdrawn" else "closed"
        raise UsageError(f"Request #{number} is {how}.", next_step="`skillops list --requests` shows the open ones.")
    if found := next(iter(parts.forge.proposals("open", request=number)), None):
        raise Refused(f"Proposal #{found.number} is open for it.", next_step=f"Reject #{found.number}: that closes the request as well.")
    parts.forge.close_request(number, "withdrawn")
    parts.record(Event(stage="people", what="withdrawn", actor=person, request=number, note=why))
    parts.halts.stop(f"#{number}", person)
    return parts.forge.request(number)


def take_back(parts: Parts, number: int, person: str, why: str) -> Request:
    """The same, by who asked for it through a door of ours and by nobody else."""
    if not parts.forge.request(number).asked_by(person, vouched=False):
        raise Refused(
            f"{person} did not ask for #{number} here.", next_step="Whoever did takes it back; or somebody who may approve does, on its page or "
            f"by `skillops withdraw {number}`.",
        )  # fmt: skip
    return withdraw(parts, number, person, why)


def retry(parts: Parts, number: int, person: str) -> Proposal:
    """Takes a proposal up again: no more hold, a new budget, and what could not be told is looked at once more."""
    proposal = parts.forge.proposal(number)
    if DEPLOY_FAILED not in proposal.labels:
        _open(proposal)
    parts.record(_event("retried", proposal, person, ""))
    parts.forge.label(number, remove=[HOLD, OUT_OF_BUDGET, DEPLOY_FAILED])
    parts.forge.forget_verdicts(number, proposal.head)
    return proposal


def _event(what: str, proposal: Proposal, person: str, why: str) -> Event:
    return Event(stage="people", what=what, actor=person, request=proposal.request, proposal=proposal.number, skill=proposal.skill, note=why)


def _open(proposal: Proposal) -> Proposal:
    if proposal.state != "open":
        raise UsageError(f"Proposal #{proposal.number} is {proposal.state}.", next_step="`skillops list --proposals` shows the open ones.")
    return proposal


def _fit(why: str) -> str:
    """The reason as it was given. UsageError for one that cannot be kept."""
    if unreadable(why):
        raise UsageError("The reason has control characters: it looks like binary data.", next_step="Say it in words.")
    return refuse_secrets(why)
