"""A Request: somebody asks for an ability. It is an issue on the forge."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.domain import Frozen

Source = Literal["cli", "chat", "issue", "gateway", "pipeline"]


class RequestDraft(Frozen):
    """A request that is to be raised. `key` makes raising idempotent: the same key never opens a second one.

    `parent` is the request that needs several skills, of which this is one.
    """

    key: str
    title: str
    text: str
    requester: str
    source: Source
    conversation: str | None = None
    parent: int | None = None


class Request(Frozen):
    """An open or closed request. `number` is shared with proposals, as on GitHub.

    `closed_as` says how it ended; empty while it is open, and where somebody else closed it, as GitHub does at the merge of what says so.
    `pasted`: kinds of secrets that were posted in title or text, which are here without them.
    """

    number: int
    title: str
    text: str
    requester: str
    source: Source
    conversation: str | None = None
    parent: int | None = None
    state: Literal["open", "closed"] = "open"
    closed_as: Literal["", "done", "covered", "refused", "withdrawn"] = ""
    labels: tuple[str, ...] = ()
    url: str = ""
    pasted: tuple[str, ...] = Field(default=(), exclude=True)

    @property
    def met(self) -> bool:
        """Whether there is a skill for it now."""
        return self.closed_as in ("done", "covered")

    def asked_by(self, person: str, *, vouched: bool) -> bool:
        """Whether this is the one who asked. A login of the forge, for which that vouches, and a name that our own doors know are not the same."""
        return self.requester == person and vouched == (self.source == "issue")

    @property
    def lost(self) -> bool:
        """Whether there never will be."""
        return self.closed_as in ("refused", "withdrawn")


class Comment(Frozen):
    """Something said on a request or proposal. `marker` identifies one of ours, which is edited rather than repeated.

    `at` is when it was written (ISO 8601, UTC), where the forge tells; `edited`: it says something else now than when it was written, by
    whoever may edit what others wrote. `vouched`: the forge itself says who wrote it; of all else somebody of ours does, who wrote it down
    for them. `pasted`: as of a request.
    """

    id: int
    number: int
    author: str
    text: str
    marker: str | None = None
    at: str = ""
    edited: bool = False
    vouched: bool = Field(default=False, exclude=True)
    pasted: tuple[str, ...] = Field(default=(), exclude=True)
