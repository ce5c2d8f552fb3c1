"""A Task: what a person wants done, in their words."""

from __future__ import annotations

from agent.domain import Frozen


class Task(Frozen):
    """One thing asked for. `asked_by` is a login or a chat user; `conversation` the id of the talk it came up in."""

    text: str
    asked_by: str
    conversation: str
