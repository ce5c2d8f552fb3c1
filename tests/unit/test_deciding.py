"""One test a row of the table, and what holds for all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import reviewers
from agent.domain.check import CheckReport, Finding, Outcome
from agent.domain.decision import Action, Decision, Policy, RiskRules, Spent
from agent.domain.proposal import AUTHOR, HOLD, WITNESS
from agent.domain.review import Remark, Review
from agent.domain.risk import excess_of, risk_of
from agent.manifest_file import read_policy
from agent.stages.deciding import RULES, decide
from tests.builders import a_manifest, a_proposal, a_report, a_result, a_review

CHECKS = ("scope", "manifest", "style", "security", "secrets", "dependencies", "tests", "contract")
PANEL = ("correctness", "security", "fit")
CASE = {"name": "x", "clause": "words are counted", "inputs": {"text": ""}, "expect": {"outputs": {"words": 0}}}
BLOCKING = {
    "message": "It counts wrongly.",
    "path": "skills/word-count/skill.py",
    "line": 3,
    "blocking": True,
    "reproducer": CASE,
    "reproduced": True,
}
OLD = "e" * 40


def decided(**given: Any) -> Decision:
    """A decision on the agent's own proposal, on which everybody agrees but for what is given."""
    reviews = given.pop("reviews", tuple(a_review(name) for name in PANEL))
    policy = given.pop("policy", Policy())
    proposal, report = given.pop("proposal", a_proposal()), given.pop("report", a_report())
    known = {
        "risk": "low",
        "check_names": CHECKS,
        "reviewer_names": PANEL,
        "changed_paths": ("skills/word-count/skill.py",),
        "spent": Spent(attempts=2),
    }
    return decide(proposal, report, (*reviews, *given.pop("also", ())), policy, **{**known, **given})


def by_person(verdict: str = "approve", person: str = "ada", **traits: Any) -> Review:
    return a_review(person, verdict, kind="person", **{"summary": "Says ada.", **traits})


def panel(**verdicts: str) -> tuple[Review, ...]:
    return tuple(a_review(name, verdicts.get(name, "approve")) for name in PANEL)


def outcome(decision: Decision) -> tuple[str, str, str]:
    return decision.rule, decision.action.value, decision.waiting_for


def test_a_person_who_rejects_wins_over_everything() -> None:
    decision = decided(also=[by_person("reject"), by_person("approve", "bob")], proposal=a_proposal(labels=(HOLD,)), report=a_report(style="failed"))
    assert outcome(decision) == ("person-rejected", "reject", "")
    assert "ada" in decision.why


def test_a_proposal_on_hold_waits_even_where_all_agree() -> None:
    assert outcome(decided(proposal=a_proposal(labels=(HOLD,)), also=[by_person()])) == ("on-hold", "wait", "person")


OVERTAKEN = "word-count is at 1.1.0 on main since this proposal was begun."


def test_what_was_overtaken_is_never_merged_and_its_request_is_assessed_anew() -> None:
    decision = decided(overtaken=OVERTAKEN)
    assert outcome(decision) == ("overtaken", "reject", "")
    assert "assessed anew" in decision.why


def test_a_persons_proposal_that_was_overtaken_waits_for_its_author() -> None:
    decision = decided(proposal=a_proposal(kind="person", author="ada", request=None), overtaken=OVERTAKEN)
    assert outcome(decision) == ("overtaken", "wait", "author")
    assert "Rebase" in decision.why


def test_a_rollback_that_was_overtaken_is_closed() -> None:
    decision = decided(proposal=a_proposal(kind="rollback", author="ada", request=None), overtaken=OVERTAKEN)
    assert outcome(decision) == ("overtaken", "reject", "")


def test_a_draft_waits_for_a_person() -> None:
    assert outcome(decided(proposal=a_proposal(draft=True))) == ("draft", "wait", "person")


def test_a_person_who_asks_for_a_change_sends_the_agent_back_with_their_words() -> None:
    decision = decided(also=[by_person("revise", summary="accept days as well"), by_person("approve", "bob")])
    assert outcome(decision) == ("person-asked-revision", "revise", "")
    assert decision.problems[0].message == "accept days as well"


def test_a_person_who_asks_for_a_change_of_a_persons_proposal_waits_for_its_author() -> None:
    decision = decided(proposal=a_proposal(author="bob", kind="person", request=None), also=[by_person("revise")], spent=None)
    assert outcome(decision) == ("person-asked-revision", "wait", "author")


def test_failed_checks_go_back_to_the_agent_with_what_was_found() -> None:
    found = a_result(
        "style", "failed", findings=(Finding(message="unused import", path="skills/word-count/skill.py", line=1), Finding(message="n", level="note"))
    )
    decision = decided(report=CheckReport(head=a_report().head, results=(found, *a_report().results)))
    assert outcome(decision) == ("checks-failed", "revise", "")
    assert [problem.message for problem in decision.problems] == ["unused import"]


def test_failed_checks_of_a_persons_proposal_wait_for_its_author() -> None:
    assert outcome(decided(report=a_report(tests="failed"), proposal=a_proposal(author="ada"))) == ("checks-failed", "wait", "author")


def test_failed_checks_wait_for_a_person_once_the_budget_is_spent() -> None:
    decision = decided(report=a_report(tests="failed"), spent=Spent(attempts=6))
    assert outcome(decision) == ("checks-failed", "wait", "person")
    assert "attempts: 6 of 6" in decision.why


def test_failed_checks_wait_for_a_person_where_the_contract_is_not_at_hand() -> None:
    assert outcome(decided(report=a_report(tests="failed"), revisable=False)) == ("checks-failed", "wait", "person")


@pytest.mark.parametrize(
    "report",
    [
        None,
        a_report(tests="could_not_tell"),
        CheckReport(head=a_report().head, results=a_report().results[:-1]),
        a_report().model_copy(update={"head": OLD}),
    ],
    ids=["none", "one-could-not-tell", "one-missing", "of-another-head"],
)
def test_checks_that_could_not_tell_wait_for_the_machine_whoever_approves(report: CheckReport | None) -> None:
    decision = decided(report=report, also=[by_person()])
    assert outcome(decision) == ("checks-could-not-tell", "wait", "machine")
    assert "skillops retry 2" in decision.why


def test_most_reviewers_rejecting_rejects() -> None:
    assert outcome(decided(reviews=panel(fit="reject", security="reject"))) == ("most-reviewers-reject", "reject", "")


def test_one_reviewer_rejecting_waits_for_a_person() -> None:
    assert outcome(decided(reviews=panel(fit="reject"))) == ("a-reviewer-rejects", "wait", "person")


def test_a_remark_whose_reproducer_fails_goes_back_to_the_agent() -> None:
    decision = decided(reviews=(*panel()[1:], a_review("correctness", "revise", remarks=[BLOCKING])))
    assert outcome(decision) == ("remark-blocks", "revise", "")
    assert decision.problems[0].line == 3 and '"text":""' in decision.problems[0].message


def test_a_remark_that_blocks_waits_for_a_person_once_the_budget_is_spent() -> None:
    reviews = (*panel()[1:], a_review("correctness", "revise", remarks=[BLOCKING]))
    assert outcome(decided(reviews=reviews, spent=Spent(tokens=400_000))) == ("remark-blocks", "wait", "person")


def test_a_remark_whose_reproducer_did_not_fail_blocks_nothing() -> None:
    reviews = (*panel()[1:], a_review("correctness", "approve", remarks=[{**BLOCKING, "reproduced": False}]))
    assert decided(reviews=reviews).action is Action.MERGE


def test_an_approval_of_ones_own_proposal_does_not_count() -> None:
    mine = a_proposal(author="ada", kind="person", request=None)
    decision = decided(proposal=mine, risk="medium", also=[by_person()], spent=None)
    assert outcome(decision) == ("self-approval", "wait", "person")


def test_an_approval_of_ones_own_proposal_counts_where_policy_lets_it() -> None:
    mine = a_proposal(author="ada", kind="person", request=None)
    assert decided(proposal=mine, risk="medium", also=[by_person()], spent=None, policy=Policy(self_approval=True)).action is Action.MERGE


@pytest.mark.parametrize(
    ("policy", "told", "untold"),
    [
        ({}, ["1 approval by somebody else than ada", "`skillops approve 2`", "`self_approval: true`"], []),
        ({"approvers": ("ada", "bob", "eve")}, ["1 approval by bob or eve: `skillops approve 2`", "`self_approval: true`"], ["somebody"]),
        ({"approvers": ("bob",)}, ["1 approval by bob: "], ["self_approval"]),
        ({"approvers": ("ada",)}, ["policy names none", "`self_approval: true`"], []),
        ({"self_approval": True}, ["1 approval: `skillops approve 2`."], ["self_approval", "somebody"]),
    ],
)
def test_who_may_approve_what_a_person_wrote_is_said(policy: dict[str, Any], told: list[str], untold: list[str]) -> None:
    mine = a_proposal(author="ada", kind="person", request=None)
    why = decided(proposal=mine, risk="medium", spent=None, policy=Policy(**policy)).why
    assert [words for words in told if words not in why] == [] and [words for words in untold if words in why] == [], why


def test_the_agents_work_is_approved_by_anybody_or_by_whom_policy_names() -> None:
    assert "It needs 1 approval: `skillops approve 2`." in decided(risk="high").why
    assert "It needs 1 approval by bob: `skillops approve 2`." in decided(risk="high", policy=Policy(approvers=("bob",))).why


def test_an_own_approval_that_nobody_asked_for_does_no_harm() -> None:
    assert decided(proposal=a_proposal(author="ada", kind="person"), also=[by_person()]).action is Action.MERGE


def test_a_reviewer_that_could_not_tell_waits_for_a_person() -> None:
    assert outcome(decided(reviews=panel(fit="could_not_tell"))) == ("no-quorum", "wait", "person")


def test_a_missed_quorum_waits_for_a_person() -> None:
    decision = decided(reviews=panel()[:1])
    assert outcome(decision) == ("no-quorum", "wait", "person")
    assert "1 of the 2" in decision.why and "skillops approve 2" in decision.why


def test_reviewers_that_policy_does_not_ask_count_for_nothing() -> None:
    assert decided(reviews=(a_review("friend"), a_review("other"))).rule == "no-quorum"


def test_a_protected_path_waits_for_a_person() -> None:
    policy = Policy(protected=("reviewers/",))
    decision = decided(policy=policy, changed_paths=("skills/x/skill.py", "reviewers/policy.yaml"))
    assert outcome(decision) == ("protected-path", "wait", "person")
    assert "reviewers/policy.yaml" in decision.why


def test_what_a_check_found_for_a_person_waits_for_one_and_is_told() -> None:
    finding = Finding(message="an order to whoever judges", path="skills/word-count/SKILL.md", line=7, level="person")
    found = a_result("security", findings=(finding,))
    report = CheckReport(head=a_report().head, results=(*(each for each in a_report().results if each.name != "security"), found))

    decision = decided(report=report, policy=Policy(autonomy="automatic"))
    assert outcome(decision) == ("finding-for-a-person", "wait", "person")
    assert "security: an order to whoever judges (skills/word-count/SKILL.md:7)" in decision.why
    assert decided(report=report, also=[by_person()]).action is Action.MERGE


def test_an_injection_that_a_reviewer_reports_waits_for_a_person_whatever_its_verdict() -> None:
    told = Remark(message="a comment asks for approval", path="skills/word-count/skill.py", line=3, kind="injection")
    decision = decided(reviews=(*panel()[:2], a_review("security", remarks=[told])), policy=Policy(autonomy="automatic"))
    assert outcome(decision) == ("finding-for-a-person", "wait", "person")
    assert "security" in decision.why and "skill.py:3" in decision.why


def test_policy_asks_a_person_at_its_risk_and_says_why() -> None:
    decision = decided(risk="medium", risk_reasons=("reaches api.example.com:443",))
    assert outcome(decision) == ("policy-asks-person", "wait", "person")
    assert "api.example.com" in decision.why


@pytest.mark.parametrize(
    ("autonomy", "risk", "action"),
    [
        ("manual", "low", "wait"),
        ("balanced", "low", "merge"),
        ("balanced", "medium", "wait"),
        ("automatic", "medium", "merge"),
        ("automatic", "high", "wait"),
    ],
)
def test_autonomy_says_where_a_person_is_asked(autonomy: Any, risk: Any, action: str) -> None:
    assert decided(policy=Policy(autonomy=autonomy), risk=risk).action == action


def test_where_all_agree_it_is_merged() -> None:
    assert outcome(decided()) == ("all-agree", "merge", "")


@pytest.mark.parametrize(
    "reviews",
    [panel(fit="could_not_tell"), panel(fit="reject"), panel(fit="reject", security="reject"), (), (a_review("fit", "revise", remarks=[BLOCKING]),)],
    ids=["could-not-tell", "one-reject", "most-reject", "none", "blocking-remark"],
)
def test_a_persons_approval_overrules_the_reviewers(reviews: tuple[Review, ...]) -> None:
    assert decided(reviews=reviews, also=[by_person()]).action is Action.MERGE


def test_as_many_approvals_are_needed_as_policy_says() -> None:
    policy = Policy.model_validate({"approvals": {"low": 1, "medium": 2, "high": 2}})
    assert decided(policy=policy, risk="high", also=[by_person()]).action is Action.WAIT
    assert decided(policy=policy, risk="high", also=[by_person(), by_person(person="bob")]).action is Action.MERGE


def test_nobody_needs_no_approval_where_a_person_is_asked() -> None:
    policy = Policy.model_validate({"approvals": {"low": 0, "medium": 0, "high": 0}})
    assert decided(policy=policy, risk="high").action is Action.WAIT


@pytest.mark.parametrize("person", ["mallory", AUTHOR, WITNESS])
def test_only_approvers_approve(person: str) -> None:
    anyone_but = Policy(approvers=("ada", AUTHOR, WITNESS))
    assert decided(policy=anyone_but, risk="high", also=[by_person(person=person)]).action is Action.WAIT


def test_only_people_with_a_say_reject() -> None:
    assert decided(policy=Policy(approvers=("ada",)), also=[by_person("reject", "mallory")]).action is Action.MERGE


def test_verdicts_on_another_head_never_count() -> None:
    stale = tuple(review.model_copy(update={"head": OLD}) for review in panel())
    assert decided(reviews=stale).rule == "no-quorum"
    assert decided(risk="high", also=[by_person(head=OLD)]).action is Action.WAIT
    assert decided(also=[by_person("reject", head=OLD)]).action is Action.MERGE


def test_each_row_has_a_name_of_its_own() -> None:
    assert len({name for name, _ in RULES}) == len(RULES)


OUTCOMES = st.sampled_from([outcome.value for outcome in Outcome])
VERDICTS = st.sampled_from(["approve", "revise", "reject", "could_not_tell"])


@given(
    outcomes=st.dictionaries(st.sampled_from(CHECKS), OUTCOMES, max_size=2),
    verdicts=st.dictionaries(st.sampled_from(PANEL), VERDICTS),
    people=st.lists(st.tuples(st.sampled_from(["ada", "bob", AUTHOR]), st.sampled_from(["approve", "revise", "reject"])), max_size=3),
    risk=st.sampled_from(["low", "medium", "high"]),
    autonomy=st.sampled_from(["manual", "balanced", "automatic"]),
    author=st.sampled_from([AUTHOR, "ada"]),
)
def test_nothing_merges_but_what_passed_and_was_agreed_to(
    outcomes: dict[str, str], verdicts: dict[str, str], people: list[tuple[str, str]], risk: Any, autonomy: Any, author: str
) -> None:
    said = [by_person(verdict, person) for person, verdict in people]
    decision = decided(
        report=a_report(**outcomes),
        reviews=panel(**verdicts),
        also=said,
        risk=risk,
        policy=Policy(autonomy=autonomy),
        proposal=a_proposal(author=author),
    )
    if decision.action is Action.MERGE:
        assert set(outcomes.values()) <= {"passed"}
        approving = {person for person, verdict in people if verdict == "approve"} - {author, AUTHOR}
        assert approving or not {"reject", "could_not_tell"} & set(verdicts.values())


def test_risk_is_that_of_the_riskiest_trait() -> None:
    plain = a_manifest()
    reaching = a_manifest(permissions={"network": ["api.example.com:443"]})
    secret = a_manifest(permissions={"network": ["api.example.com:443"], "secrets": ["API_KEY"]})
    assert risk_of(plain, None, Policy()) == ("low", ())
    assert risk_of(reaching, None, Policy()) == ("medium", ("reaches api.example.com:443",))
    assert risk_of(secret, None, Policy()) == ("high", ("reads the secrets API_KEY",))
    assert risk_of(reaching, plain, Policy())[0] == "high", "asking for more than the version before"
    assert risk_of(reaching, reaching, Policy())[0] == "medium"
    assert risk_of(None, plain, Policy())[0] == "high"
    assert risk_of(plain, None, Policy(), struck=["no text"]) == (
        "high", ("is not held against what an arbiter struck of the witness's cases: no text",),
    )  # fmt: skip
    assert risk_of(plain, None, Policy(risk=RiskRules(struck="low")), struck=["no text"])[0] == "low"


def test_a_wildcard_is_riskier_than_a_host_and_what_it_covers_is_not_wider() -> None:
    wild, one = a_manifest(permissions={"network": ["*.example.com:443"]}), a_manifest(permissions={"network": ["api.example.com:443"]})
    assert risk_of(wild, wild, Policy()) == ("high", ("reaches whatever *.example.com:443 allows",))
    assert risk_of(one, wild, Policy())[0] == "medium"
    assert one.permissions.wider_than(wild.permissions) == ()
    assert wild.permissions.wider_than(one.permissions) == ("network *.example.com:443",)


LIMITS = Policy(limits={"memory": "1Gi", "cpu": 1, "timeout": "60s", "hosts": ["*.example.com:443", "api.example.org:*"], "storage": False})


@pytest.mark.parametrize(
    ("traits", "told"),
    [
        ({"resources": {"memory": "2Gi"}}, "resources.memory is 2Gi, and at most 1Gi is allowed"),
        ({"resources": {"cpu": 1.5}}, "resources.cpu is 1.5, and at most 1 is allowed"),
        ({"resources": {"timeout": "90s"}}, "resources.timeout is 90s, and at most 60s is allowed"),
        ({"permissions": {"storage": "persistent"}}, "storage is not allowed"),
        ({"permissions": {"network": ["example.com:443"]}}, "network example.com:443 is not among"),
        ({"permissions": {"network": ["*:443"]}}, "network *:443 is not among"),
        ({"permissions": {"network": ["a.example.com:80"]}}, "network a.example.com:80 is not among"),
    ],
)
def test_what_asks_for_more_than_policy_allows_is_sent_back_with_what_it_is(traits: dict[str, Any], told: str) -> None:
    excess = excess_of(a_manifest(**traits), LIMITS)
    decision = decided(excess=excess, also=[by_person("approve", "ada")])
    assert (decision.rule, decision.action) == ("beyond-limits", Action.REVISE)
    assert decision.why.startswith(f"It asks for more than policy allows: {told}")
    assert [problem.path for problem in decision.problems] == ["skills/word-count/skill.yaml"]


def test_what_is_within_the_limits_or_retires_is_not_held_up() -> None:
    inside = {"network": ["a.example.com:443", "*.b.example.com:443", "api.example.org:993"]}
    assert excess_of(a_manifest(permissions=inside, resources={"memory": "1Gi", "cpu": 1.0, "timeout": "60s"}), LIMITS) == ()
    assert excess_of(a_manifest(status="retired", resources={"memory": "2Gi"}), LIMITS) == ()
    assert excess_of(a_manifest(permissions={"network": ["*:25"], "storage": "persistent"}), Policy()) == ()


@pytest.mark.parametrize(
    ("traits", "risk"),
    [({"annotations": {"destructive": True}}, "high"), ({"dependencies": ["attrs==25.4.0"]}, "medium"), ({"runtime": "container"}, "high"),
     ({"permissions": {"storage": "persistent"}}, "medium")],
)  # fmt: skip
def test_every_trait_brings_its_risk(traits: dict[str, Any], risk: str) -> None:
    assert risk_of(a_manifest(**traits), None, Policy())[0] == risk


def test_the_shipped_policy_is_the_default_with_the_judges_protected() -> None:
    shipped = (Path(reviewers.__file__).parent / "policy.yaml").read_bytes()
    policy = read_policy(shipped, "reviewers/policy.yaml")
    assert policy.model_copy(update={"protected": (), "dependencies": Policy().dependencies}) == Policy()
    assert policy.dependencies.min_age_days == Policy().dependencies.min_age_days
    assert "reviewers/" in policy.protected
