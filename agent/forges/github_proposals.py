"""The Proposals port on GitHub: pull requests. What is judged of them is in `github_verdicts.py`."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from agent.domain.proposal import Change, Proposal, ProposalDraft
from agent.errors import HeadMoved, InQueue, NotFound, Refused, UsageError
from agent.forges.github_api import Answer, GitHubApi
from agent.forges.github_marks import marked, unmarked
from agent.forges.sound import TITLE, sound
from agent.pasted import without_secrets

Method = Literal["squash", "merge", "rebase"]
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_READY = "mutation($pull: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $pull}) { pullRequest { isDraft } } }"
_DRAFT = "mutation($pull: ID!) { convertPullRequestToDraft(input: {pullRequestId: $pull}) { pullRequest { isDraft } } }"
_QUEUED = "query($pull: ID!) { node(id: $pull) { ... on PullRequest { mergeQueueEntry { position } } } }"
_ENQUEUE = (
    "mutation($pull: ID!, $head: GitObjectID!) "
    "{ enqueuePullRequest(input: {pullRequestId: $pull, expectedHeadOid: $head}) { mergeQueueEntry { position } } }"
)


class GitHubProposals:
    """Pull requests of the repository behind `api`; `login` is who we are."""

    api: GitHubApi
    login: str
    main: str
    method: Method
    raising: threading.Lock
    head: Callable[[str], str | None]
    changes: Callable[[str, str], Sequence[Change]]
    folders_changed: Callable[[str, str, str], Iterable[str]]
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
        with self.raising:
            if found := self._open_pull(draft.branch):
                return self._updated(found, draft)
            try:
                return self._opened(draft, draft.draft)
            except Refused as refused:
                if not draft.draft or "draft" not in refused.why.lower():
                    raise
                return self._opened(draft, False)  # a private repository of a free plan has no drafts: the marker says that it is one

    def _opened(self, draft: ProposalDraft, as_draft: bool) -> Proposal:
        body = {
            "title": draft.title, "body": _body(draft.model_copy(update={"draft": draft.draft and not as_draft})),
            "head": draft.branch, "base": self.main, "draft": as_draft,
        }  # fmt: skip
        return self.api.once("pulls", body, lambda: self._of(self._open_pull(draft.branch)), self._proposal, allow=(422,))

    def proposal(self, number: int) -> Proposal:
        return self._proposal(self._pull(number))

    def proposals(
        self, state: Literal["open", "merged", "closed", "all"] = "open", *, skill: str | None = None, request: int | None = None
    ) -> Sequence[Proposal]:
        asked = "closed" if state == "merged" else state
        pulls = self.api.pages(f"pulls?state={asked}&base={self.main}&sort=created&direction=asc")
        found = sorted((each for each in map(self._of, pulls) if each), key=lambda proposal: proposal.number)
        return [each for each in found if state in ("all", each.state) and skill in (None, each.skill) and request in (None, each.request)]

    def close_proposal(self, number: int) -> None:
        if self._pull(number)["state"] == "open":
            self.api.send("PATCH", f"pulls/{number}", {"state": "closed"})

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
        if pull["draft"]:
            raise Refused(f"Proposal #{number} is a draft.", next_step="Mark it as ready for review; then it can be merged.")
        if self._has_queue():
            raise self._enqueued(pull, expected_head)
        title, _, rest = f"{message.rstrip()}\n\nSkillOps-Proposal: {number}".partition("\n")
        told = {"commit_title": title, "commit_message": rest.strip()} if self.method != "rebase" else {}
        body = {"sha": expected_head, "merge_method": self.method, **told}
        answer = self.api.send("PUT", f"pulls/{number}/merge", body, allow=(405, 409, 422))
        after = self._pull(number)
        if after["merged"]:
            return str(after["merge_commit_sha"])
        if after["head"]["sha"] != expected_head:
            raise self._stale(number, after["head"]["sha"], expected_head)
        raise self._enqueued(after, expected_head) if _wants_queue(answer) else self.api.fault(answer, "PUT", f"pulls/{number}/merge")

    def _has_queue(self) -> bool:
        """Whether rules of the repository demand the merge queue. GitHub would let an App that may bypass them merge past it."""
        return any(rule["type"] == "merge_queue" for rule in self.api.get(f"rules/branches/{self.main}") or ())

    def _enqueued(self, pull: dict[str, Any], expected_head: str) -> InQueue:
        """That it waits in the merge queue, where it is put if it is not there yet."""
        known = (self.api.graphql(_QUEUED, pull=pull["node_id"]).get("node") or {}).get("mergeQueueEntry")
        if known is None:
            added = self.api.graphql(_ENQUEUE, pull=pull["node_id"], head=expected_head)
            known = (added.get("enqueuePullRequest") or {}).get("mergeQueueEntry") or {}
        place = f"It is number {known['position']} there." if known.get("position") else ""
        return InQueue(
            f"Proposal #{pull['number']} waits in the merge queue.", why=place, next_step="GitHub merges it; `skillops run` goes on after that."
        )

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
        found = self.api.get(f"pulls?state=open&head={owner}:{branch}&base={self.main}&per_page=1", anew=True)
        return found[0] if found else None

    def _updated(self, pull: dict[str, Any], draft: ProposalDraft) -> Proposal:
        """Title, body and draft state are told anew; who opened it, and as what, stays."""
        kept = _written(pull, self.login)
        if kept is None:
            raise UsageError(f"#{pull['number']} is somebody's own pull request.", next_step="Use another branch.")
        is_draft = bool(pull.get("draft"))
        if draft.draft != is_draft and not (draft.draft and kept.draft):
            self.api.graphql(_DRAFT if draft.draft else _READY, pull=pull["node_id"])
            pull = {**pull, "draft": draft.draft}
        fresh = kept.model_copy(update={"title": draft.title, "body": draft.body, "draft": draft.draft and not pull["draft"]})
        told = self.api.send("PATCH", f"pulls/{pull['number']}", {"title": fresh.title, "body": _body(fresh)}).body
        return self._proposal({**told, "draft": pull["draft"]})

    def _of(self, pull: dict[str, Any] | None) -> Proposal | None:
        """A pull request as a proposal; None for one that is none."""
        try:
            return self._proposal(pull) if pull else None
        except NotFound:
            return None

    def _proposal(self, pull: dict[str, Any]) -> Proposal:
        draft = draft_of(pull, self.login, lambda: self.folders_changed(self.main, pull["head"]["sha"], "skills"))
        if draft is None:
            raise NotFound(f"#{pull['number']} is a pull request, and no proposal.", next_step="A proposal changes one folder below skills/.")
        merged = bool(pull.get("merged") or pull.get("merged_at"))
        commit = pull["merge_commit_sha"] if merged else None
        base = (self._parents(commit) or ("",))[0] if commit else (self.head(self.main) or "")
        return Proposal(
            **draft.model_dump(), pasted=draft.pasted, number=pull["number"], head=pull["head"]["sha"], base=base,
            state="merged" if merged else pull["state"], merged_commit=commit,
            labels=tuple(sorted(label["name"] for label in pull.get("labels", ()))), url=pull["html_url"],
        )  # fmt: skip


def draft_of(pull: dict[str, Any], login: str, touched: Callable[[], Iterable[str]]) -> ProposalDraft | None:
    """What a pull request proposes: as `login` (we) wrote it down, or, of a person's own, as the folders of skills that it `touched` show.

    None where it is no proposal. A branch of a fork is named OWNER:BRANCH, which is no name of a branch here: nothing is ever pushed to it.
    """
    if ours := _written(pull, login):
        return ours.model_copy(update={"draft": ours.draft or bool(pull.get("draft"))})
    skills = [name for name in touched() if _NAME.fullmatch(name)]
    if len(skills) != 1:
        return None
    title, body = without_secrets(pull["title"]), without_secrets(pull["body"] or "")  # before anybody reads them
    head, home = pull["head"], pull["base"]["repo"]["full_name"]
    from_here = (head.get("repo") or {}).get("full_name") == home
    owner = (head.get("user") or {}).get("login") or "gone"
    return ProposalDraft(
        branch=head["ref"] if from_here else f"{owner}:{head['ref']}", skill=skills[0], kind="person", title=title.text,
        body=body.text, pasted=title.kinds + body.kinds, author=(pull["user"] or {}).get("login") or "ghost", draft=bool(pull.get("draft")),
    )  # fmt: skip


def _written(pull: dict[str, Any], login: str) -> ProposalDraft | None:
    body, told = unmarked(pull["body"], "proposal") if (pull["user"] or {}).get("login") == login else ("", None)
    title = without_secrets(pull["title"])  # which whoever may write there can edit, as they can the text
    found = without_secrets(body)
    told = told and {**told, "title": title.text, "body": found.text, "pasted": title.kinds + found.kinds}
    return ProposalDraft.model_validate(told) if told else None


def _body(draft: ProposalDraft) -> str:
    return marked(draft.body, "proposal", draft.model_dump(mode="json", exclude={"title", "body"}))


def _wants_queue(answer: Answer) -> bool:
    return "merge queue" in str(answer.body).lower()
