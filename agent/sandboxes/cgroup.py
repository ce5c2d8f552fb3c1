"""A control group for each run: the limit on its memory and processes, and the counters that say which one it hit.

Versions 1 and 2 of the kernel's interface: Documentation/admin-guide/cgroup-v1/{memory,pids}.rst and cgroup-v2.rst.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.sandboxes.process import name_of

PREFIX = "skillops-"


@dataclass(frozen=True)
class Cgroup:
    """One run's group: a folder in the hierarchy of each controller (version 2 has one hierarchy)."""

    memory: str
    pids: str
    unified: bool

    @property
    def folders(self) -> set[str]:
        return {self.memory, self.pids}

    def admit(self, pid: int) -> None:
        """Makes sure that a process is inside; what it starts from then on is, too."""
        if self.unified:
            _write(self.memory, "cgroup.procs", pid)

    def out_of_memory(self) -> bool:
        """Whether the kernel killed something in it for want of memory."""
        return _counter(self.memory, "memory.events", "oom_kill") + _counter(self.memory, "memory.oom_control", "oom_kill") > 0

    def memory_bytes(self) -> int | None:
        """What it uses, without what the kernel could give back at once; None where it is gone."""
        try:
            with open(f"{self.memory}/{'memory.current' if self.unified else 'memory.usage_in_bytes'}") as file:
                used = int(file.read())
        except (OSError, ValueError):
            return None
        return max(used - _counter(self.memory, "memory.stat", "inactive_file" if self.unified else "total_inactive_file"), 0)

    def out_of_processes(self) -> bool:
        """Whether a process or thread was refused at the limit."""
        return _counter(self.pids, "pids.events", "max") > 0

    def remove(self, patience: float = 0.1) -> None:
        """Kills what is left in it and removes it. What cannot be removed within `patience` seconds is left to `reap`."""
        deadline = time.monotonic() + patience
        for folder in self.folders:
            while _busy(folder) and time.monotonic() < deadline:
                for pid in _members(folder) - {os.getpid()}:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.0005)


@dataclass(frozen=True)
class Cgroups:
    """Where groups can be made: below our own group, or in version 2 below the nearest one that hands down both controllers."""

    memory: str
    pids: str
    unified: bool

    def named(self, name: str) -> Cgroup:
        return Cgroup(f"{self.memory}/{PREFIX}{name}", f"{self.pids}/{PREFIX}{name}", self.unified)

    @contextmanager
    def birthplace(self, memory: int, processes: int) -> Iterator[Cgroup | None]:
        """In version 1, a group in which this thread stands meanwhile, so that what it spawns is born there.

        Moving any other process waits several milliseconds for an RCU grace period; moving oneself does not
        (`cgroup_procs_write_start` in the kernel's kernel/cgroup/cgroup.c). Version 2 cannot do this with one thread.
        """
        if self.unified:
            yield None
            return
        # Both processes of the sandbox are inside, beside those asked for.
        group = self._create(f"{_starter(os.getpid())}-{threading.get_native_id()}", memory, processes + 2)
        with ExitStack() as undo:
            undo.callback(group.remove)
            try:
                for folder in group.folders:
                    _write(folder, "tasks", 0)
                yield group
            finally:
                for folder in {self.memory, self.pids}:
                    _write(folder, "tasks", 0)
            undo.pop_all()

    def settle(self, group: Cgroup | None, pid: int, memory: int, processes: int) -> Cgroup:
        """The group of a newly spawned process, which is named for it; in version 2 it is empty until `admit`."""
        if group is None:
            return self._create(name_of(pid), memory, processes + 1)
        named = self.named(name_of(pid))
        for before, after in {group.memory: named.memory, group.pids: named.pids}.items():
            os.rename(before, after)  # noqa: PTH104
        return named

    def _create(self, name: str, memory: int, processes: int) -> Cgroup:
        group = self.named(name)
        for folder in group.folders:
            os.mkdir(folder)  # noqa: PTH102 - on the path of every run
        _write(group.pids, "pids.max", processes)
        if self.unified:
            _write(group.memory, "memory.max", memory)
            _write_if_there(group.memory, "memory.swap.max", 0)
        else:
            _write(group.memory, "memory.limit_in_bytes", memory)
            _write_if_there(group.memory, "memory.memsw.limit_in_bytes", memory)
        return group

    def reap(self) -> None:
        """Removes the groups that crashed starters left behind: those whose process is gone."""
        for folder in {self.memory, self.pids}:
            for left in Path(folder).glob(f"{PREFIX}*"):
                name = left.name.removeprefix(PREFIX)
                pid, _, _ = name.partition("-")
                if pid.isdigit() and not f"{name}-".startswith(f"{name_of(int(pid))}-"):
                    self.named(name).remove()


def find(proc: Path = Path("/proc/self")) -> Cgroups | None:
    """Where this process may make groups with both a memory and a pids controller, or None."""
    try:
        own = dict(_own_groups((proc / "cgroup").read_text()))
        mounts = dict(_mounts((proc / "mountinfo").read_text()))
    except OSError:
        return None
    folders = {key: _folder(own[key], *mounts[key]) for key in own.keys() & mounts.keys()}
    memory, pids = folders.get("memory"), folders.get("pids")
    if memory and pids:
        usable = all(os.access(path, os.W_OK) for folder in (memory, pids) for path in (folder, folder / "tasks"))
        return Cgroups(str(memory), str(pids), unified=False) if usable else None
    if not (group := folders.get("")):
        return None
    top = Path(mounts[""][1])
    for folder in (group, *group.parents):
        if _hands_down(folder):
            return Cgroups(str(folder), str(folder), unified=True)
        if folder == top:
            break
    return None


_starter = functools.cache(name_of)


def _own_groups(text: str) -> Iterator[tuple[str, str]]:
    """Controller to path; version 2 has the controller ''."""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path


def _mounts(text: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Controller to the root that is mounted and where (proc_pid_mountinfo(5))."""
    for line in text.splitlines():
        place, _, kind = line.partition(" - ")
        root, point = place.split()[3:5]
        filesystem, _, options = kind.split(" ", 2)
        if filesystem == "cgroup2":
            yield "", (root, point)
        elif filesystem == "cgroup":
            for controller in options.split(","):
                yield controller, (root, point)


def _folder(path: str, root: str, point: str) -> Path | None:
    """None where our group lies outside what is mounted, as in a container that shows the machine's paths."""
    relative = os.path.relpath(path, root)
    return None if relative.startswith("..") else Path(point) / relative


def _hands_down(folder: Path) -> bool:
    try:
        handed_down = (folder / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False
    return {"memory", "pids"} <= set(handed_down) and os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)


def _members(folder: str) -> set[int]:
    try:
        return {int(line) for line in Path(folder, "cgroup.procs").read_text().split()}
    except OSError:
        return set()


def _busy(folder: str) -> bool:
    try:
        os.rmdir(folder)  # noqa: PTH106
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _write(folder: str, name: str, value: int) -> None:
    descriptor = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)


def _write_if_there(folder: str, name: str, value: int) -> None:
    """Swap is not accounted on every kernel."""
    with contextlib.suppress(FileNotFoundError):
        _write(folder, name, value)


def _counter(folder: str, name: str, key: str) -> int:
    try:
        with open(f"{folder}/{name}") as file:
            lines = file.read().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{key} "))
