"""Python as a `Language`: what the parts of this package are to the rest of SkillOps."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

from agent.domain.check import Finding, TestReport
from agent.domain.skill import Manifest
from agent.errors import Refused
from agent.languages.python import analysis, locking, template, testing
from agent.languages.python.toolchain import HERE, base_mounts, interpreter
from agent.ports import Limits, Mount, Sandbox, SandboxSpec

SHIM = ("server.py", "zygote.py")
SERVER_MEMORY = 256 * 2**20  # bytes for the HTTP process and its buffers, beside what the manifest allows a call
SERVER_PROCESSES = 256
INSIDE, SOCKETS = "/skill", "/run/skill"


class PythonLanguage:
    """`Language` for Python. `cache` holds installed dependencies by the digest of their lock file."""

    name = "python"

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skillops" / "python"

    def template(self, manifest: Manifest) -> dict[str, bytes]:
        return template.files(manifest)

    def digest(self) -> str:
        """Over the Python version and the shim's bytes."""
        hashed = hashlib.sha256(sys.version.encode())
        for name in SHIM:
            hashed.update((HERE / name).read_bytes())
        return "sha256:" + hashed.hexdigest()

    def prepare(self, root: Path, manifest: Manifest, target: Path) -> None:
        """Fills `target` with `code/`, `deps/` (where there are dependencies), the shim and `service.json`."""
        if link := next((path for path in root.rglob("*") if path.is_symlink()), None):
            raise Refused(f"{link.relative_to(root)} is a link; a skill holds plain files only.", next_step="Take the link out.")
        if not (root / manifest.entrypoint).is_file():
            raise Refused(
                f"The entrypoint {manifest.entrypoint} does not exist.",
                next_step="Name the file that defines execute(inputs, context).",
            )
        shutil.copytree(root, target / "code", ignore=lambda folder, _: {"tests"} if Path(folder) == root else set())
        if dependencies := locking.installed(root, manifest, self._cache):
            shutil.copytree(dependencies, target / "deps")
        for name in SHIM:
            shutil.copyfile(HERE / name, target / name)
        service = {
            "name": manifest.name,
            "version": manifest.version,
            "entrypoint": manifest.entrypoint,
            "code": f"{INSIDE}/code",
            "path": [f"{INSIDE}/deps"] if dependencies else [],
            "timeout": manifest.resources.timeout_seconds,
            "memory": manifest.resources.memory_bytes,
        }
        (target / "service.json").write_text(json.dumps(service, indent=1, sort_keys=True))

    def server(self, artifact: Path, manifest: Manifest, socket_folder: Path) -> SandboxSpec:
        return SandboxSpec(
            argv=(interpreter(), "-E", "-s", "-S", f"{INSIDE}/server.py", f"{SOCKETS}/skill.sock"),
            mounts=(
                *base_mounts(),
                Mount(source=artifact, target=INSIDE),
                Mount(source=socket_folder, target=SOCKETS, writable=True),
            ),
            env={**manifest.environment, "TZ": "UTC", "MALLOC_ARENA_MAX": "2"},
            cwd=f"{INSIDE}/code",
            limits=Limits(memory=SERVER_MEMORY + manifest.resources.memory_bytes, processes=SERVER_PROCESSES),
        )

    def run_tests(self, root: Path, manifest: Manifest, sandbox: Sandbox, *, mutants: int = 0, seed: int = 0, gut: bool = False) -> TestReport:
        dependencies = locking.installed(root, manifest, self._cache)
        return testing.run_tests(root, manifest, sandbox, dependencies, mutants=mutants, seed=seed, gut=gut)

    def tidy(self, root: Path) -> None:
        analysis.tidy(root)

    def style(self, root: Path) -> tuple[Finding, ...]:
        return analysis.style(root)

    def security(self, root: Path) -> tuple[Finding, ...]:
        return analysis.security(root)

    def dependencies(self, root: Path, manifest: Manifest) -> tuple[Finding, ...]:
        return locking.findings(root, manifest)

    def lock(self, manifest: Manifest) -> dict[str, bytes]:
        return locking.lock(manifest)
