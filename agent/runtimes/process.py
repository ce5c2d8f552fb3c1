"""The process runtime: skills are sandboxed processes of this machine, owned by the clone's supervisor."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.domain.release import Artifact, Endpoint, Service
from agent.domain.skill import Manifest
from agent.errors import CouldNotTell
from agent.instance import language_of, launch, not_healthy, unserved
from agent.ports import Availability, Deployment, Language, Sandbox
from agent.supervisor_client import NotRunning, ask, home, short_folder, start


class ProcessRuntime:
    """`Runtime` on the supervisor of the clone whose state folder is `state`, started by `supervisor_command` when needed.

    Every verb raises CouldNotTell where the supervisor cannot be started, hangs, or ends while it is asked twice.
    """

    name = "process"

    def __init__(self, state: Path, sandbox: Sandbox, languages: Mapping[str, Language], supervisor_command: Sequence[str]) -> None:
        self._state, self._sandbox, self._languages = state.absolute(), sandbox, languages
        self._command = tuple(supervisor_command)

    def available(self) -> Availability:
        return self._sandbox.available()

    def deploy(self, deployment: Deployment) -> Service:
        return Service.model_validate(self._ask("deploy", deployment=deployment.model_dump(mode="json")))

    def remove(self, skill: str) -> None:
        if self._ever_used():
            self._ask("remove", skill=skill)

    def services(self) -> Sequence[Service]:
        return [Service.model_validate(line) for line in self._ask("services")] if self._ever_used() else []

    def endpoint(self, skill: str) -> Endpoint:
        return Endpoint.model_validate(self._ask("endpoint", skill=skill))

    def logs(self, skill: str, lines: int = 200) -> str:
        return str(self._ask("logs", skill=skill, lines=lines))

    def shutdown(self) -> None:
        """Ends the supervisor and with it every running skill; what was deployed runs again with the next one."""
        with contextlib.suppress(NotRunning):
            ask(self._state, "shutdown")

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
            instance = launch(
                Path(artifact.location),
                manifest,
                language_of(manifest, self._languages),
                self._sandbox,
                folder=folder / "run",
                log=log,
                storage=folder / "storage",
                outlive=False,
            )
            try:
                if why := instance.wait():
                    raise not_healthy(manifest.name, why, log)
                yield instance.endpoint
            finally:
                instance.stop()

    def _ever_used(self) -> bool:
        """Without what a supervisor keeps there is nothing deployed, and no need to start one."""
        return (home(self._state) / "services.json").exists()

    def _ask(self, verb: str, **arguments: Any) -> Any:
        # Every verb says how things should be, so asking again does nothing twice.
        for _ in range(2):
            try:
                return ask(self._state, verb, **arguments)
            except NotRunning:
                start(self._state, self._command)
        with contextlib.suppress(NotRunning):
            return ask(self._state, verb, **arguments)
        raise CouldNotTell(
            f"The supervisor ended while it was asked to {verb}.",
            next_step=f"Try again: the next command starts a new one. {home(self._state) / 'supervisor.log'} says more.",
        )
