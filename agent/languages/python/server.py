"""The server shim: runs in the sandbox and speaks the design's HTTP contract on a unix socket. Standard library only.

`python -E -s -S server.py SOCKET`, with `service.json` and `zygote.py` beside it; in a container without SOCKET, on the address
that SKILL_LISTEN names (0.0.0.0:8080). This process speaks HTTP and never touches the
skill's code; its child, the zygote, has imported the skill; each call is a fork of the zygote.

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
import threading
import time
from typing import Any, NoReturn

from zygote import DIED, MAX_BODY, OUTPUTS, PID, Zygote, error_body, receive, send

CALLS_AT_ONCE = 16
PR_SET_DUMPABLE = 4


class Skill:
    """The HTTP process' side of the zygote: calls with a deadline, and the counts."""

    def __init__(self, control: socket.socket, service: dict[str, Any]) -> None:
        self._control, self._service = control, service
        self._slots = threading.BoundedSemaphore(CALLS_AT_ONCE)
        self._lock = threading.Lock()
        self._known = threading.Event()
        self._unhealthy = "starting"
        self.calls = self.errors = self.in_flight = 0
        self.seconds = 0.0

    def watch(self) -> None:
        """Follows the zygote's state until it is gone."""
        state = self._control.recv(4096)
        self._unhealthy = "" if state == b"ready" else state.decode(errors="replace") or "the process died while it imported the skill"
        self._known.set()
        if state == b"ready":
            self._control.recv(1)
            self._unhealthy = "the process that holds the skill died"

    def health(self) -> tuple[int, bytes]:
        state = {"status": "unhealthy", "reason": self._unhealthy} if self._unhealthy else {"status": "healthy"}
        return 503 if self._unhealthy else 200, json.dumps({**state, "name": self._service["name"], "version": self._service["version"]}).encode()

    def metrics(self) -> tuple[int, bytes]:
        figures = (
            ("skill_calls_total", "counter", "Calls answered.", self.calls),
            ("skill_errors_total", "counter", "Calls answered with an error.", self.errors),
            ("skill_call_seconds_sum", "counter", "Seconds spent in calls.", round(self.seconds, 6)),
            ("skill_calls_in_flight", "gauge", "Calls that run now.", self.in_flight),
        )
        label = f'{{skill="{self._service["name"]}"}}'
        lines = [f"# HELP {name} {text}\n# TYPE {name} {kind}\n{name}{label} {value}\n" for name, kind, text, value in figures]
        return 200, "".join(lines).encode()

    def execute(self, body: bytes) -> tuple[int, bytes]:
        """Status and body for the body of a POST /execute."""
        try:
            call = json.loads(body, parse_constant=_no_constant)
            if not isinstance(call["inputs"], dict) or not isinstance(call.setdefault("context", {}), dict):
                raise ValueError
            deadline = float(call["context"].get("deadline", self._service["timeout"]))
            body = json.dumps(call).encode()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            return 400, error_body("bad-request", 'the body must be {"inputs": {...}, "context": {...}} as JSON')
        started = time.monotonic()
        ok, reply = False, b""
        with self._lock:
            self.in_flight += 1
        try:
            ok, reply = self._within(body, started + min(max(deadline, 0.0), self._service["timeout"]))
        finally:
            with self._lock:
                self.in_flight -= 1
                self.calls += 1
                self.errors += not ok
                self.seconds += time.monotonic() - started
        return 503 if self._unhealthy and not ok else 200, reply

    def _within(self, body: bytes, until: float) -> tuple[bool, bytes]:
        left = until - time.monotonic()
        if not self._known.wait(left) or not self._slots.acquire(timeout=max(0.0, until - time.monotonic())):
            return False, error_body("busy", "no call could be started before the deadline")
        try:
            if self._unhealthy:
                return False, error_body("unhealthy", self._unhealthy)
            return self._call(body, until)
        finally:
            self._slots.release()

    def _call(self, body: bytes, until: float) -> tuple[bool, bytes]:
        near, far = socket.socketpair()
        pid = 0
        with near:
            try:
                with far:
                    socket.send_fds(self._control, [b"c"], [far.fileno()])
                near.settimeout(max(0.001, until - time.monotonic()))
                with contextlib.suppress(BrokenPipeError):
                    send(near, OUTPUTS, body)
                while True:
                    kind, payload = receive(near, until)
                    if kind == PID:
                        pid = int(payload)
                    elif kind == DIED:
                        return False, _death(int(payload))
                    else:
                        return kind == OUTPUTS, payload
            except TimeoutError:
                return False, error_body("timeout", "the call took longer than it was allowed to")
            except (EOFError, OSError, ValueError):
                return False, error_body("crashed", "the process of this call ended without an answer")
            finally:
                if pid > 1:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(pid, signal.SIGKILL)


def _death(status: int) -> bytes:
    if status == -signal.SIGKILL:
        return error_body("out-of-memory", "the process of this call was killed, as happens when memory runs out")
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"
    return error_body("crashed", f"the process of this call ended without an answer: {how}")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def serve(skill: Skill, where: str | tuple[str, int]) -> None:
    """Listens on a unix socket's path, or on an address and port."""
    import http.server
    import socketserver

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 75  # seconds that a connection may be idle
        disable_nagle_algorithm = not isinstance(where, str)
        wbufsize = 2**16
        default_request_version = "HTTP/1.1"  # so that a request line that cannot be read gets a whole reply

        def _route(self) -> None:
            body = self._body()
            path = self.path.partition("?")[0]
            if body is None:
                return
            if (self.command, path) == ("POST", "/execute"):
                self._answer(*skill.execute(body))
            elif action := {"/health": skill.health, "/metrics": skill.metrics}.get(path) if self.command == "GET" else None:
                self._answer(*action(), kind="text/plain; version=0.0.4" if path == "/metrics" else "application/json")
            elif path in ("/execute", "/health", "/metrics"):
                self._refuse(405, "bad-request", f"{self.command} is not allowed on {path}")
            else:
                self._refuse(404, "not-found", "the paths are /execute, /health and /metrics")

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _route

        def _body(self) -> bytes | None:
            """The request's body; None where it was refused, and the refusal sent."""
            if "Transfer-Encoding" in self.headers:
                self._refuse(411, "bad-request", "the body needs a Content-Length")
                return None
            length = self.headers.get("Content-Length", "0")
            if not length.isdecimal() or len(length) > 15:
                self._refuse(400, "bad-request", "the Content-Length is no number")
                return None
            if int(length) > MAX_BODY:
                left = min(int(length), 8 * MAX_BODY)  # read on for a while, so that the client can read the answer
                while left > 0 and (part := self.rfile.read(min(left, 2**20))):
                    left -= len(part)
                self._refuse(413, "too-large", f"the body is larger than {MAX_BODY} bytes")
                return None
            body = self.rfile.read(int(length))
            if len(body) < int(length):
                self.close_connection = True
                return None
            return body

        def _refuse(self, status: int, code: str, message: str) -> None:
            self.close_connection = True
            self._answer(status, error_body(code, message))

        def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
            self.send_response_only(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
            unknown_method = code == 501
            self._refuse(
                405 if unknown_method else code,
                "bad-request",
                "the method is not allowed" if unknown_method else message or "the request cannot be read",
            )

        def log_message(self, *_: Any) -> None:
            """The log is the skill's own: what it prints, and its tracebacks."""

    class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
        address_family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: Any) -> None:
            """A client that went away is no news."""

    threading.stack_size(2**19)
    if isinstance(where, str):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(where)  # noqa: PTH108
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # the first process of a container would not hear it otherwise
    with Server(where, Handler) as server:
        threading.Thread(target=skill.watch, daemon=True).start()
        server.serve_forever()


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
    host, _, port = os.environ.get("SKILL_LISTEN", "").rpartition(":")
    serve(Skill(ours, service), arguments[0] if arguments else (host, int(port)))


if __name__ == "__main__":
    main(sys.argv[1:])
