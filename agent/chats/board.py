"""What a platform has to offer to the desk of a chat: a wall on which posts are put up, edited, and shown to one person alone."""

from __future__ import annotations

from typing import Protocol

from agent.chats.posts import Post
from agent.errors import CouldNotTell


class NotNow(CouldNotTell):
    """The platform takes it after so many `seconds`, and not before."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(what, next_step="It is tried again by itself.")
        self.seconds = seconds


class Board(Protocol):
    """Where posts are put up. Each raises CouldNotTell where the platform does not take it, NotFound where the message or its place is gone."""

    def post(self, thread: str, post: Post) -> str:
        """Puts it up in the thread; gives the stamp that names it."""

    def edit(self, thread: str, stamp: str, post: Post) -> None:
        """Puts it in the place of what the message said. NotNow where that has to wait: what it says by then may be something else."""

    def whisper(self, thread: str, who: str, post: Post) -> None:
        """Shows it to one person alone."""

    def picture(self, thread: str, name: str, data: bytes) -> None:
        """Puts a picture up in the thread, as a file of this name."""
