"""Wiring of models: the part of `wiring.py` that names live models, recorded sessions and embedders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from agent.domain.profile import Profile
from agent.ports import LanguageModel
from agent.settings import Settings

if TYPE_CHECKING:
    from agent.llms.recorded import RekeyingModel


def model_of(settings: Settings, kept: Path | None = None, names: tuple[str, ...] = ()) -> LanguageModel:
    """The live model with what holds for its every call, a recorded session, or none; wrapped where a session is to be recorded.
    Calls are counted in the folder `kept`, or beside the clone's caches. `names` are asked in the place of the settings' models."""
    from agent.llms.recorded import NoModel, RecordedModel, RecordingModel

    if settings.recording:
        return RecordedModel(settings.recording)
    names = names or (settings.model, *settings.model_fallback)
    if not names[0]:
        return NoModel()
    from agent.llms.litellm import LiteLLMModel
    from agent.llms.tended import Spending, TendedModel

    live = TendedModel(
        [LiteLLMModel(_settings_for(name, settings)) for name in dict.fromkeys(names)],
        Spending((kept or settings.state) / "spending.sqlite"), rate=settings.model_rate, tokens=settings.model_tokens,
        patience=settings.model_timeout,
    )  # fmt: skip
    return RecordingModel(live, settings.record) if settings.record else live


def model_of_agent(profile: Profile, settings: Settings, kept: Path, usual: LanguageModel) -> LanguageModel:
    """The models that an agent's manifest names, or those of the settings. A recorded session speaks for every agent."""
    if settings.recording or not (profile.models.primary or profile.models.fallback):
        return usual
    primary, fallback = profile.models.primary or settings.model, profile.models.fallback or settings.model_fallback
    return model_of(settings, kept, (primary, *fallback))


def _settings_for(name: str, settings: Settings) -> Settings:
    """The endpoint and the key of the settings are those of their model's provider; another's are its own variables'."""
    same = not settings.model or name.partition("/")[0] == settings.model.partition("/")[0]
    return settings.model_copy(update={"model": name} if same else {"model": name, "api_base": "", "api_key": SecretStr("")})


def rekeying(recording: Path) -> RekeyingModel:
    """A model that answers from a recording in its order and can write the new keys."""
    from agent.llms.recorded import RekeyingModel

    return RekeyingModel(recording)


def embedder_of(settings: Settings, kept: Path | None = None) -> Any:
    """None where the settings name no model for embeddings. Its calls are counted with those of the other models."""
    if not settings.embedding_model:
        return None
    from agent.llms.litellm import embedder
    from agent.llms.tended import Spending, TendedEmbedder

    spending = Spending((kept or settings.state) / "spending.sqlite")
    return TendedEmbedder(embedder(settings), spending, rate=settings.model_rate, tokens=settings.model_tokens)
