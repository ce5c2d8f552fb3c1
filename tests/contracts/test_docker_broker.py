"""The broker on Docker Engine: it works on this machine, on connections that the relay is lent."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers import ASKED, HELD, IN_A_QUERY, OUTPUTS, SEEKS
from tests.contracts.networks import SECURE, World, a_world
from tests.runtimes import DockerBench, clear_engine

pytestmark = pytest.mark.docker


class Bench(DockerBench):
    def __init__(self, folder: Path, world: World) -> None:
        self.world, self.resolve, self.authorities = world, world.resolve, str(folder / "authority.pem")
        Path(self.authorities).write_text(world.authority)
        super().__init__(folder)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with a_world(tmp_path) as world:
        bench = Bench(tmp_path, world)
        yield bench
        bench.close()
        clear_engine(volumes=True, images=True)


def test_a_container_sends_a_key_that_is_nowhere_on_its_engine_also_after_its_supervisor_died(bench: Bench) -> None:
    deployment = bench.deployment(SEEKS, permissions=ASKED, outputs=OUTPUTS, health={"interval": "1s", "timeout": "10s", "retries": 2})
    bench.runtime.deploy(deployment)
    reply = bench.call(deadline=30)
    assert reply.success, (reply, bench.runtime.logs("word-count", 20))
    assert bench.world.received == [f"{SECURE} /b?key={IN_A_QUERY}"] and reply.outputs["said"] == f"from {SECURE}"
    assert reply.outputs["found"] == [] and reply.outputs["seen"] >= 1
    assert HELD not in str([container.attrs for container in bench.engine.containers.list()])
    os.kill(bench.supervisor(), signal.SIGKILL)
    bench.runtime = bench.another()
    bench.runtime.deploy(deployment)
    assert bench.call(deadline=30).outputs["own"] == reply.outputs["own"]
    assert len(bench.world.received) == 2
