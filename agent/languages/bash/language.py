"""Bash as a `Language`: what the parts of this package are to the rest of SkillOps."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from agent.domain.capability import Capability
from agent.domain.check import Finding, TestReport
from agent.domain.package import Package
from agent.domain.skill import Manifest
from agent.errors import Refused
from agent.languages import front, image
from agent.languages.bash.toolchain import program, versions
from agent.languages.capabilities import capabilities
from agent.ports import Sandbox, SandboxSpec

ADAPTER, HOLD = (Path(__file__).with_name(name) for name in ("command.py", "hold.sh"))
_NONE = "A Bash skill has no dependencies: its tools are Bash, coreutils and jq, and curl where it declares hosts."


class BashLanguage:
    """`Language` for Bash. A call is a fork that runs the script, with Bash, coreutils and jq of this machine, and curl where it declares hosts."""

    name, entrypoint = "bash", "skill.sh"

    def template(self, manifest: Manifest) -> dict[str, bytes]:
        from agent.languages.bash import template

        return template.files(manifest)

    def digest(self) -> str:
        """Over the versions of Bash and jq, and the shim's bytes."""
        hashed = hashlib.sha256(f"{sys.version}\n{versions()}".encode())
        for path in (*front.SHIM, ADAPTER, HOLD):
            hashed.update(path.read_bytes())
        return "sha256:" + hashed.hexdigest()

    def prepare(self, root: Path, manifest: Manifest, target: Path) -> None:
        """Fills `target` with `code/`, the shim and `service.json`. CouldNotTell where Bash, jq or curl are missing."""
        bash = program("bash")
        program("jq")
        if manifest.permissions.network:
            program("curl")
        front.copy_code(root, manifest, target)
        self.lock(manifest)
        front.copy_shim(target)
        for path in (ADAPTER, HOLD):
            shutil.copyfile(path, target / path.name)
        front.write_service(manifest, target, adapter=ADAPTER.stem, apart=True, bash=bash)

    def server(self, artifact: Path, manifest: Manifest, socket_folder: Path) -> SandboxSpec:
        return front.spec(artifact, manifest, socket_folder)

    def dockerfile(self, manifest: Manifest, base: str, labels: Mapping[str, str] | None = None) -> str:
        shim = [path.name for path in (*front.SHIM, ADAPTER, HOLD)]
        return image.dockerfile(manifest, base, command=front.COMMAND, probe=front.PROBE, shim=shim, labels=labels)

    def run_tests(self, root: Path, manifest: Manifest, sandbox: Sandbox, *, mutants: int = 0, seed: int = 0, gut: bool = False) -> TestReport:
        from agent.languages.bash import testing

        return testing.run_tests(root, manifest, sandbox, mutants=mutants, seed=seed, gut=gut)

    def tidy(self, root: Path) -> None:
        from agent.languages.bash import analysis

        analysis.tidy(root)

    def style(self, root: Path) -> tuple[Finding, ...]:
        from agent.languages.bash import analysis

        return analysis.style(root)

    def security(self, root: Path) -> tuple[Finding, ...]:
        from agent.languages.bash import analysis

        return analysis.security(root)

    def capabilities(self, root: Path) -> tuple[Capability, ...]:
        from agent.languages.bash import analysis

        return capabilities(root, analysis.said_by_rules)

    def dependencies(self, root: Path, manifest: Manifest) -> tuple[Finding, ...]:
        return tuple(
            Finding(message=f"{pin!r}: {_NONE}", rule="dependency", path=f"skills/{manifest.name}/skill.yaml") for pin in manifest.dependencies
        )

    def lock(self, manifest: Manifest) -> dict[str, bytes]:
        """There is nothing to lock; Refused where the manifest names dependencies."""
        if manifest.dependencies:
            raise Refused(_NONE, next_step="Empty `dependencies` in skill.yaml.")
        return {}

    def locked(self, files: Mapping[str, bytes]) -> tuple[Package, ...]:
        return ()

    def newer(self, manifest: Manifest) -> tuple[str, ...]:
        return manifest.dependencies
