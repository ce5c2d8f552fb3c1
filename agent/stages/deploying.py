"""Deploying: the runtime is made to serve what the registry holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agent.catalog import Catalog
from agent.domain.event import Event
from agent.domain.proposal import DEPLOYER
from agent.domain.registry import Entry
from agent.domain.release import Endpoint, Service
from agent.errors import NotFound, Refused
from agent.ports import Builder, Deployment, Forge, Runtime
from agent.stages.releasing import artifact_of

Record = Callable[[Event], Any]


def serves(entry: Entry, services: Sequence[Service]) -> bool:
    return any(service.skill == entry.name and service.digest == entry.digest and service.state != "stopped" for service in services)


def deploy(entry: Entry, forge: Forge, builder: Builder, runtime: Runtime, record: Record) -> Service | None:
    """Makes one entry so: deployed where it is callable, removed where it is retired (None).

    Refused where the new version does not become healthy; then the old one stays in service.
    """
    if entry.status == "retired":
        runtime.remove(entry.name)
        record(deployed(entry))
        return None
    try:
        artifact, manifest = artifact_of(entry, forge, builder)
        service = runtime.deploy(Deployment(
            skill=entry.name, version=entry.version, digest=entry.digest, runtime=entry.runtime, location=artifact.location,
            resources=manifest.resources, health=manifest.health, manifest=manifest,
        ))  # fmt: skip
    except Refused as refused:
        record(_event(entry, "deploy_failed", outcome="failed", note=refused.fault))
        raise
    record(deployed(entry))
    return service


def deployed(entry: Entry) -> Event:
    """How it comes into the trail that the runtime is as the registry says."""
    return _event(entry, "removed") if entry.status == "retired" else _event(entry, "deployed", outcome="passed")


def drifted(catalog: Catalog, services: Sequence[Service]) -> tuple[str, ...]:
    """Skills whose running version is not the registry's: another digest, retired, or gone from the registry."""
    found = []
    for service in services:
        entry = catalog.entry(service.skill)
        if entry is None or entry.status == "retired" or entry.digest != service.digest:
            found.append(service.skill)
    return tuple(found)


class OnDemand:
    """A runtime's endpoints, where a skill that the registry holds but nobody deployed here is deployed when it is called."""

    def __init__(self, runtime: Runtime, deploy_now: Callable[[str], object]) -> None:
        self._runtime, self._deploy_now = runtime, deploy_now

    def endpoint(self, skill: str, person: str = "") -> Endpoint:
        try:
            return self._runtime.endpoint(skill, person)
        except NotFound:
            self._deploy_now(skill)
            return self._runtime.endpoint(skill, person)


def _event(entry: Entry, what: str, **more: Any) -> Event:
    key = f"{what}:{entry.name}:{entry.digest}:{entry.version}"
    data = {"version": entry.version, "digest": entry.digest}
    return Event(
        stage="deploying", what=what, actor=DEPLOYER, proposal=entry.proposal, skill=entry.name, commit=entry.commit, data=data, key=key, **more
    )
