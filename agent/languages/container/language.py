"""A skill with its own Dockerfile as a `Language`: the image answers /execute, /health and /metrics itself.

Its own tests are whatever its author runs; what we run are its examples and the witness's cases, from outside, as for any skill.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from agent.domain.capability import Capability
from agent.domain.check import Finding, Outcome, TestReport
from agent.domain.package import Package
from agent.domain.skill import Manifest
from agent.errors import Refused
from agent.languages.container import rules, template
from agent.ports import Sandbox, SandboxSpec


class ContainerLanguage:
    """`Language` for skills whose runtime is `container`."""

    name, entrypoint = "container", "Dockerfile"

    def template(self, manifest: Manifest) -> dict[str, bytes]:
        return template.files(manifest)

    def digest(self) -> str:
        """There is no toolchain of ours in it."""
        return "sha256:" + "0" * 64

    def prepare(self, root: Path, manifest: Manifest, target: Path) -> None:
        """Refused: what is built of it is an image, and nothing else."""
        _needs_docker(manifest)

    def server(self, artifact: Path, manifest: Manifest, socket_folder: Path) -> SandboxSpec:
        _needs_docker(manifest)

    def dockerfile(self, manifest: Manifest, base: str, labels: Mapping[str, str] | None = None) -> str:
        """Refused: it has its own, which no base of ours is under."""
        _needs_docker(manifest)

    def run_tests(self, root: Path, manifest: Manifest, sandbox: Sandbox, *, mutants: int = 0, seed: int = 0, gut: bool = False) -> TestReport:
        """An empty report that says so: none of its own tests can be run without its own tools."""
        return TestReport(outcome=Outcome.PASSED, from_outside=True)

    def tidy(self, root: Path) -> None:
        """Its code is in any language: nothing is formatted."""

    def style(self, root: Path) -> tuple[Finding, ...]:
        return rules.style(root)

    def security(self, root: Path) -> tuple[Finding, ...]:
        return rules.security(root)

    def capabilities(self, root: Path) -> tuple[Capability, ...]:
        """Whatever its image can: nobody reads that. Policy knows it as a risk of its own."""
        return (Capability(kind="native code", what="its own image", path=f"skills/{root.name}/Dockerfile", line=1, declared=True),)

    def dependencies(self, root: Path, manifest: Manifest) -> tuple[Finding, ...]:
        return rules.dependencies(root, manifest)

    def lock(self, manifest: Manifest) -> dict[str, bytes]:
        """There is nothing to lock; Refused where the manifest names dependencies."""
        if manifest.dependencies:
            raise Refused(rules.NONE, next_step="Empty `dependencies` in skill.yaml.")
        return {}

    def locked(self, files: Mapping[str, bytes]) -> tuple[Package, ...]:
        return ()

    def newer(self, manifest: Manifest) -> tuple[str, ...]:
        return manifest.dependencies


def _needs_docker(manifest: Manifest) -> NoReturn:
    raise Refused(
        f"{manifest.name} has a Dockerfile of its own, and only Docker builds and runs it.",
        next_step='Set builder = "docker" and runtime = "docker" in skillops.toml.',
    )
