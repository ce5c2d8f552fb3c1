"""The shelf: what the registry holds now, and what of it serves. A merge comes onto it by itself."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.async_caller import AsyncCaller
from agent.domain.registry import Entry
from agent.domain.release import Endpoint
from agent.domain.skill import Manifest
from agent.errors import CouldNotTell, NotFound, Refused, SkillOpsError
from agent.stages.deploying import serves
from agent.workplace import Workplace

log = logging.getLogger("agent.gateway")
LOOK_EVERY = 0.1  # seconds after which the view of the registry is brought up to main, while calls go on with what it was
OLDEST = 1.0  # seconds: how old a view may be that calls go on with
TRY_AGAIN = 5.0  # seconds before a deployment that failed is tried once more


class Listed(NamedTuple):
    """A skill as the registry has it."""

    entry: Entry
    manifest: Manifest


class Standing(NamedTuple):
    """A skill as it serves; for the calls of `person` alone, where each caller has one of their own."""

    entry: Entry
    manifest: Manifest
    caller: AsyncCaller
    person: str = ""


Place = tuple[str, str]
"""A skill, and the person whose own it is, or nobody."""


@dataclass
class View:
    """The registry at one blob id; skills are read from the catalog as they are asked for."""

    blob: str
    revision: int
    skills: dict[str, Listed | None] = field(default_factory=dict)


class Shelf:
    """Lives in one event loop; what blocks is done in threads."""

    def __init__(self, place: Workplace, clock: Callable[[], float] = time.monotonic) -> None:
        self._place, self._clock = place, clock
        self._view: View | None = None
        self._looked, self._looking = float("-inf"), asyncio.Lock()
        self._ahead: asyncio.Task[None] | None = None
        self._standing: dict[Place, Standing] = {}
        self._failed: dict[Place, tuple[str, SkillOpsError, float]] = {}
        self._switching: dict[Place, asyncio.Lock] = {}

    async def look(self, *, now: bool = False) -> View:
        """The view of the registry, at most OLDEST old; where it is older, or `now`, it is brought up to main first.

        Where main's registry.yaml is broken, the view before is kept; the error is raised where there is none.
        """
        age = self._clock() - self._looked
        if self._view is None or now or age > OLDEST:
            await self._looked_since(self._clock())
        elif age > LOOK_EVERY and not (self._looking.locked() or self._ahead):
            self._ahead = asyncio.create_task(self._looked_since(self._clock()))
            self._ahead.add_done_callback(self._done_ahead)
        assert self._view is not None, "refreshing leaves a view or raises"
        return self._view

    async def _looked_since(self, asked: float) -> None:
        async with self._looking:
            if self._view is None or self._looked < asked:
                await self._refresh()

    def _done_ahead(self, task: asyncio.Task[None]) -> None:
        self._ahead = None
        if not task.cancelled() and (error := task.exception()):
            log.error("the registry could not be looked at", exc_info=error)

    @property
    def blob(self) -> str:
        """Of the registry as it was when last looked at; empty before."""
        return self._view.blob if self._view else ""

    async def fault(self) -> SkillOpsError | None:
        """Why the registry cannot be read now, or None."""
        try:
            await asyncio.to_thread(self._place.parts.sync)
        except SkillOpsError as error:
            return error
        return None

    async def listed(self, name: str, version: str | None = None) -> Listed:
        """The skill as main has it now. NotFound names the nearest, or the version that there is."""
        found = self._of(await self.look(), name)
        if found is None or version not in (None, found.entry.version):
            found = self._of(await self.look(now=True), name)
        if found is None:
            raise await asyncio.to_thread(self._missing, name)
        if version not in (None, found.entry.version):
            raise another_version(found.entry, str(version))
        return found

    async def standing(self, listed: Listed, caller: str = "") -> Standing:
        """The skill as it serves for `caller`: `listed`, deployed where it was not yet, or the version before where that fails.

        Raises why where nothing serves.
        """
        entry, manifest = listed
        place = entry.name, caller if self._own(manifest) else ""
        standing = self._standing.get(place)
        if standing and standing.entry is entry:
            return standing
        async with self._switching.setdefault(place, asyncio.Lock()):
            standing = self._standing.get(place)
            if standing and standing.entry.digest == entry.digest:
                self._standing[place] = standing._replace(entry=entry, manifest=manifest)
                return self._standing[place]
            try:
                endpoint = await self._deployed(entry, place)
            except (Refused, CouldNotTell):
                if standing is None:
                    raise
                return standing
            self._standing[place] = fresh = Standing(entry, manifest, AsyncCaller(endpoint), place[1])
            if standing:
                await standing.caller.retire()
            return fresh

    def _own(self, manifest: Manifest) -> bool:
        """Whether each caller has a server of their own."""
        return bool(manifest.permissions.personal) or (manifest.apart and self._place.parts.settings.callers_apart)

    async def awake(self, standing: Standing) -> Endpoint:
        """Where the skill answers, started where it rests."""
        return await asyncio.to_thread(self._endpoint, standing.entry, standing.person)

    async def close(self) -> None:
        for standing in self._standing.values():
            await standing.caller.retire()

    async def _refresh(self) -> None:
        began = self._clock()
        try:
            blob, revision = await asyncio.to_thread(self._read)
        except SkillOpsError:
            if self._view is None:
                raise
        else:
            if self._view is None or self._view.blob != blob:
                self._view = View(blob, revision)
        self._looked = began

    def _read(self) -> tuple[str, int]:
        parts = self._place.parts
        blob = parts.forge.object_id(parts.forge.main, "registry.yaml")
        if self._view is None or blob != self._view.blob:
            parts.sync()
        return blob or "", parts.catalog.revision()

    def _of(self, view: View, name: str) -> Listed | None:
        if name not in view.skills:
            catalog = self._place.parts.catalog
            entry, manifest = catalog.entry(name), catalog.manifest(name)
            if entry is None or manifest is None:
                return None  # not kept: anybody may ask for any name
            view.skills[name] = Listed(entry, manifest)
        return view.skills[name]

    def _missing(self, name: str) -> SkillOpsError:
        try:
            entry = self._place.parts.entry(name[:200])
        except NotFound as error:
            return error
        return CouldNotTell(f"The manifest of {name} cannot be read at {entry.commit[:8]}.", next_step="`skillops doctor` tells more.")

    async def _deployed(self, entry: Entry, place: Place) -> Endpoint:
        digest, error, at = self._failed.get(place, ("", CouldNotTell(""), 0.0))
        if digest == entry.digest and self._clock() - at < TRY_AGAIN:
            raise error
        try:
            return await asyncio.to_thread(self._endpoint, entry, place[1])
        except (Refused, CouldNotTell) as failure:
            self._failed[place] = entry.digest, failure, self._clock()
            raise

    def _endpoint(self, entry: Entry, person: str) -> Endpoint:
        runtime = self._place.parts.runtime
        if not serves(entry, runtime.services()):
            self._place.pipeline.deploy(entry.name)
        return runtime.endpoint(entry.name, person)


def another_version(entry: Entry, wanted: str) -> NotFound:
    return NotFound(
        f"{entry.name} {wanted} does not serve.",
        why=f"{entry.name} {entry.version} does; one version of a skill serves at a time.",
        next_step=f"Call {entry.name}@{entry.version}, or {entry.name} for whatever serves.",
    )
