"""Pages that change while somebody looks: the part of a page that lives is made once and sent to all who look at the same.

A change is seen by looking: at what this process was told, and at the files of the repository, which other processes write. What is
made is sent only where it differs; making it may take a tenth of the time, however many look.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable

from agent.errors import SkillOpsError
from agent.gateway.pages.rendering import CSRF
from agent.gateway.problems import Busy

LOOK_EVERY = 0.3  # seconds between two looks
AT_LEAST = 10.0  # seconds after which it is made anew though nothing was seen: a skill's health leaves no trace in a file
SHARE = 10  # a making that took a second is followed by ten without
BEAT = 15.0  # seconds between two signs of life, for whatever lies between us and the browser
MOST, EACH = 1000, 400  # streams at once: of all who look, and of one key, which a team may share
log = logging.getLogger("agent.gateway")

Make = Callable[[], Awaitable[str]]


class _Channel:
    """One live part, and who looks at it."""

    def __init__(self, make: Make) -> None:
        self.make, self.viewers = make, set[asyncio.Event]()
        self.html: str | None = None
        self.seen: Hashable = None
        self.made, self.next = 0.0, 0.0
        self.making = False


class Live:
    """Lives in one event loop. `mark` gives something that differs after each change."""

    def __init__(self, mark: Callable[[], Hashable], clock: Callable[[], float] = time.monotonic) -> None:
        self._mark, self._clock = mark, clock
        self._channels: dict[Hashable, _Channel] = {}
        self._looking: asyncio.Task[None] | None = None
        self._tasks = set[asyncio.Task[None]]()
        self._leaving = False
        self._looking_now = Counter[str]()  # streams that are open, by who looks

    @property
    def viewers(self) -> int:
        return self._looking_now.total()

    def leave(self) -> None:
        """Ends every stream; the browsers come again."""
        self._leaving = True
        for channel in self._channels.values():
            for viewer in channel.viewers:
                viewer.set()
        if self._looking:
            self._looking.cancel()

    def stream(self, whose: str, key: Hashable, make: Make, csrf: str, still: Callable[[], bool]) -> AsyncIterator[bytes]:
        """The events of one who looks, as text/event-stream, while they are `still` let in; `whose` names them. Busy where too many look."""
        if self._full(whose):
            raise Busy(
                f"{MOST} people look already, or you at {EACH} pages.", next_step="Open the page again in a moment.", headers={"retry-after": "10"}
            )
        return self._events(whose, key, make, csrf, still)

    def _full(self, whose: str) -> bool:
        return self.viewers >= MOST or self._looking_now[whose] >= EACH

    async def _events(self, whose: str, key: Hashable, make: Make, csrf: str, still: Callable[[], bool]) -> AsyncIterator[bytes]:
        if self._full(whose):  # of many that were let in at once
            return
        self._looking_now[whose] += 1
        channel, viewer = self._channels.setdefault(key, _Channel(make)), asyncio.Event()
        channel.viewers.add(viewer)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        sent: str | None = None
        try:
            while not self._leaving and still():
                viewer.clear()
                if channel.html is not None and channel.html != sent:
                    sent = channel.html
                    yield message(sent.replace(CSRF, csrf))
                try:
                    await asyncio.wait_for(viewer.wait(), BEAT)
                except TimeoutError:
                    yield b": \n\n"
        finally:
            channel.viewers.discard(viewer)
            self._looking_now[whose] -= 1
            if not channel.viewers and self._channels.get(key) is channel:
                del self._channels[key]

    async def _look(self) -> None:
        """While anybody looks."""
        while self._channels and not self._leaving:
            mark, now = self._mark(), self._clock()
            for channel in list(self._channels.values()):
                due = channel.seen != mark or now - channel.made > AT_LEAST
                if due and not channel.making and now >= channel.next:
                    channel.seen, channel.making = mark, True
                    task = asyncio.create_task(self._made(channel))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(LOOK_EVERY)

    async def _made(self, channel: _Channel) -> None:
        began = self._clock()
        try:
            html = await channel.make()
        except SkillOpsError as error:  # it is looked at again, and the page stays as it was
            log.info("a live page could not be made: %s", error)
        else:
            if html != channel.html:
                channel.html = html
                for viewer in channel.viewers:
                    viewer.set()
        finally:
            channel.made = self._clock()
            channel.next, channel.making = channel.made + SHARE * (channel.made - began), False


def message(html: str) -> bytes:
    """One message (HTML standard, 9.2.5). Every end of a line that a browser knows is one of ours, so that no text can add a field."""
    return b"".join(b"data: %b\n" % line.encode(errors="replace") for line in re.split("\r\n|\r|\n", html)) + b"\n"
