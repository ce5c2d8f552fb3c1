"""The lobby: how many connections may be open, and which of them goes where one more comes.

Whoever connects needs no key, so that one client could hold all that a process may have open, by requests that it never ends. A new
connection is always let in where any other waits for its client: the one that has waited longest goes. One whose request is being
answered stays.
"""

from __future__ import annotations

import resource
from typing import Protocol

MOST = 4096  # connections, where the system gives descriptors for as many
SHARE = 0.75  # of the descriptors: the rest is for files, skills and the model


class Guest(Protocol):
    """A connection."""

    def send_away(self) -> None: ...


class Lobby:
    """Of the connections of one server, in whose event loop it lives; at most `most`."""

    def __init__(self, most: int = MOST) -> None:
        self.most, self.inside = most, 0
        self._waiting: dict[Guest, None] = {}  # on their clients; whoever waits longest comes first

    def enter(self, guest: Guest) -> None:
        """One more, in the place of the one that waits longest where it is full; where none waits, it is sent away itself."""
        self.inside += 1
        if self.inside > self.most:
            first = next(iter(self._waiting), guest)
            self._waiting.pop(first, None)
            first.send_away()

    def waits(self, guest: Guest) -> None:
        """It is the client's turn: to begin a request, or to go on with one."""
        self._waiting.setdefault(guest)

    def works(self, guest: Guest) -> None:
        """It is ours."""
        self._waiting.pop(guest, None)

    def leave(self, guest: Guest) -> None:
        self.inside -= 1
        self._waiting.pop(guest, None)


def room() -> int:
    """How many connections there may be, by this process's descriptors; it takes as many of them as the system lets it have."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return MOST if most == resource.RLIM_INFINITY else max(min(MOST, int(most * SHARE)), 1)
