"""What every door of the gateway shares: the workplace, the keys, the shelf, the limits, and the one way to call a skill."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.domain.invocation import Invocation, InvocationResult
from agent.domain.requirement import requirements
from agent.domain.schema import Json
from agent.domain.skill import Manifest
from agent.errors import InvocationFailed, SkillOpsError
from agent.gateway.authority import Authority
from agent.gateway.limits import Lane, Rates
from agent.gateway.meters import Meters
from agent.gateway.pages.feed import Feed
from agent.gateway.shares import Burden, Turns
from agent.gateway.shelf import Shelf, Standing, another_version
from agent.gateway.worker import Worker
from agent.keys import Key, Keys
from agent.lines import OpenLine, Terms
from agent.stages.invoking import interpret, keep_receipts, prepare
from agent.workplace import Workplace


class Call(NamedTuple):
    """What the caller says beside the inputs. `deadline` in seconds; `traceparent` as in W3C Trace Context."""

    request_id: str
    traceparent: str = ""
    deadline: float | None = None


@dataclass
class Gateway:
    """Lives in one event loop. `hosts` and `origins` are those that may be named; `at_once` is the limit of a skill, `rate` and `daily`
    are those of a key. `on_loopback`: only this machine can reach it. Without a `worker`, what is raised is left to `skillops run`."""

    place: Workplace
    keys: Keys
    hosts: frozenset[str]
    origins: frozenset[str] = frozenset()
    rate: float = 0.0
    daily: int = 0
    at_once: int = 16
    on_loopback: bool = True
    worker: Worker | None = None
    feed: Feed | None = None  # what this process did lately, for the pages
    webhook_path: str = ""  # where deliveries come in, which bring a signature and no key; empty: nowhere
    chat_paths: frozenset[str] = frozenset()  # where platforms of chats send what was said there, which they sign
    meters: Meters = field(default_factory=Meters)

    def __post_init__(self) -> None:
        self.authority, self.rates, self.shelf = Authority(self.keys), Rates(self.rate, daily=self.daily), Shelf(self.place)
        self.building, self.turns, self.burden = asyncio.Lock(), Turns(), Burden()
        self._lanes: dict[str, Lane] = {}

    def raised(self) -> None:
        """There is new work."""
        if self.worker:
            self.worker.wake()

    def crew(self) -> dict[str, str]:
        """How the worker fares, where there is one."""
        return {"worker": self.worker.state()} if self.worker else {}

    def lane(self, skill: str) -> Lane:
        if skill not in self._lanes:
            self._lanes[skill] = Lane(skill, self.at_once)
        return self._lanes[skill]

    async def invoke(self, name: str, inputs: Json, key: Key, call: Call, version: str | None = None, depth: int = 1) -> InvocationResult:
        """Calls the skill that serves under `name`; with a `version`, that one alone. `depth`: above 1 where another skill asks for it.

        Raises what `prepare` and `interpret` raise, NotFound, Busy, CircuitOpen, and CouldNotTell where it cannot be started.
        """
        listed = await self.shelf.listed(name, version)
        invocation = prepare(listed.manifest, inputs, key.name, call.request_id, call.deadline, call.traceparent)
        lane = self.lane(name)
        async with lane.turn(key.name, invocation.deadline_seconds):
            standing = await self.shelf.standing(listed, key.name)
            if standing.entry is not listed.entry and standing.entry.digest != listed.entry.digest:
                if version:
                    raise another_version(standing.entry, version)
                invocation = prepare(standing.manifest, inputs, key.name, call.request_id, call.deadline, call.traceparent)
            with self._line(standing.manifest, invocation, key, depth) as line:
                return await self._metered(standing, invocation, lane, line)

    def _line(self, manifest: Manifest, invocation: Invocation, key: Key, depth: int) -> AbstractContextManager[OpenLine | None]:
        """For a skill that requires others. What comes over it comes from another thread, and is a call of the same key like any."""
        if not manifest.requires or (lines := self.place.parts.lines) is None:
            return nullcontext()
        loop = asyncio.get_running_loop()

        def onward(name: str, inputs: Json, terms: Terms) -> InvocationResult:
            return asyncio.run_coroutine_threadsafe(self._inner(manifest, name, inputs, key, terms), loop).result()

        return lines.opened(OpenLine(manifest, invocation, onward, depth))

    async def _inner(self, outer: Manifest, name: str, inputs: Json, key: Key, terms: Terms) -> InvocationResult:
        listed = await self.shelf.listed(name)
        if not requirements(outer)[name].admits(listed.manifest.semver):
            raise InvocationFailed("unmet", "The skill was not called.", why=f"{name} is {listed.entry.version}, which {outer.name} does not take")
        self.rates.take(key.id)
        return await self.invoke(name, inputs, key, Call(terms.request_id, terms.traceparent, terms.seconds), depth=terms.depth)

    async def _metered(self, standing: Standing, invocation: Invocation, lane: Lane, line: OpenLine | None) -> InvocationResult:
        entry, manifest, caller, _ = standing
        started, outcome = time.monotonic(), "cancelled"
        self.meters.began(entry.name)
        try:
            asked = invocation._replace(ticket=line.ticket) if line else invocation
            reply = await caller.execute(asked, repeatable=manifest.annotations.idempotent, again=lambda: self.shelf.awake(standing))
            lane.heard(invocation.caller, reply)
            self.meters.circuit(entry.name, lane.is_open)
            result = interpret(manifest, entry, invocation, reply, self.place.parts.strike, line)
            outcome = "ok"
            return result
        except InvocationFailed as error:
            outcome = error.code_
            raise
        except SkillOpsError as error:
            outcome = error.code
            keep_receipts(error, entry, invocation, time.monotonic() - started, line)
            raise
        finally:
            self.meters.ended(entry.name, outcome, time.monotonic() - started)
