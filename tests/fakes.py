"""Fakes that tests share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.errors import ModelUnavailable
from agent.ports import Availability, Completion, LanguageModel, Question

Answer = Any  # a dict (sent as JSON), a str (sent as it is), an exception (raised), or a function of the Question that gives one


class FakeModel(LanguageModel):
    """Answers each purpose from its list, in turn, and keeps the questions in `asked`.

    A purpose that is not there, or whose list is used up, cannot be reached. Each answer costs 10 tokens and 0.01 dollars.
    """

    name = "fake"

    def __init__(self, answers: Mapping[str, Sequence[Answer] | Callable[[Question], Answer]] | None = None) -> None:
        self._answers = {purpose: given if callable(given) else list(given) for purpose, given in (answers or {}).items()}
        self.asked: list[Question] = []

    def available(self) -> Availability:
        return Availability(ok=bool(self._answers), why="" if self._answers else "no model is set")

    def complete(self, question: Question) -> Completion:
        self.asked.append(question)
        given = self._answers.get(question.purpose, [])
        if not callable(given) and not given:
            raise ModelUnavailable(f"The fake model has no answer left for {question.purpose!r}.")
        answer = given(question) if callable(given) else given.pop(0)
        if isinstance(answer, Exception):
            raise answer
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return Completion(text=text, model=self.name, tokens_in=6, tokens_out=4, cost=0.01, seconds=0.5)

    def of(self, purpose: str) -> list[Question]:
        """The questions of one purpose, in the order in which they were asked."""
        return [question for question in self.asked if question.purpose == purpose]

    def left(self, purpose: str) -> list[Answer]:
        """The answers that were not asked for yet."""
        given = self._answers.get(purpose, [])
        return [] if callable(given) else list(given)
