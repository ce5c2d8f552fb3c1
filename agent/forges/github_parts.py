"""The parts of a request on GitHub: sub-issues, and where there are none (older Enterprise servers) a task list in the parent's text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from agent.domain.request import Request
from agent.forges.github_api import GitHubApi
from agent.forges.github_marks import marked, unmarked

_LIST = re.compile(r"\n\n<!-- skillops:parts -->\n((?:- \[[ x]\] #\d+\n)+)<!-- /skillops:parts -->")  # nothing but the list itself
NO_SUB_ISSUES = (404, 410)


def unlisted(text: str) -> str:
    """The text of a request without the list of its parts."""
    return _LIST.sub("", text)


class GitHubParts:
    """Shows the parts of requests of the repository behind `api`."""

    api: GitHubApi
    _issue: Callable[[int], dict[str, Any]]
    _ours: Callable[[dict[str, Any]], bool]

    def _link(self, part: Request) -> None:
        """Shows a request under its parent; once is enough, and more does no harm."""
        child = self._issue(part.number)["id"]
        answer = self.api.send("POST", f"issues/{part.parent}/sub_issues", {"sub_issue_id": child}, allow=(*NO_SUB_ISSUES, 422))
        if answer.status in NO_SUB_ISSUES:
            self._list(part)

    def _list(self, part: Request) -> None:
        """Puts a request on its parent's task list, or ticks it there once it is closed."""
        assert part.parent is not None, "only parts are listed"
        issue = self._issue(part.parent)
        text, told = unmarked(issue["body"], "request") if self._ours(issue) else (issue["body"] or "", None)
        found = _LIST.search(text)
        rows = {int(number): mark for mark, number in re.findall(r"\[([ x])\] #(\d+)", found[1])} if found else {}
        if rows.get(part.number) == (mark := " " if part.state == "open" else "x"):
            return
        listed = "".join(f"- [{mark}] #{number}\n" for number, mark in {**rows, part.number: mark}.items())
        whole = f"{unlisted(text)}\n\n<!-- skillops:parts -->\n{listed}<!-- /skillops:parts -->"
        self.api.send("PATCH", f"issues/{part.parent}", {"body": marked(whole, "request", told) if told else whole})

    def _tick(self, part: Request) -> None:
        """Ticks a closed part, where there is a list. GitHub does it too, of issues that a person closes."""
        if part.parent is not None and _LIST.search(self._issue(part.parent)["body"] or ""):
            self._list(part)
