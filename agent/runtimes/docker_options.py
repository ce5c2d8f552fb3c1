"""What a skill's container may and may not: its options as the engine's API has them. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent import seccomp
from agent.domain.skill import Manifest
from agent.runtimes.ways import variables_of

PORT = 8080  # where the images' servers listen; a `container` skill may name another
USER = "65532:65532"
STORAGE, SECRETS, AUTHORITIES = "/storage", "/run/secrets", "/run/authorities"
SERVER_MEMORY = 256 * 2**20  # bytes for the server before the skill's own code, beside what the manifest allows a call
PROCESSES = 256
TMP = 64 * 2**20  # bytes of /tmp
LOG = {"max-size": "1m", "max-file": "2"}
REPOSITORY, ROLE, SKILL, INSTANCE = "skillops.repository", "skillops.role", "skillops.skill", "skillops.instance"  # labels


def security() -> list[str]:
    """How every container of ours is held: it gains no privileges, and makes the system calls alone that agent/seccomp lets it."""
    return ["no-new-privileges:true", f"seccomp={seccomp.profile(loopback=True)}"]


def port_of(manifest: Manifest) -> int:
    return manifest.ports[0] if manifest.ports else PORT


def memory_of(manifest: Manifest) -> int:
    """Bytes. A `container` skill brings its own server, and says itself what both need."""
    return manifest.resources.memory_bytes + (0 if manifest.runtime == "container" else SERVER_MEMORY)


def container_options(
    image: str, manifest: Manifest, labels: Mapping[str, str], volumes: Mapping[str, str], hosts: Mapping[str, str], trust: Mapping[str, str]
) -> dict[str, Any]:
    """For `ContainerCollection.create` of docker-py. `volumes`: where inside to the volume's name; `hosts`: names that lead to addresses.
    `trust`: variables that name whom to trust."""
    environment = {**manifest.environment, **trust, **variables_of(manifest), "TZ": "UTC"}
    if manifest.runtime != "container":
        environment["SKILL_LISTEN"] = f"0.0.0.0:{PORT}"
    if STORAGE in volumes:
        environment["SKILL_STORAGE"] = STORAGE
    if SECRETS in volumes:
        environment["SKILL_SECRETS"] = SECRETS
    return {
        "image": image,
        "user": USER,
        "environment": environment,
        "labels": dict(labels),
        "volumes": [f"{name}:{place}" for place, name in volumes.items()],
        "extra_hosts": dict(hosts),
        "healthcheck": {"test": ["NONE"]},  # the supervisor probes; the engine need not start a process for that every few seconds
        "cap_drop": ["ALL"],
        "security_opt": security(),
        "read_only": True,
        "tmpfs": {"/tmp": f"size={TMP},mode=1777"},
        "shm_size": TMP,
        "mem_limit": memory_of(manifest),
        "memswap_limit": memory_of(manifest),
        "nano_cpus": int(manifest.resources.cpu * 1e9),
        "pids_limit": PROCESSES,
        "init": True,
        "restart_policy": {"Name": "no"},  # the supervisor's business
        **log_options(),
    }


def log_options() -> dict[str, Any]:
    """A log that never fills the engine's disk, and that can be read back."""
    from docker.types import LogConfig, Ulimit

    return {
        "log_config": LogConfig(type=LogConfig.types.JSON, config=LOG),
        "ulimits": [Ulimit(name="core", soft=0, hard=0), Ulimit(name="nofile", soft=4096, hard=4096)],
    }
