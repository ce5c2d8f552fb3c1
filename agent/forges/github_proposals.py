"""The Proposals port on GitHub: pull requests, with the checks as check runs and the reviews as reviews.

Each verdict is kept whole, as JSON in a hidden marker of what people read: of a check in its run's text, of a review in its body.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from agent.domain.check import CheckReport, CheckResult, Finding, Outcome
from agent.domain.proposal import Change, Proposal, ProposalDraft
from agent.domain.review import Review
from agent.errors import HeadMoved, NotFound, Refused, UsageError
from agent.forges.github_api import GitHubApi
from agent.forges.github_marks import LIMIT, marked, unmarked
from agent.forges.sound import TITLE, sound

ANNOTATIONS = 50  # the most that one request of the Checks API takes; more are added by updates
_CONCLUSIONS = {Outcome.PASSED: "success", Outcome.FAILED: "failure", Outcome.COULD_NOT_TELL: "action_required"}
_FOLDER = re.compile(r"skills/([a-z][a-z0-9-]*)/")


class GitHubProposals:
    """Pull requests of the repository behind `api`; `login` is who we are."""

    api: GitHubApi
    login: str
    main: str
    raising: threading.Lock
    head: Callable[[str], str | None]
    changes: Callable[[str, str], Sequence[Any]]
    _ours: Callable[[dict[str, Any]], bool]
    may_judge: Callable[[str], bool]
    _no_such: Callable[[str, int], NotFound]
    _is_ancestor: Callable[[str, str], bool]
    _parents: Callable[[str], tuple[str, ...]]

    def open_proposal(self, draft: ProposalDraft) -> Proposal:
        sound("title", draft.title, TITLE)
        sound("text", draft.body)
        head, main = self.head(draft.branch), self.head(self.main)
        if head is None or main is None or draft.branch == self.main:
            raise UsageError(f"There is no branch {draft.branch!r} to propose to {self.main}.", next_step="Commit to a branch of its own first.")
        if self._is_ancestor(head, main):
            raise UsageError(f"The branch {draft.branch} adds nothing to {self.main}.", next_step="Commit the change to it first.")
        body = {"title": draft.title, "body": _body(draft), "head": draft.branch, "base": self.main, "draft": draft.draft}
        with self.raising:
            if found := self._open_pull(draft.branch):
                return self._updated(found, draft)
            return self.api.once("pulls", body, lambda: self._of(self._open_pull(draft.branch)), self._proposal, allow=(422,))

    def proposal(self, number: int) -> Proposal:
        return self._proposal(self._pull(number))

    def proposals(self, state: Literal["open", "merged", "closed", "all"] = "open", *, skill: str | None = None) -> Sequence[Proposal]:
        asked = "closed" if state == "merged" else state
        pulls = self.api.pages(f"pulls?state={asked}&base={self.main}&sort=created&direction=asc")
        found = sorted((each for each in map(self._of, pulls) if each), key=lambda proposal: proposal.number)
        return [each for each in found if state in ("all", each.state) and skill in (None, each.skill)]

    def close_proposal(self, number: int) -> None:
        if self._pull(number)["state"] == "open":
            self.api.send("PATCH", f"pulls/{number}", {"state": "closed"})

    # ---- verdicts -------------------------------------------------------------------------------------------------

    def post_check(self, number: int, result: CheckResult) -> None:
        self._pull(number)
        known = self._run(result.head, result.name)
        annotations = [_annotation(finding) for finding in result.findings if finding.path and finding.line]
        output = {"title": result.summary[:250] or result.name, "summary": _summary(result), "text": _fitting(result)}
        body = {
            "name": result.name, "head_sha": result.head, "status": "completed", "conclusion": _CONCLUSIONS[result.outcome],
            "output": {**output, "annotations": annotations[:ANNOTATIONS]},
        }  # fmt: skip
        if known is None:
            known = self.api.once("check-runs", body, lambda: self._run(result.head, result.name), lambda run: run)
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
        return CheckReport(head=head, results=tuple(results[name] for name in sorted(results)))

    def post_review(self, number: int, review: Review) -> None:
        self._pull(number)
        body = marked(_opinion(review), "review", review.model_dump(mode="json"))
        known = self._review_of(number, review.head, review.reviewer)
        if known is not None:
            self.api.send("PUT", f"pulls/{number}/reviews/{known['id']}", {"body": body})
            return
        told: dict[str, Any] = {"body": body, "event": "COMMENT", "commit_id": review.head}
        lines = [{"path": each.path, "line": each.line, "side": "RIGHT", "body": each.message} for each in review.remarks if each.path and each.line]
        if lines:
            answer = self.api.send("POST", f"pulls/{number}/reviews", {**told, "comments": lines}, allow=(422,))
            if answer.status < 300:
                return  # where a line is not in the diff, GitHub takes none of them: the body tells them all
        self.api.once(f"pulls/{number}/reviews", told, lambda: self._review_of(number, review.head, review.reviewer), lambda made: made)

    def reviews(self, number: int, head: str) -> tuple[Review, ...]:
        self._pull(number)
        found: dict[str, Review] = {}
        for each in self.api.pages(f"pulls/{number}/reviews"):
            told = self._review(each)
            if told and told.head == head:
                found[told.reviewer] = told
        return tuple(found[name] for name in sorted(found))

    def forget_verdicts(self, number: int, head: str) -> None:
        self._pull(number)
        for run in self._runs(head):
            if run["status"] == "completed" and run["conclusion"] == _CONCLUSIONS[Outcome.COULD_NOT_TELL]:
                self.api.send("PATCH", f"check-runs/{run['id']}", {"status": "queued"})
        for each in self.api.pages(f"pulls/{number}/reviews"):
            told = self._review(each)
            if told and told.head == head and told.verdict == "could_not_tell" and told.kind == "model":
                self.api.send("PUT", f"pulls/{number}/reviews/{each['id']}", {"body": "It could not be told; it is looked at again."})

    def forget_run(self, run: int) -> None:
        found = self.api.get(f"check-runs/{run}")
        if found and self._by_us(found) and unmarked((found.get("output") or {}).get("text"), "check")[1]:
            self.api.send("PATCH", f"check-runs/{run}", {"status": "queued"})

    # ---- merging --------------------------------------------------------------------------------------------------

    def merge(self, number: int, *, expected_head: str, message: str, author: str) -> str:
        pull = self._pull(number)
        if pull["merged"]:
            return str(pull["merge_commit_sha"])
        if pull["state"] == "closed":
            raise Refused(f"Proposal #{number} is closed.", next_step="Open it anew from its branch.")
        if pull["head"]["sha"] != expected_head:
            raise self._stale(number, pull["head"]["sha"], expected_head)
        if both := self._conflicts(expected_head):
            raise Refused(
                f"{expected_head[:12]} cannot be merged into {self.main}.", why=f"Both sides changed {', '.join(both)}.",
                next_step="Bring the branch up to main, and push it again.",
            )  # fmt: skip
        title, _, rest = f"{message.rstrip()}\n\nSkillOps-Proposal: {number}".partition("\n")
        body = {"sha": expected_head, "merge_method": "squash", "commit_title": title, "commit_message": rest.strip()}
        answer = self.api.send("PUT", f"pulls/{number}/merge", body, allow=(405, 409, 422))
        after = self._pull(number)
        if after["merged"]:
            return str(after["merge_commit_sha"])
        if after["head"]["sha"] != expected_head:
            raise self._stale(number, after["head"]["sha"], expected_head)
        raise self.api.fault(answer, "PUT", f"pulls/{number}/merge")

    def _conflicts(self, head: str) -> list[str]:
        """Paths that both sides changed, and not to the same."""
        ours = {change.path: change for change in self.changes(head, self.main)}
        return [change.path for change in self.changes(self.main, head) if change.path in ours]

    def _stale(self, number: int, found: str, judged: str) -> HeadMoved:
        return HeadMoved(f"Proposal #{number} is at {found[:12]}, and {judged[:12]} was judged.", next_step="`skillops run` judges the new commit.")

    # ---- pull requests --------------------------------------------------------------------------------------------

    def _pull(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] | None = self.api.get(f"pulls/{number}") if 0 < number < 2**53 else None
        if found is None:
            raise self._no_such("proposal", number)
        return found

    def _open_pull(self, branch: str) -> dict[str, Any] | None:
        owner = self.api.repository.partition("/")[0]
        found = self.api.get(f"pulls?state=open&head={owner}:{branch}&base={self.main}&per_page=1")
        return found[0] if found else None

    def _updated(self, pull: dict[str, Any], draft: ProposalDraft) -> Proposal:
        """Title, body and draft state are told anew; who opened it, and as what, stays."""
        kept = _written(pull, self.login)
        if kept is None:
            raise UsageError(f"#{pull['number']} is somebody's own pull request.", next_step="Use another branch.")
        fresh = kept.model_copy(update={"title": draft.title, "body": draft.body, "draft": draft.draft})
        return self._proposal(self.api.send("PATCH", f"pulls/{pull['number']}", {"title": fresh.title, "body": _body(fresh)}).body)

    def _of(self, pull: dict[str, Any] | None) -> Proposal | None:
        """A pull request as a proposal; None for one that is none."""
        try:
            return self._proposal(pull) if pull else None
        except NotFound:
            return None

    def _proposal(self, pull: dict[str, Any]) -> Proposal:
        draft = draft_of(pull, self.login, lambda: self.changes(self.main, pull["head"]["sha"]))
        if draft is None:
            raise NotFound(f"#{pull['number']} is a pull request, and no proposal.", next_step="A proposal changes one folder below skills/.")
        merged = bool(pull.get("merged") or pull.get("merged_at"))
        commit = pull["merge_commit_sha"] if merged else None
        base = (self._parents(commit) or ("",))[0] if commit else (self.head(self.main) or "")
        return Proposal(
            **draft.model_dump(), number=pull["number"], head=pull["head"]["sha"], base=base,
            state="merged" if merged else pull["state"], merged_commit=commit,
            labels=tuple(sorted(label["name"] for label in pull.get("labels", ()))), url=pull["html_url"],
        )  # fmt: skip

    # ---- runs and reviews -----------------------------------------------------------------------------------------

    def _runs(self, head: str) -> Iterable[dict[str, Any]]:
        """Our check runs; another App's of the same name say nothing."""
        return [run for run in self.api.pages(f"commits/{head}/check-runs", "check_runs") if self._by_us(run)]

    def _by_us(self, run: dict[str, Any]) -> bool:
        app = run.get("app") or {}
        return not app or self.login in (f"{app.get('slug')}[bot]", app.get("slug"))

    def _run(self, head: str, name: str) -> dict[str, Any] | None:
        return next((run for run in self._runs(head) if run["name"] == name), None)

    def _review(self, each: dict[str, Any]) -> Review | None:
        """A review of ours, or a person's own: GitHub's APPROVED and CHANGES_REQUESTED are verdicts on the commit that they were given on."""
        if self._ours(each):
            told = unmarked(each["body"], "review")[1]
            return Review.model_validate(told) if told else None
        verdicts: dict[str, Literal["approve", "revise"]] = {"APPROVED": "approve", "CHANGES_REQUESTED": "revise"}
        verdict = verdicts.get(each["state"])
        if verdict is None or not each["commit_id"] or not self.may_judge(each["user"]["login"]):
            return None
        return Review(reviewer=each["user"]["login"], head=each["commit_id"], verdict=verdict, summary=(each["body"] or "")[:2000], kind="person")

    def _review_of(self, number: int, head: str, reviewer: str) -> dict[str, Any] | None:
        for each in self.api.pages(f"pulls/{number}/reviews"):
            told = unmarked(each["body"], "review")[1] if self._ours(each) else None
            if told and (told.get("head"), told.get("reviewer")) == (head, reviewer):
                return dict(each)
        return None


def draft_of(pull: dict[str, Any], login: str, changes: Callable[[], Sequence[Change]]) -> ProposalDraft | None:
    """What a pull request proposes: as `login` (we) wrote it down, or, of a person's own, as its changes show; None where it is no proposal."""
    if ours := _written(pull, login):
        return ours
    touched = {found[1] for change in changes() if (found := _FOLDER.match(change.path))}
    if len(touched) != 1:
        return None
    return ProposalDraft(
        branch=pull["head"]["ref"], skill=touched.pop(), kind="person", title=pull["title"], body=pull["body"] or "",
        author=pull["user"]["login"], draft=bool(pull.get("draft")),
    )  # fmt: skip


def _written(pull: dict[str, Any], login: str) -> ProposalDraft | None:
    body, told = unmarked(pull["body"], "proposal") if pull["user"]["login"] == login else ("", None)
    return ProposalDraft.model_validate({**told, "title": pull["title"], "body": body}) if told else None


def _body(draft: ProposalDraft) -> str:
    return marked(draft.body, "proposal", draft.model_dump(mode="json", exclude={"title", "body"}))


def _annotation(finding: Finding) -> dict[str, Any]:
    level = "failure" if finding.level == "error" else "notice"
    message, line = finding.message[:4000] or finding.rule, finding.line
    return {"path": finding.path, "start_line": line, "end_line": line, "annotation_level": level, "message": message, "title": finding.rule[:250]}


def _summary(result: CheckResult) -> str:
    lines = [f"- {f'`{each.path}` ' if each.path else ''}{each.message}" for each in result.findings]
    return "\n".join([result.summary, "", *lines])[:60_000]


def _fitting(result: CheckResult) -> str:
    """The result as a marker; where it is too long for GitHub, its last findings are left out, and that is said."""
    for kept in (len(result.findings), 100, 20, 0):
        findings = tuple(finding.model_copy(update={"message": finding.message[:500]}) for finding in result.findings[:kept])
        short = result if kept >= len(result.findings) else result.model_copy(update={"findings": findings})
        text = "" if short is result else f"{len(result.findings) - kept} more findings are not shown."
        if len(json.dumps(short.model_dump(mode="json"))) < LIMIT - 2000:
            return marked(text, "check", short.model_dump(mode="json"))
    return marked("", "check", result.model_copy(update={"findings": (), "summary": result.summary[:500]}).model_dump(mode="json"))


def _opinion(review: Review) -> str:
    lines = [
        f"- {f'`{each.path}:{each.line}` ' if each.path else ''}{'**blocking** ' if each.blocks else ''}{each.message}" for each in review.remarks
    ]
    return "\n".join([f"**{review.reviewer}**: {review.verdict.replace('_', ' ')}", "", review.summary, *lines])[:20_000]
