"""The sandbox of bwrap(1): namespaces without a daemon and without privileges. Needs bubblewrap 0.8 and Linux 5.3.

What runs inside sees the system's programs read-only, what the caller mounts, an own /tmp and loopback; it has no
capability, cannot make a user namespace, and ends with its starter.
"""

from __future__ import annotations

import os
import platform
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agent import seccomp
from agent.errors import SandboxUnavailable
from agent.ports import Availability, Ending, Limits, SandboxProcess, SandboxResult, SandboxSpec
from agent.sandboxes import cgroup, diagnosis
from agent.sandboxes.capture import Capture, Cut, follow
from agent.sandboxes.process import children, name_of, started_at
from agent.sandboxes.service import Service
from agent.sandboxes.tree import FIRST_FILE, Tree, in_memory, launch

__all__ = ["BubblewrapSandbox", "started_at"]

_USER = "1000"
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}
_ETC = Path(__file__).parent / "etc"
_TRIAL_EXIT_CODE = 7
_TRIAL = SandboxSpec(argv=("/bin/sh", "-c", f"exit {_TRIAL_EXIT_CODE}"))


@dataclass(frozen=True)
class _Ground:
    """What was found out about this machine."""

    availability: Availability
    program: str = ""
    root: tuple[str, ...] = ()
    cgroups: cgroup.Cgroups | None = None


class BubblewrapSandbox:
    """`Sandbox` by bubblewrap. May be shared by threads."""

    name = "bubblewrap"
    started_at = staticmethod(started_at)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: _Ground | None = None

    def available(self) -> Availability:
        """Tries it once; where it works with weaker limits, `ok` comes with a `why`."""
        return self._ground().availability

    def run(self, spec: SandboxSpec) -> SandboxResult:
        """Runs to the end. A run that did not end `ok` and hit its limit of memory or processes ends as that, also where
        it then hung until its time was up. `exit_code` is None where the run was cut short."""
        return _run(self._usable(), spec)

    def start(self, spec: SandboxSpec, *, log: Path, outlive: bool = False) -> SandboxProcess:
        """Starts a service; `limits.seconds` does not apply to it. The log is cut to its newest part when it outgrows
        `limits.output`, while somebody holds the process, and never outgrows `limits.disk`."""
        ground = self._usable()
        options = _options(ground, spec, outlive=outlive)

        def launch_it() -> Tree:
            with open(log, "ab", buffering=0) as printed, in_memory(spec.stdin) as stdin, _files(spec) as files:
                streams = {0: stdin.fileno(), 1: printed.fileno(), 2: printed.fileno(), **files}
                return _launched(ground, options, spec, streams, session=True)

        return Service(launch_it, log_limit=spec.limits.output)

    def attach(self, pid: int, started: float, *, log_limit: int = Limits().output) -> SandboxProcess | None:
        """The service that an earlier starter left running, by its pid and what `started_at` said of that; else None."""
        cgroups = self._usable().cgroups
        inner = children(pid)
        if started_at(pid) != started or not inner:
            return None
        group = cgroups.named(name_of(pid)) if cgroups else None
        try:
            tree = Tree(pid, inner=inner[0], cgroup=group)
        except ProcessLookupError:
            return None
        return Service(lambda: tree, log_limit=log_limit)

    def _usable(self) -> _Ground:
        ground = self._ground()
        if not ground.availability.ok:
            raise SandboxUnavailable("No sandbox can run here.", why=ground.availability.why, next_step=ground.availability.fix)
        return ground

    def _ground(self) -> _Ground:
        with self._lock:
            if self._found is None:
                self._found = _explore()
            return self._found


def _explore() -> _Ground:
    program = shutil.which("bwrap")
    if program is None:
        return _Ground(diagnosis.MISSING)
    if platform.machine() not in seccomp.ARCHITECTURES:
        return _Ground(diagnosis.UNKNOWN_MACHINE)
    root = tuple(_root(Path("/")))
    if cgroups := cgroup.find():
        cgroups.reap()
        try:
            return _tried(_Ground(Availability(ok=True), program, root, cgroups))
        except SandboxUnavailable:  # the groups can be written, but the kernel will not have our processes in them
            pass
    if os.geteuid() == 0:
        return _Ground(diagnosis.UNLIMITED_ROOT)
    return _tried(_Ground(diagnosis.UNGROUPED, program, root))


def _tried(ground: _Ground) -> _Ground:
    result = _run(ground, _TRIAL)
    if result.exit_code == _TRIAL_EXIT_CODE:
        return ground
    return _Ground(diagnosis.explain(result.stderr.decode(errors="replace").strip()))


def _run(ground: _Ground, spec: SandboxSpec) -> SandboxResult:
    limits, begun = spec.limits, time.monotonic()
    options = _options(ground, spec)
    with ExitStack() as stack:
        captures = [stack.enter_context(closing(Capture(limits.output))) for _ in range(3 if spec.result_fd else 2)]
        stdin = stack.enter_context(in_memory(spec.stdin))
        files = stack.enter_context(_files(spec))
        streams = {0: stdin.fileno(), **{number: capture.writer for number, capture in enumerate(captures, 1)}, **files}
        tree = stack.enter_context(closing(_launched(ground, options, spec, streams)))
        cut = follow(tree, captures, begun + limits.seconds)
        exit_code = None if cut else tree.exit_code()
        return SandboxResult(
            ending=_ending(tree, cut, exit_code),
            exit_code=exit_code,
            stdout=captures[0].content,
            stderr=captures[1].content,
            result=captures[2].content if spec.result_fd else b"",
            seconds=time.monotonic() - begun,
        )


def _launched(ground: _Ground, options: Sequence[str], spec: SandboxSpec, streams: Mapping[int, int], *, session: bool = False) -> Tree:
    judging = seccomp.program(spec.loopback)
    return launch(
        ground.program, options, spec.argv, streams, spec.limits, ground.cgroups, filter_=judging, session=session, low_ports=spec.low_ports
    )  # fmt: skip


def _ending(tree: Tree, cut: Cut | None, exit_code: int | None) -> Ending:
    if exit_code == 0:
        return "ok"
    if tree.cgroup and tree.cgroup.out_of_memory():
        return "out_of_memory"
    if tree.cgroup and tree.cgroup.out_of_processes():
        return "pids"
    return cut or ("could_not_tell" if exit_code is None else "nonzero")


def _root(system: Path) -> Iterator[str]:
    """The part of the command line that is the same for each run on this machine: the namespaces and the system's root."""
    yield from ("--unshare-all", "--unshare-user", "--disable-userns", "--uid", _USER, "--gid", _USER, "--hostname", "sandbox")
    yield from ("--new-session", "--cap-drop", "ALL", "--clearenv", "--ro-bind", "/usr", "/usr")
    for folder in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = system / folder
        if path.is_symlink():  # usrmerge
            yield from ("--symlink", str(path.readlink()), f"/{folder}")
        elif path.is_dir():
            yield from ("--ro-bind", str(path), f"/{folder}")
    for file in ("ld.so.cache", "alternatives", "localtime", "ssl/certs", "ssl/openssl.cnf"):
        if (system / "etc" / file).exists():
            yield from ("--ro-bind", f"{system}etc/{file}", f"/etc/{file}")
    for file in ("hosts", "passwd", "group", "nsswitch"):
        yield from ("--ro-bind", str(_ETC / f"{file}.txt"), f"/etc/{file}{'.conf' if file == 'nsswitch' else ''}")
    # Where root started us, the files of /proc belong to the very user inside, who could set the whole machine's kernel.core_pattern.
    yield from ("--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev")


def _options(ground: _Ground, spec: SandboxSpec, *, outlive: bool = False) -> tuple[str, ...]:
    limits = spec.limits
    size = str(max(limits.disk, 4096))  # 0 would mean without a limit
    options = [*ground.root, "--size", size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev", "--size", size, "--tmpfs", "/tmp"]
    if not outlive:
        options.append("--die-with-parent")
    for mount in spec.mounts:
        options += ["--bind" if mount.writable else "--ro-bind", str(mount.source.absolute()), mount.target]
    folders = sorted({str(PurePosixPath(path).parent) for path in spec.files})
    for folder in folders:
        options += ["--perms", "0500", "--tmpfs", folder]
    for number, path in enumerate(spec.files, FIRST_FILE):
        options += ["--perms", "0400", "--file", str(number), path]
    for folder in folders:
        options += ["--remount-ro", folder]
    for name, value in {**_ENVIRONMENT, **spec.env}.items():
        options += ["--setenv", name, value]
    options += ["--remount-ro", "/", "--chdir", spec.cwd]
    return tuple(options)


@contextmanager
def _files(spec: SandboxSpec) -> Iterator[dict[int, int]]:
    """Descriptors that bubblewrap reads the files from and closes, before the program begins: they are on no disk and no command line."""
    with ExitStack() as stack:
        contents = [stack.enter_context(in_memory(content)) for content in spec.files.values()]
        yield {number: content.fileno() for number, content in enumerate(contents, FIRST_FILE)}
