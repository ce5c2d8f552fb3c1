"""The sandbox of Docker Engine: a container a run, without network, capabilities or a way to gain any, on a read-only root.

What runs inside sees the same as in bubblewrap: this machine's programs, what the caller mounts, an own /tmp and loopback.
An engine that does not see this machine's files (DOCKER_HOST elsewhere) is given them as copies, on a root image of its own.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.docker_engine import DockerEngine, faults, remove
from agent.errors import CouldNotTell, SandboxUnavailable
from agent.ports import Availability, Ending, SandboxProcess, SandboxResult, SandboxSpec
from agent.sandboxes import battery
from agent.sandboxes.battery import Attempt, proof
from agent.sandboxes.cgroup import Cgroup
from agent.sandboxes.container import BOOT, LABEL, MARKS, NOTHING, RESULT, Setting, configured
from agent.sandboxes.docker_copies import PREFIX, with_their_python
from agent.sandboxes.docker_groups import group_of
from agent.sandboxes.docker_root import see_our_files, small_root
from agent.sandboxes.docker_service import DockerService
from agent.sandboxes.exchange import Ended, Exchange, hang_up
from agent.sandboxes.process import name_of
from agent.sandboxes.tree import refuse_nul
from agent.sandboxes.undertaker import Undertaker

_AS_ONE = ("/bin/sh", "-c", 'exec "$@" 2>&1', "sh")  # the engine does not keep the order between two streams
_SHIM = (Path(__file__).parent / "shim.sh").read_text()
UNCONFINED = Availability(
    ok=False, why="Docker Engine filters no system calls (it has no seccomp).", fix="Use an engine and a kernel with seccomp: `docker info` lists it."
)


@dataclass(frozen=True)
class _Ground:
    """What was found out about the engine: the root image, and whether it sees the files of this machine."""

    availability: Availability
    setting: Setting = NOTHING
    marks: tuple[str, ...] = ()  # by which it is known again


class DockerSandbox:
    """`Sandbox` by Docker Engine. May be shared by threads. `image`: the root for an engine elsewhere, with the languages' programs."""

    name = "docker"

    def __init__(self, engine: DockerEngine | None = None, image: str = "") -> None:
        self._engine, self._image = engine or DockerEngine(), image
        self._lock, self._found, self._undertaker = threading.Lock(), None, Undertaker()

    _found: _Ground | None

    def available(self) -> Availability:
        """Tries it once; where it works with weaker walls, `ok` comes with a `why`. An engine that is away is looked for anew."""
        try:
            return self._ground().availability
        except CouldNotTell as error:
            return Availability(ok=False, why=error.fault, fix=error.next_step)

    def run(self, spec: SandboxSpec) -> SandboxResult:
        """As `BubblewrapSandbox.run`. An engine elsewhere cannot tell `pids` from `nonzero`: its counters are out of reach."""
        return self._run(self._usable(), spec)

    def tried(self) -> tuple[Attempt, ...]:
        """What a program in it can do, tried now. Raises CouldNotTell where none can run at all."""
        ground = self._explore()
        if not ground.availability.ok:
            raise SandboxUnavailable("No sandbox can run here.", why=ground.availability.why, next_step=ground.availability.fix)
        return battery.tried(lambda spec: self._run(ground, spec))

    def _run(self, ground: _Ground, spec: SandboxSpec) -> SandboxResult:
        mark = secrets.token_hex(16)
        spec = spec if ground.setting.sees_our_files else with_their_python(spec)
        command = ("/bin/sh", "-c", _SHIM, "sh", mark, RESULT if spec.result_fd else "", str(spec.limits.output + 1), *spec.argv)
        with ExitStack() as stack:
            try:
                container = stack.enter_context(self._container(ground, spec, command, overhead=MARKS))
                exchange = stack.enter_context(closing(Exchange(self._attached(container, spec), mark, spec.limits.output)))
                begun = time.monotonic()
                pid = self._started(container)
            except _NotStarted as error:
                return SandboxResult(ending="could_not_tell", stderr=str(error).encode())
            exchange.begin(spec.stdin)
            ended = exchange.wait(time.monotonic() + spec.limits.seconds)  # the program's time, however busy the engine is
            seconds = time.monotonic() - begun
            ending = self._ending(ended, container, group_of(pid) if ground.setting.sees_our_files else None)
        return SandboxResult(
            ending=ending, exit_code=ended.exit_code, stdout=ended.stdout, stderr=ended.stderr, result=ended.result if spec.result_fd else b"",
            seconds=seconds,
        )  # fmt: skip

    def start(self, spec: SandboxSpec, *, log: Path, outlive: bool = False) -> SandboxProcess:
        """As `BubblewrapSandbox.start`. What it prints comes into the log while its starter lives."""
        ground, stack = self._usable(), ExitStack()
        spec = spec if ground.setting.sees_our_files else with_their_python(spec)
        with ExitStack() as undo:
            undo.push(stack)
            try:
                container = stack.enter_context(self._container(ground, spec, (*_AS_ONE, *spec.argv), overhead=1, outlive=outlive))
                stream = self._attached(container, spec)
                stack.callback(hang_up, stream)
                pid = self._started(container)
            except _NotStarted as error:
                raise SandboxUnavailable(
                    "A sandbox could not be started.", why=str(error), next_step="`skillops doctor` looks for the cause."
                ) from None
            undo.pop_all()
        return DockerService(self._engine.client().api, container, stream, pid, spec, log, stack)

    def _ending(self, ended: Ended, container: str, group: Cgroup | None) -> Ending:
        if ended.exit_code == 0:
            return "ok"
        if group.out_of_memory() if group else self._out_of_memory(container):
            return "out_of_memory"
        if group and group.out_of_processes():
            return "pids"
        return ended.cut or ("could_not_tell" if ended.exit_code is None else "nonzero")

    def _out_of_memory(self, container: str) -> bool:
        """What the engine says once a container has ended, whose counters are gone then or never were in reach."""
        import docker.errors

        api = self._engine.client().api
        with faults("look at a container"):
            with contextlib.suppress(docker.errors.APIError):  # it has ended already
                api.kill(container)
            api.wait(container)
            return bool(api.inspect_container(container)["State"]["OOMKilled"])

    @contextmanager
    def _container(self, ground: _Ground, spec: SandboxSpec, argv: tuple[str, ...], *, overhead: int, outlive: bool = False) -> Iterator[str]:
        """A container that is made and not started, by its id; it is removed whatever happens to it, or to us."""
        refuse_nul(*spec.argv, *spec.env, *spec.env.values(), *(mount.target for mount in spec.mounts))
        if missing := [mount.source for mount in spec.mounts if not mount.source.exists()]:
            raise _NotStarted(f"{missing[0]} cannot be mounted: it is not there")
        labels = {LABEL: f"{BOOT}:{'' if outlive else name_of(os.getpid())}"}
        api = self._engine.client().api
        with configured(ground.setting, spec, overhead=overhead, take=self._undertaker.take, give_back=self._undertaker.give_back) as (
            config,
            copies,
        ):
            with faults("make a container"):
                container: str = api.create_container_from_config({
                    **config, "Image": ground.setting.image, "Cmd": list(argv), "Labels": labels, "OpenStdin": bool(spec.stdin),
                    "StdinOnce": bool(spec.stdin), "AttachStdin": bool(spec.stdin), "AttachStdout": True, "AttachStderr": True,
                }, f"{PREFIX}{secrets.token_hex(8)}")["Id"]  # fmt: skip
            try:
                if not outlive:
                    self._undertaker.take(container)
                copies.fill(api, container)
                yield container
                copies.bring_back(api, container)
            finally:
                with contextlib.suppress(CouldNotTell), faults("remove a container"):
                    remove(api, container)
                self._undertaker.give_back(container)

    def _attached(self, container: str, spec: SandboxSpec) -> Any:
        with faults("attach to a container"):
            params = {"stream": 1, "stdout": 1, "stderr": 1, "stdin": int(bool(spec.stdin))}
            stream = self._engine.client().api.attach_socket(container, params)
        connection = getattr(stream, "_sock", stream)
        connection.settimeout(None)
        return stream

    def _started(self, container: str) -> int:
        """The pid of its first process. Raises _NotStarted with what the engine says of a program or a mount that is not there."""
        import docker.errors

        api = self._engine.client().api
        with faults("start a container"):
            try:
                api.start(container)
            except docker.errors.APIError as error:
                raise _NotStarted(str(error.explanation or error)) from None
            return int(api.inspect_container(container)["State"]["Pid"])

    def _usable(self) -> _Ground:
        try:
            ground = self._ground()
        except CouldNotTell as error:
            raise SandboxUnavailable("No sandbox can run here.", why=error.fault, next_step=error.next_step) from error
        if not ground.availability.ok:
            raise SandboxUnavailable("No sandbox can run here.", why=ground.availability.why, next_step=ground.availability.fix)
        return ground

    def _ground(self) -> _Ground:
        with self._lock:
            if self._found is None:
                self._found = self._proven(self._explore())
            return self._found

    def _proven(self, ground: _Ground) -> _Ground:
        """The ground, where nothing gets out of a sandbox on it. On an engine elsewhere the canaries would lie on the wrong machine."""
        if not ground.availability.ok or not ground.setting.sees_our_files:
            return ground
        found = proof.trouble(self.name, (ground.setting, *ground.marks), lambda spec: self._run(ground, spec))
        return _Ground(found) if found else ground

    def _explore(self) -> _Ground:
        api = self._engine.client().api
        with faults("ask Docker Engine about itself"):
            info = api.info()
        if not any("seccomp" in option for option in info.get("SecurityOptions") or ()):
            return _Ground(UNCONFINED)
        self._reap(api)
        small = small_root(self._engine)
        sees = see_our_files(self._engine, small)
        if not sees and not self._image:
            fix = "Name an image with the programs of the skills' languages in the setting sandbox_image, such as skillops/base-python:stable."
            return _Ground(Availability(ok=False, why="Docker Engine does not see this machine's files, so it needs a root image.", fix=fix))
        marks = tuple(str(info.get(name)) for name in ("ID", "ServerVersion", "KernelVersion", "SecurityOptions", "CgroupVersion"))
        return _Ground(Availability(ok=True), Setting(small if sees else self._image, sees), marks)

    def _reap(self, api: Any) -> None:
        """Removes what starters of this machine left that were killed together with their undertaker."""
        with faults("list containers"):
            found = api.containers(all=True, filters={"label": LABEL})
        for container in found:
            boot, _, starter = container["Labels"][LABEL].partition(":")
            pid = starter.partition("-")[0]
            if boot == BOOT and pid.isdigit() and name_of(int(pid)) != starter:
                with contextlib.suppress(CouldNotTell), faults("remove a container"):
                    remove(api, container["Id"])


class _NotStarted(Exception):
    """What was asked for is not there: no fault of the program, which never ran."""
