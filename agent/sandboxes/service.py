"""A service in the sandbox, with a thread that watches it: keeps its log short, and clears up when it has ended."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future

from agent.errors import SkillOpsError
from agent.ports import Usage
from agent.sandboxes.process import cpu_seconds, descendants, resident_bytes
from agent.sandboxes.tree import Tree

_TRIM_SECONDS = 0.5


class Service:
    """A `SandboxProcess`.

    `launch` is called in the watching thread, as a service that dies with its starter dies with the very thread that
    launched it (PR_SET_PDEATHSIG in prctl(2)). Raises what `launch` raises. `log_limit` in bytes.
    """

    def __init__(self, launch: Callable[[], Tree], *, log_limit: int) -> None:
        self._log_limit, self._over, self._lock = log_limit, False, threading.Lock()
        launched: Future[Tree] = Future()
        self._watcher = threading.Thread(target=self._watch, args=(launch, launched), name="sandbox-service", daemon=True)
        self._watcher.start()
        self._tree = launched.result()
        self.pid = self._tree.pid

    def running(self) -> bool:
        with self._lock:
            return not self._over and not self._tree.ended()

    def usage(self) -> Usage:
        with self._lock:
            if self._over:
                return Usage()
            pids, group = descendants(self.pid), self._tree.cgroup
            memory = group.memory_bytes() if group else None
            return Usage(memory=resident_bytes(pids) if memory is None else memory, cpu=cpu_seconds(pids))

    def stop(self, grace_seconds: float = 2.0) -> None:
        """SIGTERM to the program and, `grace_seconds` later, SIGKILL to the whole tree. Returns when nothing is left."""
        with self._lock:
            if not self._over:
                self._tree.terminate()
        self._watcher.join(grace_seconds)
        with self._lock:
            if not self._over:
                self._tree.kill()
        self._watcher.join()

    def _watch(self, launch: Callable[[], Tree], launched: Future[Tree]) -> None:
        try:
            tree = launch()
            launched.set_result(tree)
        except (SkillOpsError, OSError) as error:
            launched.set_exception(error)
            return
        finally:
            launched.cancel()  # so that nobody waits for a launch that failed in some other way
        while not tree.ended(_TRIM_SECONDS):
            # The outer process prints nothing itself and keeps the log open, also for a starter that adopts it.
            trim(f"/proc/{tree.pid}/fd/1", self._log_limit)
        with self._lock:
            self._over = True
            tree.close()


def trim(log: str, limit: int) -> None:
    """Keeps the last half of `limit` bytes of a log that has grown beyond it. Who writes to it must append."""
    with contextlib.suppress(OSError):
        descriptor = os.open(log, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        with open(descriptor, "rb+", buffering=0) as file:
            size = os.fstat(descriptor).st_size
            if size > limit:
                tail = os.pread(descriptor, limit // 2, size - limit // 2)
                file.truncate(0)
                file.write(tail)
