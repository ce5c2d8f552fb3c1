"""A gateway and a skill's server, each in a process of its own, as benchmarks and tests of the whole want them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from agent.errors import CouldNotTell
from tests.ports import free_port

PATIENCE = 60.0  # seconds in which a server has to listen


class Gateway(NamedTuple):
    """A gateway that listens, with the secret of an admin key."""

    url: str
    key: str
    pid: int

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}", "content-type": "application/json"}


@contextmanager
def a_gateway(folder: Path, skill: str, skills: int = 1) -> Iterator[Gateway]:
    """The gateway over a repository in `folder` with so many skills, which all answer at the URL `skill`."""
    command = [sys.executable, "-m", "tests.benchmarks.gateway_server", str(folder), skill, str(skills)]
    with _running(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline() or b"{}")
        if not told:
            raise CouldNotTell("The gateway does not start.")
        yield Gateway(**told, pid=process.pid)


@contextmanager
def a_skill() -> Iterator[str]:
    """The URL of a skill's server on uvicorn."""
    port = free_port()
    with _running([sys.executable, "-m", "tests.benchmarks.skill_server", str(port)]):
        wait_for(port)
        yield f"http://127.0.0.1:{port}"


def wait_for(port: int) -> None:
    """Until somebody listens there. CouldNotTell where nobody does in time."""
    until = time.monotonic() + PATIENCE
    while True:
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > until:
            raise CouldNotTell(f"Nobody listens on port {port}.")
        time.sleep(0.05)


def memory_of(pid: int) -> int:
    """Bytes of memory that a process has touched (proc_pid_statm(5))."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@contextmanager
def _running(command: Sequence[str], stdout: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=stdout)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
