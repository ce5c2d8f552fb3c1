"""The two networks of a clone: the closed one, where its containers reach one another by name, and neither the world nor the engine's
host; and the one with the world, which the relay alone is on as well."""

from __future__ import annotations

import ipaddress
import random
import time
from typing import Any, NamedTuple

from agent.docker_engine import DockerEngine, faults
from agent.errors import CouldNotTell
from agent.runtimes.docker_options import REPOSITORY

NAME, EDGE = "agent-net", "agent-edge"
TRIES = 20
SIZE = 22  # bits of the network: about 500 addresses for skills
# `internal` alone leaves the bridge an address of the host, at which its services would be reached.
CLOSED = {"com.docker.network.bridge.inhibit_ipv4": "true"}


class Network(NamedTuple):
    """The closed network. `relay`: the address in it that is kept for the relay; `edge`: the network with the world."""

    name: str
    relay: str
    edge: str


class Networks:
    """Made where they are missing. A second clone on one engine gets its own, named after it."""

    def __init__(self, engine: DockerEngine, clone: str, labels: dict[str, str]) -> None:
        self._engine, self._clone, self._labels = engine, clone, {**labels, REPOSITORY: clone}

    def ensure(self) -> Network:
        """Raises CouldNotTell."""
        with faults("make the networks of the skills"):
            api = self._engine.client().api
            for _ in range(TRIES):
                ours = self._ours()
                edge = next((name for name in ours if name.startswith(EDGE)), None)
                closed = next((name for name in ours if name.startswith(NAME)), None)
                if edge and closed and all(len(_called(api, name)) == 1 for name in (edge, closed)):
                    return Network(closed, _relay_address(ours[closed]["IPAM"]["Config"][0]["Subnet"]), edge)
                if not edge:
                    self._make_edge(api)
                elif not closed:
                    self._make(api)
                else:
                    time.sleep(0.1)  # another clone made one of the same name, and takes it back
        raise CouldNotTell("No network could be made for the skills.", why="Its addresses are taken again and again.", next_step="Try again.")

    def remove(self) -> None:
        """Where nothing is on it any more."""
        import docker.errors

        with faults("remove the network of the skills"):
            api = self._engine.client().api
            for network in api.networks(filters={"label": f"{REPOSITORY}={self._clone}"}):
                try:
                    api.remove_network(network["Id"])
                except docker.errors.APIError as error:
                    if error.status_code not in (403, 404):  # somebody is still on it, or it is gone
                        raise

    def _ours(self) -> dict[str, Any]:
        found = self._engine.client().api.networks(filters={"label": f"{REPOSITORY}={self._clone}"})
        return {network["Name"]: network for network in found}

    def _name(self, api: Any, name: str) -> str:
        return f"{name}-{self._clone}" if any(network["Name"] == name for network in api.networks(names=[name])) else name

    def _make_edge(self, api: Any) -> None:
        name = self._name(api, EDGE)
        _first_or_none(api, name, api.create_network(name, driver="bridge", labels=self._labels)["Id"])

    def _make(self, api: Any) -> None:
        """A fixed address is given only in a subnet that was asked for, and only the engine knows which are free: so it is let choose first."""
        import docker.errors
        from docker.types import IPAMConfig, IPAMPool

        name, rest = self._name(api, NAME), {"driver": "bridge", "internal": True, "options": CLOSED}
        probe = api.create_network(f"skillops-probe-{self._clone}", **rest)
        try:
            chosen = ipaddress.ip_network(api.inspect_network(probe["Id"])["IPAM"]["Config"][0]["Subnet"])
        finally:
            api.remove_network(probe["Id"])
        # Any of its parts, so that clones which were let choose the same do not all want the first.
        subnet = random.choice(list(chosen.subnets(new_prefix=max(SIZE, chosen.prefixlen))))
        pool = IPAMPool(subnet=str(subnet), iprange=str(list(subnet.subnets())[1]), gateway=str(subnet[1]))
        try:
            made = api.create_network(name, ipam=IPAMConfig(pool_configs=[pool]), check_duplicate=True, labels=self._labels, **rest)
            _first_or_none(api, name, made["Id"])
        except docker.errors.APIError as error:
            if error.status_code not in (403, 409) and "overlaps" not in str(error.explanation):  # else another clone was quicker
                raise


def _called(api: Any, name: str) -> list[Any]:
    """The networks of exactly this name, the oldest first: an engine takes a name twice where it is asked twice at once."""
    return sorted((each for each in api.networks(names=[name]) if each["Name"] == name), key=lambda each: (each["Created"], each["Id"]))


def _first_or_none(api: Any, name: str, made: str) -> None:
    """Takes a network back that was made where there was one of its name already."""
    if _called(api, name)[0]["Id"] != made:
        api.remove_network(made)


def _relay_address(subnet: str) -> str:
    return str(ipaddress.ip_network(subnet)[2])
