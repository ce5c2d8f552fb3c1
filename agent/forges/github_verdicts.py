"""Verdicts on GitHub: the checks of a proposal as check runs, the reviews as reviews.

Each is kept whole, as JSON in a hidden marker of what people read: of a check in its run's text, of a review in its body. Where checks
are not allowed (GitHub lets Apps alone make them), `github_statuses.py` keeps them instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from agent.domain.check import CheckReport, CheckResult, Finding, Outcome
from agent.domain.review import Review
from agent.errors import Refused
from agent.forges.github_api import GitHubApi, NotAllowed
from agent.forges.github_marks import fitted, unmarked
from agent.forges.github_statuses import GitHubStatuses, first, shortened
from agent.markdown import plain
from agent.pasted import without_secrets

ANNOTATIONS = 50  # the most that one request of the Checks API takes; more are added by updates
_CONCLUSIONS = {Outcome.PASSED: "success", Outcome.FAILED: "failure", Outcome.COULD_NOT_TELL: "action_required"}


class GitHubVerdicts(GitHubStatuses):
    """Check runs and reviews of the repository behind `api`; `login` is who we are."""

    api: GitHubApi
    may_judge: Callable[[str], bool]
    _pull: Callable[[int], dict[str, Any]]

    # ---- checks ---------------------------------------------------------------------------------------------------

    def post_check(self, number: int, result: CheckResult) -> None:
        self._pull(number)
        known = self._run(result.head, result.name)
        annotations = [_annotation(finding) for finding in result.findings if finding.path and finding.line]
        output = {"title": result.summary[:250] or result.name, "summary": _summary(result), "text": fitted("", "check", _shorter(result))}
        body = {
            "name": result.name, "head_sha": result.head, "status": "completed", "conclusion": _CONCLUSIONS[result.outcome],
            "output": {**output, "annotations": annotations[:ANNOTATIONS]},
        }  # fmt: skip
        if known is None:
            try:
                known = self.api.once("check-runs", body, lambda: self._run(result.head, result.name), lambda run: run)
            except NotAllowed:
                if self.is_app:
                    raise
                self.post_status(number, result)
                return
        else:
            self.api.send("PATCH", f"check-runs/{known['id']}", {key: value for key, value in body.items() if key != "head_sha"})
        for start in range(ANNOTATIONS, len(annotations), ANNOTATIONS):
            more = {"output": {**output, "annotations": annotations[start : start + ANNOTATIONS]}}
            self.api.send("PATCH", f"check-runs/{known['id']}", more)

    def checks(self, number: int, head: str) -> CheckReport:
        self._pull(number)
        results = {}
        for run in self._runs(head):
            told = unmarked((run.get("output") or {}).get("text"), "check")[1] if run["status"] == "completed" else None
            if told is not None:
                results[run["name"]] = CheckResult.model_validate(told)
        if not results and not self.is_app:
            results = self.statuses(number, head)
        return CheckReport(head=head, results=tuple(results[name] for name in sorted(results)))

    def forget_run(self, run: int) -> None:
        found = self.api.get(f"check-runs/{run}")
        if found and self._by_us(found) and unmarked((found.get("output") or {}).get("text"), "check")[1]:
            self.api.send("PATCH", f"check-runs/{run}", {"status": "queued"})

    def _runs(self, head: str) -> Iterable[dict[str, Any]]:
        """Our check runs; another App's of the same name say nothing."""
        return [run for run in self.api.pages(f"commits/{head}/check-runs", "check_runs") if self._by_us(run)]

    def _by_us(self, run: dict[str, Any]) -> bool:
        slug = (run.get("app") or {}).get("slug")
        return slug is not None and self.login in (f"{slug}[bot]", slug)

    def _run(self, head: str, name: str) -> dict[str, Any] | None:
        return next((run for run in self._runs(head) if run["name"] == name), None)

    # ---- reviews --------------------------------------------------------------------------------------------------

    def post_review(self, number: int, review: Review) -> None:
        self._pull(number)
        body = fitted(_opinion(review), "review", _terser(review))
        known = self._review_of(number, review.head, review.reviewer)
        if known is not None:
            self.api.send("PUT", f"pulls/{number}/reviews/{known['id']}", {"body": body})
            return
        told: dict[str, Any] = {"body": body, "event": "COMMENT", "commit_id": review.head}
        lines = [
            {"path": each.path, "line": each.line, "side": "RIGHT", "body": plain(each.message)}
            for each in review.remarks if each.path and each.line
        ]  # fmt: skip

        def post(review_told: dict[str, Any]) -> None:
            self.api.once(f"pulls/{number}/reviews", review_told, lambda: self._review_of(number, review.head, review.reviewer), lambda made: made)

        try:
            post({**told, "comments": lines} if lines else told)
        except Refused:
            if not lines:
                raise
            post(told)  # where a line is not in the diff, GitHub takes none of them: the body tells them all

    def reviews(self, number: int, head: str) -> tuple[Review, ...]:
        self._pull(number)
        found: dict[str, Review] = {}
        for each in self.api.pages(f"pulls/{number}/reviews"):
            told = self._review(each)
            if told and told.head == head:
                found[told.reviewer] = told
        return tuple(found[name] for name in sorted(found))

    def _review(self, each: dict[str, Any]) -> Review | None:
        """A review of ours, or a person's own: GitHub's APPROVED and CHANGES_REQUESTED are verdicts on the commit that they were given on."""
        if self._ours(each):
            told = unmarked(each["body"], "review")[1]
            return Review.model_validate(told) if told else None
        verdicts: dict[str, Literal["approve", "revise"]] = {"APPROVED": "approve", "CHANGES_REQUESTED": "revise"}
        verdict = verdicts.get(each["state"])
        person = (each["user"] or {}).get("login", "")  # GitHub keeps the review of an account that is gone, and no name
        if verdict is None or not each["commit_id"] or not self.may_judge(person):
            return None
        found = without_secrets(each["body"] or "")
        return Review(reviewer=person, head=each["commit_id"], verdict=verdict, summary=found.text[:2000], kind="person", pasted=found.kinds)

    def _review_of(self, number: int, head: str, reviewer: str) -> dict[str, Any] | None:
        for each in self.api.pages(f"pulls/{number}/reviews"):
            told = unmarked(each["body"], "review")[1] if self._ours(each) else None
            if told and (told.get("head"), told.get("reviewer")) == (head, reviewer):
                return dict(each)
        return None

    # ---- both -----------------------------------------------------------------------------------------------------

    def forget_verdicts(self, number: int, head: str) -> None:
        self._pull(number)
        for run in self._runs(head):
            if run["status"] == "completed" and run["conclusion"] == _CONCLUSIONS[Outcome.COULD_NOT_TELL]:
                self.api.send("PATCH", f"check-runs/{run['id']}", {"status": "queued"})
        if not self.is_app:
            self.forget_statuses(number, head)
        for each in self.api.pages(f"pulls/{number}/reviews"):
            told = self._review(each)
            if told and told.head == head and told.verdict == "could_not_tell" and told.kind == "model":
                self.api.send("PUT", f"pulls/{number}/reviews/{each['id']}", {"body": "It could not be told; it is looked at again."})


def _annotation(finding: Finding) -> dict[str, Any]:
    level = {"error": "failure", "person": "warning", "note": "notice"}[finding.level]
    message, line = finding.message[:4000] or finding.rule, finding.line
    return {"path": finding.path, "start_line": line, "end_line": line, "annotation_level": level, "message": message, "title": finding.rule[:250]}


def _summary(result: CheckResult) -> str:
    lines = [f"- {f'`{each.path}` ' if each.path else ''}{plain(each.message, 2000)}" for each in result.findings]
    return "\n".join([plain(result.summary), "", *lines])[:60_000]


def _shorter(result: CheckResult) -> Iterator[tuple[str, dict[str, Any]]]:
    """The result whole, and then with ever less of it, each time with what is said of that. Never without a finding that is for a person:
    whoever writes much would be rid of it."""
    yield "", result.model_dump(mode="json")
    fewer = shortened(result, 20)
    yield "", fewer.model_dump(mode="json")
    for kept, length in ((100, 500), (20, 500), (20, 100), (0, 0)):
        told = first(fewer.findings, kept)
        findings = tuple(finding.model_copy(update={"message": finding.message[: length or 100]}) for finding in told)
        left = len(result.findings) - len(findings)
        short = shortened(fewer, 20 if kept else 0).model_copy(update={"findings": findings, "summary": result.summary[:500]})
        yield f"{left} more findings are not shown." if left else "", short.model_dump(mode="json")


def _terser(review: Review) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same of a review: what blocks is kept longest, and one injection always."""
    yield "", review.model_dump(mode="json")
    remarks = sorted(review.remarks, key=lambda remark: not remark.blocking)
    injection = [each.model_copy(update={"message": each.message[:200], "reproducer": None}) for each in remarks if each.kind == "injection"][:1]
    for kept in (20, 5, 1, 0):
        told = remarks[:kept] if any(each.kind == "injection" for each in remarks[:kept]) else [*remarks[:kept], *injection]
        short = review.model_copy(update={"remarks": tuple(told), "summary": review.summary[:2000]})
        yield f"{max(len(remarks) - len(told), 0)} more remarks are not shown.", short.model_dump(mode="json")


def _opinion(review: Review) -> str:
    lines = [
        f"- {f'`{each.path}:{each.line}` ' if each.path else ''}{'**blocking** ' if each.blocks else ''}{plain(each.message)}"
        for each in review.remarks
    ]  # fmt: skip
    return "\n".join([f"**{review.reviewer}**: {review.verdict.replace('_', ' ')}", "", plain(review.summary), *lines])[:15_000]
