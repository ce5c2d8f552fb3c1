"""Recorded sessions: what a live model answered, kept as a JSON file and served again offline.

A recording is found by its purpose and a digest of the question's variables, made normal (no paths, times, object ids
or addresses); the prompt's wording does not count. The file:
`{"format": 1, "model": …, "exchanges": [{"purpose", "key", "variables", "text", "tokens_in", "tokens_out", "cost"}]}`.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.domain import Frozen
from agent.domain.skill import digest_of
from agent.errors import InvalidFile, ModelUnavailable, NoRecording
from agent.ports import Availability, Completion, LanguageModel, Question

SET_A_MODEL = """\
Set a live model, for instance
  OpenAI     SKILLOPS_MODEL=openai/gpt-5 OPENAI_API_KEY=…
  Anthropic  SKILLOPS_MODEL=anthropic/claude-sonnet-4-5 ANTHROPIC_API_KEY=…
  Ollama     SKILLOPS_MODEL=ollama/qwen3 SKILLOPS_API_BASE=http://localhost:11434"""

# What differs from one run or machine to the next, and what it becomes. The order matters: an address holds digits.
_NORMAL = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?\b", "<time>"),
        (r"\b[a-z0-9+]+://(localhost|\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:]+\])(:\d+)?", "<address>"),
        (r"\b(localhost|\d{1,3}(\.\d{1,3}){3}):\d+\b", "<address>"),
        (r"\b0x[0-9a-f]{6,}\b", "<id>"),
        (r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,64}\b", "<id>"),
        (r"(?<![\w.:/<])/(tmp|home|root|work|var|private|usr|opt|run|srv|mnt|Users|proc)(/[\w.@+~-]+)+/?", "<path>"),
        (r"\b\d+\.\d+\s?(ms|s|seconds)\b", "<duration>"),
        (r"[ \t]+(?=\n|\Z)", ""),
    )
)


def normal(value: Any) -> Any:
    """`value` without what differs from run to run, at every depth."""
    if isinstance(value, dict):
        return {normal(key): normal(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [normal(each) for each in value]
    if isinstance(value, str):
        for pattern, word in _NORMAL:
            value = pattern.sub(word, value)
        return value.rstrip()
    return value


def key_of(question: Question) -> str:
    return digest_of([question.purpose, normal(question.variables)])


class Exchange(Frozen):
    purpose: str
    key: str
    variables: dict[str, Any]
    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0


class Session(Frozen):
    """The file. `format` rises when an old file could be misread."""

    format: int = 1
    model: str
    exchanges: tuple[Exchange, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Session:
        try:
            session = cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise InvalidFile(str(path), "there is no recorded session here", next_step="Correct SKILLOPS_RECORDING.") from None
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidFile(str(path), f"this is no recorded session: {'.'.join(map(str, first['loc']))} {first['msg']}") from None
        if session.format != 1:
            raise InvalidFile(str(path), f"format 1 was expected, not {session.format}", next_step="Record it again with this version.")
        return session

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(json.dumps(self.model_dump(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        beside.replace(path)


class RecordedModel:
    """Answers from a session. What was recorded more than once is served in order, its last again and again.

    Among recordings with the same key, one with exactly these variables goes first: normalising may have made two
    different tasks alike.
    """

    def __init__(self, path: Path) -> None:
        self._session = Session.read(path)
        self._served: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.name = self._session.model

    def available(self) -> Availability:
        return Availability(ok=True)

    def complete(self, question: Question) -> Completion:
        key = key_of(question)
        found = [each for each in self._session.exchanges if each.key == key and each.purpose == question.purpose]
        if not found:
            raise self._none(question)
        exact = [each for each in found if each.variables == question.variables]
        served = digest_of(question.variables) if exact else key
        found = exact or found
        with self._lock:
            turn = min(self._served[served], len(found) - 1)
            self._served[served] += 1
        return _completion(found[turn], self.name)

    def _none(self, question: Question) -> NoRecording:
        same = [each.variables for each in self._session.exchanges if each.purpose == question.purpose]
        why = f"No question of the purpose {question.purpose!r} was recorded."
        if same:
            why = f"In the nearest recording of this purpose, {min((_differing(question.variables, each) for each in same), key=len)} differed."
        given = ", ".join(f"{name}={_short(value)}" for name, value in question.variables.items())
        return NoRecording(f"The recorded session has no answer to the question {question.purpose!r} ({given}).", why=why, next_step=SET_A_MODEL)


class RecordingModel:
    """A live model whose answers are added to the session at `path`, each on disk before it is handed on.

    What the session at `path` held before is served from it first: a recording that was cut short is gone on with, and
    after a change only what is asked differently is asked of the live model.
    """

    def __init__(self, inner: LanguageModel, path: Path) -> None:
        self._inner, self._path = inner, path
        self._before = list(Session.read(path).exchanges) if path.exists() else []
        self._lock = threading.Lock()
        self.name = inner.name

    def available(self) -> Availability:
        return self._inner.available()

    def complete(self, question: Question) -> Completion:
        with self._lock:
            known = next((each for each in self._before if (each.purpose, each.key) == (question.purpose, key_of(question))), None)
            if known:
                self._before.remove(known)
                return _completion(known, self.name)
        said = self._inner.complete(question)
        exchange = Exchange(
            purpose=question.purpose,
            key=key_of(question),
            variables=question.variables,
            text=said.text,
            tokens_in=said.tokens_in,
            tokens_out=said.tokens_out,
            cost=said.cost,
        )
        with self._lock:
            before = Session.read(self._path) if self._path.exists() else Session(model=self.name)
            before.model_copy(update={"exchanges": (*before.exchanges, exchange)}).write(self._path)
        return said


class RekeyingModel:
    """Answers each purpose in recorded order, whatever its variables are, and keeps those: after a change of what is
    asked (not of what is meant), a run with this model and `save` make the session fit again."""

    def __init__(self, path: Path) -> None:
        self._path, self._session = path, Session.read(path)
        self._left = list(range(len(self._session.exchanges)))
        self._new: dict[int, Exchange] = {}
        self._lock = threading.Lock()
        self.name = self._session.model

    def available(self) -> Availability:
        return Availability(ok=True)

    def complete(self, question: Question) -> Completion:
        with self._lock:
            place = self._take(question)
            exchange = self._session.exchanges[place]
            self._new[place] = exchange.model_copy(update={"key": key_of(question), "variables": question.variables})
        return _completion(exchange, self.name)

    def save(self) -> tuple[str, ...]:
        """Writes what was asked and drops what was not; returns the purposes of the dropped."""
        kept = tuple(self._new[place] for place in sorted(self._new))
        self._session.model_copy(update={"exchanges": kept}).write(self._path)
        return tuple(self._session.exchanges[place].purpose for place in self._left)

    def _take(self, question: Question) -> int:
        """The next recording of this purpose; an exact match goes first, as side by side questions come in any order."""
        key = key_of(question)
        places = [place for place in self._left if self._session.exchanges[place].purpose == question.purpose]
        if not places:
            raise NoRecording(f"The session has no recording left for the question {question.purpose!r}.", next_step=SET_A_MODEL)
        place = next((each for each in places if self._session.exchanges[each].key == key), places[0])
        self._left.remove(place)
        return place


class NoModel:
    """Stands where no model is set."""

    name = "none"

    def available(self) -> Availability:
        return Availability(ok=False, why="No model is set.", fix=SET_A_MODEL)

    def complete(self, question: Question) -> Completion:
        raise ModelUnavailable("No model is set.", next_step=SET_A_MODEL)


def _completion(exchange: Exchange, model: str) -> Completion:
    return Completion(text=exchange.text, model=model, tokens_in=exchange.tokens_in, tokens_out=exchange.tokens_out, cost=exchange.cost)


def _differing(asked: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    names = {**asked, **recorded}
    return [name for name in names if normal(asked.get(name)) != normal(recorded.get(name))]


def _short(value: Any, limit: int = 80) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "…"
