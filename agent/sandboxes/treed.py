"""What is alike in the sandboxes whose runs are trees of bubblewrap's: bubblewrap itself, and gVisor, which is started within it."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from agent.errors import SandboxUnavailable, SkillOpsError
from agent.ports import Availability, Ending, Limits, SandboxProcess, SandboxResult, SandboxSpec
from agent.sandboxes import battery, cgroup
from agent.sandboxes.battery import Attempt
from agent.sandboxes.capture import Capture, Cut, follow
from agent.sandboxes.process import children, name_of, started_at
from agent.sandboxes.service import Service
from agent.sandboxes.tree import FIRST_FILE, Tree, in_memory


@dataclass(frozen=True)
class Ground:
    """What was found out about this machine."""

    availability: Availability
    program: str = ""
    root: tuple[str, ...] = ()
    cgroups: cgroup.Cgroups | None = None
    set_user_id: bool = False  # whether bubblewrap gains root's rights by itself, which Landlock would forbid
    lowered: bool = False  # whether it runs as nobody, though root starts it


G = TypeVar("G", bound=Ground)


class TreeSandbox(ABC, Generic[G]):
    """`Sandbox`, and its runs and services. May be shared by threads."""

    name: str
    alone: tuple[str, ...] = ()  # probes of the battery for which a whole run is ended
    started_at = staticmethod(started_at)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: G | None = None

    @abstractmethod
    def _explored(self) -> G:
        """Looks at the machine and tries a run."""

    @abstractmethod
    def _proven(self, ground: G) -> G:
        """The ground, where nothing gets out of a sandbox on it; else one that is not available."""

    @abstractmethod
    def _launched(self, ground: G, spec: SandboxSpec, streams: Mapping[int, int], *, session: bool = False, outlive: bool = False) -> Tree:
        """In a thread that ends with what it launches. `streams`: the program's descriptors, and ours that they are."""

    def available(self) -> Availability:
        """Tries it once; where it works with weaker limits, `ok` comes with a `why`."""
        return self._ground().availability

    def run(self, spec: SandboxSpec) -> SandboxResult:
        """Runs to the end. A run that did not end `ok` and hit its limit of memory or processes ends as that, also where
        it then hung until its time was up. `exit_code` is None where the run was cut short."""
        return self._run(self._usable(), spec)

    def start(self, spec: SandboxSpec, *, log: Path, outlive: bool = False) -> SandboxProcess:
        """Starts a service; `limits.seconds` does not apply to it. The log is cut to its newest part when it outgrows
        `limits.output`, while somebody holds the process, and never outgrows `limits.disk`."""
        ground = self._usable()

        def launch_it() -> Tree:
            with open(log, "ab", buffering=0) as printed, in_memory(spec.stdin) as stdin:
                streams = {0: stdin.fileno(), 1: printed.fileno(), 2: printed.fileno()}
                return self._launched(ground, spec, streams, session=True, outlive=outlive)

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
        ground = self._explored()
        if not ground.availability.ok:
            raise SandboxUnavailable("No sandbox can run here.", why=ground.availability.why, next_step=ground.availability.fix)
        return battery.tried(lambda spec: self._run(ground, spec), self.alone)

    def _usable(self) -> G:
        ground = self._ground()
        if not ground.availability.ok:
            raise SandboxUnavailable("No sandbox can run here.", why=ground.availability.why, next_step=ground.availability.fix)
        return ground

    def _ground(self) -> G:
        with self._lock:
            if self._found is None:
                self._found = self._proven(self._explored())
            return self._found

    def _run(self, ground: G, spec: SandboxSpec) -> SandboxResult:
        return in_own_thread(lambda: self._run_here(ground, spec))

    def _run_here(self, ground: G, spec: SandboxSpec) -> SandboxResult:
        limits = spec.limits
        with ExitStack() as stack:
            captures = [stack.enter_context(closing(Capture(limits.output))) for _ in range(3 if spec.result_fd else 2)]
            stdin = stack.enter_context(in_memory(spec.stdin))
            streams = {0: stdin.fileno(), **{number: capture.writer for number, capture in enumerate(captures, 1)}}
            tree = stack.enter_context(closing(self._launched(ground, spec, streams)))
            begun = time.monotonic()  # the program's time, however long its sandbox took
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


def in_own_thread(run: Callable[[], SandboxResult]) -> SandboxResult:
    """In a thread of its own, which ends with the run: what it lowers and stages is for this run alone."""
    done: Future[SandboxResult] = Future()

    def run_it() -> None:
        try:
            done.set_result(run())
        except (SkillOpsError, OSError, ValueError) as error:
            done.set_exception(error)
        finally:
            done.cancel()  # so that nobody waits for a run that failed in some other way

    threading.Thread(target=run_it, name="sandbox-run", daemon=True).start()
    return done.result()


def _ending(tree: Tree, cut: Cut | None, exit_code: int | None) -> Ending:
    if exit_code == 0:
        return "ok"
    if tree.out_of_memory():
        return "out_of_memory"
    if tree.out_of_processes():
        return "pids"
    return cut or ("could_not_tell" if exit_code is None else "nonzero")


@contextmanager
def files_of(spec: SandboxSpec) -> Iterator[dict[int, int]]:
    """Descriptors that bubblewrap reads the files from and closes, before the program begins: they are on no disk and no command line."""
    with ExitStack() as stack:
        contents = [stack.enter_context(in_memory(content)) for content in spec.files.values()]
        yield {number: content.fileno() for number, content in enumerate(contents, FIRST_FILE)}
