"""The running instances of a clone: started, waited for, drained and ended, through a launcher."""

from __future__ import annotations

import contextlib
import functools
import logging
import secrets
import threading
from collections.abc import Callable

from agent.adoption import all_at_once
from agent.domain.stand_in import StandIns
from agent.errors import CouldNotTell
from agent.instance import Instance, not_healthy
from agent.ports import Deployment, Launcher
from agent.vigil import Vigil

log = logging.getLogger("agent.supervisor")


class Fleet:
    """`living` has by name all that were started, also those on their way in or out; `save` writes that down, and may raise OSError."""

    def __init__(self, launcher: Launcher, vigil: Vigil, save: Callable[[], None]) -> None:
        self._launcher, self._vigil, self._save = launcher, vigil, save
        self.living: dict[str, Instance] = {}
        self.ending = threading.Event()

    def start(self, deployment: Deployment, *, trial: StandIns | None = None) -> Instance:
        """A new instance, beside whatever runs, and healthy. Raises Refused where it does not become so, OSError."""
        name = secrets.token_hex(4)
        if trial is None:
            self._vigil.remember(deployment)
        instance = Instance(deployment.manifest, self._launcher.launch(deployment, name, trial=trial), deployment.digest)
        self.living[name] = instance
        try:
            self._save()
            why = "" if self.ending.is_set() else instance.wait()
        except OSError:
            self.discard(instance)
            raise
        if self.ending.is_set():
            self.discard(instance)
            raise CouldNotTell(f"{deployment.skill} was not started: the supervisor is ending.", next_step="Try again: a new one starts then.")
        if why:
            end = instance.server.log(20)
            self.discard(instance)
            raise not_healthy(deployment.skill, self._vigil.struck(deployment.skill, why), self._vigil.struck(deployment.skill, end))
        log.info("%s %s runs as %s", deployment.skill, deployment.version, instance.name)
        return instance

    def retire(self, instance: Instance) -> None:
        """Ends it once its last call is answered, without keeping anybody waiting."""

        def drain_and_discard() -> None:
            instance.drain()
            self.discard(instance)

        threading.Thread(target=drain_and_discard, daemon=True).start()

    def discard(self, instance: Instance) -> None:
        instance.stop()
        if self.living.pop(instance.name, None):
            with contextlib.suppress(OSError):  # a process that is noted and gone does no harm
                self._save()

    def discard_all(self) -> None:
        all_at_once([functools.partial(self.discard, instance) for instance in list(self.living.values())])
