"""What is one person's: the servers of a skill that were handed that person's own secrets, and that nobody else's calls ever reach.

A skill whose manifest names personal secrets has no server for everybody. Each person who calls it has one of their own, with their own
place, storage and processes; it starts with their call and is gone when it rests. That is the simplest walls there are: whatever code
does with a value, it is not where another's call comes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import AbstractContextManager

from agent.errors import CouldNotTell, MissingSecret
from agent.fleet import Fleet
from agent.served import Served, unknown
from agent.vigil import Vigil

AT_ONCE = 64  # people whose servers of one skill run side by side
log = logging.getLogger("agent.supervisor")


class Owned:
    """Of the skills in `served`. `alone` locks a place, `awake` starts what is there, `rest` puts it to rest where nobody calls it, and
    `switch` leads callers to it."""

    def __init__(
        self, served: MutableMapping[str, Served], fleet: Fleet, vigil: Vigil, alone: Callable[[str], AbstractContextManager[None]],
        awake: Callable[[str], Served], rest: Callable[[Served], None], switch: Callable[[str, Served | None], None], at_once: int = AT_ONCE,
    ) -> None:  # fmt: skip
        self._served, self._fleet, self._vigil, self._at_once = served, fleet, vigil, at_once
        self._alone, self._awake_there, self._rest, self._switch = alone, awake, rest, switch

    def awake(self, skill: str, person: str) -> Served:
        """The person's own, started where it does not run. MissingSecret where the vault has none of theirs; NotFound."""
        if not person:
            raise MissingSecret(
                f"{skill} works with each caller's own secrets, and nobody says who is calling.", next_step="Call it as somebody: with an API key."
            )
        place = self._of(skill).deployment.owned_by(person).place
        if place not in self._served:
            self._make_room(skill)
        with self._alone(place):
            # Read inside the lock: a new version is put up before it ends what people have of the old one.
            deployment = self._of(skill).deployment.owned_by(person)
            self._vigil.demand(deployment)
            mine = self._served.get(place)
            if mine and mine.deployment.digest != deployment.digest:
                self.drop(mine)
                mine = None
            if mine is None:
                self._served[place] = Served(deployment, state="resting")
            return self._awake_there(place)

    def drop(self, served: Served) -> None:
        """Ends what is one person's; their next call starts what there is then. The caller holds its lock."""
        if self._served.get(served.place) is served:
            self._switch(served.place, None)
            del self._served[served.place]
        for instance in served.instances:
            self._fleet.retire(instance)
        served.instance, served.extras = None, []

    def end(self, skill: str) -> None:
        """Ends what everybody has of the skill."""
        for theirs in self.all_of(skill):
            with self._alone(theirs.place):
                self.drop(theirs)

    def all_of(self, skill: str) -> Iterator[Served]:
        """What people have of the skill."""
        return (served for served in list(self._served.values()) if served.deployment.person and served.deployment.skill == skill)

    def _of(self, skill: str) -> Served:
        found = self._served.get(skill)
        if found is None:
            raise unknown(skill, [name for name, served in self._served.items() if not served.deployment.person])
        return found

    def _make_room(self, skill: str) -> None:
        """Puts to rest what was not called for longest; CouldNotTell where all are being called."""
        running = sorted(self.all_of(skill), key=lambda served: served.used)
        for served in running if len(running) >= self._at_once else ():
            with self._alone(served.place):
                if self._served.get(served.place) is served:
                    self._rest(served)
            if self._served.get(served.place) is not served:
                log.info("%s makes room for another person", served.place)
                return
        if len(running) >= self._at_once:
            raise CouldNotTell(f"{skill} works for {len(running)} people just now, which is the most.", next_step="Try again in a moment.")
