"""Serves a workflow as any skill is served: /execute, /health and /metrics over HTTP on a unix socket.

It runs in the process of whoever calls the workflow, and ends with it: there is no code of the workflow's own that a sandbox would hold.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socketserver
import tempfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from agent.domain.invocation import MAX_BODY
from agent.domain.release import Endpoint
from agent.domain.schema import Json
from agent.supervisor_client import short_folder

PREFIX = "skillops-wf-"
Carry = Callable[[Any, dict[str, Any]], Json]
"""From inputs and context to outputs. Raises Failed."""


class Failed(Exception):
    """A workflow has not answered; `code` is a kebab-case word for machines."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class WorkflowServer:
    """Serves `carry` until it is closed, or its process ends."""

    def __init__(self, carry: Carry) -> None:
        _sweep()
        self._folder = tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", dir=short_folder(), ignore_cleanup_errors=True)
        self.calls = self.errors = 0
        path = str(Path(self._folder.name) / "skill.sock")
        self._server = _Server(path, _handler(carry, self))
        self.endpoint = Endpoint(socket=path)
        threading.Thread(target=self._server.serve_forever, args=(0.2,), name="workflow", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._folder.cleanup()


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads, request_queue_size, block_on_close = True, 128, False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hung up is its own affair."""


def _handler(carry: Carry, counts: WorkflowServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version, timeout = "HTTP/1.1", 60

        def do_GET(self) -> None:
            if self.path == "/health":
                self.answer(200, {"status": "healthy"})
            elif self.path == "/metrics":
                self.send(200, f"skill_calls_total {counts.calls}\nskill_errors_total {counts.errors}\n".encode(), "text/plain; version=0.0.4")
            else:
                self.answer(404, _error("not-found", "the paths are /execute, /health and /metrics"))

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length") or ""
            if self.path != "/execute" or not length.isdecimal() or int(length) > MAX_BODY:
                self.close_connection = True
                self.answer(404 if self.path != "/execute" else 413, _error("too-large", f"POST /execute takes at most {MAX_BODY} bytes"))
                return
            status, reply = self.reply(self.rfile.read(int(length)))
            counts.calls, counts.errors = counts.calls + 1, counts.errors + (not reply["success"])
            self.answer(status, reply)

        def reply(self, body: bytes) -> tuple[int, dict[str, Any]]:
            try:
                document = from_json(body, allow_inf_nan=False)
                inputs, context = document["inputs"], document.get("context") or {}
                if not isinstance(inputs, dict) or not isinstance(context, dict):
                    raise TypeError
            except (ValueError, KeyError, TypeError, AttributeError):
                return 400, _error("invalid-request", 'the body must be {"inputs": {…}, "context": {…}} as JSON')
            try:
                return 200, {"success": True, "outputs": carry(inputs, context)}
            except Failed as failed:
                return 200, _error(failed.code, failed.message)

        def answer(self, status: int, value: Any) -> None:
            self.send(status, json.dumps(value).encode(), "application/json")

        def send(self, status: int, body: bytes, kind: str) -> None:
            self.send_response_only(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """The runtime keeps a line for each call."""

    return Handler


def _error(code: str, message: str) -> dict[str, Any]:
    return {"success": False, "error": {"code": code, "message": message}}


def _sweep() -> None:
    """Clears away what processes that were killed left."""
    for folder in short_folder().glob(f"{PREFIX}*"):
        owner = re.match(rf"{PREFIX}(\d+)-", folder.name)
        with contextlib.suppress(OSError):
            if owner and folder.stat().st_uid == os.getuid() and not Path(f"/proc/{owner[1]}").exists():
                shutil.rmtree(folder, ignore_errors=True)
