"""The broker on Docker Engine: it works on this machine, on connections that the relay is lent."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.caller import execute
from agent.stages.invoking import prepare
from tests.brokers import ASKED, HELD, IN_A_QUERY, OUTPUTS, SEEKS
from tests.builders import a_manifest
from tests.contracts.networks import SECURE, World, a_world
from tests.runtimes import DockerBench, clear_engine

pytestmark = pytest.mark.docker
PERSONAL, NEIGHBOUR = (f"{name}-{os.getpid()}" for name in ("personal", "neighbour"))  # by which they are looked for: an engine has a name once


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
    assert HELD not in str([container.attrs for container in bench.engine.containers.list(ignore_removed=True)])
    os.kill(bench.supervisor(), signal.SIGKILL)
    bench.runtime = bench.another()
    bench.runtime.deploy(deployment)
    assert bench.call(deadline=30).outputs["own"] == reply.outputs["own"]
    assert len(bench.world.received) == 2


# It answers who it works for; told to, it asks another container to work for it.
WORKS_FOR = """
import os, pathlib, urllib.request
def execute(inputs, context):
    if inputs["text"].startswith("http"):
        body = b'{"inputs": {"text": "a"}, "context": {"caller": "ada"}}'
        try:
            said = urllib.request.urlopen(urllib.request.Request(inputs["text"], body), timeout=10).read().decode()
        except OSError as error:
            said = type(error).__name__
        return {"said": said}
    return {"said": (pathlib.Path(os.environ["SKILL_SECRETS"]) / "TOKEN").read_text()}
"""


def test_a_container_works_for_one_person_and_no_neighbour_on_its_network_has_it_do_so(bench: Bench) -> None:
    personal = {"secrets": ["TOKEN"], "personal": ["TOKEN"]}
    bench.runtime.deploy(bench.deployment(WORKS_FOR, name=PERSONAL, permissions=personal, outputs=OUTPUTS))
    bench.runtime.deploy(bench.deployment(WORKS_FOR, name=NEIGHBOUR, permissions={"secrets": ["TOKEN"]}, outputs=OUTPUTS))

    def said(skill: str, person: str, text: str) -> str:
        endpoint = bench.runtime.endpoint(skill, person)
        reply = execute(endpoint, prepare(a_manifest(name=skill), {"text": text}, person or "eve", "r1", deadline=20.0))
        assert reply.success, reply
        return str(reply.outputs["said"])

    assert [said(PERSONAL, person, "a") for person in ("ada", "eve", "ada")] == ["the TOKEN of ada", "the TOKEN of eve", "the TOKEN of ada"]
    place = bench.deployment(WORKS_FOR, name=PERSONAL, permissions=personal, outputs=OUTPUTS).owned_by("ada").place
    container = bench.engine.containers.get(place)
    (network,) = container.attrs["NetworkSettings"]["Networks"].values()
    for host in (place, network["IPAddress"]):
        assert said(NEIGHBOUR, "", f"http://{host}:8080/execute") in ("ConnectionResetError", "RemoteDisconnected", "URLError")
    assert said(NEIGHBOUR, "", f"http://{NEIGHBOUR}:8080/execute").count(f"the TOKEN of {NEIGHBOUR}") == 1  # so there is a way
    assert "the TOKEN of ada" not in str([each.attrs for each in bench.engine.containers.list(ignore_removed=True)])
