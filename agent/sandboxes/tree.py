"""The processes of one sandbox, from the launch to the last of them.

bubblewrap is two processes: an outer one on this machine, and an inner one that is process 1 of a pid namespace and the
ancestor of everything in it. The kernel ends a namespace together with its process 1, so one signal to the inner one ends
the whole tree; and when its pidfd says that it is gone, nothing of the tree is left (pid_namespaces(7)).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import select
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from io import FileIO

from agent.errors import SandboxUnavailable, UsageError
from agent.ports import Limits
from agent.sandboxes.cgroup import Cgroup, Cgroups
from agent.sandboxes.low_ports import open_low_ports
from agent.sandboxes.process import children

_ARGS, _STATUS, _GATE, _FILTER, FIRST_FILE = 4, 5, 6, 7, 8
_SETUP_SECONDS, _KILL_SECONDS = 20.0, 5.0
_OPEN_FILES = 1024
Lower = Callable[[], AbstractContextManager[None]]
# All that can be ignored, whoever did that to us: a shell's `&` ignores SIGINT and SIGQUIT, nohup SIGHUP, Python SIGPIPE and SIGXFSZ.
_DEFAULT_SIGNALS = tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})


class Tree:
    """`pid` is the outer process on this machine; `descriptor` becomes readable when it has ended."""

    def __init__(self, pid: int, *, inner: int | None = None, status: int | None = None, cgroup: Cgroup | None = None) -> None:
        self.pid, self.cgroup = pid, cgroup
        self.descriptor = os.pidfd_open(pid)
        self._status, self._inner, self._inner_descriptor = status, 0, -1
        if inner is not None:
            self._know(inner)

    def _know(self, inner: int | None) -> None:
        if inner is None:
            raise ProcessLookupError
        self._inner_descriptor = os.pidfd_open(inner)
        self._inner = inner

    def admit(self, resources: Sequence[tuple[int, int]], lower: Lower = nullcontext) -> None:
        """Puts the inner process, which waits at the gate, under its limits; the outer one only waits and needs none.

        Raises ProcessLookupError where bubblewrap has given up by then, other OSErrors where a limit cannot be set.
        """
        self._know(self._told("child-pid", _SETUP_SECONDS))
        if self.cgroup:
            self.cgroup.admit(self._inner)
        with lower():  # a root without CAP_SYS_RESOURCE, as in many containers, may limit only who it is itself
            for kind, most in resources:
                resource.prlimit(self._inner, kind, (most, most))

    @property
    def inner(self) -> int:
        """Process 1 of the sandbox, by its pid on this machine; 0 until it is known."""
        return self._inner

    def ended(self, timeout: float = 0.0) -> bool:
        """Waits at most `timeout` seconds for the outer process."""
        return _readable(self.descriptor, timeout)

    def terminate(self) -> None:
        """Asks the program to end (SIGTERM); its reaper, the inner process, heeds only SIGKILL."""
        for pid in children(self._inner):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def kill(self) -> None:
        """Ends every process, and returns when none is left. Killing twice does no harm."""
        if self._inner_descriptor < 0:
            with contextlib.suppress(ProcessLookupError):
                self._know(self._told("child-pid", 1.0))
        if self._inner_descriptor >= 0:
            _kill(self._inner_descriptor)
            _readable(self._inner_descriptor, _KILL_SECONDS)
        # The outer one ends by itself, once it has reaped the inner.
        if not self.ended(1.0):
            _kill(self.descriptor)
            self.ended(_KILL_SECONDS)

    def out_of_memory(self) -> bool:
        return self.cgroup is not None and self.cgroup.out_of_memory()

    def out_of_processes(self) -> bool:
        return self.cgroup is not None and self.cgroup.out_of_processes()

    def exit_code(self) -> int | None:
        """The program's, or 128 + n where signal n ended it; None where it never started or bubblewrap itself was killed."""
        return self._told("exit-code")

    def _told(self, key: str, timeout: float = 0.0) -> int | None:
        """What bubblewrap says next of its status: one JSON document a line, written piece by piece."""
        said = b""
        while self._status is not None and _readable(self._status, timeout):
            piece = os.read(self._status, 65536)
            said += piece
            for line in said.splitlines(keepends=True):
                if line.endswith(b"\n") and key in (document := json.loads(line)):
                    return int(document[key])
            if not piece:
                break
        return None

    def close(self) -> None:
        """Kills it, and gives back all that it holds; the counters of its group are gone afterwards."""
        self.kill()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        if self.cgroup:
            self.cgroup.remove()
        for descriptor in (self.descriptor, self._inner_descriptor, self._status):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)


def launch(
    program: str,
    options: Sequence[str],
    argv: Sequence[str],
    streams: Mapping[int, int],
    limits: Limits,
    cgroups: Cgroups | None,
    *,
    filter_: bytes | None,
    lower: Lower = nullcontext,
    session: bool = False,
    low_ports: bool = False,
    resources: Sequence[tuple[int, int]] | None = None,
    kind: Callable[..., Tree] = Tree,
) -> Tree:
    """Starts bubblewrap; `streams` maps descriptors of the program (0 to 3), and of files for bubblewrap itself (from
    FIRST_FILE on), to ours.

    The program starts when its limits hold; until then the inner process waits at a gate. Where bubblewrap gives up, the
    tree has ended, and stderr says why. `filter_`: the program that judges its system calls (agent/seccomp). `lower`: what
    this thread must be while it starts bubblewrap. `session`: in a session of its own, out of reach of our terminal's signals.
    `low_ports` as in SandboxSpec. `resources`: what setrlimit(2) bounds for the inner process, where that is not what the limits say.
    `kind` makes the tree.
    """
    refuse_nul(*options, *argv)  # bubblewrap reads its options parted by NUL: one in a value would let a skill write options of its own
    text = "\0".join(options) + "\0"
    # A datagram socket never reaches an end of file: should we die now, the gate stays shut.
    gate, latch = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with latch, ExitStack() as theirs, ExitStack() as undo:
        theirs.enter_context(gate)
        # By descriptor and not on the command line, which everybody on this machine and in the sandbox can read.
        arguments = theirs.enter_context(in_memory(os.fsencode(text)))
        said, status = os.pipe()
        theirs.callback(os.close, status)
        undo.callback(os.close, said)
        numbers = ["--args", str(_ARGS), "--json-status-fd", str(_STATUS), "--block-fd", str(_GATE)]
        descriptors = {**streams, _ARGS: arguments.fileno(), _STATUS: status, _GATE: gate.fileno()}
        if filter_ is not None:
            numbers += ["--seccomp", str(_FILTER)]
            descriptors[_FILTER] = theirs.enter_context(in_memory(filter_)).fileno()
        command = [program, *numbers, "--", *argv]
        try:
            with cgroups.birthplace(limits.memory, limits.processes) if cgroups else nullcontext() as group, lower():
                pid = _spawn(command, descriptors, session)
            tree = kind(pid, status=said, cgroup=group)
            undo.pop_all()
            undo.callback(tree.close)
            theirs.close()  # the status must end with bubblewrap
            if cgroups:
                tree.cgroup = cgroups.settle(group, pid, limits.memory, limits.processes)
            tree.admit(_resource_limits(limits, grouped=cgroups is not None) if resources is None else resources, lower)
            if low_ports:
                open_low_ports(tree.inner)
            latch.send(b"\0")
        except (ProcessLookupError, ConnectionRefusedError):  # it has given up, before the gate or at it
            tree.kill()
        except OSError as error:
            raise SandboxUnavailable("A sandbox could not be set up.", why=str(error), next_step="`skillops doctor` looks for the cause.") from error
        undo.pop_all()
    return tree


def refuse_nul(*texts: str) -> None:
    if any("\0" in text for text in texts):
        raise UsageError("A command, mount or variable for the sandbox holds a NUL character.", next_step="Take it out.")


def in_memory(content: bytes) -> FileIO:
    """A file without a name that reads `content`: unlike a pipe, it never blocks whoever fills it."""
    descriptor = os.memfd_create("skillops")
    os.pwrite(descriptor, content, 0)
    return open(descriptor, "rb", buffering=0)


def _resource_limits(limits: Limits, *, grouped: bool) -> list[tuple[int, int]]:
    common = [(resource.RLIMIT_NOFILE, _OPEN_FILES), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, limits.disk)]
    return common if grouped else [*common, (resource.RLIMIT_AS, limits.memory), (resource.RLIMIT_NPROC, limits.processes + 1)]


def _spawn(command: list[str], streams: Mapping[int, int], session: bool) -> int:
    """With exactly these descriptors and an empty environment (the inner process' own can be read inside).

    posix_spawn and not subprocess, which cannot say that a descriptor be 3.
    """
    sources: dict[int, int] = {}
    try:
        for target, source in streams.items():  # lifted out of the way of the targets
            sources[target] = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, max(streams) + 1)
        actions: list[tuple[int, int] | tuple[int, int, int]] = [(os.POSIX_SPAWN_DUP2, source, target) for target, source in sources.items()]
        actions += [(os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in _inheritable() if descriptor not in streams]
        return os.posix_spawn(command[0], command, {}, file_actions=actions, setsid=session, setsigmask=(), setsigdef=_DEFAULT_SIGNALS)
    finally:
        for source in sources.values():
            os.close(source)


def _inheritable() -> list[int]:
    """Descriptors that a child would get, such as those that our own starter leaked to us: a way out of the sandbox."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError):
            if os.get_inheritable(int(name)):
                found.append(int(name))
    return found


def _kill(pidfd: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def _readable(descriptor: int, timeout: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0.0, timeout) * 1000))
