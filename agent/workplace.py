"""A Workplace: one opened skills repository, with what moves it (pipeline) and what talks for it (conversations)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from agent.conversation import Conversations, Result
from agent.domain.progress import Stage
from agent.errors import SkillOpsError
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

    def limited_to(self, stages: frozenset[Stage]) -> Workplace:
        """The same, doing these stages alone."""
        return replace(self, pipeline=Pipeline(self.parts, stages))

    def work(self, only: Work | None = None, *, once: bool = False) -> tuple[Outcome, list[Result]]:
        """Advances open work, answers the conversations that waited for it, and brings a clean checkout up to date."""
        outcome = self.pipeline.run(only, once=once)
        answers = self._resumed(outcome)
        if not once:
            answers += self._answered(outcome, _raised(answers))
        self.checkout.update()
        return outcome, answers

    def ask(self, text: str, conversation: str | None, agent: str | None = None) -> tuple[Result, Outcome]:
        """One turn of a conversation; a new one is with the `agent` named, or the assistant.
        Where it raises requests, they are worked on and the turn is finished if it can be."""
        self.parts.sync()
        result, outcome = self.conversations.turn(conversation, text, self.parts.user, agent), Outcome()
        if result.kind == "waits":
            answers = self._answered(outcome, result.requests)
            self.checkout.update()
            mine = [answer for answer in answers if answer.turn == result.turn]
            result = mine[-1] if mine else self.conversations.latest(result)
        return result, outcome

    def _answered(self, outcome: Outcome, requests: Iterable[int]) -> list[Result]:
        """Works on these requests, answers who waited, and the same again for what that raises (a task raises a few times at most)."""
        answers: list[Result] = []
        while left := list(requests):
            for number in left:
                outcome.add(self.pipeline.run(Work(request=number)))
            fresh = self._resumed(outcome)
            answers += fresh
            requests = _raised(fresh)
        return answers

    def _resumed(self, outcome: Outcome) -> list[Result]:
        """Goes on with every task that can be. One that cannot be told about goes on waiting, and keeps no other from its answer."""
        answers = []
        for turn, request in self.conversations.unanswered().items():
            try:
                answer = self.conversations.resume(turn)
            except SkillOpsError as error:
                outcome.troubled.append((Work(request=request), error))
            else:
                answers += [answer] if answer else []
        return answers


def _raised(answers: Iterable[Result]) -> list[int]:
    return [number for answer in answers for number in answer.requests]
