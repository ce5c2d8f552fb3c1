"""The process runtime: skills are sandboxed processes of this machine, owned by the clone's supervisor.

Callers reach a skill at a socket whose path never changes; a new version takes it over in one rename.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from agent.broker.keys import Brokers, Key, given, keys_of
from agent.caller import further_place, socket_places
from agent.domain.release import Artifact, Endpoint
from agent.domain.skill import Manifest
from agent.domain.stand_in import NO_STAND_INS, StandIns
from agent.egress.hosting import Egress, VerdictLog
from agent.egress.rules import pinned_by
from agent.errors import Refused, SkillOpsError
from agent.instance import Instance, handed, made_up, not_healthy, tail
from agent.ports import AdoptingSandbox, Availability, Deployment, Language, Mount, Running, SandboxProcess, Secrets, Usage
from agent.runtimes.supervised import SupervisedRuntime
from agent.runtimes.way_out import WayOut, hermetic
from agent.runtimes.ways import rules_of, variables_of
from agent.supervisor_client import home, make_sockets, short_folder

SOCKET = "skill.sock"
STORAGE = "/storage"
SECRETS = "/run/secrets"


class ProcessRuntime(SupervisedRuntime):
    """`Runtime` of sandboxed processes. A trial needs no supervisor: its sandbox ends with whoever started it."""

    def __init__(self, state: Path, sandbox: AdoptingSandbox, languages: Mapping[str, Language], supervisor_command: Sequence[str]) -> None:
        # Only the supervisor starts what is handed secrets; a trial has made-up ones.
        self._processes = ProcessLauncher(state, sandbox, languages)
        super().__init__(state, self._processes, supervisor_command)

    @contextlib.contextmanager
    def trial(self, artifact: Artifact, manifest: Manifest, stand_ins: StandIns = NO_STAND_INS) -> Iterator[Endpoint]:
        with tempfile.TemporaryDirectory(prefix="skillops-", dir=short_folder(), ignore_cleanup_errors=True) as name, ExitStack() as stack:
            folder, log = Path(name), Path(name) / "log"
            location, storage, run = Path(artifact.location), folder / "storage", folder / "run"
            way = stack.enter_context(hermetic(manifest, run, self._state, stand_ins)) if rules_of(manifest) else None
            secrets = made_up(manifest)
            instance = Instance(
                manifest, self._processes.start(location, manifest, run, log=log, storage=storage, secrets=secrets, outlive=False, way=way)
            )
            try:
                if why := instance.wait():
                    raise not_healthy(manifest.name, why, instance.server.log(20))
                yield instance.endpoint
            finally:
                instance.stop()


class ProcessServer:
    """`Running` as a sandboxed process. `folder` is shown to the sandbox, which can change what lies in it; the socket beside it is ours."""

    def __init__(self, process: SandboxProcess, folder: Path, log: Path, started_at: float | None = None, way: WayOut | None = None) -> None:
        self.process, self.folder, self.log_file, self.started_at, self._way = process, folder, log, started_at, way
        self.name, self.socket = folder.name, folder.with_name(folder.name + ".sock")
        self.endpoint = Endpoint(socket=str(self.socket))

    def running(self) -> bool:
        return self.process.running()

    def listens(self) -> bool:
        return self.socket.exists() or self._link_socket()

    def ending(self) -> str:
        return "it ended"

    def log(self, lines: int) -> str:
        return tail(self.log_file, lines)

    def stop(self) -> None:
        self.process.stop()
        with contextlib.suppress(OSError):
            self.socket.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._way:
            self._way.close()

    def kept(self) -> dict[str, Any]:
        way = self._way.kept() if self._way else None
        return {"pid": self.process.pid, "started_at": self.started_at, "log": str(self.log_file), "way": way}

    def usage(self) -> Usage:
        return self.process.usage()

    def _link_socket(self) -> bool:
        # A hard link outside the sandbox's folder: code inside cannot later point it at another socket of this machine.
        try:
            os.link(self.folder / SOCKET, self.socket, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if stat.S_ISSOCK(self.socket.lstat().st_mode):
            return True
        self.socket.unlink()
        return False


class ProcessLauncher:
    """`Launcher` on a sandbox, for the clone whose state folder is `state`. `resolve`, `authorities`: as the settings egress_resolve,
    broker_authorities.
    Without `secrets` no skill that asks for any is launched.
    """

    name = "process"

    def __init__(
        self,
        state: Path,
        sandbox: AdoptingSandbox,
        languages: Mapping[str, Language],
        resolve: Mapping[str, str] | None = None,
        secrets: Secrets | None = None,
        authorities: str = "",
    ) -> None:
        self._state, self._sandbox, self._languages, self._secrets = state.absolute(), sandbox, languages, secrets
        self._brokers = Brokers(secrets, authorities)
        self._egress = Egress(VerdictLog(home(self._state) / "egress.jsonl"), pinned_by(resolve or {}))

    def available(self) -> Availability:
        return self._sandbox.available()

    def launch(self, deployment: Deployment, name: str, *, trial: StandIns | None = None) -> Running:
        folder, log, location = self._sockets / name, self._log(deployment.skill), Path(deployment.location)
        log.parent.mkdir(mode=0o700, exist_ok=True)
        storage = folder / "storage" if trial is not None else self._state / "storage" / deployment.place
        keys = keys_of(deployment.manifest, deployment.person)
        secrets = given(handed(deployment, self._secrets), keys)
        way = self._way(deployment.manifest, folder, keys)
        server = self.start(location, deployment.manifest, folder, log=log, storage=storage, secrets=secrets, outlive=True, way=way)
        server.started_at = self._sandbox.started_at(server.process.pid)
        return server

    def attach(self, name: str, kept: Mapping[str, Any]) -> Running | None:
        pid, started_at = int(kept["pid"]), float(kept["started_at"])
        process = self._sandbox.attach(pid, started_at)
        if process is None:
            return None
        way = WayOut.known(self._egress, self._sockets / name, self._state, kept["way"], self._brokers) if kept.get("way") else None
        return ProcessServer(process, self._sockets / name, Path(kept.get("log", os.devnull)), started_at, way)

    def sweep(self, living: Container[str]) -> None:
        for path in self._sockets.iterdir():
            if path.stem in living:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def switch(self, place: str, serving: Sequence[Running]) -> None:
        path = self._socket(place)
        # What is more than one goes first, and comes last: until then callers have the first alone.
        for further in socket_places(str(path))[1:]:
            Path(further).unlink(missing_ok=True)
        if not serving:
            path.unlink(missing_ok=True)
        for number, server in enumerate(serving):
            _lead(path if number == 0 else Path(further_place(str(path), number)), str(server.endpoint.socket))

    def endpoint(self, place: str) -> Endpoint:
        return Endpoint(socket=str(self._socket(place)))

    def logs(self, skill: str, lines: int) -> str | None:
        path = self._log(skill)
        return tail(path, lines) if path.exists() else None

    def close(self) -> None:
        self._egress.stop()

    def _way(self, manifest: Manifest, folder: Path, keys: Sequence[Key]) -> WayOut | None:
        rules = rules_of(manifest)
        return WayOut.made(self._egress, manifest.name, rules, folder, self._state, keys, self._brokers) if rules else None

    def start(
        self,
        artifact: Path,
        manifest: Manifest,
        folder: Path,
        *,
        log: Path,
        storage: Path,
        secrets: Mapping[str, str],
        outlive: bool,
        way: WayOut | None,
    ) -> ProcessServer:
        """Starts a server in `folder`, made for it; unless `outlive`, it dies with us. `storage` is what the skill keeps; `secrets`
        become files that lie on no disk.
        The way out is closed again where it does not start."""
        try:
            language = language_of(manifest, self._languages)
            folder.mkdir(mode=0o700)
            spec = language.server(artifact, manifest, folder)
            env, mounts = {**manifest.environment, **spec.env, **variables_of(manifest)}, spec.mounts
            if manifest.permissions.storage == "persistent":
                storage.mkdir(mode=0o700, parents=True, exist_ok=True)
                env["SKILL_STORAGE"] = STORAGE
                mounts = (*mounts, Mount(source=storage, target=STORAGE, writable=True))
            if secrets:
                env["SKILL_SECRETS"] = SECRETS
            files = {f"{SECRETS}/{name}": value.encode() for name, value in secrets.items()}
            spec = spec.model_copy(update={"env": env, "mounts": mounts, "files": files})
            process = self._sandbox.start(way.lead(spec) if way else spec, log=log, outlive=outlive)
        except (SkillOpsError, OSError):
            if way:
                way.close()
            raise
        return ProcessServer(process, folder, log, way=way)

    @functools.cached_property
    def _sockets(self) -> Path:
        return make_sockets(self._state)

    def _log(self, skill: str) -> Path:
        return home(self._state) / "logs" / f"{skill}.log"

    def _socket(self, place: str) -> Path:
        """Where the skill answers, whatever version of it runs."""
        name = base64.urlsafe_b64encode(hashlib.sha256(place.encode()).digest()[:9]).decode()  # as much as a socket's path has room for
        return self._sockets / f"{name}.sock"


def _lead(path: Path, socket: str) -> None:
    """Makes `path` another name of the socket, in one step."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    os.link(socket, fresh)
    fresh.replace(path)
    fresh.unlink(missing_ok=True)  # rename(2) does nothing where both are links to one socket


def language_of(manifest: Manifest, languages: Mapping[str, Language]) -> Language:
    """Raises Refused where this runtime cannot serve the skill."""
    if language := languages.get(manifest.runtime):
        return language
    raise Refused(
        f"{manifest.name} cannot be served here: its language is {manifest.runtime}.",
        why=f"This runtime knows {', '.join(sorted(languages)) or 'no language'}.",
        next_step="Serve it with another runtime.",
    )
