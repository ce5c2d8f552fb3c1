"""Follows what the engine says of a clone's containers, so that an end is known at once and the engine's own going is noticed."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

from agent.docker_engine import DockerEngine, faults
from agent.errors import CouldNotTell

PAUSE = 0.5  # seconds between two attempts to reach an engine that went away
PING = 5.0  # seconds between two looks at whether it still answers: a connection to another machine can die in silence
log = logging.getLogger("agent.supervisor")


class Watch:
    """A thread. `heard` gets each event of a container with `label`, `gone` is called when the engine stops answering, `back` when it
    answers (again): then the events before that were missed."""

    def __init__(self, engine: DockerEngine, label: str, heard: Callable[[dict[str, Any]], None], gone: Callable[[str], None],
                 back: Callable[[], None]) -> None:  # fmt: skip
        self._engine, self._label, self._heard, self._gone, self._back = engine, label, heard, gone, back
        self._ended, self._ready = threading.Event(), threading.Event()
        self._stream: Any = None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Returns when it follows, or has seen that the engine does not answer."""
        if not self._threads:
            self._threads = [threading.Thread(target=work, daemon=True, name="engine") for work in (self._follow, self._ping)]
            for thread in self._threads:
                thread.start()
        self._ready.wait(30)

    def stop(self) -> None:
        self._ended.set()
        self._cut()

    def _follow(self) -> None:
        while not self._ended.is_set():
            why = "the connection to it broke"
            try:
                with faults("follow its events"):
                    wanted = {"type": "container", "label": self._label, "event": ["die", "oom"]}
                    self._stream = self._engine.client().events(decode=True, filters=wanted)
                    self._back()
                    self._ready.set()
                    for event in self._stream:
                        self._heard(event)
            except CouldNotTell as error:
                why = error.why
            except (ValueError, AttributeError) as error:  # what urllib3 makes of a stream that is closed under its reader
                why = str(error)
            if self._ended.is_set():
                return
            if not self._engine.available().ok:
                self._gone(why)
            self._ready.set()
            self._ended.wait(PAUSE)

    def _ping(self) -> None:
        while not self._ended.wait(PING):
            if self._stream is not None and not self._engine.available().ok:
                self._cut()

    def _cut(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                connection = getattr(stream._response.raw._fp.fp, "channel", None)
                if connection is not None:  # docker-py cannot close what comes through ssh(1); the process can be ended
                    connection.proc.terminate()
                else:
                    stream.close()
