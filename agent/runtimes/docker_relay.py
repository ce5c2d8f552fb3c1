"""The relay's side of the supervisor: its container is kept up, and told what there is."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import secrets
import tarfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.caller import NoAnswer, call
from agent.docker_engine import DockerEngine, faults, remove
from agent.domain.release import Endpoint
from agent.egress.proxy import Verdict
from agent.errors import CouldNotTell
from agent.runtimes.docker_network import Network, Networks
from agent.runtimes.docker_options import REPOSITORY, ROLE, STORAGE, USER, log_options, security
from agent.runtimes.docker_verdicts import follow
from agent.runtimes.docker_way import Way

if TYPE_CHECKING:
    from docker.models.containers import Container

PORT = 8080
MEMORY = 256 * 2**20
STARTS = 30.0  # seconds in which it answers, on a machine that does much else
PROGRAM = Path(__file__).parent.parent / "relay"
log = logging.getLogger("agent.supervisor")


class Relay:
    """One container for a clone. What it is known by, its token and its port, is kept in `memory`, so that what callers were told stays true.

    `table` gives what there is, `record` gets what it decides about connections to the world. Every method raises CouldNotTell. May be
    shared by threads.
    """

    def __init__(self, engine: DockerEngine, clone: str, networks: Networks, way: Way, *, base: str, memory: Path, labels: Mapping[str, str],
                 table: Callable[[], dict[str, Any]], record: Callable[[Verdict], None]) -> None:  # fmt: skip
        self._engine, self._clone, self._networks, self._way, self._base = engine, clone, networks, way, base
        self._memory, self._table, self._record = memory, table, record
        self._labels = {**labels, REPOSITORY: clone, ROLE: "relay"}
        self._lock = threading.RLock()
        self._network: Network | None = None
        self._token, self._port = "", 0
        self._endpoint: Endpoint | None = None
        self.container = ""  # its id

    def ready(self) -> Network:
        """Sees to it that it runs; the network whose gate it is."""
        with self._lock:
            if self._network is None or self._endpoint is None or self._way.broken:
                self._recall()
                self._network = self._networks.ensure()
                self._endpoint = self._up(self._network)
                self.tell()
            return self._network

    def lost(self) -> None:
        """It is gone; the next who needs it starts another."""
        with self._lock:
            self._endpoint = self._network = None
            self.container = ""

    def tell(self) -> None:
        """Says what there is, and starts another where it does not take that."""
        with self._lock:
            for attempt in (1, 2):
                self.ready()
                assert self._endpoint is not None
                body = json.dumps(self._table()).encode()
                try:
                    status, _ = call(self._endpoint, "PUT", "/table", body, timeout=10.0)
                except NoAnswer as error:
                    log.warning("the relay does not answer: %s", error)
                    self.lost()
                    if attempt == 2:
                        raise CouldNotTell("The relay between the containers and the world does not answer.", why=error.message) from None
                    continue
                if status == 200:
                    return
                raise CouldNotTell("The relay does not take what it is told.", why=f"It answered {status}.")

    def endpoint(self, name: str) -> Endpoint:
        """Where what the table calls `name` answers."""
        with self._lock:
            self.ready()
            assert self._endpoint is not None
            return self._endpoint.model_copy(update={"host": f"{name}.{self._token}"})

    def close(self) -> None:
        """Ends it, and takes the network away."""
        with self._lock:
            self._way.close()
            with faults("remove the relay"):
                for container in self._found():
                    remove(self._engine.client().api, container.id)
            self.lost()
            self._networks.remove()

    def _up(self, network: Network) -> Endpoint:
        found = self._found()
        image = self.image()
        for container in found:
            if container.status == "running" and container.attrs["Config"]["Image"] == image and self._token in str(container.attrs["Config"]["Env"]):
                return self._reached(container)
            with faults("remove a relay that ended"):
                remove(self._engine.client().api, container.id)
        return self._reached(self._started(image, network))

    def _started(self, image: str, network: Network) -> Container:
        import docker.errors

        for port in (self._port, 0):
            with faults("start the relay"):
                try:
                    container = self._created(image, network, port)
                    container.start()
                    container.reload()
                    return container
                except docker.errors.APIError as error:
                    with contextlib.suppress(docker.errors.APIError, UnboundLocalError):
                        container.remove(force=True, v=True)
                    if not port or "port" not in str(error.explanation):  # somebody else has our port by now
                        raise
        raise AssertionError("the second round returns or raises")

    def _created(self, image: str, network: Network, port: int) -> Container:
        client = self._engine.client()
        container = client.containers.create(
            image,
            name=f"skillops-relay-{self._clone}",
            network=network.edge,
            user=USER,
            labels=self._labels,
            environment={"RELAY_ADDRESS": network.relay, "RELAY_TOKEN": self._token},
            ports={f"{PORT}/tcp": (self._way.published_at, port or None)},
            cap_drop=["ALL"],
            sysctls={"net.ipv4.ip_unprivileged_port_start": "0"},  # skills ask to be let out at port 443 and the like
            security_opt=security(),
            read_only=True,
            mem_limit=MEMORY,
            memswap_limit=MEMORY,
            pids_limit=64,
            init=True,
            restart_policy={"Name": "no"},
            **log_options(),
        )
        client.networks.get(network.name).connect(container, ipv4_address=network.relay)
        return container

    def _reached(self, container: Container) -> Endpoint:
        published = container.attrs["NetworkSettings"]["Ports"][f"{PORT}/tcp"]
        self.container, self._port = container.id or "", int(published[0]["HostPort"])
        self._remember()
        place = self._way.to(self._port)
        itself = place.model_copy(update={"host": f"relay.{self._token}"})
        deadline = time.monotonic() + STARTS
        while True:
            try:
                call(itself, "GET", "/", None, timeout=2.0)
                follow(container, self._record)
                return itself
            except NoAnswer as error:
                if time.monotonic() > deadline:
                    raise CouldNotTell(
                        "The relay between the containers and the world does not answer.",
                        why=f"{error.message}; its log ends: {container.logs(tail=5).decode(errors='replace')[-500:]}",
                        next_step="Where the engine is another machine's, the setting `docker_address` says how its ports are reached.",
                    ) from None
                time.sleep(0.01)

    def _found(self) -> list[Container]:
        with faults("look for the relay"):
            ours = {"label": [f"{REPOSITORY}={self._clone}", f"{ROLE}=relay"]}
            return self._engine.client().containers.list(all=True, filters=ours, ignore_removed=True)

    def image(self) -> str:
        """The image of the relay's program, built where the engine does not have it."""
        import docker.errors

        context, digest = _context(self._base)
        tag = f"skillops-relay:{digest[:12]}"
        with faults(f"build the image of the relay on {self._base}"):
            images = self._engine.client().images
            try:
                images.get(tag)
            except docker.errors.ImageNotFound:
                images.build(fileobj=context, custom_context=True, tag=tag, rm=True, forcerm=True, labels={ROLE: "relay"})
        return tag

    def _recall(self) -> None:
        if not self._token:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                kept = json.loads(self._memory.read_text())
                self._token, self._port = str(kept["token"]), int(kept["port"])
        if not self._token:
            self._token = secrets.token_hex(16)

    def _remember(self) -> None:
        self._memory.touch(mode=0o600)
        self._memory.write_text(json.dumps({"token": self._token, "port": self._port}))


def _context(base: str) -> tuple[io.BytesIO, str]:
    """The build context as a tar, and the digest of what is in it."""
    lines = (f"FROM {base}", f"LABEL {ROLE}=relay", f"COPY --chown={USER} storage {STORAGE}", "WORKDIR /relay", "COPY agent /relay/agent",
             'CMD ["python3", "-E", "-s", "-m", "agent.relay"]')  # fmt: skip
    files = {"Dockerfile": "\n".join(lines).encode(), "agent/__init__.py": b""}
    for folder in ("relay", "egress"):
        files.update({f"agent/{folder}/{path.name}": path.read_bytes() for path in sorted((PROGRAM.parent / folder).glob("*.py"))})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        empty = tarfile.TarInfo("storage")  # what a new volume takes its owner from
        empty.type, empty.mode = tarfile.DIRTYPE, 0o700
        tar.addfile(empty)
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    packed.seek(0)
    return packed, hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
