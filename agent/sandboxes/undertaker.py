"""The undertaker: a process that removes the containers and folders of a starter which ended without doing so.

It reads lines from its starter: `+ID` and `-ID` for a container, `+/PATH` and `-/PATH` for a folder. When they end, the
starter has, and what was not taken back is removed: also where it was killed and could do nothing any more.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable

from agent.errors import CouldNotTell


class Undertaker:
    """The starter's side. One process, started when something is first entrusted to it; may be shared by threads."""

    def __init__(self) -> None:
        self._lock, self._process = threading.Lock(), None

    def take(self, what: str) -> None:
        """From now on a container's id, or a folder's path, ends with this process."""
        self._say("+", what)

    def give_back(self, what: str) -> None:
        self._say("-", what)

    def _say(self, sign: str, what: str) -> None:
        with self._lock, contextlib.suppress(BrokenPipeError):
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    (sys.executable, "-P", "-m", "agent.sandboxes.undertaker"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, text=True, bufsize=1, start_new_session=True,
                )  # fmt: skip
            assert self._process.stdin is not None
            self._process.stdin.write(f"{sign}{what}\n")

    _process: subprocess.Popen[str] | None


def bury(lines: Iterable[str]) -> None:
    """Reads to the end, and removes what is left."""
    left: dict[str, None] = {}
    for line in lines:
        sign, what = line[0], line[1:].rstrip("\n")
        if sign == "+":
            left[what] = None
        else:
            left.pop(what, None)
    containers = [what for what in left if not what.startswith("/")]
    for what in left.keys() - containers:
        shutil.rmtree(what, ignore_errors=True)
    if containers:
        from agent.docker_engine import DockerEngine, faults, remove

        api = DockerEngine().client().api
        for container in containers:
            with contextlib.suppress(CouldNotTell), faults("remove a container"):
                remove(api, container)


if __name__ == "__main__":
    bury(sys.stdin)
