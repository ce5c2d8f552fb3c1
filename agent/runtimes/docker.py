"""The Docker runtime: skills are containers of an engine, owned by the clone's supervisor.

They stand in a closed network; callers come in, and skills get out, through one relay. No path of this machine is shown to a
container, so that the engine may be another machine's.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
import threading
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.broker.keys import Brokers, Key, given, keys_of
from agent.docker_engine import DockerEngine, faults
from agent.domain.release import Endpoint
from agent.domain.skill import Manifest
from agent.domain.stand_in import StandIns
from agent.egress.hosting import Egress, VerdictLog
from agent.egress.rules import pinned_by
from agent.errors import CouldNotTell, Refused
from agent.instance import handed, last, made_up, tail
from agent.ports import Availability, Deployment, Running, Secrets
from agent.runtimes.docker_broker import LentBroker
from agent.runtimes.docker_containers import Containers
from agent.runtimes.docker_network import Networks
from agent.runtimes.docker_options import INSTANCE, REPOSITORY, ROLE, port_of
from agent.runtimes.docker_relay import Relay
from agent.runtimes.docker_server import GONE, DockerServer
from agent.runtimes.docker_stand_ins import LentStage
from agent.runtimes.docker_watch import Watch
from agent.runtimes.docker_way import Way, docker_host
from agent.runtimes.docker_way_back import Lent, LentTogether, LentWayBack
from agent.runtimes.ways import rules_of
from agent.supervisor_client import home, make_sockets

log = logging.getLogger("agent.supervisor")


class DockerLauncher:
    """`Launcher` on an engine, for the clone whose state folder is `state`. `base`: an image with Python, for the relay; `address` and
    `resolve`, `authorities`: the settings docker_address, egress_resolve and broker_authorities; `labels`: more of them, on all that is made."""

    name = "docker"

    def __init__(self, state: Path, engine: DockerEngine, *, base: str, address: str = "", secrets: Secrets | None = None,
                 resolve: Mapping[str, str] | None = None, authorities: str = "", labels: Mapping[str, str] | None = None) -> None:  # fmt: skip
        self._state, self._engine, self._secrets, self._labels = state.absolute(), engine, secrets, dict(labels or {})
        self._pinned = {f"{host}:{port}": list(place) for (host, port), place in pinned_by(resolve or {}).items()}
        record = VerdictLog(home(self._state) / "egress.jsonl")
        self._brokers, self._egress = Brokers(secrets, authorities), Egress(record, pinned_by(resolve or {}))
        self.clone = clone_id(self._state)
        networks = Networks(engine, self.clone, self._labels)
        way = Way(docker_host(), address, lambda: make_sockets(self._state))
        self._relay = Relay(
            engine, self.clone, networks, way, base=base, memory=home(self._state) / "relay.json", labels=self._labels, table=self._table,
            record=record,
        )  # fmt: skip
        self._containers = Containers(engine, self.clone, self._labels, self._relay.image)
        self._watch = Watch(engine, f"{REPOSITORY}={self.clone}", self._heard, self._gone, self._back)
        self._lock = threading.Lock()
        self._servers: dict[str, DockerServer] = {}
        self._names: set[str] = set()  # also of those that are just being made
        self._serving: dict[str, list[DockerServer]] = {}
        self._lost = False

    def available(self) -> Availability:
        return self._engine.available()

    def launch(self, deployment: Deployment, name: str, *, trial: StandIns | None = None) -> Running:
        manifest = deployment.manifest
        if "/" in deployment.location and Path(deployment.location).is_dir():
            raise Refused(
                f"{deployment.skill} was built as a folder, and containers are started from images.",
                next_step="Set `builder = 'docker'` in skillops.toml, and `skillops deploy`.",
            )
        keys = keys_of(manifest, deployment.person) if trial is None else ()
        secrets = made_up(manifest) if trial is not None else given(handed(deployment, self._secrets), keys)
        self._watch.start()
        network = self._relay.ready()
        with contextlib.ExitStack() as undo:
            self._names.add(name)
            undo.callback(self._names.discard, name)
            with faults(f"start {deployment.skill}"):
                stage = self._lent(manifest, keys, trial)
                if stage:
                    undo.callback(stage.close)
                trusted = stage.certificates if stage else b""
                container = self._containers.create(deployment, name, network, trial=trial is not None, trusted=bool(trusted))
                server = self._server(name, manifest, container, trial=trial is not None)
                server.stage, server.keys = stage, keys
                undo.callback(server.stop)
                with self._lock:
                    self._servers[name] = server  # before it is started, so that its end is heard
                self._containers.start(container, {key: value.encode() for key, value in secrets.items()}, trusted)
                self._addressed(server)
                if stage:
                    stage.lend(self._relay.endpoint("relay"), server.address)
            self._relay.tell()
            server.endpoint = self._relay.endpoint(f"{name}.instance")
            undo.pop_all()
        return server

    def attach(self, name: str, kept: Mapping[str, Any]) -> Running | None:
        import docker.errors

        manifest = Manifest.model_validate(kept["manifest"])
        self._watch.start()
        try:
            with faults("find a container again"):
                container = self._engine.client().containers.get(str(kept["container"]))
                if container.status != "running" or container.labels.get(INSTANCE) != name or container.labels.get(REPOSITORY) != self.clone:
                    return None
                server = self._server(name, manifest, container)
                self._addressed(server)
            server.keys = tuple(Key.model_validate(key) for key in kept.get("keys", ()))
            server.stage = self._lent(manifest, server.keys)
            self._names.add(name)
            server.endpoint = self._relay.endpoint(f"{name}.instance")
            if server.stage:
                server.stage.lend(self._relay.endpoint("relay"), server.address)
            return server
        except CouldNotTell as error:
            if not isinstance(error.__cause__, docker.errors.NotFound):
                log.warning("%s cannot be looked for: %s", name, error)
            return None

    def sweep(self, living: Container[str]) -> None:
        """Containers of ours that nobody knows, and the volumes of their secrets."""
        try:
            self._containers.sweep(living)
        except CouldNotTell as error:
            self._lost = True
            log.warning("old containers are not cleared away yet: %s", error)

    def switch(self, place: str, serving: Sequence[Running]) -> None:
        with self._lock:
            before = self._serving.get(place, [])
            self._serving[place] = [server for server in serving if isinstance(server, DockerServer)]
        try:
            if before or serving:
                self._relay.tell()
                self._rename(place, before)
        except CouldNotTell as error:
            if serving:
                with self._lock:
                    self._serving[place] = before
                raise
            log.warning("the relay was not told that %s does not run: %s", place, error)

    def endpoint(self, place: str) -> Endpoint:
        return self._relay.endpoint(place)

    def logs(self, skill: str, lines: int) -> str | None:
        path, serving = self._log(skill), self._serving.get(skill)
        if not path.exists() and serving is None:
            return None
        return last("\n".join([tail(path, lines), *(server.log(lines) for server in serving or ())]).strip("\n"), lines)

    def close(self) -> None:
        self._watch.stop()
        self._egress.stop()
        try:
            self._relay.close()
        except CouldNotTell as error:
            log.warning("the relay is not removed: %s", error)

    # ---- what is shared ------------------------------------------------------------------------------------------------

    def _server(self, name: str, manifest: Manifest, container: Any, *, trial: bool = False) -> DockerServer:
        log_file = None if trial else self._log(manifest.name)
        return DockerServer(self._engine, name, manifest, container, log_file=log_file, left=self._forget)

    def _lent(self, manifest: Manifest, keys: Sequence[Key], trial: StandIns | None = None) -> Lent | None:
        """What the relay is lent for one container: the stand-ins of a trial, or the broker; and the way back."""
        with contextlib.ExitStack() as undo:
            lent: list[Lent] = []
            if trial and trial.hosts:
                lent.append(LentStage(trial, manifest.permissions.brokered_places))
            elif keys:
                lent.append(LentBroker(self._egress, self._brokers, manifest.name, keys))
            undo.callback(lambda: [each.close() for each in lent])
            if manifest.requires:
                lent.append(LentWayBack(self._egress, manifest.name, self._state))
            undo.pop_all()
        return None if not lent else lent[0] if len(lent) == 1 else LentTogether(lent)

    def _addressed(self, server: DockerServer) -> None:
        told = self._engine.client().api.inspect_container(server.id)
        network = next(iter(told["NetworkSettings"]["Networks"].values()), {})
        server.address, server.port = network.get("IPAddress", ""), port_of(server.manifest)
        with self._lock:
            self._servers[server.name] = server
        if not told["State"]["Running"]:
            server.short_of_memory = bool(told["State"].get("OOMKilled"))
            server.died(str(told["State"]["ExitCode"]))

    def _rename(self, skill: str, before: Sequence[DockerServer]) -> None:
        """The one that serves has the place's name, by which the others find it; it keeps its own where another clone's container has that."""
        import docker.errors

        serving = self._serving.get(skill, [])
        first = serving[0] if serving else None
        with faults(f"name the container of {skill}"):
            api = self._engine.client().api
            for server in before:
                if server is not first:
                    with contextlib.suppress(docker.errors.APIError):
                        api.rename(server.id, f"{skill}.{server.name}")
            if first and first not in before[:1]:
                try:
                    api.rename(first.id, skill)
                except docker.errors.APIError as error:
                    if error.status_code not in (400, 409):  # 400: it has the name already
                        raise
                    if error.status_code == 409:
                        log.warning("another container of the engine is called %s; ours stays %s.%s", skill, skill, first.name)

    def _table(self) -> dict[str, Any]:
        """What the relay is told (`agent/relay/table.py`)."""
        with self._lock:
            servers = [server for server in self._servers.values() if server.address and server.running()]
            routes = {f"{server.name}.instance": [[server.address, server.port]] for server in servers}
            for skill, serving in self._serving.items():
                routes[skill] = [[server.address, server.port] for server in serving if server.running()]
            ways = {
                server.address: [server.skill, [str(rule) for rule in rules_of(server.manifest)], server.trial, server.lent] for server in servers
            }
        return {"routes": routes, "ways": ways, "pinned": self._pinned}

    def _forget(self, server: DockerServer) -> None:
        with self._lock:
            known = self._servers.pop(server.name, None)
        self._names.discard(server.name)
        if known and server.address:
            with contextlib.suppress(CouldNotTell):
                self._relay.tell()

    def _heard(self, event: dict[str, Any]) -> None:
        attributes = event.get("Actor", {}).get("Attributes", {})
        if attributes.get(ROLE) == "relay" and event.get("id") == self._relay.container:
            log.warning("the relay ended")
            self._relay.lost()
            threading.Thread(target=self._mend_relay, daemon=True).start()
        with self._lock:
            server = self._servers.get(attributes.get(INSTANCE, ""))
        if server and server.id == event.get("id"):
            if event.get("Action") == "oom":
                server.short_of_memory = True
            else:
                server.died(attributes.get("exitCode", "?"))

    def _mend_relay(self) -> None:
        try:
            self._relay.tell()
        except CouldNotTell as error:
            log.warning("the relay is not started again yet: %s", error)

    def _gone(self, why: str) -> None:
        if not self._lost:
            log.warning("Docker Engine does not answer: %s", why)
        self._lost = True
        self._relay.lost()
        with self._lock:
            for server in self._servers.values():
                server.over = server.over or GONE

    def _back(self) -> None:
        """The engine answers: what ended meanwhile is noted, what nobody wants any more is removed."""
        was_lost, self._lost = self._lost, False
        if was_lost:
            log.info("Docker Engine answers again")
            self.sweep(set(self._names))
        with faults("list its containers"):
            running = {one["Id"] for one in self._engine.client().api.containers(filters={"label": f"{REPOSITORY}={self.clone}"}, quiet=True)}
        with self._lock:
            for server in self._servers.values():
                if server.address and server.id not in running:
                    server.died("?")

    def _log(self, skill: str) -> Path:
        return home(self._state) / "logs" / f"{skill}.log"


def clone_id(state: Path) -> str:
    """Names a clone among all that use an engine: by its machine and its place there. 12 hexadecimal digits."""
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = ""
    return hashlib.sha256(f"{machine} {platform.node()} {os.path.realpath(state)}".encode()).hexdigest()[:12]
