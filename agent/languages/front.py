"""A built skill behind our HTTP server (`python/server.py`): what lies in the artifact, and how it is started, for any language."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.domain.skill import Manifest
from agent.errors import Refused
from agent.interpreter import base_mounts, interpreter
from agent.languages.image import INSIDE, PORT
from agent.languages.python.toolchain import HERE
from agent.ports import Limits, Mount, SandboxSpec

SHIM = tuple(HERE / name for name in ("server.py", "zygote.py", "loop.py", "http11.py", "workers.py"))
SERVER_MEMORY = 256 * 2**20  # bytes for the HTTP process and its buffers, beside what the manifest allows a call
SERVER_PROCESSES = 256
SOCKETS = "/run/skill"
COMMAND = ("python3", "-E", "-s", "-S", f"{INSIDE}/server.py")  # in an image, where SKILL_LISTEN says on what it listens
_ASK = f"""
import http.client, sys
line = http.client.HTTPConnection("127.0.0.1", {PORT}, timeout=60)
line.request("GET", "/health")
sys.exit(line.getresponse().status != 200)
"""
PROBE = ("python3", "-I", "-S", "-c", "; ".join(_ASK.strip().splitlines()))


def copy_code(root: Path, manifest: Manifest, target: Path) -> None:
    """The skill without its tests, as `target/code`. Raises Refused for links and where the entrypoint is missing."""
    if link := next((path for path in root.rglob("*") if path.is_symlink()), None):
        raise Refused(f"{link.relative_to(root)} is a link; a skill holds plain files only.", next_step="Take the link out.")
    if not (root / manifest.entrypoint).is_file():
        raise Refused(f"The entrypoint {manifest.entrypoint} does not exist.", next_step="Name the file that answers a call.")
    shutil.copytree(root, target / "code", ignore=lambda folder, _: {"tests"} if Path(folder) == root else set())


def write_service(manifest: Manifest, target: Path, **more: Any) -> None:
    """`target/service.json`, from which a server knows the skill."""
    service = {
        "name": manifest.name,
        "version": manifest.version,
        "entrypoint": manifest.entrypoint,
        "code": f"{INSIDE}/code",
        "timeout": manifest.resources.timeout_seconds,
        "memory": manifest.resources.memory_bytes,
        "keep": manifest.annotations.readOnly and manifest.annotations.idempotent,  # see python/workers.py
        **more,
    }
    (target / "service.json").write_text(json.dumps(service, indent=1, sort_keys=True))


def copy_shim(target: Path) -> None:
    for path in SHIM:
        shutil.copyfile(path, target / path.name)


def spec(
    artifact: Path,
    manifest: Manifest,
    socket_folder: Path,
    *,
    argv: tuple[str, ...] = (interpreter(), "-E", "-s", "-S", f"{INSIDE}/server.py", f"{SOCKETS}/skill.sock"),
    mounts: tuple[Mount, ...] = base_mounts(),
    env: Mapping[str, str] | None = None,
    memory: int = 0,
) -> SandboxSpec:
    """How to start what lies in `artifact`. `memory`: bytes that the language needs for itself."""
    return SandboxSpec(
        argv=argv,
        mounts=(*mounts, Mount(source=artifact, target=INSIDE), Mount(source=socket_folder, target=SOCKETS, writable=True)),
        env={**manifest.environment, "TZ": "UTC", **(env or {})},
        cwd=f"{INSIDE}/code",
        loopback=bool(manifest.permissions.network),
        limits=Limits(memory=SERVER_MEMORY + memory + manifest.resources.memory_bytes, processes=SERVER_PROCESSES),
    )
