"""What holds for every call of a live model, for words or for vectors, whoever asks: another model where one gives no answer, a rate, and a
day's tokens.

Calls and tokens are counted in a file, so that all the commands and servers of one repository share the limits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from agent import halting
from agent.errors import ModelLimit, ModelUnavailable
from agent.ports import Availability, Completion, LanguageModel, Question
from agent.sqlite_file import SqliteFile

MINUTE = 60.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS call (at REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS spent (day TEXT PRIMARY KEY, tokens INTEGER NOT NULL, cost REAL NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS call_at ON call (at);
"""


class Embedded(NamedTuple):
    """A vector for each text, and what they took: tokens, and US dollars (0 where unknown)."""

    vectors: list[list[float]]
    tokens: int = 0
    cost: float = 0.0


Embed = Callable[[Sequence[str]], Embedded]
"""Raises ModelUnavailable."""


class Spending:
    """The calls of the last minute and what each day took, in the SQLite file at `path`. Days are UTC's. Raises CouldNotTell."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._file, self._clock = SqliteFile(path, _SCHEMA), clock

    def admit(self, rate: int) -> float:
        """0 where a call may be made now, which is then counted; else the seconds after which it is worth asking again."""
        now = self._clock()
        with self._file.writing() as connection:
            connection.execute("DELETE FROM call WHERE at <= ? OR at > ?", (now - MINUTE, now + MINUTE))
            count, oldest = connection.execute("SELECT COUNT(*), MIN(at) FROM call").fetchone()
            if rate and count >= rate:
                return max(0.05, float(oldest) + MINUTE - now)
            connection.execute("INSERT INTO call (at) VALUES (?)", (now,))
        return 0.0

    def took(self, tokens: int, cost: float) -> None:
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO spent (day, tokens, cost) VALUES (?, ?, ?) "
                "ON CONFLICT (day) DO UPDATE SET tokens = tokens + excluded.tokens, cost = cost + excluded.cost",
                (self._day(), tokens, cost),
            )

    def today(self) -> tuple[int, float]:
        """Tokens and US dollars."""
        with self._file.reading() as connection:
            row = connection.execute("SELECT tokens, cost FROM spent WHERE day = ?", (self._day(),)).fetchone()
        return (row["tokens"], row["cost"]) if row else (0, 0.0)

    def _day(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).date().isoformat()


class Turns:
    """Whose turn it is: `rate` calls a minute at most (0: any number), none once a day's `tokens` are spent (0: never), for who waits up to
    `patience` seconds."""

    def __init__(self, spending: Spending, rate: int, tokens: int, patience: float, sleep: Callable[[float], None] = halting.pause) -> None:
        self._spending, self._rate, self._tokens, self._patience, self._sleep = spending, rate, tokens, patience, sleep
        self.took = spending.took

    def wait(self) -> None:
        """Returns when the call may be made, which is then counted. Raises ModelLimit."""
        spent = self._spending.today()[0]
        if self._tokens and spent >= self._tokens:
            raise ModelLimit(
                f"Today's {self._tokens:,} tokens are spent.", why=f"{spent:,} were used since midnight UTC.",
                next_step="Try again tomorrow, or raise SKILLOPS_MODEL_TOKENS.",
            )  # fmt: skip
        left = self._patience
        while pause := self._spending.admit(self._rate):
            if pause > left:
                raise ModelLimit(
                    f"More than {self._rate} calls of the model are wanted in a minute.", why=f"A call would wait for {pause:.0f} s more.",
                    next_step="Try again in a minute, or raise SKILLOPS_MODEL_RATE.",
                )  # fmt: skip
            self._sleep(pause)
            left -= pause


class TendedModel:
    """`models` in the order in which they are asked: the next where one gives no answer. `rate` calls a minute are made at most
    (0: any number), and none once a day's `tokens` are spent (0: never). A call waits up to `patience` seconds for its turn.

    It calls itself by the first one's name; a completion names the model that gave it.
    """

    def __init__(
        self, models: Sequence[LanguageModel], spending: Spending, *, rate: int = 0, tokens: int = 0, patience: float = 180.0,
        sleep: Callable[[float], None] = halting.pause,
    ) -> None:  # fmt: skip
        self.name = models[0].name
        self._models, self._turns = models, Turns(spending, rate, tokens, patience, sleep)

    def available(self) -> Availability:
        """As the first of them that can be asked, or else as the first."""
        told = [model.available() for model in self._models]
        return next((each for each in told if each.ok), told[0])

    def complete(self, question: Question) -> Completion:
        failed: list[ModelUnavailable] = []
        for model in self._models:
            self._turns.wait()
            try:
                said = model.complete(question)
            except ModelUnavailable as error:
                self._turns.took(error.tokens, error.cost)
                failed.append(error)
                continue
            self._turns.took(said.tokens, said.cost)
            return said
        raise failed[0] if len(failed) == 1 else _all_failed(failed)


class TendedEmbedder:
    """Texts to vectors by `embed`, within the same rate and the same day's tokens as every other call. Who searches does not wait for a turn:
    where there is none, ModelLimit is raised, and the text search goes on alone. There is no second model: vectors of two cannot be compared.
    """

    def __init__(self, embed: Embed, spending: Spending, *, rate: int = 0, tokens: int = 0) -> None:
        self._embed, self._turns = embed, Turns(spending, rate, tokens, patience=0.0)

    def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        self._turns.wait()
        try:
            found = self._embed(texts)
        except ModelUnavailable as error:
            self._turns.took(error.tokens, error.cost)
            raise
        self._turns.took(found.tokens, found.cost)
        return found.vectors


def _all_failed(failed: Sequence[ModelUnavailable]) -> ModelUnavailable:
    error = ModelUnavailable(
        f"None of {len(failed)} models gave an answer.", why=" ".join(each.fault for each in failed), next_step=failed[0].next_step
    )
    error.tokens, error.cost = sum(each.tokens for each in failed), sum(each.cost for each in failed)
    return error
