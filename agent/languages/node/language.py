"""Node as a `Language`: what the parts of this package are to the rest of SkillOps."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from agent.domain.capability import Capability
from agent.domain.check import Finding, TestReport
from agent.domain.package import Package
from agent.domain.skill import Manifest
from agent.languages import front, image
from agent.languages.capabilities import capabilities
from agent.languages.node.toolchain import HERE, base_mounts, node, version
from agent.ports import Sandbox, SandboxSpec

SHIM = ("server.js", "pool.js", "worker.js")
_ASK = f"""
require('http').get('http://127.0.0.1:{image.PORT}/health', (reply) => process.exit(reply.statusCode === 200 ? 0 : 1))
  .on('error', () => process.exit(1))
"""
PROBE = ("node", "-e", " ".join(_ASK.split()))
PROCESSES_MEMORY = 10 * 96 * 2**20  # bytes: what Node itself takes, and may keep, in the processes that pool.js allows


class NodeLanguage:
    """`Language` for Node. `cache` holds installed dependencies by the digest of their lock file, and eslint; `cutoff` is when a release
    must have been there to be chosen."""

    name, entrypoint = "node", "skill.js"

    def __init__(self, cache: Path | None = None, cutoff: Callable[[], datetime | None] = lambda: None) -> None:
        self._cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skillops" / "node"
        self._cutoff = cutoff

    def template(self, manifest: Manifest) -> dict[str, bytes]:
        from agent.languages.node import template

        return template.files(manifest)

    def digest(self) -> str:
        """Over the version of Node and the shim's bytes."""
        hashed = hashlib.sha256(version().encode())
        for name in SHIM:
            hashed.update((HERE / name).read_bytes())
        return "sha256:" + hashed.hexdigest()

    def prepare(self, root: Path, manifest: Manifest, target: Path) -> None:
        """Fills `target` with `code/`, `node_modules/` (where there are dependencies), the shim and `service.json`."""
        from agent.languages.node import locking

        front.copy_code(root, manifest, target)
        if dependencies := locking.installed(root, manifest, self._cache):
            shutil.copytree(dependencies, target / "node_modules", symlinks=True)
        for name in SHIM:
            shutil.copyfile(HERE / name, target / name)
        front.write_service(manifest, target)

    def server(self, artifact: Path, manifest: Manifest, socket_folder: Path) -> SandboxSpec:
        argv = (node(), f"{front.INSIDE}/server.js", f"{front.SOCKETS}/skill.sock")
        return front.spec(artifact, manifest, socket_folder, argv=argv, mounts=base_mounts(), memory=PROCESSES_MEMORY)

    def dockerfile(self, manifest: Manifest, base: str, labels: Mapping[str, str] | None = None) -> str:
        command = ("node", f"{front.INSIDE}/server.js")
        return image.dockerfile(manifest, base, command=command, probe=PROBE, shim=SHIM, dependencies="node_modules", labels=labels)

    def run_tests(self, root: Path, manifest: Manifest, sandbox: Sandbox, *, mutants: int = 0, seed: int = 0, gut: bool = False) -> TestReport:
        from agent.languages.node import locking, testing

        dependencies = locking.installed(root, manifest, self._cache)
        return testing.run_tests(root, manifest, sandbox, dependencies, mutants=mutants, seed=seed, gut=gut)

    def tidy(self, root: Path) -> None:
        from agent.languages.node import analysis

        analysis.tidy(root, self._cache)

    def style(self, root: Path) -> tuple[Finding, ...]:
        from agent.languages.node import analysis

        return analysis.style(root, self._cache)

    def security(self, root: Path) -> tuple[Finding, ...]:
        from agent.languages.node import analysis

        return analysis.security(root)

    def capabilities(self, root: Path) -> tuple[Capability, ...]:
        from agent.languages.node import analysis

        return capabilities(root, analysis.said_by_rules)

    def dependencies(self, root: Path, manifest: Manifest) -> tuple[Finding, ...]:
        from agent.languages.node import locking

        return locking.findings(root, manifest)

    def lock(self, manifest: Manifest) -> dict[str, bytes]:
        from agent.languages.node import locking

        return locking.lock(manifest, self._cutoff() if manifest.dependencies else None)

    def locked(self, files: Mapping[str, bytes]) -> tuple[Package, ...]:
        from agent.languages.node import locking

        return locking.locked(files)

    def newer(self, manifest: Manifest) -> tuple[str, ...]:
        from agent.languages.node import locking

        return locking.newer(manifest, self._cutoff())
