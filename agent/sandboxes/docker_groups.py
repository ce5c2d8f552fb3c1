"""The control group of a container on this machine, for its counters."""

from __future__ import annotations

from pathlib import Path

from agent.sandboxes.cgroup import Cgroup

_ROOT = Path("/sys/fs/cgroup")


def group_of(pid: int) -> Cgroup | None:
    """That of a container's first process; None where it is not among the groups that this machine shows."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    own = {controller: path for line in lines for controller in line.split(":", 2)[1].split(",") for path in [line.split(":", 2)[2]]}
    unified = "memory" not in own
    folders = [f"{_ROOT}{own['']}"] * 2 if unified and "" in own else [f"{_ROOT}/{name}{own.get(name, '/')}" for name in ("memory", "pids")]
    return Cgroup(*folders, unified) if all(Path(folder).is_dir() for folder in folders) else None
