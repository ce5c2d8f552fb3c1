from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redteam.turncoat import Turncoat

CANARY = "canary-7f3a9c51"


class Listener:
    """Waits on a port of this machine, and counts who comes."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.heard: list[bytes] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(0.2)
                try:
                    self.heard.append(connection.recv(65_536))
                except OSError:
                    self.heard.append(b"")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    """A service of this machine that no skill may reach. It works: the fixture has reached it itself."""
    listener = Listener()
    with socket.create_connection(("127.0.0.1", listener.port), 5) as probe:
        probe.sendall(b"probe")
    for _ in range(100):
        if listener.heard:
            break
        threading.Event().wait(0.02)
    assert listener.heard.pop() == b"probe"
    yield listener
    listener.close()


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file of this machine that no skill may read or change."""
    path = tmp_path / "canary.txt"
    path.write_text(CANARY)
    path.chmod(0o666)
    return path


@pytest.fixture(scope="session")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Turncoat]:
    made = Turncoat(tmp_path_factory.mktemp("turned"))
    yield made
    made.bench.close()
