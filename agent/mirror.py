"""A mirror: one piece of work of a forge, as a local forge in a throw-away folder, under the same numbers.

What a job without rights works on. The git objects come from the clone that it was given, the rest from whoever may read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.domain.event import Entered
from agent.domain.proposal import Proposal, ProposalDraft
from agent.domain.request import Comment, Request, RequestDraft
from agent.domain.review import Review
from agent.errors import CouldNotTell
from agent.forges.git_door import GitDoor
from agent.forges.local import LocalForge
from agent.ledger import SqliteLedger


class Mirror:
    """`forge` and `ledger` in `folder`, with main at the commit `main` of the clone `source`."""

    def __init__(self, folder: Path, source: Path, main: str) -> None:
        self.forge = LocalForge.found(folder / "origin.git")
        self.kept = self.forge.origin / "skillops"
        self.ledger = SqliteLedger(self.kept / "ledger.sqlite")
        self._source = source
        self.fetch(main, self.forge.main)

    def fetch(self, commit: str, branch: str) -> None:
        """Takes a commit of the clone as a branch. CouldNotTell where the clone does not hold it."""
        door = GitDoor(self.forge.origin)
        status, _, complaint = door.run("fetch", "--quiet", "--no-tags", self._source.absolute().as_uri(), f"+{commit}:refs/heads/{branch}")
        if status:
            raise CouldNotTell(f"The clone does not hold {commit[:12]}.", why=complaint.strip()[:300], next_step="Check out with fetch-depth: 0.")

    def holds(self, ref: str) -> bool:
        """Whether the clone has this ref."""
        door = GitDoor(self.forge.origin)
        return door.run("ls-remote", "--exit-code", "--quiet", self._source.absolute().as_uri(), ref)[0] == 0

    def request(self, request: Request, comments: Sequence[Comment]) -> None:
        """Takes in a request with what was said on it."""
        self.forge.count_from(request.number)
        self.forge.open_request(RequestDraft(
            key=f"mirror-{request.number}", title=request.title, text=request.text, requester=request.requester, source=request.source,
            conversation=request.conversation, parent=request.parent,
        ))  # fmt: skip
        self._labels_and_words(request.number, request.labels, comments)

    def proposal(self, proposal: Proposal, comments: Sequence[Comment], reviews: Sequence[Review] = ()) -> None:
        """Takes in an open proposal at its head."""
        self.fetch(proposal.head, proposal.branch)
        self.forge.count_from(proposal.number)
        self.forge.open_proposal(ProposalDraft.model_validate(proposal.model_dump(include=set(ProposalDraft.model_fields))))
        self._labels_and_words(proposal.number, proposal.labels, comments)
        for review in reviews:
            self.forge.post_review(proposal.number, review)

    def trail(self, entries: Sequence[Entered]) -> None:
        """Takes in what the ledger holds of the work."""
        for entry in entries:
            self.ledger.record(entry.event)

    def _labels_and_words(self, number: int, labels: Sequence[str], comments: Sequence[Comment]) -> None:
        self.forge.label(number, add=labels)
        for comment in comments:
            self.forge.say(number, comment.text, author=comment.author, marker=comment.marker)
