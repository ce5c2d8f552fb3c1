"""Progress is a table: one test for each state, and the step that it asks for."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.decision import Action, Decision
from agent.domain.progress import STEPS, TRANSITIONS, Situation, Stage, State, next_step, state_of, verdicts_needed
from agent.domain.proposal import DONE, HOLD, OUT_OF_BUDGET
from tests.builders import HEAD, a_gap, a_proposal, a_report, a_request, a_review

CHECKS = ("scope", "manifest", "style", "security", "secrets", "dependencies", "tests", "contract")
PANEL = ("correctness", "security", "fit")


def seen(**traits: Any) -> Situation:
    return Situation(**{"request": a_request(), "check_names": CHECKS, "reviewer_names": PANEL, **traits})


def decided(action: Action) -> Decision:
    return Decision(action=action, head=HEAD, rule="a-rule", why="because", waiting_for="person" if action is Action.WAIT else "")


REVIEWS = tuple(a_review(name) for name in PANEL)
VAGUE = a_gap(verdict="vague", question="In which unit?", contract=None)
SEVERAL = a_gap(verdict="several", contract=None, parts=[{"title": t, "text": f"Do {t} for a text."} for t in ("one", "two")])
OPEN, MET = a_request(number=8, parent=7), a_request(number=9, parent=7, state="closed", closed_as="done")
LOST = a_request(number=9, parent=7, state="closed", closed_as="refused")
MERGED = a_proposal(state="merged", merged_commit="d" * 40)

CASES = {
    "a request without a gap is assessed": (seen(), State.REQUESTED, Stage.ASSESS),
    "a vague request waits for its requester": (seen(gap=VAGUE), State.UNCLEAR, Stage.WAIT),
    "an answered request is assessed anew": (seen(gap=VAGUE, answered=True), State.REQUESTED, Stage.ASSESS),
    "a gap with a contract is built": (seen(gap=a_gap()), State.ACCEPTED, Stage.PROPOSE),
    "an assessment cut short before it closed the request is done again": (
        seen(gap=a_gap(verdict="refused", contract=None)), State.REQUESTED, Stage.ASSESS),
    "a request of several skills is divided": (seen(gap=SEVERAL), State.DIVIDED, Stage.DIVIDE),
    "while a part is built its request waits": (seen(gap=SEVERAL, parts=(OPEN, MET), shown=True), State.DIVIDED, Stage.WAIT),
    "what changed of a part is shown": (seen(gap=SEVERAL, parts=(MET, MET)), State.DIVIDED, Stage.DIVIDE),
    "a request whose parts are all deployed is answered": (seen(gap=SEVERAL, parts=(MET, MET), shown=True), State.DEPLOYED, Stage.REPORT),
    "a lost part waits for a word": (seen(gap=SEVERAL, parts=(MET, LOST), shown=True), State.DIVIDED, Stage.WAIT),
    "a word on a lost part has it assessed anew": (seen(gap=SEVERAL, parts=(OPEN, LOST), shown=True, answered=True), State.REQUESTED, Stage.ASSESS),
    "a word while all goes well changes nothing": (seen(gap=SEVERAL, parts=(OPEN, MET), shown=True, answered=True), State.DIVIDED, Stage.WAIT),
    "a closed request is left alone": (seen(request=a_request(state="closed")), State.CLOSED, Stage.NOTHING),
    "an open proposal is checked": (seen(proposal=a_proposal()), State.PROPOSED, Stage.CHECK),
    "a partly checked proposal is checked": (
        seen(proposal=a_proposal(), report=a_report().model_copy(update={"results": a_report().results[:5]})), State.PROPOSED, Stage.CHECK),
    "a checked proposal is reviewed": (seen(proposal=a_proposal(), report=a_report()), State.CHECKED, Stage.REVIEW),
    "reviews of a part of the panel are not enough": (
        seen(proposal=a_proposal(), report=a_report(), reviews=REVIEWS[:2]), State.CHECKED, Stage.REVIEW),
    "a decision to merge": (seen(proposal=a_proposal(), decision=decided(Action.MERGE)), State.APPROVED, Stage.MERGE),
    "a decision to revise": (seen(proposal=a_proposal(), decision=decided(Action.REVISE)), State.RETURNED, Stage.PROPOSE),
    "a decision to reject": (seen(proposal=a_proposal(), decision=decided(Action.REJECT)), State.DECLINED, Stage.CLOSE),
    "a decision to wait": (seen(proposal=a_proposal(), decision=decided(Action.WAIT)), State.WAITING, Stage.WAIT),
    "a draft out of budget waits": (seen(proposal=a_proposal(draft=True, labels=(OUT_OF_BUDGET,))), State.WAITING, Stage.WAIT),
    "a draft with a new budget is taken up": (seen(proposal=a_proposal(draft=True)), State.RETURNED, Stage.PROPOSE),
    "a closed proposal ends its request": (seen(proposal=a_proposal(state="closed")), State.DECLINED, Stage.CLOSE),
    "what is merged is released": (seen(proposal=MERGED), State.MERGED, Stage.RELEASE),
    "what is released is deployed": (seen(proposal=MERGED, released=True), State.RELEASED, Stage.DEPLOY),
    "what serves is reported": (seen(proposal=MERGED, released=True, deployed="yes"), State.DEPLOYED, Stage.REPORT),
    "what cannot serve is taken back": (seen(proposal=MERGED, released=True, deployed="failed"), State.UNDEPLOYABLE, Stage.REVERT),
    "a proposal that nobody requested is reported where it serves": (
        seen(request=None, proposal=MERGED, released=True, deployed="yes"), State.DEPLOYED, Stage.REPORT),
    "a proposal that nobody requested ends when it is done": (
        seen(request=None, proposal=a_proposal(state="merged", labels=(DONE,)), released=True, deployed="no"), State.CLOSED, Stage.NOTHING),
    "what the forge closed at the merge is released all the same": (
        seen(request=a_request(state="closed"), proposal=MERGED), State.MERGED, Stage.RELEASE),
    "what was closed after it was answered is left alone": (
        seen(request=a_request(state="closed", closed_as="done"), proposal=MERGED), State.CLOSED, Stage.NOTHING),
    "a rejected draft is closed": (
        seen(proposal=a_proposal(draft=True, labels=(OUT_OF_BUDGET,)), decision=decided(Action.REJECT)), State.DECLINED, Stage.CLOSE),
    "a draft on hold is not taken up": (
        seen(proposal=a_proposal(draft=True, labels=(HOLD,)), decision=decided(Action.WAIT)), State.WAITING, Stage.WAIT),
}  # fmt: skip


@pytest.mark.parametrize(("situation", "state", "stage"), CASES.values(), ids=CASES)
def test_a_situation_has_one_state_and_one_next_step(situation: Situation, state: State, stage: Stage) -> None:
    assert state_of(situation) is state
    assert next_step(situation).stage is stage


def test_every_state_is_reached_by_a_case_above() -> None:
    assert {state for _, state, _ in CASES.values()} == set(State)


def test_every_state_has_a_step_and_every_transition_leads_to_a_state() -> None:
    assert set(STEPS) == set(State) == set(TRANSITIONS)
    assert {target for targets in TRANSITIONS.values() for target in targets} <= set(State)


def test_only_a_closed_state_leads_nowhere() -> None:
    assert [state for state, targets in TRANSITIONS.items() if not targets] == [State.CLOSED]


def test_reviewers_are_not_asked_about_what_failed_its_checks() -> None:
    situation = seen(proposal=a_proposal(), report=a_report(style="failed"))

    assert verdicts_needed(situation) is None


def test_a_draft_out_of_budget_says_what_gives_it_a_new_one() -> None:
    told = next_step(seen(proposal=a_proposal(number=7, draft=True, labels=(OUT_OF_BUDGET,)))).why
    assert "#7 says what failed" in told and "`skillops retry 7`" in told


def test_whom_a_divided_request_waits_for_is_told() -> None:
    built, lost = (next_step(seen(gap=SEVERAL, parts=(OPEN, part), shown=True)) for part in (MET, LOST))

    assert (built.waiting_for, "#8" in built.why, "#9" in built.why) == ("parts", True, False)
    assert (lost.waiting_for, "#9" in lost.why, f"`skillops reply {SEVERAL.request} TEXT`" in lost.why) == ("person", True, True)
