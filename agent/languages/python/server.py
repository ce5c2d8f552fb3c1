"""The server shim: runs in the sandbox and speaks the design's HTTP contract on a unix socket. Standard library only.

`python -E -s -S server.py SOCKET`, with `service.json` and the other modules of the shim (`zygote.OURS`) beside it; in a container
without SOCKET, on the address that SKILL_LISTEN names (0.0.0.0:8080), for the addresses that SKILL_CALLERS names, or for all. This
process speaks HTTP and never touches the skill's code; its child, the zygote, has imported the skill, and forks the processes that call it.

Every call that reaches the skill is answered with 200, also where it fails: the reply's `error.code` says how.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from http11 import Connection, Server
from loop import READ, Loop
from workers import Call, Pool
from zygote import Zygote, error_body

BACKLOG = 1024
PR_SET_DUMPABLE = 4
_ALLOWED = {b"/execute": b"POST", b"/health": b"GET", b"/metrics": b"GET"}


class Skill:
    """What the paths of the contract do, with the counts."""

    def __init__(self, loop: Loop, control: socket.socket, service: dict[str, Any]) -> None:
        self._loop, self._control, self._service = loop, control, service
        apart = bool(service.get("apart"))
        self._pool = Pool(loop, self._fork, keep=apart or bool(service.get("keep")), apart=apart)
        self._unhealthy = "starting"
        self.calls = self.errors = self.in_flight = 0
        self.seconds = 0.0
        loop.watch(control, READ, self._hear)

    def handle(self, client: Connection, method: bytes, path: bytes, body: bytes) -> None:
        if _ALLOWED.get(path) != method:
            if path in _ALLOWED:
                client.refuse(405, "bad-request", f"{method.decode()} is not allowed on {path.decode()}")
            else:
                client.refuse(404, "not-found", "the paths are /execute, /health and /metrics")
        elif path == b"/execute":
            self._execute(client, body)
        elif path == b"/health":
            client.answer(*self.health())
        else:
            client.answer(200, self.metrics(), "text/plain; version=0.0.4")

    def health(self) -> tuple[int, bytes]:
        state = {"status": "unhealthy", "reason": self._unhealthy} if self._unhealthy else {"status": "healthy"}
        return 503 if self._unhealthy else 200, json.dumps({**state, "name": self._service["name"], "version": self._service["version"]}).encode()

    def metrics(self) -> bytes:
        figures = (
            ("skill_calls_total", "counter", "Calls answered.", self.calls),
            ("skill_errors_total", "counter", "Calls answered with an error.", self.errors),
            ("skill_call_seconds_sum", "counter", "Seconds spent in calls.", round(self.seconds, 6)),
            ("skill_calls_in_flight", "gauge", "Calls that run now.", self.in_flight),
        )
        label = f'{{skill="{self._service["name"]}"}}'
        return "".join(f"# HELP {name} {text}\n# TYPE {name} {kind}\n{name}{label} {value}\n" for name, kind, text, value in figures).encode()

    def _execute(self, client: Connection, body: bytes) -> None:
        started = time.monotonic()
        try:
            call = _DECODER.decode(body.decode())
            context = call.get("context", {})
            if not isinstance(call["inputs"], dict) or not isinstance(context, dict):
                raise ValueError
            deadline, caller = float(context.get("deadline", self._service["timeout"])), _caller(context.get("caller"))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            client.answer(400, error_body("bad-request", 'the body must be {"inputs": {...}, "context": {...}} as JSON'))
            return
        self.in_flight += 1

        def done(ok: bool, reply: bytes) -> None:
            self.in_flight -= 1
            self.calls += 1
            self.errors += not ok
            self.seconds += time.monotonic() - started
            client.answer(503 if self._unhealthy and not ok else 200, reply)

        if self._unhealthy and self._unhealthy != "starting":
            done(False, error_body("unhealthy", self._unhealthy))
        else:
            self._pool.submit(Call(body, caller, started + min(max(deadline, 0.0), self._service["timeout"]), done))

    def _fork(self, line: socket.socket) -> None:
        socket.send_fds(self._control, [b"f"], [line.fileno()])

    def _hear(self, events: int) -> None:
        """The zygote tells that it is ready, or why it cannot be; then nothing until it is gone."""
        said = b""
        with contextlib.suppress(OSError):
            said = self._control.recv(4096)
        if said == b"ready":
            self._unhealthy = ""
            self._pool.open()
            return
        self._loop.forget(self._control)
        starting = self._unhealthy == "starting"
        died = "the process died while it imported the skill" if starting else "the process that holds the skill died"
        self._unhealthy = said.decode(errors="replace") or died
        self._pool.close(error_body("unhealthy", self._unhealthy))


def _caller(told: Any) -> str:
    """Who is calling. A name too long to be compared is nobody's, so that no process stays for two whose names begin alike."""
    name = str(told or "")
    return name if len(name) <= 200 else ""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def listen(where: str | tuple[str, int]) -> socket.socket:
    """On a unix socket's path, or on an address and port."""
    if not isinstance(where, str):
        return socket.create_server(where, backlog=BACKLOG)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(where)  # noqa: PTH108
    line = socket.socket(socket.AF_UNIX)
    line.bind(where)
    line.listen(BACKLOG)
    return line


def main(arguments: list[str]) -> None:
    with open(os.path.join(sys.path[0], "service.json"), encoding="utf-8") as file:  # noqa: PTH118
        service = json.load(file)
    # Neither a call nor the skill may look into the memory of another call or of this process (prctl(2), inherited by fork).
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        Zygote(theirs, service).main()
    theirs.close()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # the first process of a container would not hear it otherwise
    host, _, port = os.environ.get("SKILL_LISTEN", "").rpartition(":")
    loop = Loop()
    callers = tuple(os.environ.get("SKILL_CALLERS", "").split()) if not arguments else ()
    Server(loop, listen(arguments[0] if arguments else (host, int(port))), Skill(loop, ours, service).handle, callers)
    loop.run()


if __name__ == "__main__":
    main(sys.argv[1:])
