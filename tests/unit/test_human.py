"""Whose word counts, and for what."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.decision import Policy
from agent.domain.proposal import AUTHOR, HOLD, WITNESS
from agent.errors import Refused, UsageError
from reviewers.human import judge
from tests.builders import HEAD, a_proposal

TEAM = Policy(approvers=("ada", "bob"))
MINE = {"author": "ada", "kind": "person"}


@pytest.mark.parametrize("verdict", ["approve", "reject", "revise"])
def test_an_approver_judges_the_head(verdict: Any) -> None:
    review = judge(verdict, a_proposal(), "ada", TEAM, "because")
    assert (review.reviewer, review.head, review.verdict, review.kind, review.summary) == ("ada", HEAD, verdict, "person", "because")


@pytest.mark.parametrize(
    ("person", "proposal", "why"),
    [
        ("mallory", {}, "approvers are ada, bob"),
        ("ada", MINE, "self_approval is off"),
        ("ada", {"draft": True}, "is a draft"),
        ("ada", {"labels": (HOLD,)}, "on hold"),
        ("ada", {"state": "merged"}, "is merged"),
        (AUTHOR, {}, "is no person"),
        (WITNESS, {}, "is no person"),
    ],
)
def test_an_approval_that_cannot_count_is_refused_with_the_reason(person: str, proposal: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused) as refused:
        judge("approve", a_proposal(**proposal), person, TEAM)
    assert why in str(refused.value)


def test_self_approval_counts_where_policy_allows_it() -> None:
    assert judge("approve", a_proposal(**MINE), "ada", TEAM.model_copy(update={"self_approval": True})).verdict == "approve"


@pytest.mark.parametrize("verdict", ["reject", "revise"])
def test_whoever_wrote_it_may_withdraw_or_change_it(verdict: Any) -> None:
    own = a_proposal(author="mallory", kind="person")
    assert judge(verdict, own, "mallory", TEAM, "I found a fault").verdict == verdict
    with pytest.raises(Refused):
        judge(verdict, a_proposal(), "mallory", TEAM, "I do not like it")


@pytest.mark.parametrize("verdict", ["reject", "revise"])
def test_a_no_needs_a_reason(verdict: Any) -> None:
    with pytest.raises(UsageError):
        judge(verdict, a_proposal(), "ada", TEAM, "  ")
