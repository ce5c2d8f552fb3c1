"""An engine that goes and comes back, with a dockerd of the test's own: what ran there runs again."""

from __future__ import annotations

import ctypes
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.docker_engine import DockerEngine
from agent.domain.invocation import Reply
from agent.errors import CouldNotTell
from tests.runtimes import RELAY_BASE, DockerBench, eventually
from tests.second_engine import SecondEngine, second_engine

pytestmark = [pytest.mark.docker, pytest.mark.slow]
CLONE_NEWNET = 0x40000000  # setns(2)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SecondEngine, str]]:
    """The engine, and the network namespace that it and what it publishes live in."""
    with subprocess.Popen(["unshare", "--net", "sleep", "900"]) as holder, second_engine() as engine:
        try:
            namespace = f"/proc/{holder.pid}/ns/net"
            subprocess.run(["nsenter", f"--net={namespace}", "ip", "link", "set", "lo", "up"], check=True)
            engine.kill()
            engine.namespace = ("nsenter", f"--net={namespace}")
            engine.start()
            saved = DockerEngine().client().images.get(RELAY_BASE).save(named=RELAY_BASE)
            engine.engine().client().images.load(b"".join(saved))
            monkeypatch.setenv("DOCKER_HOST", engine.address)
            yield engine, namespace
        finally:
            holder.kill()


def within(namespace: str, do: Any) -> Any:
    """What `do` gives in a thread that stands in the network namespace."""
    found: list[Any] = []

    def enter() -> None:
        with open(namespace) as file:
            assert ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) == 0
        found.append(do())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return found[0]


def test_an_engine_that_is_killed_and_comes_back_has_the_skill_again(engine: tuple[SecondEngine, str], tmp_path: Path) -> None:
    second, namespace = engine
    bench = DockerBench(tmp_path)
    bench.runtime._command = (*second.namespace, *bench.runtime._command)

    def called() -> Reply:
        try:
            return within(namespace, bench.call)
        except IndexError:  # there was an error in there, which the thread has told
            return Reply(success=False)

    try:
        bench.runtime.deploy(bench.deployment())
        assert called().outputs == {"words": 1}
        endpoint = bench.runtime.endpoint("word-count")
        second.kill()
        eventually(lambda: bench.runtime.services()[0].state == "unhealthy", seconds=60)
        with pytest.raises(CouldNotTell):
            bench.runtime.endpoint("word-count")
        assert "engine" in bench.runtime.services()[0].detail.lower()
        second.start()
        eventually(lambda: bench.runtime.services()[0].state == "healthy", seconds=120)
        assert called().outputs == {"words": 1}
        assert bench.runtime.endpoint("word-count") == endpoint
    finally:
        bench.runtime.shutdown()
