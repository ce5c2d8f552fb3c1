"""A chat in the terminal: a door to the conversation, and nothing more."""

from __future__ import annotations

import sys

from agent.errors import SkillOpsError
from agent.screen import err, errors, out, turn_of
from agent.workplace import Workplace

HELP = "Type a task; an empty line or Ctrl-D ends. The conversation is kept: `skillops chat` goes on with it."


def talk(place: Workplace, conversation: str | None, *, new: bool) -> None:
    """Reads lines from the terminal (or standard input) and answers each. An error ends a turn, not the talk."""
    if conversation is None and not new:
        latest = place.conversations.memory.latest(place.parts.user)
        conversation = latest.id if latest else None
    if sys.stdin.isatty():
        out.print(f"[dim]{HELP}[/]")
    _catch_up(place, conversation)
    while text := _line():
        try:
            result, outcome = place.ask(text, conversation)
        except SkillOpsError as error:
            errors(error)
            continue
        conversation = result.conversation
        turn_of(result, outcome)


def _catch_up(place: Workplace, conversation: str | None) -> None:
    """What was answered while nobody listened."""
    if conversation is None:
        return
    turns = place.conversations.memory.turns(conversation)
    for turn in turns[-4:]:
        err.print(f"{turn.role}: {turn.text}", style="dim", markup=False)


def _line() -> str:
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return ""
