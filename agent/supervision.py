"""What a supervisor does: deploys, probes, restarts and rests the running skills of one clone.

It keeps in `services.json` what should run and which processes it has started, so that the next supervisor, after
whatever happened to this one, adopts the living and starts the dead. What starts them, and leads callers to them, is a
launcher (`agent/ports.py`).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from agent.adoption import take_over
from agent.crowd import Crowd
from agent.domain.release import Endpoint, Load, Service
from agent.domain.stand_in import StandIns
from agent.errors import MissingSecret, SkillOpsError
from agent.fleet import Fleet
from agent.instance import Instance, seconds
from agent.owned import Owned
from agent.ports import Deployment, Launcher, Secrets
from agent.served import Served, read, unknown, write
from agent.supervisor_client import home
from agent.vigil import Vigil

log = logging.getLogger("agent.supervisor")


class Supervisor:
    """The skills of one clone. Each has a lock, so that a slow one never holds up another. Everything may raise OSError."""

    def __init__(self, state: Path, launcher: Launcher, idle_seconds: float, secrets: Secrets | None = None, max_instances: int = 1) -> None:
        self.runtime, self._vigil = launcher.name, Vigil(secrets)
        self._launcher, self._idle, self._kept = launcher, idle_seconds, home(state) / "services.json"
        self._served: dict[str, Served] = {}
        self._fleet = Fleet(launcher, self._vigil, self._save)
        self._crowd = Crowd(self._fleet, max_instances, idle_seconds, self._switch)
        self._lock = threading.Lock()
        self._skill_locks: dict[str, threading.Lock] = {}
        self._owned = Owned(self._served, self._fleet, self._vigil, self._alone, self._awake, self._rest, self._switch)
        self._hands = ThreadPoolExecutor(max_workers=8, thread_name_prefix="care")
        self.ending, self.ended = self._fleet.ending, threading.Event()

    # ---- the verbs, as the port Runtime has them ---------------------------------------------------------------------

    def deploy(self, deployment: Deployment) -> Service:
        skill = deployment.skill
        with self._alone(skill):
            old = self._served.get(skill)
            if old and old.deployment.digest == deployment.digest and (old.running() or old.state == "resting"):
                return old.service()
            new = Served(deployment, secrets=self._vigil.revision(deployment))
            new.started(self._fleet.start(deployment))
            if deployment.manifest.permissions.personal:  # it has shown that it becomes healthy, and serves nobody
                self._fleet.discard(new.instances[0])
                new.instance = None
                new.become("resting", "each caller has one of their own")
            self._replace(skill, old, new)
            return new.service()

    def remove(self, skill: str) -> None:
        with self._alone(skill):
            if old := self._served.get(skill):
                self._replace(skill, old, None)

    def services(self) -> list[Service]:
        return [served.service() for _, served in sorted(self._served.items()) if not served.deployment.person]

    def endpoint(self, skill: str, person: str = "") -> Endpoint:
        served = self._served.get(skill)
        if served and skill != served.deployment.skill:  # a person's place is no name of a skill
            raise unknown(skill, ())
        if served and (served.deployment.manifest.permissions.personal or (person and served.deployment.manifest.apart)):
            served = self._owned.awake(skill, person)
            served.used = time.monotonic()
            return self._launcher.endpoint(served.place)
        if not (served and served.running()):
            with self._alone(skill):
                served = self._awake(skill)
        served.used = time.monotonic()
        return self._launcher.endpoint(skill)

    def logs(self, skill: str, lines: int) -> str:
        text = self._launcher.logs(skill, lines)
        if text is None and skill not in self._served:
            raise unknown(skill, self._served)
        return self._vigil.struck(skill, text or "")

    def stats(self, skill: str | None) -> list[Load]:
        if skill is not None and skill not in self._served:
            raise unknown(skill, self._served)
        return [load for _, served in sorted(self._served.items()) if skill in (None, served.deployment.skill) for load in served.loads()]

    @contextlib.contextmanager
    def trial(self, deployment: Deployment, stand_ins: StandIns) -> Iterator[Endpoint]:
        """A throw-away instance, healthy when handed out. Raises Refused where it does not become so."""
        instance = self._fleet.start(deployment, trial=stand_ins)
        try:
            yield instance.endpoint
        finally:
            self._fleet.discard(instance)

    # ---- starting and stopping ---------------------------------------------------------------------------------------

    def _replace(self, skill: str, old: Served | None, new: Served | None) -> None:
        """Switches to `new` (None: to nothing) as a whole or, where the disk says no, not at all; `old` ends in its time."""
        self._put(skill, new)
        try:
            self._save()
            self._switch(skill, new)
        except (OSError, SkillOpsError):
            self._put(skill, old)
            if new and new.instance:
                self._fleet.discard(new.instance)
            raise
        for instance in old.instances if old else ():
            self._fleet.retire(instance)
        self._owned.end(skill)

    def _put(self, skill: str, served: Served | None) -> None:
        if served:
            self._served[skill] = served
        else:
            self._served.pop(skill, None)

    def _awake(self, place: str) -> Served:
        """What is there, started where it does not run. Raises NotFound, or CouldNotTell where it does not start now."""
        served = self._served.get(place)
        if served is None:
            raise unknown(place, self._served)
        if served.instance and not served.running():
            self._fell(served, served.ending())
        elif served.instance is None and (served.state == "resting" or served.waits() or self._vigil.outdated(served)):
            self._revive(served)
        if not served.instance:
            raise served.down()
        return served

    def _revive(self, served: Served) -> None:
        """Starts it anew; a start that fails is one more crash."""
        instance = None
        try:
            served.secrets = self._vigil.revision(served.deployment)
            instance = self._fleet.start(served.deployment)
            served.started(instance)
            self._switch(served.place, served)
            self._save()
        except (SkillOpsError, OSError) as error:
            log.warning("%s does not start: %s", served.place, error)
            served.crashed(str(error), error if isinstance(error, MissingSecret) else None)
            if instance:
                self._fleet.discard(instance)

    def _fell(self, served: Served, why: str) -> None:
        """It crashed or hangs: it is started again, the first time at once."""
        log.warning("%s fell: %s", served.place, why)
        fallen = served.instance
        if served.promote():
            self._switch(served.place, served)
        else:
            served.crashed(why)
            self._switch(served.place, None)
        if fallen:
            self._fleet.discard(fallen)
        if served.waits():
            self._revive(served)

    # ---- looking after them --------------------------------------------------------------------------------------------

    def look(self) -> None:
        """One round: every skill that needs care is given into a hand."""
        for served in list(self._served.values()):
            if not served.in_hand and self._needs_care(served):
                served.in_hand = True
                self._hands.submit(self._care, served).add_done_callback(_told)

    def busy(self) -> bool:
        return bool(self._fleet.living) or any(served.state != "resting" for served in self.services())

    def _needs_care(self, served: Served) -> bool:
        now = time.monotonic()
        if served.instance is None:
            return served.waits() or self._vigil.outdated(served)
        due = now >= served.next_probe or now - served.used >= self._idle or self._crowd.due(served, now)
        return due or self._vigil.outdated(served) or not served.running()

    def _care(self, served: Served) -> None:
        try:
            with self._alone(served.place):
                instance, now = served.instance, time.monotonic()
                if self._served.get(served.place) is not served or self.ending.is_set():
                    return
                if instance is None:
                    if served.waits() or self._vigil.outdated(served):
                        self._revive(served)
                elif not served.running():
                    self._fell(served, served.ending())
                elif self._vigil.outdated(served):
                    self._renew(served)
                elif now - served.used >= self._idle:
                    self._rest(served)
                elif now >= served.next_probe:
                    self._probe(served, instance)
                elif self._crowd.due(served, now):
                    self._crowd.look(served)
        finally:
            served.in_hand = False

    def _renew(self, served: Served) -> None:
        """Its secrets have changed: a new instance takes over. Where there can be none the old one ends too, for it has what was taken from it."""
        log.info("the secrets of %s have changed", served.place)
        before = served.instances
        self._revive(served)
        if served.instance is None:
            self._switch(served.place, None)
        for instance in before:
            self._fleet.retire(instance)
        if served.missing and served.deployment.person:
            self._owned.drop(served)

    def _probe(self, served: Served, instance: Instance) -> None:
        status, why = instance.health()
        served.misses = 0 if status == "healthy" else served.misses + 1
        served.next_probe = time.monotonic() + seconds(served.deployment.health.interval)
        if served.misses >= served.deployment.health.retries:
            self._fell(served, self._vigil.struck(served.deployment.skill, why))
        elif status == "healthy":
            served.become("healthy")

    def _rest(self, served: Served) -> None:
        """Stops an idle skill. Calls go straight to its socket, so its own counter says whether it is idle."""
        if served.was_called():
            return
        self._switch(served.place, None)
        if served.was_called():  # one slipped in before the path was gone
            self._switch(served.place, served)
            return
        resting = served.instances
        served.instance, served.extras = None, []
        served.become("resting")
        if served.deployment.person:
            del self._served[served.place]
        with contextlib.suppress(OSError):  # the retiring one's end writes it down as well
            self._save()
        for instance in resting:
            self._fleet.retire(instance)

    # ---- beginning and end ---------------------------------------------------------------------------------------------

    def adopt(self) -> None:
        """Takes over what an earlier supervisor left: the living, as the launcher knows them again; the rest starts anew."""
        wanted, instances = read(self._kept)
        self._served.update({served.place: served for served, _ in wanted})
        self._fleet.living = take_over(self._launcher, {name: served for served, names in wanted for name in names}, instances)
        self._launcher.sweep(self._fleet.living)
        for place, served in list(self._served.items()):
            self._switch(place, served)
            if served.deployment.person and not served.instance:
                del self._served[place]
        self._save()

    def stop(self) -> None:
        """The orderly end: every process ends, side by side; services.json keeps what should run again."""
        self.ending.set()
        self._hands.shutdown(wait=False, cancel_futures=True)
        self._fleet.discard_all()
        for skill in list(self._skill_locks):
            with self._alone(skill):
                pass  # whoever was about to start something has seen by now that this is the end
        self._fleet.discard_all()
        self._launcher.close()
        self.ended.set()

    # ---- small parts ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _alone(self, skill: str) -> Iterator[None]:
        with self._lock:
            lock = self._skill_locks.setdefault(skill, threading.Lock())
        with lock:
            yield

    def _switch(self, skill: str, served: Served | None) -> None:
        self._launcher.switch(skill, [instance.server for instance in served.instances] if served else [])

    def _save(self) -> None:
        with self._lock:
            write(self._kept, list(self._served.values()), list(self._fleet.living.values()))


def _told(care: Future[None]) -> None:
    if not care.cancelled() and (error := care.exception()):
        log.error("could not look after a skill", exc_info=error)
