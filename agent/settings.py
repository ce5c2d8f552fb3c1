"""Settings: typed, frozen, handed down, printable with `skillops config`.

Read in this order, the later winning: the defaults here, `skillops.toml` in the repository, the environment
(`SKILLOPS_` and the field's name in capitals), the command's own options.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal, get_origin

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from agent.egress.rules import pinned_by
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
    model_fallback: tuple[str, ...] = Field(default=(), description="Models to ask, one after the other, where the one before gives no answer.")
    model_rate: int = Field(default=0, ge=0, description="Calls of models that are made in a minute at most; further ones wait. 0: no limit.")
    model_tokens: int = Field(default=0, ge=0, description="Tokens that all calls of models together may take in a day (UTC). 0: no limit.")
    recording: Path | None = Field(default=None, description="A recorded session to answer from instead of a live model.")
    record: Path | None = Field(default=None, description="Where to record the session of a live model.")

    forge: Literal["local", "github"] = Field(default="local", description="Where requests, proposals and reviews live.")
    github_repository: str = Field(default="", description="The repository on GitHub, as owner/name.")
    github_api: str = Field(default="https://api.github.com", description="The API's address; of GitHub Enterprise https://HOST/api/v3.")
    github_token: SecretStr = Field(default=SecretStr(""), description="A token for GitHub, where no App is used.")
    github_app_id: str = Field(default="", description="The id of the GitHub App that SkillOps acts as.")
    github_app_key: SecretStr = Field(default=SecretStr(""), description="The App's private key, in PEM.")
    github_installation: int | None = Field(default=None, description="The App's installation, where it has several.")
    github_login: str = Field(default="", description="Who SkillOps is on GitHub, like my-app[bot]; empty: asked of GitHub.")
    github_merge: Literal["squash", "merge", "rebase"] = Field(default="squash", description="How a pull request is merged on GitHub.")
    github_commits: Literal["api", "git"] = Field(
        default="api", description="How commits reach GitHub: its API alone, or git push out of a cache in .skillops (one push for many files)."
    )
    github_git: str = Field(
        default="", description="Where git reaches the repositories, for github_commits = git. Empty: https://github.com, or github_api's own host."
    )
    github_webhook_secret: SecretStr = Field(default=SecretStr(""), description="The secret of the webhook that points at /webhooks/github.")

    slack_bot_token: SecretStr = Field(default=SecretStr(""), description="The token of the Slack app that people talk to the agent by (xoxb-…).")
    slack_signing_secret: SecretStr = Field(default=SecretStr(""), description="The secret that Slack signs with what it sends to /slack/events.")
    slack_app_token: SecretStr = Field(default=SecretStr(""), description="The token of socket mode (xapp-…), where Slack cannot reach the gateway.")
    slack_people: dict[str, str] = Field(
        default={}, description="Who is who: logins by Slack's user ids, like {U012ABCDEF = 'ada'}. Others can ask, and decide nothing."
    )
    slack_api: str = Field(default="https://slack.com/api/", description="The address of Slack's API, with a slash at its end.")

    sandbox: Literal["bubblewrap", "docker", "gvisor"] = Field(
        default="bubblewrap",
        description="What untrusted code runs in while it is checked and tried: namespaces of this machine, containers, or a kernel of its own.",
    )
    sandbox_image: str = Field(default="", description="The root of sandbox containers where Docker Engine runs on another machine (DOCKER_HOST).")
    builder: Literal["directory", "docker"] = Field(
        default="directory", description="What turns a skill into an artifact: a folder of this machine, or an image of Docker Engine."
    )
    base_images: dict[str, str] = Field(
        default={},
        description="The image that skills of a language are built on, like {python = 'python:3.11-slim'}. Empty: ours (make base-images).",
    )
    image_repository: str = Field(
        default="",
        pattern=r"^$|^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$",
        description="Where releases in Actions push images, like ghcr.io/acme/skills (each skill below it). Empty: that of the GitHub repository.",
    )
    build_network: Literal["none", "default", "host"] = Field(
        default="default",
        description="What the steps of a skill's own Dockerfile reach while it is built: nothing, the engine's network, or its host's.",
    )
    build_seconds: float = Field(default=600.0, gt=0, description="Seconds that the build of one image may take.")
    runtime: Literal["process", "docker"] = Field(
        default="process", description="What runs the artifacts: sandboxed processes of this machine, or containers (which need builder = docker)."
    )
    docker_address: str = Field(
        default="", description="The address of the engine's machine at which its ports are reached from here, where DOCKER_HOST is tcp://."
    )

    egress_resolve: dict[str, str] = Field(
        default={},
        description="Where a declared host really is, like api.example.com:443 = 10.0.0.7:8443; nothing else leads to a private address.",
    )

    vault_key: Literal["file", "keyring"] = Field(
        default="file", description="Where the vault's key is: a file for its owner alone, or the operating system's keyring (the extra keyring)."
    )
    broker_authorities: str = Field(
        default="", description="A file of certificates (PEM) that the broker of secrets trusts beside the system's, for hosts of your own."
    )

    advisories: str = Field(
        default="https://api.osv.dev", description="The database of advisories that dependencies are held against (OSV's API). Empty: none is asked."
    )

    reviewers: tuple[str, ...] = Field(default=(), description="Reviewers to ask; empty: those that the policy names.")
    workers: int = Field(default=4, ge=1, le=32, description="How many checks, reviews and plan steps run side by side.")
    mutants: int = Field(default=40, ge=0, le=400, description="The most mutants that the tests check makes of a skill.")
    mutant_threshold: float = Field(default=0.6, ge=0, le=1, description="The share of mutants that the tests must notice.")
    coverage_threshold: float = Field(default=0.9, ge=0, le=1, description="The share of a skill's lines that its tests must run.")
    max_instances: int = Field(
        default=2, ge=1, le=16, description="How many instances of one skill run at once under load; one that keeps a storage has one."
    )
    callers_apart: bool = Field(
        default=True,
        description="Each API key has servers of its own of the skills it calls, but for those that keep a storage: nothing leads to another's call.",
    )
    idle_seconds: float = Field(default=900.0, gt=0, description="A skill that is not called for this long is stopped, and starts on the next call.")

    gateway_hosts: tuple[str, ...] = Field(default=(), description="Names that the gateway answers to, beside those of loopback and its address.")
    gateway_origins: tuple[str, ...] = Field(default=(), description="Web sites, like https://chat.example.com, whose pages may call the gateway.")
    gateway_url: str = Field(default="", description="Where people reach the gateway, like https://skills.example.com: links to forms lead there.")
    gateway_proxies: tuple[str, ...] = Field(
        default=(), description="Addresses of proxies that are believed when they say https (X-Forwarded-Proto)."
    )
    gateway_rate: float = Field(default=500.0, ge=0, description="Calls a second that one API key may make; twice as many at once. 0: no limit.")
    gateway_daily: int = Field(default=0, ge=0, description="Calls a day (UTC) that one API key may make, while the gateway runs. 0: no limit.")
    gateway_concurrency: int = Field(default=16, ge=1, le=1000, description="Calls of one skill that run at once; others wait their turn.")

    @field_validator("egress_resolve")
    @classmethod
    def _places(cls, resolve: dict[str, str]) -> dict[str, str]:
        pinned_by(resolve)
        return resolve

    @property
    def state(self) -> Path:
        """Caches and running services of this clone: `.skillops`, never committed, safe to delete."""
        return self.repository / ".skillops"

    @property
    def images(self) -> str:
        """Where images are pushed to; that of GitHub's own registry where nothing else is set, empty without a repository on GitHub."""
        ours = f"ghcr.io/{self.github_repository.lower()}" if self.github_repository else ""
        return self.image_repository or ours

    def explained(self) -> list[dict[str, str]]:
        """Every setting with its value, where that came from (default, file, environment or option) and what it is for."""
        in_file = _FileSource(type(self), self.repository)()
        rows = []
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            shown = ", ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
            variable = f"SKILLOPS_{name.upper()}"
            source = variable if variable in os.environ else FILE if name in in_file else "option" if name in self.model_fields_set else "default"
            rows.append({"name": name, "value": shown, "source": source, "description": field.description or ""})
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
            first = error.errors(include_url=False)[0]
            raise _wrong(str(first["loc"][0]), first["type"], first["msg"], repository / FILE) from None
        except SettingsError as error:  # a list or table in the environment that is no JSON; the library's message names the field
            name = str(error).split('"')[1]
            like = '{"name": "value"}' if get_origin(cls.model_fields[name].annotation) is dict else '["one", "two"]'
            raise _wrong(name, "json", f"expected JSON, like {like}", repository / FILE) from None


def _wrong(name: str, kind: str, problem: str, file: Path) -> ConfigurationError:
    """A setting that cannot be, with the place that it came from."""
    variable, explained = f"SKILLOPS_{name.upper()}", "`skillops config` explains each setting."
    if kind == "extra_forbidden":
        import difflib

        near = difflib.get_close_matches(name, Settings.model_fields, 1)
        problem = f"there is no such setting; the nearest is {near[0]}" if near else "there is no such setting"
    expected = f"{name}: {problem[0].lower()}{problem[1:]}"
    if variable in os.environ:
        return ConfigurationError(f"{variable} is wrong: {expected}.", next_step=f"Correct the variable or unset it. {explained}")
    lines = file.read_text().splitlines() if file.is_file() else []
    line = next((number for number, text in enumerate(lines, 1) if re.match(rf"\s*[\"']?{re.escape(name)}\b", text)), None)
    return InvalidFile(FILE, expected, line=line, next_step=f"Correct {FILE}. {explained}")


class _FileSource(PydanticBaseSettingsSource):
    """`skillops.toml` of the repository given to `load`."""

    def __init__(self, settings_cls: type[BaseSettings], repository: Path) -> None:
        super().__init__(settings_cls)
        self._path = repository / FILE

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        import tomllib

        if not self._path.is_file():
            return {}
        try:
            return tomllib.loads(self._path.read_text())
        except UnicodeDecodeError:
            raise InvalidFile(FILE, "expected text in UTF-8") from None
        except tomllib.TOMLDecodeError as error:
            place = re.search(r"at line (\d+)", str(error))
            raise InvalidFile(FILE, f"expected TOML: {error}", line=int(place[1]) if place else None) from None
