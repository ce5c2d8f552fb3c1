"""Wiring of models: the part of `wiring.py` that names live models, recorded sessions and embedders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.domain.profile import Profile
from agent.ports import LanguageModel
from agent.settings import Settings

if TYPE_CHECKING:
    from agent.llms.recorded import RekeyingModel


def model_of(settings: Settings, kept: Path | None = None) -> LanguageModel:
    """The live model with what holds for its every call, a recorded session, or none; wrapped where a session is to be recorded.
    Calls are counted in the folder `kept`, or beside the clone's caches."""
    from agent.llms.recorded import NoModel, RecordedModel, RecordingModel

    if settings.recording:
        return RecordedModel(settings.recording)
    if not settings.model:
        return NoModel()
    from agent.llms.litellm import LiteLLMModel
    from agent.llms.tended import Spending, TendedModel

    names = dict.fromkeys((settings.model, *settings.model_fallback))
    live = TendedModel(
        [LiteLLMModel(settings.model_copy(update={"model": name})) for name in names],
        Spending((kept or settings.state) / "spending.sqlite"), rate=settings.model_rate, tokens=settings.model_tokens,
        patience=settings.model_timeout,
    )  # fmt: skip
    return RecordingModel(live, settings.record) if settings.record else live


def model_of_agent(profile: Profile, settings: Settings, kept: Path, usual: LanguageModel) -> LanguageModel:
    """The models that an agent's manifest names, or those of the settings. A recorded session speaks for every agent."""
    if settings.recording or not (profile.models.primary or profile.models.fallback):
        return usual
    named = {"model": profile.models.primary or settings.model, "model_fallback": profile.models.fallback or settings.model_fallback}
    return model_of(settings.model_copy(update=named), kept)


def rekeying(recording: Path) -> RekeyingModel:
    """A model that answers from a recording in its order and can write the new keys."""
    from agent.llms.recorded import RekeyingModel

    return RekeyingModel(recording)


def embedder_of(settings: Settings) -> Any:
    if not settings.embedding_model:
        return None
    from agent.llms.litellm import embedder

    return embedder(settings)
