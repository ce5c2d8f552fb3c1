"""The async driver of invoking: calls of one running skill over kept connections, bounded in time and in bytes.

As in the sync driver (`agent/caller.py`), what a skill does wrong is a value, and the codes of NoAnswer are the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from agent.caller import NoAnswer, a_turn
from agent.domain.invocation import Invocation, Reply
from agent.domain.release import Endpoint
from agent.exchange import Exchange

LONGEST = 10.0  # seconds that a connection is used: a skill under load gets more instances, and new connections are shared among all
IDLE = 15.0  # seconds that a connection is kept: well below the 75 that a skill's server keeps one


class AsyncCaller:
    """Calls the skill at `endpoint`, over at most `connections` at once. Made and used in one event loop."""

    def __init__(self, endpoint: Endpoint, connections: int = 100) -> None:
        url = urlsplit(endpoint.url)
        self._endpoint, self._address = endpoint, (url.hostname or "skill", url.port or 80)
        self._head = f"POST {url.path.rstrip('/')}/execute HTTP/1.1\r\nHost: {endpoint.host or url.netloc}\r\n".encode()
        self._head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._free: list[Exchange] = []
        self._left = connections
        self._queue: deque[asyncio.Future[None]] = deque()
        self._calls, self._retired = 0, False
        self._loop = asyncio.get_running_loop()  # to ask for it is a system call, up to Python 3.12
        self._deadlines = Deadlines(self._loop)

    async def execute(self, invocation: Invocation, *, repeatable: bool = False, again: Callable[[], Awaitable[object]] | None = None) -> Reply:
        """Calls the skill. Whatever it does comes back as a Reply.

        Where nobody listens, `again` sees to it that somebody does, and the call is made once more. Where the exchange
        broke off, that is done for a `repeatable` call alone: nobody knows how far the skill had come.
        """
        started = time.monotonic()
        body = invocation.body()
        self._calls += 1
        try:
            try:
                reply = await self._exchange(body, invocation.deadline_seconds)
            except NoAnswer as trouble:
                if again is None or (trouble.code != "unreachable" and not (repeatable and trouble.code == "bad-reply")):
                    raise
                await again()
                reply = await self._exchange(body, invocation.deadline_seconds)
        except NoAnswer as trouble:
            gone = trouble.code in ("unreachable", "bad-reply")
            return Reply(success=False, error_code=trouble.code, error_message=trouble.message, seconds=time.monotonic() - started, gone=gone)
        finally:
            self._calls -= 1
            if self._retired:
                await self.retire()
        return Reply.parse(reply, seconds=time.monotonic() - started)

    async def retire(self) -> None:
        """Closes the connections once the last call is answered."""
        self._retired = True
        if not self._calls:
            self._deadlines.close()
            while self._free:
                self._free.pop().close()

    async def _exchange(self, body: bytes, timeout: float) -> bytes:
        now = self._loop.time()
        exchange = self._kept(now)
        if exchange is None:
            try:
                async with asyncio.timeout_at(now + timeout):
                    exchange = await self._connected()
            except TimeoutError:
                raise _late(timeout) from None
        answer = exchange.ask(self._head % len(body) + body)
        self._deadlines.watch(answer, now + timeout, timeout)
        try:
            return await answer
        finally:
            self._deadlines.forget(answer)
            self._put_back(exchange)

    def _kept(self, now: float) -> Exchange | None:
        """The connection that was used last, where one is free that still counts."""
        while self._free:
            exchange = self._free.pop()
            if exchange.usable and now - exchange.since < IDLE and now - exchange.born < LONGEST:
                return exchange
            self._drop(exchange)
        return None

    async def _connected(self) -> Exchange:
        """A free connection, or a new one; waits for its turn where there are enough."""
        while not self._left:
            turn = self._loop.create_future()
            self._queue.append(turn)
            try:
                await turn
            finally:
                if turn in self._queue:
                    self._queue.remove(turn)
            if exchange := self._kept(self._loop.time()):
                return exchange
        self._left -= 1
        exchange = None
        try:
            exchange = await self._connect()
            exchange.born = self._loop.time()
            return exchange
        finally:
            if exchange is None:
                self._left += 1
                self._next()

    async def _connect(self) -> Exchange:
        loop, path = self._loop, self._endpoint.socket
        try:
            if path is None:
                return (await loop.create_connection(Exchange, *self._address))[1]
            return (await loop.create_unix_connection(Exchange, sock=await _connected_to_one(a_turn(path))))[1]
        except OSError as error:
            raise NoAnswer("unreachable", f"nobody answers at {path or self._endpoint.url}: {error.strerror or error}") from None

    def _put_back(self, exchange: Exchange) -> None:
        if exchange.usable:
            exchange.since = self._loop.time()
            self._free.append(exchange)
            self._next()
        else:
            self._drop(exchange)

    def _drop(self, exchange: Exchange) -> None:
        exchange.close()
        self._left += 1
        self._next()

    def _next(self) -> None:
        """There is a connection, or room for one: whoever waited longest may look."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return


async def _connected_to_one(places: list[str]) -> socket.socket:
    *others, last = places
    for place in others:
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):  # it was just let go
            return await _connected_to(place)
    return await _connected_to(last)


async def _connected_to(path: str) -> socket.socket:
    line = socket.socket(socket.AF_UNIX)
    line.setblocking(False)
    connected = False
    try:
        while not connected:
            try:
                line.connect(path)
                connected = True
            except BlockingIOError:  # a unix socket with a full backlog does not wait
                await asyncio.sleep(0.005)
    finally:
        if not connected:
            line.close()
    return line


class Deadlines:
    """Gives up what is waited for too long, with one timer for all that is: each its own would cost as much as the rest of an exchange."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[asyncio.Future[bytes], tuple[float, float]] = {}  # until when, and how long that was
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf  # when the timer rings

    def watch(self, answer: asyncio.Future[bytes], until: float, seconds: float) -> None:
        self._waiting[answer] = until, seconds
        if until < self._due:
            self._set(until)

    def forget(self, answer: asyncio.Future[bytes]) -> None:
        """It came, or nobody waits for it any more."""
        self._waiting.pop(answer, None)

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer, self._due = None, math.inf

    def _set(self, due: float) -> None:
        self.close()
        self._timer, self._due = self._loop.call_at(due, self._look), due

    def _look(self) -> None:
        self.close()
        now = self._loop.time()
        for answer, (until, seconds) in self._waiting.items():
            if until <= now and not answer.done():
                answer.set_exception(_late(seconds))
        if left := [until for until, _ in self._waiting.values() if until > now]:
            self._set(min(left))


def _late(seconds: float) -> NoAnswer:
    return NoAnswer("timeout", f"no answer within {seconds:g} s")
