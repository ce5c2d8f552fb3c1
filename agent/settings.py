"""Settings: typed, frozen, handed down, printable with `skillops config`.

Read in this order, the later winning: the defaults here, `skillops.toml` in the repository, the environment
(`SKILLOPS_` and the field's name in capitals), the command's own options.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from agent.errors import ConfigurationError, InvalidFile

FILE = "skillops.toml"


class Settings(BaseSettings):
    """Every field says what it is for; `skillops config` prints them with where each value came from."""

    model_config = SettingsConfigDict(env_prefix="SKILLOPS_", frozen=True, extra="forbid")

    repository: Path = Field(default=Path(), description="The working clone of the skills repository.")
    user: str = Field(default="", description="Your login: who requests, approves and rejects. Empty: the system's login.")

    model: str = Field(
        default="", description="The model as LiteLLM names it: openai/gpt-5, anthropic/claude-sonnet-4-5, ollama/qwen3. Empty: none is set."
    )
    api_base: str = Field(default="", description="The model's endpoint, where it is not the provider's own.")
    api_key: SecretStr = Field(default=SecretStr(""), description="The model's key, where the provider's own variable (OPENAI_API_KEY …) is not set.")
    embedding_model: str = Field(default="", description="A model for embeddings, added to the text search of the catalog. Empty: text search alone.")
    model_timeout: float = Field(default=180.0, gt=0, description="Seconds that one model call may take.")
    recording: Path | None = Field(default=None, description="A recorded session to answer from instead of a live model.")
    record: Path | None = Field(default=None, description="Where to record the session of a live model.")

    forge: Literal["local"] = Field(default="local", description="Where requests, proposals and reviews live.")
    sandbox: Literal["bubblewrap"] = Field(default="bubblewrap", description="What untrusted code runs in.")
    builder: Literal["directory"] = Field(default="directory", description="What turns a skill into an artifact.")
    runtime: Literal["process"] = Field(default="process", description="What runs the artifacts.")

    reviewers: tuple[str, ...] = Field(default=(), description="Reviewers to ask; empty: those that the policy names.")
    workers: int = Field(default=4, ge=1, le=32, description="How many checks, reviews and plan steps run side by side.")
    mutants: int = Field(default=40, ge=0, le=400, description="The most mutants that the tests check makes of a skill.")
    mutant_threshold: float = Field(default=0.6, ge=0, le=1, description="The share of mutants that the tests must notice.")
    coverage_threshold: float = Field(default=0.9, ge=0, le=1, description="The share of a skill's lines that its tests must run.")
    idle_seconds: float = Field(default=900.0, gt=0, description="A skill that is not called for this long is stopped, and starts on the next call.")

    @property
    def state(self) -> Path:
        """Caches and running services of this clone: `.skillops`, never committed, safe to delete."""
        return self.repository / ".skillops"

    def explained(self) -> list[dict[str, str]]:
        """Every setting with its value, where that came from (default, file, environment or option) and what it is for."""
        in_file = _FileSource(type(self), self.repository)()
        rows = []
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            variable = f"SKILLOPS_{name.upper()}"
            source = variable if variable in os.environ else FILE if name in in_file else "option" if name in self.model_fields_set else "default"
            rows.append({"name": name, "value": str(value), "source": source, "description": field.description or ""})
        return rows

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _FileSource(settings_cls, Path(init_settings().get("repository", ".")))

    @classmethod
    def load(cls, repository: Path, **options: Any) -> Settings:
        """The effective settings; ConfigurationError names the field that is wrong."""
        given = {key: value for key, value in options.items() if value is not None}
        try:
            return cls(repository=repository.resolve(), **given)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise ConfigurationError(
                f"The setting {name!r} is wrong: {first['msg']}.",
                next_step=f"Correct {name} in {FILE}, or the variable SKILLOPS_{name.upper()}. `skillops config` explains each.",
            ) from None


class _FileSource(PydanticBaseSettingsSource):
    """`skillops.toml` of the repository given to `load`."""

    def __init__(self, settings_cls: type[BaseSettings], repository: Path) -> None:
        super().__init__(settings_cls)
        self._path = repository / FILE

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        if not self._path.is_file():
            return {}
        try:
            return tomllib.loads(self._path.read_text())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidFile(str(self._path), f"this is not TOML: {error}") from None
