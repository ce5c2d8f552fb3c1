"""Progress: where a piece of work stands, and the one step that moves it on. A pure table, drawn in the README.

A piece of work is a request with its proposal, or a proposal that nobody requested. Its state is never stored: it is
read off the forge, the registry and the runtime each time, so a crash anywhere is healed by looking again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from agent.domain import Frozen
from agent.domain.check import CheckReport, Outcome
from agent.domain.decision import Action, Decision
from agent.domain.gap import Gap
from agent.domain.proposal import DONE, HOLD, OUT_OF_BUDGET, Proposal
from agent.domain.request import Request
from agent.domain.review import Review


class State(StrEnum):
    REQUESTED = "requested"
    UNCLEAR = "unclear"
    ACCEPTED = "accepted"
    DIVIDED = "divided"
    PROPOSED = "proposed"
    CHECKED = "checked"
    RETURNED = "returned"
    WAITING = "waiting"
    APPROVED = "approved"
    DECLINED = "declined"
    MERGED = "merged"
    RELEASED = "released"
    DEPLOYED = "deployed"
    UNDEPLOYABLE = "undeployable"
    CLOSED = "closed"


class Stage(StrEnum):
    """What is done in a state. WAIT and NOTHING are done by nobody here."""

    ASSESS = "assessing"
    DIVIDE = "dividing"
    PROPOSE = "proposing"
    CHECK = "checking"
    REVIEW = "reviewing"
    MERGE = "merging"
    CLOSE = "closing"
    RELEASE = "releasing"
    DEPLOY = "deploying"
    REPORT = "reporting"
    REVERT = "reverting"
    WAIT = "waiting"
    NOTHING = "nothing"


STEPS: dict[State, Stage] = {
    State.REQUESTED: Stage.ASSESS,
    State.UNCLEAR: Stage.WAIT,
    State.ACCEPTED: Stage.PROPOSE,
    State.DIVIDED: Stage.DIVIDE,
    State.PROPOSED: Stage.CHECK,
    State.CHECKED: Stage.REVIEW,
    State.RETURNED: Stage.PROPOSE,
    State.WAITING: Stage.WAIT,
    State.APPROVED: Stage.MERGE,
    State.DECLINED: Stage.CLOSE,
    State.MERGED: Stage.RELEASE,
    State.RELEASED: Stage.DEPLOY,
    State.DEPLOYED: Stage.REPORT,
    State.UNDEPLOYABLE: Stage.REVERT,
    State.CLOSED: Stage.NOTHING,
}

# Which states a step can lead to: what the diagram in the README shows.
TRANSITIONS: dict[State, tuple[State, ...]] = {
    State.REQUESTED: (State.UNCLEAR, State.ACCEPTED, State.DIVIDED, State.CLOSED),
    State.UNCLEAR: (State.REQUESTED,),
    State.ACCEPTED: (State.PROPOSED, State.WAITING, State.REQUESTED),
    State.DIVIDED: (State.DIVIDED, State.DEPLOYED, State.REQUESTED),
    State.PROPOSED: (State.CHECKED, State.APPROVED, State.RETURNED, State.WAITING, State.DECLINED),
    State.CHECKED: (State.APPROVED, State.RETURNED, State.WAITING, State.DECLINED),
    State.RETURNED: (State.PROPOSED, State.WAITING),
    State.WAITING: (State.PROPOSED, State.CHECKED, State.RETURNED, State.APPROVED, State.DECLINED),
    State.APPROVED: (State.MERGED, State.PROPOSED),
    State.DECLINED: (State.CLOSED, State.REQUESTED),
    State.MERGED: (State.RELEASED, State.DEPLOYED),
    State.RELEASED: (State.DEPLOYED, State.UNDEPLOYABLE),
    State.DEPLOYED: (State.CLOSED,),
    State.UNDEPLOYABLE: (State.CLOSED,),
    State.CLOSED: (),
}


class Situation(Frozen):
    """What was seen when looking. `decision` is present once the verdicts that it needs are.

    `answered` tells that the requester spoke after the agent asked. `parts` are the requests that a gap of several skills became, and
    `shown` tells that the requester sees how far they are. `released`: the registry holds the merged tree.
    `deployed`: the runtime serves what the registry holds.
    """

    request: Request | None = None
    gap: Gap | None = None
    answered: bool = False
    parts: tuple[Request, ...] = ()
    shown: bool = False
    proposal: Proposal | None = None
    report: CheckReport | None = None
    reviews: tuple[Review, ...] = ()
    check_names: tuple[str, ...] = ()
    reviewer_names: tuple[str, ...] = ()
    decision: Decision | None = None
    released: bool = False
    deployed: Literal["no", "yes", "failed"] = "no"


class NextStep(Frozen):
    """The state, the stage that moves it, and for WAIT whom it waits for and why."""

    state: State
    stage: Stage
    why: str = ""
    waiting_for: str = ""


_BY_ACTION = {Action.MERGE: State.APPROVED, Action.REVISE: State.RETURNED, Action.REJECT: State.DECLINED, Action.WAIT: State.WAITING}


def state_of(seen: Situation) -> State:
    """Where the work stands."""
    if seen.proposal is None:
        return _without_proposal(seen)
    if seen.proposal.state == "open":
        return _open_proposal(seen, seen.proposal)
    if seen.proposal.state == "closed":
        return State.DECLINED if seen.request is not None and seen.request.state == "open" else State.CLOSED
    # A forge closes a request at the merge of what says so; it has ended once we say how, which is when it was deployed and answered.
    if seen.request.closed_as if seen.request else DONE in seen.proposal.labels:
        return State.CLOSED
    return _merged(seen)


def next_step(seen: Situation) -> NextStep:
    """The one thing to do now."""
    state = state_of(seen)
    if state is State.UNCLEAR and seen.gap:
        return NextStep(state=state, stage=Stage.WAIT, why=seen.gap.question or "", waiting_for="requester")
    if state is State.DIVIDED and seen.shown:
        if declined := [part for part in seen.parts if part.lost]:
            names = " and ".join(f"#{part.number} ({part.title})" for part in declined)
            said = f"say on the request how it goes on (`skillops reply {seen.gap.request if seen.gap else 'N'} TEXT`)"
            return NextStep(state=state, stage=Stage.WAIT, why=f"{names} will not be built: {said}.", waiting_for="person")
        left = " and ".join(f"#{part.number} ({part.title})" for part in seen.parts if not part.met)
        return NextStep(state=state, stage=Stage.WAIT, why=f"Its parts are being built: {left}.", waiting_for="parts")
    if state is State.WAITING:
        decision = seen.decision
        return NextStep(
            state=state,
            stage=Stage.WAIT,
            why=decision.why if decision else _spent(seen.proposal),
            waiting_for=decision.waiting_for if decision else "person",
        )
    return NextStep(state=state, stage=STEPS[state])


def _spent(proposal: Proposal | None) -> str:
    number = proposal.number if proposal else "N"
    return f"The budget is spent, and the work is a draft: #{number} says what failed; `skillops retry {number}` gives it a new budget."


def verdicts_needed(seen: Situation) -> Stage | None:
    """CHECK or REVIEW while verdicts on the head are missing; None once a decision can be computed.

    Reviewers are asked only about what passed its checks: a model's time is not spent on what a linter refused.
    """
    if seen.report is None or not seen.report.covers(seen.check_names):
        return Stage.CHECK
    given = {review.reviewer for review in seen.reviews if review.kind == "model"}
    if seen.report.outcome is Outcome.PASSED and not given.issuperset(seen.reviewer_names):
        return Stage.REVIEW
    return None


def _without_proposal(seen: Situation) -> State:
    if seen.request is None or seen.request.state == "closed":
        return State.CLOSED
    if seen.gap is None or (seen.gap.verdict == "vague" and seen.answered):
        return State.REQUESTED
    if seen.gap.verdict == "vague":
        return State.UNCLEAR
    if seen.gap.verdict == "several":
        return _divided(seen)
    # A covered or refused request is closed by assessing in the same step; where that was cut short, it is done again.
    return State.ACCEPTED if seen.gap.buildable else State.REQUESTED


def _divided(seen: Situation) -> State:
    """A request of several skills is deployed when each of its parts is; where one is lost, the requester's next word begins it anew."""
    if not seen.shown:
        return State.DIVIDED
    if all(part.met for part in seen.parts):
        return State.DEPLOYED
    return State.REQUESTED if seen.answered and any(part.lost for part in seen.parts) else State.DIVIDED


def _open_proposal(seen: Situation, proposal: Proposal) -> State:
    if seen.decision is not None and (seen.decision.action is Action.REJECT or not proposal.draft):
        return _BY_ACTION[seen.decision.action]
    if proposal.draft:
        return State.WAITING if {OUT_OF_BUDGET, HOLD}.intersection(proposal.labels) else State.RETURNED
    return State.PROPOSED if verdicts_needed(seen) is Stage.CHECK else State.CHECKED


def _merged(seen: Situation) -> State:
    if not seen.released:
        return State.MERGED
    if seen.deployed == "failed":
        return State.UNDEPLOYABLE
    return State.RELEASED if seen.deployed == "no" else State.DEPLOYED
