"""The sandbox of bwrap(1): namespaces without a daemon and without privileges. Needs bubblewrap 0.8 and Linux 5.3.

What runs inside sees the system's programs read-only, what the caller mounts, an own /tmp and loopback; it has no
capability, cannot make a user namespace, and ends with its starter.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path, PurePosixPath

from agent import seccomp
from agent.errors import SandboxUnavailable
from agent.ports import Availability, SandboxResult, SandboxSpec
from agent.sandboxes import cgroup, diagnosis, landlock, lowering
from agent.sandboxes.battery import proof
from agent.sandboxes.process import started_at
from agent.sandboxes.system import ENVIRONMENT, ETC, USER, system_root
from agent.sandboxes.tree import FIRST_FILE, Tree, launch
from agent.sandboxes.treed import Ground, TreeSandbox, files_of

__all__ = ["BubblewrapSandbox", "started_at"]

_TRIAL_EXIT_CODE = 7
# What is so cheap that each process looks at it: that the program runs, filtered and without a way to more rights.
_LOOK = "while read -r key value _; do case $key in NoNewPrivs: | Seccomp:) held=$held$value ;; esac; done </proc/self/status"
_TRIAL = SandboxSpec(argv=("/bin/sh", "-c", f'{_LOOK}; [ "$held" = 12 ] || exit 1; exit {_TRIAL_EXIT_CODE}'))


class BubblewrapSandbox(TreeSandbox[Ground]):
    """`Sandbox` by bubblewrap. May be shared by threads."""

    name = "bubblewrap"

    def _explored(self) -> Ground:
        return _explore(self._run)

    def _proven(self, ground: Ground) -> Ground:
        if not ground.availability.ok:
            return ground
        state = Path(ground.program).stat()
        marks = (ground.program, state.st_mtime_ns, state.st_size, ground.lowered, ground.cgroups is not None)
        excused = ("root_outside",) if os.geteuid() == 0 and not ground.lowered else ()
        found = proof.trouble(self.name, marks, lambda spec: self._run(ground, spec), excused)
        return Ground(found) if found else ground

    def _launched(self, ground: Ground, spec: SandboxSpec, streams: Mapping[int, int], *, session: bool = False, outlive: bool = False) -> Tree:
        places: Mapping[Path, str] = {}
        try:
            if ground.lowered:
                places = lowering.staged((ETC, *(mount.source.absolute() for mount in spec.mounts)))
            if not ground.set_user_id:
                landlock.confine(tcp=spec.loopback)
        except OSError as error:
            raise SandboxUnavailable("A sandbox could not be set up.", why=str(error), next_step="`skillops doctor` looks for the cause.") from error
        with files_of(spec) as files:
            return launch(
                ground.program, _options(ground, spec, places, outlive=outlive), spec.argv, {**streams, **files}, spec.limits, ground.cgroups,
                filter_=seccomp.program(spec.loopback), lower=lowering.lowered if ground.lowered else nullcontext, session=session,
                low_ports=spec.low_ports,
            )  # fmt: skip


def _explore(run: Callable[[Ground, SandboxSpec], SandboxResult]) -> Ground:
    program = shutil.which("bwrap")
    if program is None:
        return Ground(diagnosis.MISSING)
    if unfiltered := diagnosis.unfiltered():
        return Ground(unfiltered)
    is_root, trouble = os.geteuid() == 0, lowering.trouble() if os.geteuid() == 0 else ""
    ground = Ground(diagnosis.unlowered(trouble) if trouble else Availability(ok=True), program, lowered=is_root and not trouble,
                     set_user_id=bool(Path(program).stat().st_mode & 0o4000))  # fmt: skip
    ground = replace(ground, root=tuple(_root(Path("/"), f"{lowering.STAGE}/0" if ground.lowered else str(ETC))))
    if cgroups := cgroup.find():
        cgroups.reap()
        try:
            return _tried(replace(ground, cgroups=cgroups), run)
        except SandboxUnavailable:  # the groups can be written, but the kernel will not have our processes in them
            pass
    if is_root and not ground.lowered:
        return Ground(diagnosis.UNLIMITED_ROOT)
    try:
        return _tried(replace(ground, availability=diagnosis.UNGROUPED), run)
    except SandboxUnavailable as error:
        return Ground(diagnosis.explain(error.why))


def _tried(ground: Ground, run: Callable[[Ground, SandboxSpec], SandboxResult]) -> Ground:
    result = run(ground, _TRIAL)
    if result.exit_code == _TRIAL_EXIT_CODE:
        return ground
    return Ground(diagnosis.explain(result.stderr.decode(errors="replace").strip()))


def _root(system: Path, etc: str) -> Iterator[str]:
    """The part of the command line that is the same for each run on this machine: the namespaces and the system's root."""
    yield from ("--unshare-all", "--unshare-user", "--disable-userns", "--uid", str(USER), "--gid", str(USER), "--hostname", "sandbox")
    yield from ("--new-session", "--cap-drop", "ALL", "--clearenv", *system_root(system, etc))
    # Where root started us, the files of /proc belong to the very user inside, who could set the whole machine's kernel.core_pattern.
    yield from ("--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev")


def _options(ground: Ground, spec: SandboxSpec, places: Mapping[Path, str], *, outlive: bool = False) -> tuple[str, ...]:
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
    for name, value in {**ENVIRONMENT, **spec.env}.items():
        options += ["--setenv", name, value]
    options += ["--remount-ro", "/", "--chdir", spec.cwd]
    return tuple(options)
