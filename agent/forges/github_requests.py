"""The Requests port on GitHub: issues with the label `capability`, and what is said on them and on pull requests."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, get_args
from urllib.parse import quote

from agent.domain.request import Comment, Request, RequestDraft
from agent.errors import NotFound, UsageError
from agent.forges.github_api import PAGE, GitHubApi
from agent.forges.github_marks import marked, unmarked
from agent.forges.github_parts import GitHubParts, unlisted
from agent.forges.github_statuses import VERDICTS
from agent.forges.sound import LABEL, TITLE, sound
from agent.markdown import plain, woken
from agent.pasted import without_secrets

CAPABILITY = "capability"  # the label that makes an issue a request; the issue form sets it
_ENDED = "closed-as:"  # the beginning of the label that says how a request ended
_ENDINGS = tuple(ending for ending in get_args(Request.model_fields["closed_as"].annotation) if ending)
_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}(\[bot\])?")
_MARKER = re.compile(r"[\w:.-]{1,200}")


class GitHubRequests(GitHubParts):
    """Issues of the repository behind `api`; `login` is who we are."""

    api: GitHubApi
    login: str
    raising: threading.Lock

    def open_request(self, draft: RequestDraft) -> Request:
        sound("title", draft.title, TITLE)
        sound("text", draft.text)
        told: dict[str, Any] = {"key": draft.key, "requester": draft.requester, "source": draft.source, "conversation": draft.conversation}
        if draft.parent is not None:
            told["parent"] = draft.parent
        body = {"title": draft.title, "body": marked(plain(draft.text, len(draft.text)), "request", told), "labels": [CAPABILITY]}

        def made() -> Request | None:
            return next((self._request(issue) for issue in self._issues("all", anew=True) if (self._told(issue) or {}).get("key") == draft.key), None)

        with self.raising:
            raised = made() or self.api.once("issues", body, made, self._request)
            first = made() or raised
        if first.number != raised.number:  # another process was quicker by a moment
            self.close_request(raised.number, "withdrawn")
        if first.parent is not None:
            self._link(first)
        return first

    def request(self, number: int) -> Request:
        return self._request(self._issue(number))

    def requests(self, state: Literal["open", "closed", "all"] = "open") -> Sequence[Request]:
        return [self._request(issue) for issue in self._issues(state)]

    def close_request(self, number: int, closed_as: str) -> None:
        if closed_as not in _ENDINGS:
            raise UsageError(f"A request is not closed as {closed_as!r}.", next_step=f"One of {', '.join(_ENDINGS)}.")
        issue = self._issue(number)
        if issue["state"] == "closed" and any(label["name"].startswith(_ENDED) for label in issue["labels"]):
            return
        self.api.send("POST", f"issues/{number}/labels", {"labels": [f"{_ENDED}{closed_as}"]})
        reason = "completed" if closed_as in ("done", "covered") else "not_planned"
        self.api.send("PATCH", f"issues/{number}", {"state": "closed", "state_reason": reason})
        self._tick(self.request(number))

    def label(self, number: int, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        added, removed = ([sound("label", label, LABEL) for label in labels] for labels in (add, remove))
        has = {label["name"] for label in self._thread(number)["labels"]}
        for label in removed:
            if label in has:
                self.api.send("DELETE", f"issues/{number}/labels/{quote(label, safe='')}", None, allow=(404,))
        if fresh := [label for label in dict.fromkeys(added) if label not in has or label in removed]:
            self.api.send("POST", f"issues/{number}/labels", {"labels": fresh})

    def say(self, number: int, text: str, *, author: str, marker: str | None = None) -> None:
        sound("author", author, TITLE)
        sound("comment", text)
        if marker is not None and not _MARKER.fullmatch(marker):
            raise UsageError(f"{marker!r} cannot be a marker.", next_step="Use letters, digits, and : . - _.")
        self._thread(number)
        written = list(self.api.pages(f"issues/{number}/comments")) if marker else []
        known = list(self._said(number, written))
        body = {"body": marked(text, "said", {"author": author, "marker": marker, "nth": len(known)})}
        if old := next((comment for comment in known if marker and comment.marker == marker), None):
            if (old.text, old.author) != (text, author):
                edited = self.api.send("PATCH", f"issues/comments/{old.id}", body).body
                if len(written) < PAGE:  # what this look has seen is brought up to date, not read again
                    now = [edited if each["id"] == old.id else each for each in written]
                    self.api.noted(f"issues/{number}/comments?per_page={PAGE}", now)
            return
        before = {comment.id for comment in known or self._comments(number)}

        def made() -> int | None:
            same = (comment.id for comment in self._comments(number) if comment.id not in before and (comment.text, comment.marker) == (text, marker))
            return next(same, None)

        self.api.once(f"issues/{number}/comments", body, made, lambda comment: int(comment["id"]))
        twins = [comment.id for comment in self._comments(number) if comment.marker == marker] if marker else []
        for later in sorted(twins)[1:]:  # another process said it at the same moment; the first stays
            self.api.send("DELETE", f"issues/comments/{later}", None, allow=(404,))

    def comments(self, number: int) -> Sequence[Comment]:
        self._thread(number)
        return list(self._comments(number))

    def may_judge(self, person: str) -> bool:
        """Whether they may push to the repository: anybody at all can comment on a public one. An App is nobody's person, whatever it may."""
        if not _LOGIN.fullmatch(person) or person.endswith("[bot]"):
            return False
        found = self.api.get(f"collaborators/{person}/permission")
        return bool(found) and not {found["permission"], found["role_name"]}.isdisjoint(("admin", "maintain", "write"))

    def react(self, comment: int, *, heeded: bool) -> None:
        self.api.send("POST", f"issues/comments/{comment}/reactions", {"content": "+1" if heeded else "-1"}, allow=(403, 404, 422))

    # ---- issues ---------------------------------------------------------------------------------------------------

    def _comments(self, number: int) -> Iterable[Comment]:
        return self._said(number, self.api.pages(f"issues/{number}/comments"))

    def _said(self, number: int, written: Iterable[dict[str, Any]]) -> Iterable[Comment]:
        for each in written:
            text, told = unmarked(each["body"], "said") if self._ours(each) else (each["body"] or "", None)
            if told is None and self._ours(each) and unmarked(each["body"], VERDICTS)[1]:
                continue  # checks, where there are no check runs: nothing that was said
            at, edited = str(each.get("created_at") or ""), not self._ours(each) and _edited(each)
            if told:
                yield Comment(id=each["id"], number=number, author=str(told["author"]), text=text, marker=told["marker"], at=at)
                continue
            found = without_secrets(text)  # before anybody reads it
            yield Comment(id=each["id"], number=number, author=_who(each), text=found.text, at=at, edited=edited, vouched=True, pasted=found.kinds)

    def _thread(self, number: int) -> dict[str, Any]:
        """An issue or a pull request. NotFound names the newest."""
        found: dict[str, Any] | None = self.api.get(f"issues/{number}") if 0 < number < 2**53 else None
        if found is None:
            raise self._no_such("request or proposal", number)
        return found

    def _issue(self, number: int) -> dict[str, Any]:
        found = self._thread(number)
        if "pull_request" in found:
            raise NotFound(f"#{number} is a proposal, not a request.", next_step=self._newest())
        if not _has(found, CAPABILITY):
            raise NotFound(f"#{number} is an issue, and no request.", next_step=f"Give it the label {CAPABILITY}; then it is one.")
        return found

    def _issues(self, state: str, *, anew: bool = False) -> Iterable[dict[str, Any]]:
        found = self.api.pages(f"issues?state={state}&labels={CAPABILITY}&sort=created&direction=asc", anew=anew)
        return sorted((issue for issue in found if "pull_request" not in issue and _has(issue, CAPABILITY)), key=lambda issue: int(issue["number"]))

    def _request(self, issue: dict[str, Any]) -> Request:
        text, told = unmarked(issue["body"], "request") if self._ours(issue) else (issue["body"] or "", None)
        text = woken(unlisted(text)) if told else unlisted(text)
        told = told or {"requester": _who(issue), "source": "issue", "conversation": None}
        labels = [label["name"] for label in issue["labels"]]
        ended = next((label.removeprefix(_ENDED) for label in labels if label.startswith(_ENDED)), "")
        if ended not in _ENDINGS:  # it was closed by a person, or by GitHub, which closes at the merge what that says to close
            ended = "withdrawn" if issue.get("state_reason") == "not_planned" else ""
        title, found = without_secrets(issue["title"]), without_secrets(text)  # before anybody reads them
        return Request(
            number=issue["number"], title=title.text, text=found.text, pasted=title.kinds + found.kinds, requester=told["requester"],
            source=told["source"], conversation=told["conversation"], parent=told.get("parent"), state=issue["state"],
            closed_as=ended if issue["state"] == "closed" else "", url=issue["html_url"],
            labels=tuple(sorted(label for label in labels if label != CAPABILITY and not label.startswith(_ENDED))),
        )  # fmt: skip

    def _told(self, issue: dict[str, Any]) -> dict[str, Any] | None:
        return unmarked(issue["body"], "request")[1] if self._ours(issue) else None

    def _ours(self, written: dict[str, Any]) -> bool:
        """Whether we wrote it: a marker of anybody else's says nothing."""
        return bool((written.get("user") or {}).get("login") == self.login)

    def _no_such(self, what: str, number: int) -> NotFound:
        return NotFound(f"There is no {what} #{number}.", next_step=self._newest())

    def _newest(self) -> str:
        found = self.api.get("issues?state=all&sort=created&direction=desc&per_page=1")
        return f"The newest is #{found[0]['number']}." if found else "There is none yet."


def _who(written: dict[str, Any]) -> str:
    """Who wrote it. GitHub keeps what an account wrote that is gone, and no name."""
    return str((written.get("user") or {}).get("login") or "ghost")


def _edited(comment: dict[str, Any]) -> bool:
    """Whether it was changed after it was written. GitHub tells seconds; a server that tells parts of one may need some between the two."""
    begun, now = str(comment.get("created_at") or ""), str(comment.get("updated_at") or "")
    try:
        return begun != now and datetime.fromisoformat(now) - datetime.fromisoformat(begun) >= timedelta(seconds=1)
    except (ValueError, TypeError):
        return True


def _has(issue: dict[str, Any], name: str) -> bool:
    return any(label["name"] == name for label in issue["labels"])
