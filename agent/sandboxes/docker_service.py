"""A service in a container, with a thread that writes what it prints into its log, keeps that short, and clears up in the end."""

from __future__ import annotations

import contextlib
import struct
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from agent.docker_engine import faults
from agent.errors import CouldNotTell
from agent.ports import SandboxSpec, Usage
from agent.sandboxes.exchange import close_input, exactly
from agent.sandboxes.service import trim


class DockerService:
    """A `SandboxProcess`. `pid` is the container's first process; `held` is given back when it has ended."""

    def __init__(self, api: Any, container: str, stream: Any, pid: int, spec: SandboxSpec, log: Path, held: ExitStack) -> None:
        self.pid = pid
        self._api, self._container, self._held, self._over = api, container, held, threading.Event()
        self._socket, self._log, self._limits = getattr(stream, "_sock", stream), log, spec.limits
        self._log.touch()
        self._watcher = threading.Thread(target=self._watch, args=(spec.stdin,), name="sandbox-service", daemon=True)
        self._watcher.start()

    def running(self) -> bool:
        return not self._over.is_set()

    def usage(self) -> Usage:
        """As the engine counts it: without what the kernel could give back at once."""
        with contextlib.suppress(CouldNotTell, KeyError), faults("count what a container uses"):
            said = self._api.stats(self._container, stream=False, one_shot=True)
            memory, kept = said["memory_stats"], said["memory_stats"].get("stats", {})
            spare = kept.get("inactive_file", kept.get("total_inactive_file", 0))
            return Usage(memory=max(memory["usage"] - spare, 0), cpu=said["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9)
        return Usage()

    def stop(self, grace_seconds: float = 2.0) -> None:
        """SIGTERM to the program and, `grace_seconds` later, SIGKILL to all. Returns when nothing is left."""
        if self.running():
            self._kill("SIGTERM")
            self._watcher.join(grace_seconds)
        if self.running():
            self._kill("SIGKILL")
        self._watcher.join()

    def _kill(self, signal: str) -> None:
        import docker.errors

        with contextlib.suppress(CouldNotTell), faults("end a container"), contextlib.suppress(docker.errors.NotFound):
            self._api.kill(self._container, signal)

    def _watch(self, stdin: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            if stdin:
                self._socket.sendall(stdin)
                close_input(self._socket)
            self._print()
        self._end()
        with contextlib.suppress(CouldNotTell):
            self._held.close()
        self._over.set()

    def _print(self) -> None:
        with self._log.open("ab", buffering=0) as log:
            while header := exactly(self._socket, 8):
                log.write(exactly(self._socket, struct.unpack(">BxxxL", header)[1]))
                if log.tell() > self._limits.output:
                    trim(str(self._log), self._limits.output)

    def _end(self) -> None:
        """Waits for its end, also where it closed what it prints to long before."""
        import requests.exceptions

        while True:
            try:
                with contextlib.suppress(CouldNotTell), faults("wait for a container"):
                    self._api.wait(self._container, timeout=None)
                return
            except requests.exceptions.ReadTimeout:
                continue
