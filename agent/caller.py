"""The sync driver of invoking: one HTTP exchange with a running skill, bounded in time and in bytes.

What a skill does wrong is a value here, never an exception: nobody who calls a skill may be stopped by it. The wire
format is the design's `/execute` and `/health`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import socket
import time
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import urlsplit

from agent.domain.invocation import MAX_BODY, Invocation, Reply
from agent.domain.release import UNREACHABLE, Endpoint

Trouble = Literal["timeout", "unreachable", "too-large", "bad-reply"]


class NoAnswer(Exception):
    """There is no answer to a call.

    `unreachable`: nobody listens, so nothing was delivered and asking again is safe. `timeout`: no whole answer in
    time. `too-large`: more than was allowed. `bad-reply`: not HTTP, or hung up in the middle.
    """

    def __init__(self, code: Trouble, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def further_place(socket: str, number: int) -> str:
    """Where the further instances of a skill listen whose first one listens at `socket`: number 1, 2 …"""
    return f"{socket.removesuffix('.sock')}.{number}.sock"


def socket_places(socket: str) -> list[str]:
    """All the places at which it is answered now; the first may be missing."""
    found = [socket]
    while os.path.exists(further := further_place(socket, len(found))):  # noqa: PTH110 - on the path of every connection
        found.append(further)
    return found


def a_turn(socket: str) -> list[str]:
    """Those places in the order in which to try them: each caller begins at another, so that all have their share."""
    found = socket_places(socket)
    if len(found) > 1:
        random.shuffle(found)
    return found


def call(endpoint: Endpoint, method: str, path: str, body: bytes | None, timeout: float, max_bytes: int = MAX_BODY) -> tuple[int, bytes]:
    """Status and body of one exchange of at most `timeout` seconds in all. Raises NoAnswer."""
    connection = _Connection(endpoint, timeout)
    try:
        try:
            connection.connect()
        except TimeoutError:
            raise
        except OSError as error:
            raise NoAnswer("unreachable", f"nobody answers at {endpoint.socket or endpoint.url}: {error.strerror or error}") from None
        return _exchange(connection, method, path, body, max_bytes, endpoint.host)
    except TimeoutError:
        raise NoAnswer("timeout", f"no answer within {timeout:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer("bad-reply", f"the exchange broke off: {error or type(error).__name__}") from None
    finally:
        connection.close()


def execute(endpoint: Endpoint, invocation: Invocation, again: Callable[[], Endpoint] | None = None) -> Reply:
    """Calls the skill. Whatever it does comes back as a Reply; the codes of NoAnswer are errors like its own.

    Where nobody listens, `again` gives a fresh endpoint to try once: the skill may have gone to rest in the meantime.
    """
    started = time.monotonic()
    if endpoint.ticket and not invocation.ticket:
        invocation = invocation._replace(ticket=endpoint.ticket)
    try:
        _, body = call(endpoint, "POST", "/execute", invocation.body(), invocation.deadline_seconds)
    except NoAnswer as trouble:
        if again and trouble.code == "unreachable":
            return execute(again(), invocation)
        return Reply(success=False, error_code=trouble.code, error_message=trouble.message, seconds=time.monotonic() - started)
    return Reply.parse(body, seconds=time.monotonic() - started)


def anybodys(skill: str, inputs: dict[str, Any], seconds: float) -> Invocation:
    """A call of ours that looks like any caller's: what a skill could tell from its context that it is being judged, it could be good by."""
    name = "".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=random.randint(3, 9)))
    trace, span = f"{random.getrandbits(128):032x}", f"{random.getrandbits(64):016x}"
    return Invocation(skill, inputs, f"{random.getrandbits(128):032x}", name, seconds, f"00-{trace}-{span}-00")


def probe(endpoint: Endpoint, timeout: float) -> tuple[bool, str]:
    """Whether `GET /health` says healthy, and what it said where it does not."""
    status, why = health(endpoint, timeout)
    return status == "healthy", why


def health(endpoint: Endpoint, timeout: float) -> tuple[str, str]:
    """The status that `GET /health` tells (`healthy`, `starting`, `unhealthy`; empty where none) and why it is not healthy.

    A server that answers `unhealthy` with the reason `starting` is starting.
    """
    try:
        code, body = call(endpoint, "GET", "/health", None, timeout, max_bytes=64 * 1024)
    except NoAnswer as trouble:
        return "", trouble.message
    said = f"GET /health answered {code}: {body[:2000].decode(errors='replace')}"
    try:
        told = json.loads(body)
        status, reason = str(told["status"]), str(told.get("reason", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", said
    if status == "healthy":
        return ("healthy", "") if code == 200 else ("", said)
    return ("starting" if reason == "starting" else status), reason or said


def _exchange(connection: _Connection, method: str, path: str, body: bytes | None, max_bytes: int, host: str) -> tuple[int, bytes]:
    headers = {**({"Content-Type": "application/json"} if body is not None else {}), **({"Host": host} if host else {})}
    # A server may refuse a large body and hang up before it read all of it: its answer is still to be read.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request(method, path, body, {**headers, "Connection": "close"})
    response = connection.getresponse()
    if host and response.getheader(UNREACHABLE) is not None:
        raise NoAnswer("unreachable", f"nobody answers for {host.partition('.')[0]}")
    announced = response.length
    if announced is not None and announced > max_bytes:
        raise NoAnswer("too-large", f"the reply has {announced} bytes; {max_bytes} are allowed")
    content = response.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise NoAnswer("too-large", f"the reply has more than {max_bytes} bytes")
    if announced is not None and len(content) < announced:
        raise NoAnswer("bad-reply", f"the reply broke off after {len(content)} of {announced} bytes")
    return response.status, content


class _Timed(socket.socket):
    """A socket whose deadline covers everything it does, so that a server which drips bytes cannot stretch it."""

    deadline: float

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def connect(self, address: Any) -> None:
        while True:
            self.settimeout(self._left())
            try:
                return super().connect(address)
            except BlockingIOError:  # a unix socket with a full backlog does not wait, whatever the timeout
                time.sleep(0.005)

    def recv_into(self, *args: Any) -> int:
        self.settimeout(self._left())
        return super().recv_into(*args)

    def sendall(self, *args: Any) -> None:
        self.settimeout(self._left())
        super().sendall(*args)


class _Connection(http.client.HTTPConnection):
    """HTTP/1.1 over a unix socket or, for a base URL, over TCP."""

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        url = urlsplit(endpoint.url)
        super().__init__(url.hostname or "skill", url.port or 80)
        self._socket_path, self._deadline = endpoint.socket, time.monotonic() + timeout

    def connect(self) -> None:
        if self._socket_path is None:
            left = max(self._deadline - time.monotonic(), 0.001)
            self.sock = _Timed(fileno=socket.create_connection((self.host, self.port), left).detach())
            self.sock.deadline = self._deadline
        else:
            *others, last = a_turn(self._socket_path)
            for place in others:
                with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):  # it was just let go
                    self._connect_to(place)
                    return
            self._connect_to(last)

    def _connect_to(self, place: str) -> None:
        self.sock = _Timed(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.deadline = self._deadline
        self.sock.connect(place)
