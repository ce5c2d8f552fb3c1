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
    own: dict[str, str] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        own |= dict.fromkeys(controllers.split(","), path)
    if "memory" in own:
        group = Cgroup(f"{_ROOT}/memory{own['memory']}", f"{_ROOT}/pids{own.get('pids', '/')}", unified=False)
    elif "" in own:
        group = Cgroup(f"{_ROOT}{own['']}", f"{_ROOT}{own['']}", unified=True)
    else:
        return None
    return group if all(Path(folder).is_dir() for folder in group.folders) else None
