"""The networks of clones on one engine: each clone has its own two, also where several make theirs at once."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from agent.docker_engine import DockerEngine
from agent.runtimes.docker_network import Networks

pytestmark = pytest.mark.docker


def test_clones_that_make_their_networks_at_once_each_have_two_of_names_that_nobody_else_has() -> None:
    engine = DockerEngine()
    clones = [Networks(engine, f"race-{os.getpid()}-{number}", {"skillops.test": "networks"}) for number in range(4)]
    try:
        with ThreadPoolExecutor(len(clones)) as pool:
            made = list(pool.map(lambda clone: clone.ensure(), clones))
        names = Counter(network["Name"] for network in engine.client().api.networks())

        assert len({network.name for network in made} | {network.edge for network in made}) == 2 * len(clones)
        assert {names[name] for network in made for name in (network.name, network.edge)} == {1}
        assert [clone.ensure() for clone in clones] == made
        assert not [name for name in names if name.startswith(f"skillops-probe-race-{os.getpid()}")]
    finally:
        for clone in clones:
            clone.remove()
