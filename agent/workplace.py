"""A Workplace: one opened skills repository, with what moves it (pipeline) and what talks for it (conversations)."""

from __future__ import annotations

from dataclasses import dataclass

from agent.conversation import Conversations, Result
from agent.forges.checkout import Checkout
from agent.parts import Parts
from agent.pipeline import Outcome, Pipeline
from agent.situation import Work


@dataclass(frozen=True)
class Workplace:
    parts: Parts
    checkout: Checkout
    pipeline: Pipeline
    conversations: Conversations

    def work(self, only: Work | None = None, *, once: bool = False) -> tuple[Outcome, list[Result]]:
        """Advances open work, answers the conversations that waited for it, and brings a clean checkout up to date."""
        outcome = self.pipeline.run(only, once=once)
        answers = [answer for number in self.conversations.ready() for answer in self.conversations.resume(number)]
        self.checkout.update()
        return outcome, answers

    def ask(self, text: str, conversation: str | None) -> tuple[Result, Outcome]:
        """One turn of a conversation. Where it raises requests, they are worked on and the turn is finished if they could be."""
        self.parts.sync()
        result = self.conversations.turn(conversation, text, self.parts.user)
        together = Outcome()
        for number in result.requests:
            outcome, answers = self.work(Work(request=number))
            together.add(outcome)
            result = next((answer for answer in reversed(answers) if answer.conversation == result.conversation), result)
        return result, together
