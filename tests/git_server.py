"""A GitHub with git over HTTP, on loopback: `git http-backend` on one bare repository, and of the API what a commit reads.

Every request has to be signed with `tokens`; of those, `readers` may not push. While git talks to it, what runs on this machine is looked at.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAME = "acme/skills"


class GitServer:
    """`url` is the API's base, as an Enterprise server has it. `before` is called at each push; `fault` names what breaks once: cut, after, stall."""

    def __init__(self, root: Path) -> None:
        self.root, self.bare = root, root / f"{NAME}.git"
        self.tokens, self.readers = {"a-good-token"}, set[str]()
        self.asked, self.commands = list[tuple[str, str]](), set[str]()
        self.fault, self.before = "", lambda: None
        self.done = threading.Event()
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(self.bare), inside=False)
        self.git("config", "http.receivepack", "true")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/api/v3"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.done.set()
        self._server.shutdown()
        self._server.server_close()

    def git(self, *arguments: str, inside: bool = True, stdin: bytes = b"") -> str:
        place = ["-C", str(self.bare)] if inside else []
        return subprocess.run(["git", *place, *arguments], input=stdin, capture_output=True, check=True).stdout.decode().strip()

    def head(self, branch: str) -> str:
        return self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")

    def hook(self, name: str, text: str) -> None:
        path = self.bare / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    # ---- what it answers ------------------------------------------------------------------------------------------

    def allows(self, signed: str, pushes: bool) -> int:
        kind, _, word = signed.partition(" ")
        token = base64.b64decode(word).decode().partition(":")[2] if kind == "Basic" else word
        return 401 if token not in self.tokens else 403 if pushes and token in self.readers else 200

    def api(self, path: str) -> tuple[int, Any]:
        rest = path.removeprefix(f"/api/v3/repos/{NAME}").lstrip("/")
        if not rest:
            return 200, {"full_name": NAME, "has_issues": True}
        kind, _, name = rest.removeprefix("git/").partition("/")
        if kind == "ref" and (commit := self.head(name.removeprefix("heads/"))):
            return 200, {"object": {"sha": commit}}
        if kind == "commits":
            head, *parents = self.git("rev-list", "--no-walk", "--parents", name).split()
            return 200, {"sha": head, "tree": {"sha": self.git("rev-parse", f"{name}^{{tree}}")}, "parents": [{"sha": each} for each in parents]}
        return 404, {"message": "Not Found"}

    def backend(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """One call of the CGI program (man git-http-backend)."""
        path, _, query = handler.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
            "REQUEST_METHOD": handler.command, "CONTENT_TYPE": handler.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""), "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "x-access-token", "REMOTE_ADDR": "127.0.0.1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
        }  # fmt: skip
        told = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=environment, check=True).stdout
        head, _, content = told.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        return int(headers.pop("Status", "200").split()[0]), headers, content


def _handler(server: GitServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def _do(self) -> None:
            body = _chunks(self.rfile) if self.headers.get("Transfer-Encoding") else self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.asked.append((self.command, self.path))
            pushes = "git-receive-pack" in self.path
            if (status := server.allows(self.headers.get("Authorization", ""), pushes)) != 200:
                return self._reply(status, {"WWW-Authenticate": 'Basic realm="git"'}, b'{"message": "Bad credentials"}')
            if self.path.startswith("/api/v3/"):
                status, told = server.api(self.path.partition("?")[0])
                return self._reply(status, {"Content-Type": "application/json"}, json.dumps(told).encode())
            server.commands |= set(_command_lines())
            fault, end = "", self.path.endswith("/git-receive-pack")
            if end:
                server.before()
                fault, server.fault = server.fault, ""
            if fault == "stall":
                server.done.wait(30)
            if fault in ("cut", "stall"):
                self.close_connection = True
                return None
            reply = server.backend(self, body)
            if fault == "after":
                self.close_connection = True
                return None
            return self._reply(*reply)

        def _reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _do

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def _chunks(stream: Any) -> bytes:
    found = b""
    while size := int(stream.readline(), 16):
        found += stream.read(size)
        stream.readline()
    stream.readline()
    return found


def _command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue


@contextmanager
def running(root: Path) -> Iterator[GitServer]:
    server = GitServer(root)
    try:
        yield server
    finally:
        server.close()


def awaited(condition: Callable[[], bool], seconds: float = 60) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()
