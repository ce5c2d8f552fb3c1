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
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from agent import seccomp
from agent.errors import SandboxUnavailable, SkillOpsError
from agent.ports import Availability, Ending, Limits, SandboxProcess, SandboxResult, SandboxSpec
from agent.sandboxes import battery, cgroup, diagnosis, landlock, lowering
from agent.sandboxes.battery import Attempt, proof
from agent.sandboxes.capture import Capture, Cut, follow
from agent.sandboxes.process import children, name_of, started_at
from agent.sandboxes.service import Service
from agent.sandboxes.tree import FIRST_FILE, Tree, in_memory, launch

__all__ = ["BubblewrapSandbox", "started_at"]

_USER = "1000"
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}
_ETC = Path(__file__).parent / "etc"
_TRIAL_EXIT_CODE = 7
# What is so cheap that each process looks at it: that the program runs, filtered and without a way to more rights.
_LOOK = "while read -r key value _; do case $key in NoNewPrivs: | Seccomp:) held=$held$value ;; esac; done </proc/self/status"
_TRIAL = SandboxSpec(argv=("/bin/sh", "-c", f'{_LOOK}; [ "$held" = 12 ] || exit 1; exit {_TRIAL_EXIT_CODE}'))


@dataclass(frozen=True)
class _Ground:
    """What was found out about this machine."""

    availability: Availability
    program: str = ""
    root: tuple[str, ...] = ()
    cgroups: cgroup.Cgroups | None = None
    set_user_id: bool = False  # whether bubblewrap gains root's rights by itself, which Landlock would forbid
    lowered: bool = False  # whether it runs as nobody, though root starts it


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

        def launch_it() -> Tree:
            with open(log, "ab", buffering=0) as printed, in_memory(spec.stdin) as stdin, _files(spec) as files:
                streams = {0: stdin.fileno(), 1: printed.fileno(), 2: printed.fileno(), **files}
                return _launched(ground, spec, streams, session=True, outlive=outlive)

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

    def tried(self) -> tuple[Attempt, ...]:
        """What a program in it can do, tried now. Raises SandboxUnavailable where none can run at all."""
        ground = _explore()
        if not ground.availability.ok:
            raise SandboxUnavailable("No sandbox can run here.", why=ground.availability.why, next_step=ground.availability.fix)
        return battery.tried(lambda spec: _run(ground, spec))

    def _usable(self) -> _Ground:
        ground = self._ground()
        if not ground.availability.ok:
            raise SandboxUnavailable("No sandbox can run here.", why=ground.availability.why, next_step=ground.availability.fix)
        return ground

    def _ground(self) -> _Ground:
        with self._lock:
            if self._found is None:
                self._found = _proven(_explore())
            return self._found


def _explore() -> _Ground:
    program = shutil.which("bwrap")
    if program is None:
        return _Ground(diagnosis.MISSING)
    if platform.machine() not in seccomp.ARCHITECTURES:
        return _Ground(diagnosis.UNKNOWN_MACHINE)
    is_root, trouble = os.geteuid() == 0, lowering.trouble() if os.geteuid() == 0 else ""
    ground = _Ground(diagnosis.unlowered(trouble) if trouble else Availability(ok=True), program, lowered=is_root and not trouble,
                     set_user_id=bool(Path(program).stat().st_mode & 0o4000))  # fmt: skip
    ground = replace(ground, root=tuple(_root(Path("/"), f"{lowering.STAGE}/0" if ground.lowered else str(_ETC))))
    if cgroups := cgroup.find():
        cgroups.reap()
        try:
            return _tried(replace(ground, cgroups=cgroups))
        except SandboxUnavailable:  # the groups can be written, but the kernel will not have our processes in them
            pass
    if is_root and not ground.lowered:
        return _Ground(diagnosis.UNLIMITED_ROOT)
    try:
        return _tried(replace(ground, availability=diagnosis.UNGROUPED))
    except SandboxUnavailable as error:
        return _Ground(diagnosis.explain(error.why))


def _proven(ground: _Ground) -> _Ground:
    """The ground, where nothing gets out of a sandbox on it."""
    if not ground.availability.ok:
        return ground
    state = Path(ground.program).stat()
    marks = (ground.program, state.st_mtime_ns, state.st_size, ground.lowered, ground.cgroups is not None)
    excused = ("root_outside",) if os.geteuid() == 0 and not ground.lowered else ()
    found = proof.trouble(BubblewrapSandbox.name, marks, lambda spec: _run(ground, spec), excused)
    return _Ground(found) if found else ground


def _tried(ground: _Ground) -> _Ground:
    result = _run(ground, _TRIAL)
    if result.exit_code == _TRIAL_EXIT_CODE:
        return ground
    return _Ground(diagnosis.explain(result.stderr.decode(errors="replace").strip()))


def _run(ground: _Ground, spec: SandboxSpec) -> SandboxResult:
    """In a thread of its own, which ends with the run: what it lowers and stages is for this run alone."""
    done: Future[SandboxResult] = Future()

    def run() -> None:
        try:
            done.set_result(_run_here(ground, spec))
        except (SkillOpsError, OSError, ValueError) as error:
            done.set_exception(error)
        finally:
            done.cancel()  # so that nobody waits for a run that failed in some other way

    threading.Thread(target=run, name="sandbox-run", daemon=True).start()
    return done.result()


def _run_here(ground: _Ground, spec: SandboxSpec) -> SandboxResult:
    limits, begun = spec.limits, time.monotonic()
    with ExitStack() as stack:
        captures = [stack.enter_context(closing(Capture(limits.output))) for _ in range(3 if spec.result_fd else 2)]
        stdin = stack.enter_context(in_memory(spec.stdin))
        files = stack.enter_context(_files(spec))
        streams = {0: stdin.fileno(), **{number: capture.writer for number, capture in enumerate(captures, 1)}, **files}
        tree = stack.enter_context(closing(_launched(ground, spec, streams)))
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


def _launched(ground: _Ground, spec: SandboxSpec, streams: Mapping[int, int], *, session: bool = False, outlive: bool = False) -> Tree:
    """In a thread that ends with what it launches."""
    places: Mapping[Path, str] = {}
    try:
        if ground.lowered:
            places = lowering.staged((_ETC, *(mount.source.absolute() for mount in spec.mounts)))
        if not ground.set_user_id:
            landlock.confine(tcp=spec.loopback)
    except OSError as error:
        raise SandboxUnavailable("A sandbox could not be set up.", why=str(error), next_step="`skillops doctor` looks for the cause.") from error
    return launch(
        ground.program, _options(ground, spec, places, outlive=outlive), spec.argv, streams, spec.limits, ground.cgroups,
        filter_=seccomp.program(spec.loopback), lower=lowering.lowered if ground.lowered else nullcontext, session=session, low_ports=spec.low_ports,
    )  # fmt: skip


def _ending(tree: Tree, cut: Cut | None, exit_code: int | None) -> Ending:
    if exit_code == 0:
        return "ok"
    if tree.cgroup and tree.cgroup.out_of_memory():
        return "out_of_memory"
    if tree.cgroup and tree.cgroup.out_of_processes():
        return "pids"
    return cut or ("could_not_tell" if exit_code is None else "nonzero")


def _root(system: Path, etc: str) -> Iterator[str]:
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
        yield from ("--ro-bind", f"{etc}/{file}.txt", f"/etc/{file}{'.conf' if file == 'nsswitch' else ''}")
    # Where root started us, the files of /proc belong to the very user inside, who could set the whole machine's kernel.core_pattern.
    yield from ("--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev")


def _options(ground: _Ground, spec: SandboxSpec, places: Mapping[Path, str], *, outlive: bool = False) -> tuple[str, ...]:
    """`places`: where this thread sees what is mounted, as far as that is elsewhere."""
    limits = spec.limits
    size = str(max(limits.disk, 4096))  # 0 would mean without a limit
    options = [*ground.root, "--size", size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev", "--size", size, "--tmpfs", "/tmp"]
    if not outlive:
        options.append("--die-with-parent")
    for mount in spec.mounts:
        source = mount.source.absolute()
        options += ["--bind" if mount.writable else "--ro-bind", places.get(source, str(source)), mount.target]
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
