"""What holds for every call of a live model: the next one where one gives no answer, a rate, and a day's tokens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agent.domain.profile import Models
from agent.errors import ModelLimit, ModelUnavailable
from agent.llms import litellm
from agent.llms.tended import Embedded, Spending, TendedEmbedder, TendedModel
from agent.ports import Question
from agent.settings import Settings
from agent.wiring_models import model_of, model_of_agent
from tests.fakes import FakeModel
from tests.unit.test_agents import a_profile


class Clock:
    """Time that passes while somebody sleeps."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def tended(tmp_path: Path, clock: Clock, *models: FakeModel, **limits: Any) -> TendedModel:
    """As one process has it: another one made from the same folder shares its limits."""
    return TendedModel(models, Spending(tmp_path / "spending.sqlite", clock), sleep=clock.sleep, **limits)


def a_question() -> Question:
    return Question(purpose="plan", variables={}, messages=(), answer_schema={})


def says(*answers: Any) -> FakeModel:
    return FakeModel({"plan": list(answers)})


def lost(tokens: int = 0) -> ModelUnavailable:
    error = ModelUnavailable("The first is down.", next_step="Wait.")
    error.tokens = tokens
    return error


def test_where_one_model_gives_no_answer_the_next_is_asked(tmp_path: Path, clock: Clock) -> None:
    first, second, third = says(lost(7)), says({"reply": "Hi"}), says({"reply": "No"})

    said = tended(tmp_path, clock, first, second, third).complete(a_question())

    assert (said.text, len(first.asked), len(third.asked)) == ('{"reply": "Hi"}', 1, 0)
    assert Spending(tmp_path / "spending.sqlite", clock).today() == (17, 0.01), "what the first took is counted as well"


def test_where_none_answers_each_is_told_and_one_alone_speaks_for_itself(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(ModelUnavailable, match="None of 2 models") as caught:
        tended(tmp_path, clock, says(lost(1)), says(lost(2))).complete(a_question())
    assert (caught.value.why.count("is down"), caught.value.tokens, caught.value.next_step) == (2, 3, "Wait.")

    with pytest.raises(ModelUnavailable, match="The first is down"):
        tended(tmp_path, clock, says(lost())).complete(a_question())


def test_it_can_be_asked_where_one_of_them_can(tmp_path: Path, clock: Clock) -> None:
    assert tended(tmp_path, clock, FakeModel(), says({})).available().ok
    assert not tended(tmp_path, clock, FakeModel(), FakeModel()).available().ok


def test_calls_wait_for_their_turn_whichever_process_makes_them(tmp_path: Path, clock: Clock) -> None:
    began = clock.now
    for _ in range(5):
        tended(tmp_path, clock, says({}), rate=2).complete(a_question())

    assert 119 < clock.now - began < 125, "two in each minute"


def test_who_would_wait_too_long_is_told(tmp_path: Path, clock: Clock) -> None:
    model = says({}, {})
    limited = tended(tmp_path, clock, model, rate=1, patience=10.0)
    limited.complete(a_question())

    with pytest.raises(ModelLimit, match="More than 1 calls") as caught:
        limited.complete(a_question())

    assert "SKILLOPS_MODEL_RATE" in caught.value.next_step and len(model.asked) == 1


def test_once_a_days_tokens_are_spent_no_model_is_asked_until_tomorrow(tmp_path: Path, clock: Clock) -> None:
    model = says({}, {}, {})
    tended(tmp_path, clock, model, tokens=15).complete(a_question())
    tended(tmp_path, clock, model, tokens=15).complete(a_question())

    with pytest.raises(ModelLimit, match="Today's 15 tokens are spent") as caught:
        tended(tmp_path, clock, model, tokens=15).complete(a_question())

    assert "SKILLOPS_MODEL_TOKENS" in caught.value.next_step
    clock.now += 86_400
    tended(tmp_path, clock, model, tokens=15).complete(a_question())


def test_an_agent_is_given_the_models_that_its_manifest_names(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, model="openai/usual", model_fallback=("openai/spare",), model_tokens=5)
    usual = model_of(settings, tmp_path)

    own = model_of_agent(a_profile(models=Models(primary="openai/mine", fallback=("openai/other",))), settings, tmp_path, usual)

    names = [[model.name for model in each._models] for each in (usual, own) if isinstance(each, TendedModel)]
    assert names == [["openai/usual", "openai/spare"], ["openai/mine", "openai/other"]]
    assert model_of_agent(a_profile(), settings, tmp_path, usual) is usual


def test_the_endpoint_and_the_key_are_shown_to_their_own_provider_alone(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, model="openai/usual", model_fallback=("openai/spare", "anthropic/other"), api_base="http://here", api_key="k")

    model = model_of(settings, tmp_path)

    assert isinstance(model, TendedModel)
    given = [each._settings for each in model._models]  # type: ignore[attr-defined]
    assert [(each.model, each.api_base, each.api_key.get_secret_value()) for each in given] == [
        ("openai/usual", "http://here", "k"), ("openai/spare", "http://here", "k"), ("anthropic/other", "", ""),
    ]  # fmt: skip


def test_embeddings_take_turns_and_tokens_from_the_same_purse_and_do_not_wait(tmp_path: Path, clock: Clock) -> None:
    spending, asked = Spending(tmp_path / "spending.sqlite", clock), list[Sequence[str]]()

    def embed(texts: Sequence[str]) -> Embedded:
        asked.append(texts)
        if texts == ["down"]:
            raise lost(3)
        return Embedded([[1.0] for _ in texts], 7, 0.5)

    began = clock.now
    assert TendedEmbedder(embed, spending, rate=2)(["a", "b"]) == [[1.0], [1.0]]
    tended(tmp_path, clock, says({}), rate=2).complete(a_question())
    with pytest.raises(ModelLimit, match="More than 2 calls"):
        TendedEmbedder(embed, spending, rate=2)(["c"])
    assert clock.now == began and asked == [["a", "b"]] and spending.today() == (17, 0.51)
    with pytest.raises(ModelUnavailable):
        TendedEmbedder(embed, spending)(["down"])
    assert spending.today()[0] == 20
    with pytest.raises(ModelLimit, match="Today's 20 tokens"):
        TendedEmbedder(embed, spending, tokens=20)(["d"])
    with pytest.raises(ModelLimit, match="Today's 20 tokens"):
        tended(tmp_path, clock, says({}), tokens=20).complete(a_question())
    assert len(asked) == 2


def test_those_who_ask_at_once_first_of_all_share_one_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    both, made = threading.Barrier(2), asyncio.new_event_loop

    def slow() -> asyncio.AbstractEventLoop:
        with suppress(threading.BrokenBarrierError):  # which two alone pass
            both.wait(0.2)
        return made()

    litellm._started_loop.cache_clear()
    monkeypatch.setattr(asyncio, "new_event_loop", slow)
    with ThreadPoolExecutor(2) as pool:
        loops = {asked.result() for asked in [pool.submit(litellm._loop) for _ in range(2)]}
    assert len(loops) == 1
