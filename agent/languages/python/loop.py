"""The server's event loop: one thread, epoll(7), lines that send and receive, and timers. Runs in the sandbox; standard library only.

asyncio would do, but takes as long to import as the whole server takes to start.
"""

from __future__ import annotations

import heapq
import select
import socket
import time
from collections.abc import Callable
from typing import NoReturn

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
PART = 2**16  # bytes that are received at once


class Timer:
    """What is done at a time, unless it was cancelled."""

    __slots__ = ("action", "at")

    def __init__(self, at: float, action: Callable[[], None]) -> None:
        self.at, self.action = at, action

    def __lt__(self, other: Timer) -> bool:
        return self.at < other.at


def nothing() -> None:
    """What a cancelled timer does."""


class Loop:
    """Runs what is ready. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[int], None]] = {}
        self._timers: list[Timer] = []
        self._cancelled = 0

    def watch(self, line: socket.socket, events: int, ready: Callable[[int], None]) -> None:
        self._ready[line.fileno()] = ready
        self._epoll.register(line.fileno(), events)

    def change(self, line: socket.socket, events: int) -> None:
        self._epoll.modify(line.fileno(), events)

    def forget(self, line: socket.socket) -> None:
        del self._ready[line.fileno()]
        self._epoll.unregister(line.fileno())

    def at(self, when: float, action: Callable[[], None]) -> Timer:
        timer = Timer(when, action)
        heapq.heappush(self._timers, timer)
        return timer

    def cancel(self, timer: Timer) -> None:
        timer.action = nothing
        self._cancelled += 1
        if self._cancelled > 100 and self._cancelled * 2 > len(self._timers):
            self._timers = [timer for timer in self._timers if timer.action is not nothing]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def run(self) -> NoReturn:
        while True:
            left = self._timers[0].at - time.monotonic() if self._timers else -1.0
            for number, events in self._epoll.poll(max(left, 0.0) if self._timers else None):
                if ready := self._ready.get(number):
                    ready(events)
            while self._timers and self._timers[0].at <= time.monotonic():
                timer = heapq.heappop(self._timers)
                self._cancelled -= timer.action is nothing
                timer.action()


class Line:
    """A stream socket in a loop. Whoever derives from it says what happens to what is `received`, and when the other side has `ended`."""

    def __init__(self, loop: Loop, line: socket.socket) -> None:
        self._loop, self._line, self._unsent, self._events = loop, line, b"", READ
        self.closed = False
        line.setblocking(False)
        loop.watch(line, READ, self._act)

    def received(self, data: bytes) -> None:
        raise NotImplementedError

    def ended(self) -> None:
        """The other side sends no more, or is gone."""
        self.close()

    def sent(self) -> None:
        """All that was to be sent is."""

    def send(self, data: bytes) -> None:
        """Sends, now or as soon as the other side takes it."""
        if self.closed:
            return
        if self._unsent:
            self._unsent += data
            return
        try:
            done = self._line.send(data)
        except BlockingIOError:
            done = 0
        except OSError:
            self.ended()
            return
        if done < len(data):
            self._unsent = data[done:]
            self._listen(self._events | WRITE)

    @property
    def sending(self) -> bool:
        return bool(self._unsent)

    def pause(self, paused: bool) -> None:
        """Whether nothing more is received for now."""
        self._listen(self._events & ~READ if paused else self._events | READ)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._loop.forget(self._line)
            self._line.close()

    def _listen(self, events: int) -> None:
        if events != self._events and not self.closed:
            self._events = events
            self._loop.change(self._line, events)

    def _act(self, events: int) -> None:
        if events & WRITE and self._unsent:
            self._flush()
        if events & ~WRITE and not self.closed:
            try:
                data = self._line.recv(PART)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if data:
                self.received(data)
            else:
                self.ended()

    def _flush(self) -> None:
        try:
            self._unsent = self._unsent[self._line.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = b""
            self.ended()
            return
        if not self._unsent:
            self._listen(self._events & ~WRITE)
            self.sent()
