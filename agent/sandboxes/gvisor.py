"""The sandbox of gVisor: a kernel of its own for each run, in memory-safe code, so that a program never speaks to this machine's.

runsc(1) runs a bundle inside bubblewrap's namespaces. So its parts (the sentry, which is the kernel, the gofer, which opens files, and the
processes of the guest, which are ptraced or trapped) are one tree that ends with its first process, its state lies in memory of the run's own,
and root outside is nobody within: gVisor is root in a user namespace alone. Needs root, for that namespace, and a control group.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import resource
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any, cast

from agent.errors import SandboxUnavailable
from agent.ports import SandboxResult, SandboxSpec
from agent.sandboxes import gvisor_bundle, landlock, lowering
from agent.sandboxes.battery import proof
from agent.sandboxes.gvisor_ground import GvisorGround, explored
from agent.sandboxes.process import started_at
from agent.sandboxes.system import ETC, USER
from agent.sandboxes.tree import FIRST_FILE, Tree, in_memory, launch, refuse_nul
from agent.sandboxes.treed import TreeSandbox

__all__ = ["GvisorSandbox", "started_at"]

_SCRIPT = (Path(__file__).parent / "gvisor.sh").read_text()
# Outside: whom runsc runs as, root in its namespace; and whom the sentry becomes, nobody there. The guest's user is NOBODY, whose root's files seem.
_RUNSC, _SENTRY, _OVERFLOW = lowering.NOBODY - 1, lowering.NOBODY - 2, 65534
_NAMESPACE, _LOG, _FAULTS, _WRITTEN = range(FIRST_FILE, FIRST_FILE + 4)
_FAILED, _ABSENT = 128, 127  # exit codes: runsc's where it fails itself, and a shell's where there is no such program
_REFUSED = re.compile(rb" X (clone3?|v?fork)\(.* errno=11 ")  # EAGAIN: at the limit on processes
_BEGUN = b"] EXEC: "  # what the sentry says before it begins with the program, so that nothing of the program's stands before it
_CHUNK = 2**20
_START_SECONDS, _LOOK_SECONDS = 20.0, 0.01
_numbers = itertools.count(1)


class GvisorSandbox(TreeSandbox[GvisorGround]):
    """`Sandbox` by gVisor. May be shared by threads."""

    name = "gvisor"
    alone = ("memory", "processes")  # the memory of all of the guest is the sentry's, and ends with it; a forked process costs some MiB

    def __init__(self) -> None:
        super().__init__()
        self._absent = secrets.token_hex(16)

    def _explored(self) -> GvisorGround:
        return explored(self._run)

    def _proven(self, ground: GvisorGround) -> GvisorGround:
        if not ground.availability.ok:
            return ground
        states = [(program, Path(program).stat().st_mtime_ns, Path(program).stat().st_size) for program in (ground.program, ground.runsc)]
        found = proof.trouble(self.name, (*states, ground.platform), lambda spec: self._run(ground, spec), alone=self.alone)
        return GvisorGround(found) if found else ground

    def _run_here(self, ground: GvisorGround, spec: SandboxSpec) -> SandboxResult:
        result = super()._run_here(ground, spec)
        if result.exit_code == _ABSENT and result.result == self._absent.encode():
            return result.model_copy(update={"ending": "could_not_tell", "exit_code": None, "result": b""})
        return result

    def _launched(self, ground: GvisorGround, spec: SandboxSpec, streams: Mapping[int, int], *, session: bool = False, outlive: bool = False) -> Tree:
        refuse_nul(*spec.argv, *spec.env, *spec.env.values())
        with ExitStack() as ours, ExitStack() as undo:
            try:
                places = lowering.staged((ETC, *(mount.source.absolute() for mount in spec.mounts)))
                landlock.confine(tcp=False)
                descriptors = {**streams, _NAMESPACE: _namespace()}
            except OSError as error:
                raise SandboxUnavailable(
                    "A sandbox could not be set up.", why=str(error), next_step="`skillops doctor` looks for the cause."
                ) from error
            log, faults = (undo.enter_context(in_memory(b"")) for _ in range(2))
            descriptors |= {_LOG: log.fileno(), _FAULTS: faults.fileno()}
            options = ["--userns", str(_NAMESPACE), *gvisor_bundle.room(ground.runsc, spec, places[ETC], places)]
            for number, content, written in gvisor_bundle.written(spec, _WRITTEN, self._absent):
                descriptors[number] = ours.enter_context(in_memory(content)).fileno()
                options += written
            name = f"skillops-{os.getpid()}-{next(_numbers)}"
            pipe = gvisor_bundle.PIPE if spec.result_fd and 3 in streams else ""
            command = ("/runsc", *gvisor_bundle.flags(ground.flags, ground.platform, _LOG, _FAULTS))
            tree = cast(_GuestTree, launch(
                ground.program, [*options, *([] if outlive else ["--die-with-parent"]), "--chdir", "/"],
                ("/bin/sh", "-c", _SCRIPT, "sh", pipe, str(USER), name, *command), descriptors, gvisor_bundle.on_the_machine(spec.limits),
                ground.cgroups, filter_=None, lower=partial(lowering.lowered, _RUNSC), session=session, resources=[(resource.RLIMIT_CORE, 0)],
                kind=partial(_GuestTree, log=log, faults=faults),
            ))  # fmt: skip
            undo.pop_all()
        if not session:
            tree.await_begin()
        return tree


class _GuestTree(Tree):
    """`log`, `faults`: what the sentry and runsc wrote; they are closed with it."""

    def __init__(self, *arguments: Any, log: FileIO, faults: FileIO, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._log, self._faults = log, faults

    def await_begin(self) -> None:
        """Until the guest's kernel begins with the program, or everything has ended."""
        deadline = time.monotonic() + _START_SECONDS
        while not any(_BEGUN in piece for piece in _pieces(self._log.fileno())) and time.monotonic() < deadline and not self.ended(_LOOK_SECONDS):
            pass

    def out_of_processes(self) -> bool:
        """Whether the guest was refused a process or thread, or, far beyond that, gVisor itself."""
        return super().out_of_processes() or refused_a_process(self._log.fileno())

    def exit_code(self) -> int | None:
        code = super().exit_code()
        return None if code == _FAILED and os.fstat(self._faults.fileno()).st_size else code

    def close(self) -> None:
        super().close()
        self._log.close()
        self._faults.close()


def refused_a_process(log: int) -> bool:
    """Whether the sentry's log, by descriptor, tells of a process or thread that was not made at the guest's limit."""
    return any(_REFUSED.search(piece) for piece in _pieces(log))


def _pieces(descriptor: int) -> Iterator[bytes]:
    """What was written, piece by piece, each with whole lines."""
    place, rest = 0, b""
    while chunk := os.pread(descriptor, _CHUNK, place):
        place += len(chunk)
        whole, _, rest = (rest + chunk).rpartition(b"\n")
        yield whole
    yield rest


@functools.cache
def _namespace() -> int:
    """By descriptor, the user namespace that every run is in: runsc is root there, and three of this machine's ids are all that there are."""
    return lowering.user_namespace(f"0 {_RUNSC} 1\n{USER} {lowering.NOBODY} 1\n{_OVERFLOW} {_SENTRY} 1\n", _RUNSC)
