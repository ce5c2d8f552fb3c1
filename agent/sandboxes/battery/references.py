"""What the battery finds where nothing is kept from a program, or only what Docker does by itself: columns to compare with."""

from __future__ import annotations

import os
import secrets
import subprocess

from agent.docker_engine import DockerEngine, faults
from agent.interpreter import base_mounts, interpreter
from agent.sandboxes.battery import INSIDE, PROBES, SOURCES, WRITABLE, Attempt, judged
from agent.sandboxes.battery.world import World, read
from agent.sandboxes.docker_root import small_root, system_binds

_SECONDS = 60.0
_PROGRAM = "import sys; sys.path.insert(0, {!r}); import probes; probes.main()"


def bare() -> tuple[Attempt, ...]:
    """As an ordinary process of this machine, with our rights. Our own program is harmless; nothing else is ever run so."""
    with World() as world:
        job = world.job(list(PROBES), writable=str(world.writable), apart=False)
        done = subprocess.run(
            [interpreter(), "-I", "-S", "-c", _PROGRAM.format(str(SOURCES))], input=job, capture_output=True, check=False, timeout=_SECONDS,
            env={**os.environ, "SKILLOPS_CANARY": world.word}, close_fds=False,
        )  # fmt: skip
        return judged(world, read(done.stdout), done.stderr.decode(errors="replace")[-300:])


def docker_default(engine: DockerEngine) -> tuple[Attempt, ...]:
    """In a container as `docker run` makes it. Raises CouldNotTell."""
    with World() as world:
        api = engine.client().api
        binds = [f"{source}:{target}:ro" for source, target in system_binds()]
        binds += [f"{mount.source}:{mount.target}:ro" for mount in base_mounts()]
        binds += [f"{SOURCES}:{INSIDE}:ro", f"{world.writable}:{WRITABLE}", f"{world.folder}/job:/job:ro"]
        (world.folder / "job").write_bytes(world.job(list(PROBES), writable=WRITABLE, apart=False))
        command = ["/bin/sh", "-c", 'exec "$0" "$@" < /job', interpreter(), "-I", "-S", "-c", _PROGRAM.format(INSIDE)]
        with faults("try a container"):
            config = {"Image": small_root(engine), "Cmd": command, "Labels": {"skillops.battery": "default"}, "HostConfig": {"Binds": binds}}
            container = api.create_container_from_config(config, f"skillops-battery-{secrets.token_hex(6)}")["Id"]
            try:
                api.start(container)
                api.wait(container, timeout=_SECONDS)
                said, told = api.logs(container, stderr=False), api.logs(container, stdout=False)
                return judged(world, read(said), told.decode(errors="replace")[-300:])
            finally:
                api.remove_container(container, force=True, v=True)
