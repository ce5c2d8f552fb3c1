"""Go as a `Language`: what the parts of this package are to the rest of SkillOps."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from agent.domain.capability import Capability
from agent.domain.check import Finding, TestReport
from agent.domain.package import Package
from agent.domain.skill import Manifest
from agent.languages import front, image
from agent.languages.capabilities import capabilities
from agent.languages.go.toolchain import HERE, version
from agent.ports import Sandbox, SandboxSpec

PROGRAM = "skill"
# Bytes: what Go itself takes, for the server, the processes that have a call or stay for one, and those that wait for any; and what may be
# kept in those that stay (pool.go, left.go).
PROCESSES_MEMORY = (11 + 8) * 16 * 2**20


class GoLanguage:
    """`Language` for Go. `cache` holds what was compiled, modules by the digest of their lock, the analyser and staticcheck; `cutoff` is when
    a release must have been there to be chosen as a newer one (Go itself takes the oldest that do)."""

    name, entrypoint = "go", "skill.go"

    def __init__(self, cache: Path | None = None, cutoff: Callable[[], datetime | None] = lambda: None) -> None:
        self._cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skillops" / "go"
        self._cutoff = cutoff

    def template(self, manifest: Manifest) -> dict[str, bytes]:
        from agent.languages.go import template

        return template.files(manifest)

    def digest(self) -> str:
        """Over the version of Go and the shim's source."""
        from agent.languages.go import building

        hashed = hashlib.sha256(version().encode())
        for path in building.SHIM:
            hashed.update(path.relative_to(HERE).as_posix().encode() + path.read_bytes())
        return "sha256:" + hashed.hexdigest()

    def prepare(self, root: Path, manifest: Manifest, target: Path) -> None:
        """Fills `target` with `code/`, the program `skill` (the skill and its server, static) and `service.json`."""
        from agent.languages.go import building

        front.copy_code(root, manifest, target)
        building.build(root, manifest, target / PROGRAM, self._cache)
        front.write_service(manifest, target)

    def server(self, artifact: Path, manifest: Manifest, socket_folder: Path) -> SandboxSpec:
        argv = (f"{front.INSIDE}/{PROGRAM}", f"{front.SOCKETS}/skill.sock")
        return front.spec(artifact, manifest, socket_folder, argv=argv, mounts=(), memory=PROCESSES_MEMORY)

    def dockerfile(self, manifest: Manifest, base: str, labels: Mapping[str, str] | None = None) -> str:
        """Nothing but the program is needed, so `base` may be empty but for certificates."""
        program = f"{image.INSIDE}/{PROGRAM}"
        return image.dockerfile(manifest, base, command=(program,), probe=(program, "-health"), shim=(PROGRAM,), labels=labels)

    def run_tests(self, root: Path, manifest: Manifest, sandbox: Sandbox, *, mutants: int = 0, seed: int = 0, gut: bool = False) -> TestReport:
        from agent.languages.go import testing

        return testing.run_tests(root, manifest, sandbox, self._cache, mutants=mutants, seed=seed, gut=gut)

    def tidy(self, root: Path) -> None:
        from agent.languages.go import analysis

        analysis.tidy(root, self._cache)

    def style(self, root: Path) -> tuple[Finding, ...]:
        from agent.languages.go import analysis

        return analysis.style(root, self._cache)

    def security(self, root: Path) -> tuple[Finding, ...]:
        from agent.languages.go import analysis

        return analysis.security(root, self._cache)

    def capabilities(self, root: Path) -> tuple[Capability, ...]:
        from agent.languages.go import analysis

        return capabilities(root, lambda root, permitted: analysis.said_by_rules(root, self._cache, permitted))

    def dependencies(self, root: Path, manifest: Manifest) -> tuple[Finding, ...]:
        from agent.languages.go import locking

        return locking.findings(root, manifest)

    def lock(self, manifest: Manifest) -> dict[str, bytes]:
        from agent.languages.go import locking

        return locking.lock(manifest, self._cache)

    def locked(self, files: Mapping[str, bytes]) -> tuple[Package, ...]:
        from agent.languages.go import locking

        return locking.locked(files)

    def newer(self, manifest: Manifest) -> tuple[str, ...]:
        from agent.languages.go import locking

        return locking.newer(manifest, self._cache, self._cutoff())
