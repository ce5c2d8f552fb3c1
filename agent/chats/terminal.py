"""A chat in the terminal: a door to the conversation, and nothing more."""

from __future__ import annotations

import sys
from typing import Any

from agent.errors import SkillOpsError, UsageError
from agent.memory import Turn
from agent.screen import err, errors, escape, out, turn_of
from agent.workplace import Workplace

HELP = "Type a task; an empty line or Ctrl-D ends. The conversation is kept: `skillops chat` goes on with it."


class Talk:
    """Reads lines from the terminal, or from a pipe, and answers each. An error ends a turn, not the talk.

    `turns` are the answers (or errors) so far, as JSON values; `failed` is the error of the last turn, where it had one.
    """

    def __init__(self, place: Workplace, conversation: str | None, *, new: bool, quiet: bool = False) -> None:
        self.place, self.quiet, self.at_terminal = place, quiet, sys.stdin.isatty()
        latest = None if conversation or new else place.conversations.memory.latest(place.parts.user)
        self.conversation = conversation or (latest.id if latest else None)
        self.turns: list[dict[str, Any]] = []
        self.failed: SkillOpsError | None = None
        self._known, self._questions = 0, dict[int, str]()

    def go_on(self) -> None:
        """Until an empty line at the terminal, or the end of the input."""
        if self.at_terminal:
            out.print(f"[dim]{HELP}[/]")
        turns = self._news()
        spoken = [place for place, turn in enumerate(turns) if turn.role == "person"]
        self._show(turns[min([max(0, len(turns) - 4), *spoken[-1:]]) :])  # from the person's own last word on, at least
        while (text := self._line()) is not None:
            if text:
                self._turn(text)
            elif self.at_terminal:
                return

    def _turn(self, text: str) -> None:
        try:
            result, outcome = self.place.ask(text, self.conversation)
        except SkillOpsError as error:
            self.failed = error
            self.turns.append({"said": text, "error": error.told()})
            if not self.quiet:
                errors(error)
            return
        self.failed, self.conversation = None, result.conversation
        self.turns.append({"said": text, **result.model_dump()})
        if not self.quiet:
            turn_of(result, outcome)
        self._show([turn for turn in self._news() if turn.role == "agent" and (turn.data or {}).get("turn", result.turn) != result.turn])

    def _news(self) -> list[Turn]:
        """What was said since this was asked last."""
        turns = self.place.conversations.memory.turns(self.conversation) if self.conversation else []
        self._questions = {turn.id: turn.text for turn in turns if turn.role == "person"}
        news, self._known = turns[self._known :], len(turns)
        return news

    def _show(self, turns: list[Turn]) -> None:
        """Where others came between an answer and its question, with the beginning of that."""
        for turn in () if self.quiet else turns:
            asked = (turn.data or {}).get("turn", turn.id)
            late = any(asked < question < turn.id for question in self._questions)
            about = f" (to “{self._questions[asked][:60]}”)" if late else ""
            err.print(f"[dim]{turn.role}{escape(f'{about}: {turn.text}')}[/]", soft_wrap=True)

    def _line(self) -> str | None:
        try:
            return input("> " if self.at_terminal else "").strip()
        except EOFError:
            return None
        except UnicodeDecodeError:
            raise UsageError("Standard input is not text (UTF-8).", next_step="Say in words what you would like to have done.") from None
