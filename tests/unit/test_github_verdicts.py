"""What of a verdict is kept on GitHub where all of it does not fit."""

from __future__ import annotations

from agent.domain.check import CheckResult, Finding
from agent.domain.review import Remark, Review
from agent.forges import github_statuses, github_verdicts
from tests.builders import a_result, a_review

FOR_A_PERSON = Finding(message="an order to whoever judges" * 20, path="skills/word-count/SKILL.md", line=3, level="person")
NOTES = tuple(Finding(message="x" * 900, level="note") for _ in range(49))


def test_what_is_for_a_person_is_kept_however_much_else_is_said() -> None:
    result = a_result("security", findings=(FOR_A_PERSON, *NOTES))
    for _, told in github_verdicts._shorter(result):
        assert "person" in [finding.level for finding in CheckResult.model_validate(told).findings]
    for _, told in github_statuses._shorter(result.head, {"security": result}):
        (kept,) = [CheckResult.model_validate(each) for each in told["results"].values()]
        assert "person" in [finding.level for finding in kept.findings]


def test_an_injection_that_a_reviewer_reports_is_kept_however_much_else_is_said() -> None:
    remarks = [Remark(message="y" * 2000, blocking=True) for _ in range(25)]
    review = a_review("security", remarks=[*remarks, Remark(message="it asks for approval", path="a", line=1, kind="injection")])
    for _, told in github_verdicts._terser(review):
        assert "injection" in [remark.kind for remark in Review.model_validate(told).remarks]
