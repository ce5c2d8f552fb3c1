"""The crowd of one skill's instances: one more is started under load, one is let go when it is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from agent.errors import SkillOpsError
from agent.fleet import Fleet
from agent.served import Served

CALM = 60.0  # seconds for which a skill must have had little to do before one of its instances goes
log = logging.getLogger("agent.supervisor")


class Crowd:
    """Of at most `most` instances. `switch` leads callers to what a skill has. `patience`: as CALM, where that is less."""

    def __init__(self, fleet: Fleet, most: int, patience: float, switch: Callable[[str, Served | None], None]) -> None:
        self._fleet, self._most, self._patience, self._switch = fleet, most, min(patience, CALM), switch

    def due(self, served: Served, now: float) -> bool:
        """Whether it is time to look at its load."""
        return now >= served.scale.next_look and self._limit(served) > 1

    def look(self, served: Served) -> None:
        """Takes a step where the load asks for one, and drops those that fell. The caller holds the skill's lock."""
        fallen = [extra for extra in served.extras if extra.health()[0] != "healthy"]
        served.extras = [extra for extra in served.extras if extra not in fallen]
        counted = [counts for instance in served.instances if (counts := instance.calls())]
        under_way, standing = sum(now for _, now in counted), len(served.instances)
        step = served.scale.weigh(under_way, standing, self._limit(served), time.monotonic(), self._patience)
        leaving = [served.extras.pop()] if step == "fewer" else []
        if step == "more":
            self._grow(served)
        if fallen or step != "stay":
            self._switch(served.place, served)
        for instance in fallen:
            self._fleet.discard(instance)
        for instance in leaving:
            self._fleet.retire(instance)

    def _grow(self, served: Served) -> None:
        try:
            served.extras.append(self._fleet.start(served.deployment))
            log.info("%s has %s instances", served.deployment.skill, len(served.instances))
        except (SkillOpsError, OSError) as error:
            log.warning("%s gets no further instance: %s", served.deployment.skill, error)

    def _limit(self, served: Served) -> int:
        """What a skill keeps is one instance's: two would write over each other."""
        return 1 if served.deployment.manifest.permissions.storage == "persistent" else self._most
