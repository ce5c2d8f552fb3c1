"""A chat in the terminal: a door to the conversation, and nothing more."""

from __future__ import annotations

import sys
from typing import Any

from agent.chats.line_history import LineHistory
from agent.chats.views import forget_fact, show_facts, show_runs
from agent.drawings import kept_picture, pictures, tables
from agent.errors import SkillOpsError, UsageError
from agent.halting import by_ctrl_c
from agent.memory import Turn
from agent.pending import Result
from agent.screen import err, errors, escape, out, say, table_of, turn_of
from agent.workplace import Workplace

HELP = (
    "Type a task; Ctrl-C stops one, `cancel` leaves a question, an empty line or Ctrl-D ends. /plan shows how the last one ran, "
    "/facts what I keep of you, /forget N forgets one, /new starts afresh. The conversation is kept: `skillops chat` goes on with it."
)
STOPPING = "I stop with it; Ctrl-C once more ends the chat."
A_QUESTION = "A question waits for you: `cancel` leaves it, and nothing more is done. Ctrl-C once more ends the chat; the question waits on."
A_SECRET = "That looks like a secret: it is not kept in this terminal's history. Skills get secrets by `skillops secret set NAME`."


class Talk:
    """Reads lines from the terminal, or from a pipe, and answers each. An error ends a turn, not the talk.

    `turns` are the answers (or errors) so far, as JSON values; `failed` is the error of the last turn, where it had one.
    """

    def __init__(self, place: Workplace, conversation: str | None, *, new: bool, quiet: bool = False, agent: str | None = None) -> None:
        self.place, self.quiet, self.agent, self.at_terminal = place, quiet, agent, sys.stdin.isatty()
        latest = None if conversation or new else place.conversations.memory.latest(place.parts.user, agent)
        self.conversation = conversation or (latest.id if latest else None)
        self.turns: list[dict[str, Any]] = []
        self.failed: SkillOpsError | None = None
        self._known, self._questions = 0, dict[int, str]()
        self._history: LineHistory | None = None

    def go_on(self) -> None:
        """Until an empty line at the terminal, or the end of the input."""
        if self.at_terminal:
            out.print(f"[dim]{HELP}[/]")
            self._history = LineHistory(self.place.parts.settings.state / "chat_history")
        turns = self._news()
        spoken = [place for place, turn in enumerate(turns) if turn.role == "person"]
        self._show(turns[min([max(0, len(turns) - 4), *spoken[-1:]]) :])  # from the person's own last word on, at least
        while (text := self._line()) is not None:
            if text.startswith("/") and self._command(*text[1:].split(maxsplit=1)):
                continue
            if text:
                self._turn(text)
            elif self.at_terminal:
                return

    @property
    def spent(self) -> tuple[int, float]:
        """The tokens and US dollars of the conversation."""
        return self.place.conversations.spent(self.conversation) if self.conversation else (0, 0.0)

    def _command(self, verb: str = "", rest: str = "") -> bool:
        """What the chat itself is told; False where it is no such word, so that the agent is."""
        if verb == "new":
            self.conversation, self._known = None, 0
            say("A new conversation.")
            return True
        do = {"plan": lambda: show_runs(self.place, self.conversation), "facts": lambda: show_facts(self.place),
              "forget": lambda: forget_fact(self.place, rest)}.get(verb)  # fmt: skip
        if do is None:
            return False
        try:
            do()
        except SkillOpsError as error:
            errors(error)
        return True

    def _turn(self, text: str) -> None:
        try:
            with by_ctrl_c(self.place.parts.user, lambda: err.print(STOPPING, style="dim")):
                result, outcome = self.place.ask(text, self.conversation, None if self.conversation else self.agent)
        except SkillOpsError as error:
            self.failed = error
            self.turns.append({"said": text, "error": error.told()})
            if not self.quiet:
                errors(error)
            return
        self.failed, self.conversation = None, result.conversation
        self.turns.append({"said": text, **result.model_dump()})
        if not self.quiet:
            turn_of(result, outcome, self.spent)
            self._draw(result)
        self._show([turn for turn in self._news() if turn.role == "agent" and (turn.data or {}).get("turn", result.turn) != result.turn])

    def _draw(self, result: Result) -> None:
        """The tables and pictures of an answer."""
        for records in tables(result.outputs):
            table_of(records)
        for ending, data in pictures(result.outputs):
            path = kept_picture(self.place.parts.settings.state / "pictures", ending, data)
            say(f"picture ({len(data):,} bytes): {path}")

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

    def _typed(self) -> str:
        """What is typed. Where the agent waits for an answer, the first Ctrl-C says how to leave its question; the next ends the chat."""
        prompt = "> " if self.at_terminal else ""
        try:
            return input(prompt).strip()
        except KeyboardInterrupt:
            if not self._asked_by_agent():
                raise
            err.print(f"\n{A_QUESTION}", style="dim")
            return input(prompt).strip()

    def _asked_by_agent(self) -> bool:
        undone = self.place.conversations.memory.undone(self.conversation) if self.conversation else []
        return any(each.pending.get("question") for each in undone)

    def _line(self) -> str | None:
        try:
            line = self._typed()
            if self._history and not self._history.add(line):
                err.print(f"[dim]{A_SECRET}[/]", soft_wrap=True)
            return line
        except EOFError:
            return None
        except UnicodeDecodeError:
            raise UsageError("Standard input is not text (UTF-8).", next_step="Say in words what you would like to have done.") from None
