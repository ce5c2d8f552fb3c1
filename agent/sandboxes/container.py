"""What a container of the sandbox is made of: its walls and limits, and how what the caller mounts comes into it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from agent import seccomp
from agent.errors import SandboxUnavailable
from agent.ports import Mount, SandboxSpec
from agent.sandboxes.docker_copies import Copies
from agent.sandboxes.docker_root import system_binds, user

LABEL = "skillops.sandbox"
RESULT = "/.result/result"
MARKS = 2  # processes of a run beside those asked for: the engine's init, and the shim
MEMORY = Path("/dev/shm")
# The engine's own list (moby's oci/defaults.go); /sys, which says much of the machine and nothing that a skill needs; and
# the kernel's pressure files, which everybody may write to.
_MASKED = (
    "/sys", "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/pressure",
)  # fmt: skip
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}


def _boot() -> str:
    """Names where a process id means the same process: this machine since it was started and, in it, the process namespace."""
    with contextlib.suppress(OSError):
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{Path('/proc/self/ns/pid').stat().st_ino}"
    return socket.gethostname()


BOOT = _boot()


class Setting(NamedTuple):
    """The root image, and whether the engine sees this machine's files."""

    image: str = ""
    sees_our_files: bool = True


NOTHING = Setting()


@contextmanager
def configured(
    setting: Setting, spec: SandboxSpec, *, overhead: int, take: Callable[[str], None], give_back: Callable[[str], None]
) -> Iterator[tuple[dict[str, Any], Copies]]:
    """The container's configuration (Engine API 1.41, "Create a container"), and the copies that belong into it.

    `overhead`: processes beside those asked for. `take` is told of each folder that must be gone when we are.
    """
    with ExitStack() as stack:
        staged = _Staged(stack, take, give_back)
        if setting.sees_our_files:
            binds = [f"{source}:{target}:ro" for source, target in system_binds()]
            binds += [f"{staged.shown(mount)}:{mount.target}:{'rw' if mount.writable else 'ro'}" for mount in spec.mounts]
            binds += [f"{folder}:{target}:ro" for target, folder in staged.files(spec.files).items()]
            copies = Copies((), user())
        else:
            if spec.files:
                raise SandboxUnavailable(
                    "Secrets cannot be handed to a container of an engine elsewhere.",
                    why="They would lie on its disk.",
                    next_step="Use another sandbox.",
                )
            binds, copies = [], Copies(spec.mounts, user())
        yield {**_walls(spec, overhead), "Volumes": copies.volumes, "HostConfig": {**_host(spec, overhead), "Binds": binds}}, copies


def _walls(spec: SandboxSpec, overhead: int) -> dict[str, Any]:
    env = {**_ENVIRONMENT, **spec.env}
    return {
        "User": f"{user()}:{user()}", "Env": [f"{name}={value}" for name, value in env.items()], "WorkingDir": spec.cwd, "Entrypoint": None,
        "Hostname": "sandbox", "Healthcheck": {"Test": ["NONE"]},
    }  # fmt: skip


def _host(spec: SandboxSpec, overhead: int) -> dict[str, Any]:
    limits, mine = spec.limits, f"uid={user()},gid={user()},mode=700"
    size = max(limits.disk, 4096)
    tmpfs = {"/tmp": f"rw,exec,nosuid,nodev,size={size},mode=1777"}
    if spec.result_fd:
        tmpfs[str(PurePosixPath(RESULT).parent)] = f"rw,noexec,nosuid,nodev,size={limits.output + 8192},{mine}"
    return {
        "NetworkMode": "none", "CapDrop": ["ALL"], "ReadonlyRootfs": True, "Init": True,
        "SecurityOpt": ["no-new-privileges", f"seccomp={seccomp.profile(spec.loopback)}"],
        "Memory": limits.memory, "MemorySwap": limits.memory, "PidsLimit": limits.processes + overhead, "ShmSize": size, "Tmpfs": tmpfs,
        "Ulimits": [
            {"Name": "nofile", "Soft": 1024, "Hard": 1024}, {"Name": "core", "Soft": 0, "Hard": 0}, {"Name": "fsize", "Soft": size, "Hard": size},
        ],
        "MaskedPaths": list(_MASKED), "LogConfig": {"Type": "none"}, "IpcMode": "private",
        "Sysctls": {"net.ipv4.ip_unprivileged_port_start": "0" if spec.low_ports else "1024"},
    }  # fmt: skip


class _Staged:
    """What stands in for a mount where the sandbox's user, who is not us where we are root, could not use it as it is."""

    def __init__(self, stack: ExitStack, take: Callable[[str], None], give_back: Callable[[str], None]) -> None:
        self._stack, self._take, self._give_back = stack, take, give_back

    def shown(self, mount: Mount) -> Path:
        source = mount.source.absolute()
        if os.geteuid() != 0:
            return source
        if mount.writable:
            _give_away(source)
        elif source.stat().st_mode & (0o005 if source.is_dir() else 0o004) not in (0o005, 0o004):
            copy = self._folder(None) / "copy"
            _copy(source, copy)
            _make_readable(copy)
            return copy
        return source

    def files(self, files: dict[str, bytes]) -> dict[str, Path]:
        """A folder of this machine's memory for each that holds one, by its path inside."""
        folders: dict[str, Path] = {}
        for path, content in files.items():
            inside = PurePosixPath(path)
            if str(inside.parent) not in folders:
                folders[str(inside.parent)] = self._folder(MEMORY)
            file = folders[str(inside.parent)] / inside.name
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
            with open(descriptor, "wb") as handle:
                handle.write(content)
        for folder in folders.values():
            _give_away(folder)
            folder.chmod(0o500)
        return folders

    def _folder(self, place: Path | None) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="skillops-sandbox-", dir=place))
        self._take(str(folder))
        self._stack.callback(self._give_back, str(folder))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder


def _give_away(path: Path) -> None:
    """What the sandbox may write to belongs to its user, links aside."""
    if os.geteuid() != 0:
        return
    os.chown(path, user(), user(), follow_symlinks=False)
    if path.is_dir() and not path.is_symlink():
        for each in path.rglob("*"):
            os.chown(each, user(), user(), follow_symlinks=False)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy(source, target)


def _make_readable(path: Path) -> None:
    for each in (path, *path.rglob("*")):
        if not each.is_symlink():
            mode = each.stat().st_mode
            each.chmod(mode | 0o444 | (0o111 if each.is_dir() or mode & 0o100 else 0))
