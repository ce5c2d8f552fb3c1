"""The worker: one thread that takes open work through the pipeline, at once when something is raised, and now and then."""

from __future__ import annotations

import logging
import threading

from agent.deliveries import Deliveries
from agent.errors import SkillOpsError
from agent.workplace import Workplace

EVERY = 30.0  # seconds: a person's approval, or a push, comes without a word to us
log = logging.getLogger("agent.gateway")


class Worker:
    """Does what `skillops run` does, again and again."""

    def __init__(self, place: Workplace, every: float = EVERY, deliveries: Deliveries | None = None) -> None:
        self._place, self._every, self._deliveries = place, every, deliveries
        self._wake, self._ending = threading.Event(), False
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is new work."""
        self._wake.set()

    def stop(self) -> None:
        """Ends it after the run that is under way; nobody waits for that, as a run may be killed at any moment."""
        self._ending = True
        self._wake.set()

    def state(self) -> str:
        """`ok`, or that it has ended."""
        return "ok" if self._thread.is_alive() else "the worker has ended; the log says why"

    def _work(self) -> None:
        while not self._ending:
            self._wake.clear()
            try:
                hints = self._deliveries.waiting() if self._deliveries else []
                for run in {hint.check_run for hint in hints if hint.check_run is not None}:
                    self._place.parts.forge.forget_run(run)
                outcome, _ = self._place.work()
                if self._deliveries:
                    self._deliveries.done(hints)  # those that came meanwhile wait for the next look
                for work, trouble in outcome.troubled:
                    log.warning("%s: %s", work, trouble)
            except (SkillOpsError, OSError) as error:
                log.warning("the work could not be looked at: %s", error)
            self._wake.wait(self._every)
