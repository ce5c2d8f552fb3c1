"""What a guest of gVisor is made of: its bundle (the OCI's runtime specification, config.json) and the room that bubblewrap lays out for it.

The room is a file system in memory of the run's own. In it lie runsc and what it needs, the guest's root at GUEST, and what runsc keeps of
its containers: all of it ends with the run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from agent import seccomp
from agent.ports import Limits, SandboxSpec
from agent.sandboxes.system import ENVIRONMENT, USER, system_root

GUEST, STATE, PIPES, RESULT = "/guest", "/state", "/pipes", "/.result"
PIPE = f"{PIPES}/pipe"
_OPEN_FILES = 1024
_BOUNDED = (("RLIMIT_NOFILE", _OPEN_FILES), ("RLIMIT_CORE", 0))
# Opens descriptor 3 and becomes the program; says by a word that nobody else knows where there is none.
_OPENS = f"""[ -f "$2" ] && [ -x "$2" ] || {{ echo "$2: there is no such program" >&2; printf %s "$1" >{RESULT}/pipe; exit 127; }}
shift; exec "$@" 3>{RESULT}/pipe"""


def config(spec: SandboxSpec, absent: str) -> bytes:
    """config.json. `absent`: the word on descriptor 3 by which it is told that there is no such program."""
    limits = spec.limits
    argv = ["/bin/sh", "-c", _OPENS, "sh", absent, *spec.argv] if spec.result_fd else [*spec.argv]
    bounds = [*_BOUNDED, ("RLIMIT_NPROC", limits.processes), ("RLIMIT_FSIZE", max(limits.disk, 4096))]
    return json.dumps({
        "ociVersion": "1.0.0",
        "process": {
            "user": {"uid": USER, "gid": USER}, "args": argv, "cwd": spec.cwd, "noNewPrivileges": True,
            "env": [f"{name}={value}" for name, value in {**ENVIRONMENT, **spec.env}.items()],
            "capabilities": {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")},
            "rlimits": [{"type": kind, "hard": most, "soft": most} for kind, most in bounds],
        },
        "root": {"path": GUEST, "readonly": True}, "hostname": "sandbox",
        "mounts": [*_mounts(spec)],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")], "seccomp": seccomp.guest_filter(spec.loopback)},
    }).encode()  # fmt: skip


def _mounts(spec: SandboxSpec) -> Iterator[Mapping[str, Any]]:
    sized = f"size={max(spec.limits.disk, 4096)}"
    yield _mount("/proc", "proc", "ro", "nosuid", "noexec", "nodev")
    yield _mount("/dev", "tmpfs", "nosuid")  # root's own, and not "ro", by which no device could be written to either
    yield _mount("/dev/shm", "tmpfs", "nosuid", "nodev", "mode=1777", sized)
    # Devices of gVisor's own, of no use to a program without privileges; and what it shows of itself there.
    yield _mount("/dev/net", "tmpfs", "ro", "mode=755", "size=4096")
    yield {"destination": "/dev/fuse", "type": "bind", "source": "/nothing", "options": ["bind", "ro"]}
    yield _mount("/sys", "tmpfs", "ro", "mode=755", "size=4096")
    yield _mount("/tmp", "tmpfs", "nosuid", "nodev", "mode=1777", sized)
    for mount in spec.mounts:
        options = ["rbind", "rw" if mount.writable else "ro", "nosuid", "nodev"]
        yield {"destination": mount.target, "type": "bind", "source": f"{GUEST}{mount.target}", "options": options}
    if spec.result_fd:  # of which the guest's user may write to the pipe and to nothing else
        yield {"destination": RESULT, "type": "bind", "source": PIPES, "options": ["bind", "rw", "nosuid", "nodev", "noexec"]}
    for number, folder in enumerate(_folders(spec)):
        yield {"destination": folder, "type": "bind", "source": f"/secrets/{number}", "options": ["bind", "ro", "nosuid", "nodev", "noexec"]}


def _mount(place: str, kind: str, *options: str) -> Mapping[str, Any]:
    return {"destination": place, "type": kind, "source": kind, "options": list(options)}


def room(program: str, spec: SandboxSpec, etc: str, places: Mapping[Path, str]) -> Iterator[str]:
    """bubblewrap's options. `program`: runsc; `etc` and `places`: where this thread sees system.ETC, and what is mounted."""
    yield from ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup", "--new-session", "--clearenv")
    # Of the run's own user namespace alone, in which runsc is root; what it starts gives up all but what it needs.
    yield from ("--cap-add", "ALL", "--setenv", "PATH", ENVIRONMENT["PATH"])
    yield from system_root(Path("/"), etc)
    yield from ("--ro-bind", program, "/runsc", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--perms", "0700", "--dir", STATE)
    yield from ("--perms", "0755", "--dir", PIPES, *secret_folders(spec))
    for place in ("", "/etc", "/etc/ssl", "/proc", "/dev", "/sys", "/tmp", *([RESULT] if spec.result_fd else [])):
        yield from ("--perms", "0755", "--dir", f"{GUEST}{place}")
    yield from system_root(Path("/"), etc, GUEST)
    for mount in spec.mounts:
        source = mount.source.absolute()
        yield from _way(mount.target)
        yield from ("--bind" if mount.writable else "--ro-bind", places.get(source, str(source)), f"{GUEST}{mount.target}")
    for folder in _folders(spec):
        yield from _way(f"{folder}/.")


def _way(target: str) -> Iterator[str]:
    """The folders that lead to it, which everybody may pass: those that bubblewrap makes by itself are their owner's alone."""
    for folder in reversed(PurePosixPath(target).parents[:-1]):
        yield from ("--perms", "0755", "--dir", f"{GUEST}{folder}")


def written(spec: SandboxSpec, first: int, absent: str) -> Iterator[tuple[int, bytes, Sequence[str]]]:
    """What bubblewrap writes into the room from descriptors, numbered from `first` on: number, content, options."""
    folders = {folder: f"/secrets/{number}" for number, folder in enumerate(_folders(spec))}
    contents = [("/bundle/config.json", "0400", config(spec, absent)), ("/nothing", "0000", b"")]
    contents += [(f"{folders[_parent(path)]}/{PurePosixPath(path).name}", "0400", content) for path, content in spec.files.items()]
    for number, (path, mode, content) in enumerate(contents, first):
        yield number, content, ("--perms", mode, "--file", str(number), path)


def secret_folders(spec: SandboxSpec) -> Iterator[str]:
    if spec.files:
        yield from ("--perms", "0700", "--dir", "/secrets")
    for number, _ in enumerate(_folders(spec)):
        yield from ("--perms", "0500", "--dir", f"/secrets/{number}")


def _folders(spec: SandboxSpec) -> list[str]:
    return sorted({_parent(path) for path in spec.files})


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def flags(known: Mapping[str, str], platform: str, log: int, faults: int) -> list[str]:
    """runsc's own options, as far as this version knows them. `log`, `faults`: descriptors for the sentry's log and runsc's own faults."""
    options = {
        "root": STATE, "platform": platform, "network": "none", "ignore-cgroups": "true", "oci-seccomp": "true", "overlay2": "none",
        "directfs": "false", "host-uds": "all", "host-fifo": "open", "net-raw": "false", "watchdog-action": "log",
        "log": f"/proc/self/fd/{faults}", "debug-log": f"/proc/self/fd/{log}", "strace": "true", "strace-syscalls": "clone,clone3,fork,vfork",
    }  # fmt: skip
    return [f"--{name}={value}" for name, value in options.items() if name in known]


def on_the_machine(limits: Limits) -> Limits:
    """What a run may use in all, with gVisor itself. Measured: `python -m tests.benchmarks.bench_sandbox` …"""
    return limits.model_copy(update={"memory": limits.memory + OVERHEAD, "processes": THREADS + THREADS_EACH * limits.processes})


OVERHEAD = 48 * 2**20  # bytes of runsc, gofer and sentry beside the guest's
THREADS, THREADS_EACH = 64, 32  # of this machine, for gVisor itself and for each process of the guest
