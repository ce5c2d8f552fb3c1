"""The switchboard: where the process that called a skill is asked by it for the skills that it requires.

A call of a skill that requires others has a line, known by its ticket, for as long as the call takes. What comes over the line is carried
out here, in the caller's own process, with what the caller may do, has left and is charged for: nobody else is trusted with that. The
skill's way to it leads through a door of its own instance (`runtimes/way_back.py`), which says whose it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Protocol

from pydantic_core import from_json, to_json

from agent.domain.invocation import MAX_BODY, InvocationResult
from agent.domain.schema import Json
from agent.domain.skill import NAME_PATTERN
from agent.domain.wire import written
from agent.errors import InvocationFailed, SkillOpsError
from agent.supervisor_client import cannot, home, short_folder

PREFIX, SKILL = "skillops-calls-", "X-SkillOps-Skill"
TICKET = re.compile(r"([0-9]+-[0-9a-f]{8})\.[0-9a-f]{32}")
_PATH = re.compile(rf"/skills/({NAME_PATTERN[1:-1]})/execute")


class Line(Protocol):
    """Who may ask over it, and what is done then."""

    @property
    def skill(self) -> str: ...
    def carry(self, name: str, inputs: Json, seconds: float | None) -> InvocationResult:
        """What the skill `name` answers, where it does within `seconds`. Raises SkillOpsError."""
        ...


class Switchboard:
    """Of one process, for the clone whose state folder is `state`. Nothing listens before the first line is opened."""

    def __init__(self, state: Path) -> None:
        self._links = home(state.absolute()) / "callers"
        self._lines: dict[str, Line] = {}
        self._lock = threading.Lock()
        self._ident = ""
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._server: _Server | None = None

    @contextlib.contextmanager
    def line(self, line: Line) -> Iterator[str]:
        """Its ticket, which counts meanwhile. Raises CouldNotTell where nobody could listen."""
        try:
            ticket = f"{self._listening()}.{secrets.token_hex(16)}"
        except OSError as error:
            raise cannot(f"listen for what {line.skill} calls", error) from None
        self._lines[ticket] = line
        try:
            yield ticket
        finally:
            self._lines.pop(ticket, None)

    def find(self, ticket: str) -> Line | None:
        return self._lines.get(ticket)

    def close(self) -> None:
        with self._lock:
            if self._server and self._folder:
                (self._links / self._ident).unlink(missing_ok=True)
                self._server.shutdown()
                self._server.server_close()
                self._folder.cleanup()
            self._server = self._folder = None

    def answer(self, skill: str, name: str, body: bytes) -> tuple[int, bytes]:
        """Status and body, always in the form of /execute; `skill` is whose door it came through."""
        try:
            document = from_json(body, allow_inf_nan=False)
            inputs, context = document["inputs"], document.get("context") or {}
            ticket, deadline = context.get("call"), context.get("deadline")
        except (ValueError, KeyError, TypeError, AttributeError):
            return 400, refused("invalid-request", 'the body must be {"inputs": {…}, "context": …}, with the context that the skill was called with')
        line = self._lines.get(ticket) if isinstance(ticket, str) else None
        if line is None or line.skill != skill:
            return 403, refused("no-call", "the context is not that of a call which is under way: pass on the one that the skill was called with")
        try:
            result = line.carry(name, inputs, float(deadline) if isinstance(deadline, int | float) and deadline > 0 else None)
            return 200, b'{"success": true, "outputs": %b, "receipt": %b}' % (written(result.outputs), to_json(result.receipt))
        except InvocationFailed as error:
            return 200, refused(error.code_, error.why or error.what)
        except SkillOpsError as error:
            return 403 if error.code == "refused" else 200, refused(error.code, str(error))
        except ValueError:  # 1e999 is JSON, and reads as Infinity
            return 200, refused("bad-outputs", f"{name} answered a number that is too large")

    def _listening(self) -> str:
        """Where nobody listens yet, somebody does from now on; how the doors find it."""
        with self._lock:
            if self._server is None:
                self._sweep()
                with contextlib.ExitStack() as undo:
                    ident = f"{os.getpid()}-{secrets.token_hex(4)}"
                    folder = tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", dir=short_folder(), ignore_cleanup_errors=True)
                    undo.callback(folder.cleanup)
                    path = Path(folder.name) / "calls.sock"
                    server = _Server(str(path), _handler(self))
                    undo.callback(server.server_close)
                    self._links.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    self._links.mkdir(mode=0o700, exist_ok=True)
                    (self._links / ident).symlink_to(path)
                    threading.Thread(target=server.serve_forever, args=(0.2,), name="calls", daemon=True).start()
                    undo.pop_all()
                self._ident, self._folder, self._server = ident, folder, server
            return self._ident

    def _sweep(self) -> None:
        """Clears away what processes that were killed left."""
        for link in self._links.glob("*-*"):
            if not Path(f"/proc/{link.name.partition('-')[0]}").exists():
                with contextlib.suppress(OSError):
                    shutil.rmtree(link.readlink().parent, ignore_errors=True)
                    link.unlink()


def place_of(state: Path, ticket: str) -> str | None:
    """The socket of whoever gave the ticket; None where that is no ticket, or its process has gone."""
    found = TICKET.fullmatch(ticket)
    try:
        return str((home(state) / "callers" / found[1]).readlink()) if found else None
    except OSError:
        return None


def refused(code: str, message: str) -> bytes:
    """In the form of /execute."""
    return json.dumps({"success": False, "error": {"code": code, "message": message}}).encode()


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads, request_queue_size, block_on_close = True, 128, False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked has hung up, which is its own affair."""


def _handler(board: Switchboard) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 60

        def do_POST(self) -> None:
            """From a door, which has held the body against the limits already."""
            length, path = self.headers.get("Content-Length") or "", _PATH.fullmatch(self.path)
            if path is None or not length.isdecimal() or int(length) > MAX_BODY:
                status, reply = 404, refused("not-found", "the paths are /skills/NAME/execute, for the skills that are required")
            else:
                status, reply = board.answer(self.headers.get(SKILL, ""), path[1], self.rfile.read(int(length)))
            self.send_response_only(status)
            for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(reply))), ("Connection", "close")):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *args: Any) -> None:
            """Each call has its receipt."""

    return Handler
