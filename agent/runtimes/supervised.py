"""A runtime whose skills are owned by the clone's supervisor; what starts them is a launcher's business."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agent.domain.release import Artifact, Endpoint, Load, Service
from agent.domain.skill import Manifest
from agent.domain.stand_in import NO_STAND_INS, StandIns
from agent.errors import CouldNotTell
from agent.ports import Availability, Deployment, Launcher
from agent.served import unknown
from agent.supervisor_client import NotRunning, OtherRuntime, ask, held, home, start


class SupervisedRuntime:
    """`Runtime` on the supervisor of the clone whose state folder is `state`, started by `supervisor_command` when needed.

    `launcher` is of the kind that the supervisor has. Every verb raises CouldNotTell where the supervisor cannot be
    started, hangs, or ends while it is asked twice.
    """

    def __init__(self, state: Path, launcher: Launcher, supervisor_command: Sequence[str]) -> None:
        self.name = launcher.name
        self._state, self._launcher, self._command = state.absolute(), launcher, tuple(supervisor_command)

    def available(self) -> Availability:
        return self._launcher.available()

    def deploy(self, deployment: Deployment) -> Service:
        return Service.model_validate(self._ask("deploy", deployment=deployment.model_dump(mode="json")))

    def remove(self, skill: str) -> None:
        if self._ever_used():
            self._ask("remove", skill=skill)

    def services(self) -> Sequence[Service]:
        return [Service.model_validate(line) for line in self._ask("services")] if self._ever_used() else []

    def endpoint(self, skill: str, person: str = "") -> Endpoint:
        return Endpoint.model_validate(self._ask("endpoint", skill=skill, person=person))

    def logs(self, skill: str, lines: int = 200) -> str:
        if not self._ever_used():
            raise unknown(skill, ())
        return str(self._ask("logs", skill=skill, lines=lines))

    def stats(self, skill: str | None = None) -> Sequence[Load]:
        if skill and not self._ever_used():
            raise unknown(skill, ())
        return [Load.model_validate(line) for line in self._ask("stats", skill=skill)] if self._ever_used() else []

    def shutdown(self) -> None:
        """Ends the supervisor and with it every running skill; what was deployed runs again with the next one."""
        with contextlib.suppress(NotRunning):
            ask(self._state, "shutdown")

    @contextlib.contextmanager
    def trial(self, artifact: Artifact, manifest: Manifest, stand_ins: StandIns = NO_STAND_INS) -> Iterator[Endpoint]:
        """The supervisor's, which ends it with the connection that asked for it: so it dies with its starter."""
        deployment = Deployment(
            skill=manifest.name, version=manifest.version, digest=artifact.digest, runtime=manifest.runtime, location=artifact.location,
            resources=manifest.resources, health=manifest.health, manifest=manifest,
        )  # fmt: skip
        self._ask("ping")
        try:
            # What was not said stays unsaid: a reply with `json: null` and one without a body are two.
            script = stand_ins.model_dump(mode="json", by_alias=True, exclude_unset=True)
            with held(self._state, "trial", deployment=deployment.model_dump(mode="json"), stand_ins=script) as endpoint:
                yield Endpoint.model_validate(endpoint)
        except NotRunning:
            raise self._ended("trial") from None

    def _ever_used(self) -> bool:
        """Without what a supervisor keeps there is nothing deployed, and no need to start one."""
        return (home(self._state) / "services.json").exists()

    def _ask(self, verb: str, **arguments: Any) -> Any:
        # Every verb says how things should be, so asking again does nothing twice.
        for _ in range(2):
            try:
                return ask(self._state, verb, runtime=self.name, **arguments)
            except OtherRuntime:  # the settings have changed since it was started
                self.shutdown()
                start(self._state, self._command)
            except NotRunning:
                start(self._state, self._command)
        with contextlib.suppress(NotRunning):
            return ask(self._state, verb, runtime=self.name, **arguments)
        raise self._ended(verb)

    def _ended(self, verb: str) -> CouldNotTell:
        return CouldNotTell(
            f"The supervisor ended while it was asked to {verb}.",
            next_step=f"Try again: the next command starts a new one. {home(self._state) / 'supervisor.log'} says more.",
        )
