"""Python as a `Language`: what the parts of this package are to the rest of SkillOps."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from agent.domain.capability import Capability
from agent.domain.check import Finding, TestReport
from agent.domain.package import Package
from agent.domain.skill import Manifest
from agent.languages import front, image
from agent.languages.capabilities import capabilities
from agent.ports import Sandbox, SandboxSpec


class PythonLanguage:
    """`Language` for Python. `cache` holds installed dependencies by the digest of their lock file; `cutoff` is when a release must have
    been there to be chosen."""

    name, entrypoint = "python", "skill.py"

    def __init__(self, cache: Path | None = None, cutoff: Callable[[], datetime | None] = lambda: None) -> None:
        self._cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skillops" / "python"
        self._cutoff = cutoff

    def template(self, manifest: Manifest) -> dict[str, bytes]:
        from agent.languages.python import template

        return template.files(manifest)

    def digest(self) -> str:
        """Over the Python version and the shim's bytes."""
        hashed = hashlib.sha256(sys.version.encode())
        for path in front.SHIM:
            hashed.update(path.read_bytes())
        return "sha256:" + hashed.hexdigest()

    def prepare(self, root: Path, manifest: Manifest, target: Path) -> None:
        """Fills `target` with `code/`, `deps/` (where there are dependencies), the shim and `service.json`."""
        from agent.languages.python import locking

        front.copy_code(root, manifest, target)
        if dependencies := locking.installed(root, manifest, self._cache):
            shutil.copytree(dependencies, target / "deps")
        front.copy_shim(target)
        front.write_service(manifest, target, path=[f"{front.INSIDE}/deps"] if dependencies else [])

    def server(self, artifact: Path, manifest: Manifest, socket_folder: Path) -> SandboxSpec:
        return front.spec(artifact, manifest, socket_folder, env={"MALLOC_ARENA_MAX": "2"})

    def dockerfile(self, manifest: Manifest, base: str, labels: Mapping[str, str] | None = None) -> str:
        compiled = ("python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", f"{front.INSIDE}/deps")
        return image.dockerfile(
            manifest, base, command=front.COMMAND, probe=front.PROBE, shim=[path.name for path in front.SHIM], dependencies="deps",
            compiled=compiled, environment={"MALLOC_ARENA_MAX": "2"}, labels=labels,
        )  # fmt: skip

    def run_tests(self, root: Path, manifest: Manifest, sandbox: Sandbox, *, mutants: int = 0, seed: int = 0, gut: bool = False) -> TestReport:
        from agent.languages.python import locking, testing

        dependencies = locking.installed(root, manifest, self._cache)
        return testing.run_tests(root, manifest, sandbox, dependencies, mutants=mutants, seed=seed, gut=gut)

    def tidy(self, root: Path) -> None:
        from agent.languages.python import analysis

        analysis.tidy(root)

    def style(self, root: Path) -> tuple[Finding, ...]:
        from agent.languages.python import analysis

        return analysis.style(root)

    def security(self, root: Path) -> tuple[Finding, ...]:
        from agent.languages.python import analysis

        return analysis.security(root)

    def capabilities(self, root: Path) -> tuple[Capability, ...]:
        from agent.languages.python import analysis

        return capabilities(root, analysis.said_by_rules)

    def dependencies(self, root: Path, manifest: Manifest) -> tuple[Finding, ...]:
        from agent.languages.python import locking

        return locking.findings(root, manifest)

    def lock(self, manifest: Manifest) -> dict[str, bytes]:
        from agent.languages.python import locking

        return locking.lock(manifest, self._cutoff() if manifest.dependencies else None)

    def locked(self, files: Mapping[str, bytes]) -> tuple[Package, ...]:
        from agent.languages.python import locking

        return locking.locked(files)

    def newer(self, manifest: Manifest) -> tuple[str, ...]:
        from agent.languages.python import locking

        return locking.newer(manifest, self._cutoff())
