"""The process runtime: skills are sandboxed processes of this machine, owned by the clone's supervisor.

Callers reach a skill at a socket whose path never changes; a new version takes it over in one rename.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.domain.release import Artifact, Endpoint
from agent.domain.skill import Manifest
from agent.errors import CouldNotTell, Refused
from agent.instance import Instance, not_healthy, tail
from agent.ports import AdoptingSandbox, Availability, Deployment, Language, Mount, Running, SandboxProcess, Usage
from agent.runtimes.supervised import SupervisedRuntime
from agent.supervisor_client import home, make_sockets, short_folder

SOCKET = "skill.sock"
STORAGE = "/storage"


class ProcessRuntime(SupervisedRuntime):
    """`Runtime` of sandboxed processes."""

    def __init__(self, state: Path, sandbox: AdoptingSandbox, languages: Mapping[str, Language], supervisor_command: Sequence[str]) -> None:
        super().__init__(state, ProcessLauncher(state, sandbox, languages), supervisor_command)


class ProcessServer:
    """`Running` as a sandboxed process. `folder` is shown to the sandbox, which can change what lies in it; the socket beside it is ours."""

    def __init__(self, process: SandboxProcess, folder: Path, started_at: float | None = None) -> None:
        self.process, self.folder, self.started_at = process, folder, started_at
        self.name, self.socket = folder.name, folder.with_name(folder.name + ".sock")
        self.endpoint = Endpoint(socket=str(self.socket))

    def running(self) -> bool:
        return self.process.running()

    def listens(self) -> bool:
        return self.socket.exists() or self._link_socket()

    def stop(self) -> None:
        self.process.stop()
        with contextlib.suppress(OSError):
            self.socket.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kept(self) -> dict[str, Any]:
        return {"pid": self.process.pid, "started_at": self.started_at}

    def usage(self) -> Usage:
        return Usage()

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
    """`Launcher` on a sandbox, for the clone whose state folder is `state`."""

    name = "process"

    def __init__(self, state: Path, sandbox: AdoptingSandbox, languages: Mapping[str, Language]) -> None:
        self._state, self._sandbox, self._languages = state.absolute(), sandbox, languages

    def available(self) -> Availability:
        return self._sandbox.available()

    def launch(self, deployment: Deployment, name: str) -> Running:
        log = self._log(deployment.skill)
        log.parent.mkdir(mode=0o700, exist_ok=True)
        server = self._start(
            Path(deployment.location),
            deployment.manifest,
            self._sockets / name,
            log=log,
            storage=self._state / "storage" / deployment.skill,
            outlive=True,
        )
        server.started_at = self._sandbox.started_at(server.process.pid)
        return server

    def attach(self, name: str, kept: Mapping[str, Any]) -> Running | None:
        pid, started_at = int(kept["pid"]), float(kept["started_at"])
        process = self._sandbox.attach(pid, started_at)
        return ProcessServer(process, self._sockets / name, started_at) if process else None

    def sweep(self, living: Container[str]) -> None:
        for path in self._sockets.iterdir():
            if path.is_dir() and path.name not in living:
                shutil.rmtree(path, ignore_errors=True)
            elif not path.is_dir() and path.stem not in living:
                path.unlink(missing_ok=True)

    def switch(self, skill: str, serving: Sequence[Running]) -> None:
        path = self._socket(skill)
        if not serving:
            path.unlink(missing_ok=True)
            return
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        os.link(str(serving[0].endpoint.socket), fresh)
        fresh.replace(path)
        fresh.unlink(missing_ok=True)  # rename(2) does nothing where both are links to one socket

    def endpoint(self, skill: str) -> Endpoint:
        return Endpoint(socket=str(self._socket(skill)))

    def logs(self, skill: str, lines: int) -> str | None:
        path = self._log(skill)
        return tail(path, lines) if path.exists() else None

    @contextlib.contextmanager
    def trial(self, artifact: Artifact, manifest: Manifest) -> Iterator[Endpoint]:
        if asked := unserved(manifest):
            raise CouldNotTell(
                f"{manifest.name} cannot be tried here: it asks for {asked}.",
                why="The process runtime gives a skill neither network nor secrets yet, so what it does without them says nothing.",
                next_step="Take them out of `permissions` in its skill.yaml, or use another runtime.",
            )
        with tempfile.TemporaryDirectory(prefix="skillops-", dir=short_folder(), ignore_cleanup_errors=True) as name:
            folder, log = Path(name), Path(name) / "log"
            location, storage = Path(artifact.location), folder / "storage"
            instance = Instance(manifest, self._start(location, manifest, folder / "run", log=log, storage=storage, outlive=False))
            try:
                if why := instance.wait():
                    raise not_healthy(manifest.name, why, tail(log, 20))
                yield instance.endpoint
            finally:
                instance.stop()

    def look(self) -> None:
        """Processes share nothing that would need care."""

    def close(self) -> None:
        """Nor is anything left of them."""

    def _start(self, artifact: Path, manifest: Manifest, folder: Path, *, log: Path, storage: Path, outlive: bool) -> ProcessServer:
        """`storage` is what the skill keeps where it asks for that."""
        language = language_of(manifest, self._languages)
        folder.mkdir(mode=0o700)
        spec = language.server(artifact, manifest, folder)
        env, mounts = {**manifest.environment, **spec.env}, spec.mounts
        if manifest.permissions.storage == "persistent":
            storage.mkdir(mode=0o700, parents=True, exist_ok=True)
            env["SKILL_STORAGE"] = STORAGE
            mounts = (*mounts, Mount(source=storage, target=STORAGE, writable=True))
        process = self._sandbox.start(spec.model_copy(update={"env": env, "mounts": mounts}), log=log, outlive=outlive)
        return ProcessServer(process, folder)

    @functools.cached_property
    def _sockets(self) -> Path:
        return make_sockets(self._state)

    def _log(self, skill: str) -> Path:
        return home(self._state) / "logs" / f"{skill}.log"

    def _socket(self, skill: str) -> Path:
        """Where the skill answers, whatever version of it runs."""
        return self._sockets / (hashlib.sha256(skill.encode()).hexdigest()[:10] + ".sock")


def unserved(manifest: Manifest) -> str:
    """What the skill asks for that the process runtime cannot give it yet, in words; nothing where it can."""
    asked = [f"network {host}" for host in manifest.permissions.network] + [f"secret {name}" for name in manifest.permissions.secrets]
    return ", ".join(asked)


def language_of(manifest: Manifest, languages: Mapping[str, Language]) -> Language:
    """Raises Refused where this runtime cannot serve the skill."""
    if asked := unserved(manifest):
        raise Refused(
            f"{manifest.name} cannot be served here: it asks for {asked}.",
            why="The process runtime gives a skill neither network nor secrets yet.",
            next_step="Take that out of `permissions` in its skill.yaml, or serve it with another runtime.",
        )
    if language := languages.get(manifest.runtime):
        return language
    raise Refused(
        f"{manifest.name} cannot be served here: its language is {manifest.runtime}.",
        why=f"This runtime knows {', '.join(sorted(languages)) or 'no language'}.",
        next_step="Serve it with another runtime.",
    )
