"""Wiring of what builds and runs skills: the part of `wiring.py` that names builders, launchers and runtimes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from agent.builders.by_runtime import ByRuntime
from agent.builders.directory import DirectoryBuilder
from agent.domain.package import Ecosystem
from agent.domain.requirement import Shelf
from agent.domain.workflow import RUNTIME
from agent.errors import ConfigurationError
from agent.forges.checkout import Checkout
from agent.languages.bash import BashLanguage
from agent.languages.container import ContainerLanguage
from agent.languages.go import GoLanguage
from agent.languages.go.index import GoIndex
from agent.languages.node import NodeLanguage
from agent.languages.node.index import NpmIndex
from agent.languages.python import PythonLanguage
from agent.languages.python.index import PythonIndex
from agent.languages.workflow import WorkflowLanguage
from agent.ports import AdoptingSandbox, Builder, Index, Language, Launcher, Runtime, Sandbox
from agent.runtimes.process import ProcessLauncher, ProcessRuntime
from agent.runtimes.supervised import SupervisedRuntime
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from agent.settings import Settings
from agent.vault import Vault

if TYPE_CHECKING:
    from agent.docker_engine import DockerEngine
    from agent.runtimes.docker import DockerLauncher
    from agent.sandboxes.battery import Attempt


def languages_of(shelf: Shelf | None = None, cutoff: Callable[[], datetime | None] = lambda: None) -> dict[str, Language]:
    """The shelf of languages, by the manifest's `runtime`; with the skills of a registry, there are workflows of them too. `cutoff`: when
    releases must have been there that dependencies are resolved to."""
    resolving = (PythonLanguage(cutoff=cutoff), NodeLanguage(cutoff=cutoff), GoLanguage(cutoff=cutoff))
    languages: tuple[Language, ...] = (*resolving, BashLanguage(), ContainerLanguage())
    return {language.name: language for language in (*languages, *([WorkflowLanguage(shelf)] if shelf else []))}


def indexes_of() -> dict[Ecosystem, Index]:
    """Where packages come from on this machine."""
    return {"PyPI": PythonIndex(), "npm": NpmIndex(), "Go": GoIndex()}


def builder_of(settings: Settings, store: Path, languages: dict[str, Language]) -> Builder:
    """What the settings name, with its artifacts (or the contexts of its images) in `store`."""
    if settings.builder == "directory":
        return DirectoryBuilder(store, languages)
    from agent.builders.docker import DockerBuilder
    from agent.docker_engine import DockerEngine

    images = DockerBuilder(store, languages, DockerEngine(), settings.base_images, seconds=settings.build_seconds, network=settings.build_network)
    return ByRuntime(images, DirectoryBuilder(store / "workflows", languages), {RUNTIME})


def sandbox_of(settings: Settings) -> Sandbox:
    """What judges code that nobody has judged yet."""
    if settings.sandbox != "docker":
        return _process_sandbox(settings)
    from agent.docker_engine import DockerEngine
    from agent.sandboxes.docker import DockerSandbox

    return DockerSandbox(DockerEngine(), settings.sandbox_image)


def _process_sandbox(settings: Settings) -> AdoptingSandbox:
    """What skills serve in, where that is processes: bubblewrap, or gVisor where it judges them too."""
    if settings.sandbox != "gvisor":
        return BubblewrapSandbox()
    from agent.sandboxes.gvisor import GvisorSandbox

    return GvisorSandbox()


def engine_of() -> DockerEngine:
    from agent.docker_engine import DockerEngine

    return DockerEngine()


def tiers_of(settings: Settings) -> dict[str, Callable[[], Sequence[Attempt]]]:
    """What tries every sandbox of the shelf, the least walled in first."""
    from agent.sandboxes.docker import DockerSandbox
    from agent.sandboxes.gvisor import GvisorSandbox

    return {
        "bubblewrap": BubblewrapSandbox().tried, "docker": DockerSandbox(engine_of(), settings.sandbox_image).tried, "gvisor": GvisorSandbox().tried,
    }  # fmt: skip


def runtime_of(settings: Settings, sandbox: Sandbox, languages: dict[str, Language]) -> Runtime:
    """What the settings name; its skills are the supervisor's, which has a launcher of its own."""
    if settings.runtime == "process":
        if settings.builder != "directory":
            raise ConfigurationError(
                "builder = docker makes images, and runtime = process runs folders.",
                next_step="Set `runtime = 'docker'` beside `builder = 'docker'` in skillops.toml.",
            )
        # It starts trials alone in this sandbox; what can be adopted is started by the supervisor.
        return ProcessRuntime(settings.state, cast(AdoptingSandbox, sandbox), languages, supervisor_command(settings))
    if settings.builder != "docker":
        raise ConfigurationError(
            "runtime = docker runs images, and builder = directory makes folders.",
            next_step="Set `builder = 'docker'` beside `runtime = 'docker'` in skillops.toml.",
        )
    return SupervisedRuntime(settings.state, _docker_launcher(settings, None), supervisor_command(settings))


def _docker_launcher(settings: Settings, vault: Vault | None) -> DockerLauncher:
    from agent.builders.bases import STABLE
    from agent.docker_engine import DockerEngine
    from agent.runtimes.docker import DockerLauncher

    base = settings.base_images.get("python", STABLE["python"])
    return DockerLauncher(
        settings.state, DockerEngine(), base=base, address=settings.docker_address, secrets=vault,
        resolve=settings.egress_resolve, authorities=settings.broker_authorities,
    )  # fmt: skip


def vault_of(settings: Settings, kept: Path) -> Vault:
    """The vault in `kept`."""
    return Vault(kept, in_keyring=settings.vault_key == "keyring")


def supervise(settings: Settings) -> None:
    """The supervisor's process; returns when it ends."""
    from agent.supervisor import serve

    vault = vault_of(settings, Checkout.find(settings.repository, remote=True).kept)
    if settings.runtime == "docker":
        launcher: Launcher = _docker_launcher(settings, vault)
    else:
        launcher = ProcessLauncher(
            settings.state, _process_sandbox(settings), languages_of(), settings.egress_resolve, vault, settings.broker_authorities
        )
    serve(settings.state, launcher, settings.idle_seconds, vault, settings.max_instances)


def supervisor_command(settings: Settings) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", "agent.cli", "supervise", "--state", str(settings.repository))
