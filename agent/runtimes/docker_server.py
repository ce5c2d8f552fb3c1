"""A skill's container that was started: whether it runs, what it prints and uses, and how it is cleared away."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.broker.keys import Key
from agent.docker_engine import DockerEngine, faults, remove
from agent.domain.release import Endpoint
from agent.domain.skill import Manifest
from agent.errors import CouldNotTell
from agent.instance import last
from agent.ports import Usage
from agent.runtimes.docker_containers import remove_volumes
from agent.runtimes.docker_way_back import Lent

if TYPE_CHECKING:
    from docker.models.containers import Container

KEPT_LINES = 500  # of a container's log, when it is removed
LONGEST_LOG = 2**20  # bytes of the file that keeps them
GRACE = 2  # seconds from SIGTERM to SIGKILL
GONE = "Docker Engine does not answer"
log = logging.getLogger("agent.supervisor")


class DockerServer:
    """`Running` as a container. `address` is in the closed network. `log_file` keeps its log when it is gone, but for a trial's.

    `left` is told when it is over, before its address can be another's.
    """

    def __init__(self, engine: DockerEngine, name: str, manifest: Manifest, container: Container, *, log_file: Path | None,
                 left: Callable[[DockerServer], None]) -> None:  # fmt: skip
        self._engine, self._container, self._log_file, self._left = engine, container, log_file, left
        self.name, self.manifest, self.id = name, manifest, str(container.id)
        self.address, self.port = "", 0
        self.endpoint = Endpoint()
        self.skill, self.trial = manifest.name, log_file is None
        self.over, self.short_of_memory = "", False
        self.stage: Lent | None = None
        self.keys: tuple[Key, ...] = ()  # the placeholders that it holds

    @property
    def lent(self) -> list[str]:
        """The `host:port` for which the relay is lent connections."""
        return list(self.stage.places) if self.stage else []

    def running(self) -> bool:
        return not self.over

    def ending(self) -> str:
        return self.over or "it ended"

    def died(self, exit_code: str) -> None:
        """What the engine says of its end."""
        self.over = self.over or ("it ran out of memory" if self.short_of_memory else f"it ended with exit code {exit_code}")

    def listens(self) -> bool:
        return bool(self.address)

    def log(self, lines: int) -> str:
        with contextlib.suppress(CouldNotTell), faults("read a container's log"):
            return last(self._printed(lines), lines)
        return ""

    def stop(self) -> None:
        expected, self.over = not self.over, self.over or "it was stopped"
        self._left(self)
        try:
            with faults("remove a container"):
                if expected:
                    self._politely(lambda: self._container.stop(timeout=GRACE))
                self._politely(self._keep_log)
                remove(self._engine.client().api, self.id)
                remove_volumes(self._engine, self.name)
        except CouldNotTell as error:  # the sweep that follows the engine's return does it
            log.warning("%s %s is not cleared away yet: %s", self.skill, self.name, error.why)
        finally:
            if self.stage:
                self.stage.close()

    def _politely(self, do: Callable[[], object]) -> None:
        """Does it; where the container is gone, or somebody else removes it, that is as good."""
        import docker.errors

        try:
            do()
        except docker.errors.APIError as error:
            if error.status_code not in (404, 409):
                raise

    def kept(self) -> dict[str, Any]:
        return {"container": self.id, "manifest": self.manifest.model_dump(mode="json"), "keys": [key.model_dump() for key in self.keys]}

    def usage(self) -> Usage:
        try:
            with faults("read the figures of a container"):
                told = self._engine.client().api.stats(self.id, stream=False, one_shot=True)
            memory, cpu = told["memory_stats"], told["cpu_stats"]["cpu_usage"]["total_usage"]
            # What the kernel could give back at once is not used (docker's own `stats` leaves it out too).
            cache = memory.get("stats", {}).get("total_inactive_file", memory.get("stats", {}).get("inactive_file", 0))
            return Usage(memory=memory["usage"] - cache, cpu=round(cpu / 1e9, 3))
        except (CouldNotTell, KeyError, TypeError):
            return Usage()

    def _printed(self, lines: int) -> str:
        return self._container.logs(tail=lines).decode(errors="replace") if lines > 0 else ""

    def _keep_log(self) -> None:
        """The engine forgets a container's log with it; the skill's file goes on over its containers."""
        if self._log_file is None:
            return
        text = self._printed(KEPT_LINES).encode()
        with contextlib.suppress(OSError):
            before = self._log_file.read_bytes() if self._log_file.exists() else b""
            self._log_file.parent.mkdir(mode=0o700, exist_ok=True)
            self._log_file.write_bytes((before + text)[-LONGEST_LOG:])
