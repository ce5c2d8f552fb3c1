"""`skillops` for scripts that call it dozens of times: each call is a process of its own, forked from one that has loaded the libraries.

A call has the caller's arguments, environment, folder, umask and standard streams, begins at `agent.cli.main` and ends as any process does. Only the
loading, two seconds and with LiteLLM five, is done once.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.llms.litellm import _litellm

HEADER = 8  # bytes: how long what follows is
CLIENT = """\
#!{python} -IS
import json, os, socket, sys
umask = os.umask(0)
told = json.dumps([sys.argv, dict(os.environ), os.getcwd(), umask]).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    socket.send_fds(server, [len(told).to_bytes({header}, "big")], [0, 1, 2])
    server.sendall(told)
    code = server.recv(1)
sys.exit(code[0] if code else "the call was lost")
"""


@contextmanager
def warm_command() -> Iterator[Path]:
    """A folder with a `skillops` that is called so; it ends with the `with`."""
    with tempfile.TemporaryDirectory(prefix="w-") as folder:
        path, program = f"{folder}/socket", Path(folder, "skillops")
        program.write_text(CLIENT.format(python=sys.executable, path=path, header=HEADER))
        program.chmod(0o700)
        command, env = [sys.executable, "-m", "tests.warm", path], {**os.environ, "LANG": "C.UTF-8"}
        with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) as server:
            assert server.stdin and server.stdout
            assert server.stdout.read(1) == b"+", "the command cannot be loaded"
            try:
                yield Path(folder)
            finally:
                server.stdin.close()  # which ends it


def _load() -> None:
    """What the verbs load, but for `agent.screen`, which looks at the terminal."""
    for name in ("rich.console", "rich.table", "agent.cli", "agent.actions", "agent.nightly_job", "agent.forges.github", "github"):
        importlib.import_module(name)
    _litellm()
    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads cannot be forked"  # noqa: PTH208
    gc.freeze()


class Server:
    """Forks for each call, and tells the caller how it ended."""

    def __init__(self, path: str) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        self.events = selectors.DefaultSelector()
        self.events.register(sys.stdin, selectors.EVENT_READ)
        self.events.register(self.listener, selectors.EVENT_READ)
        self.calls: dict[int, socket.socket] = {}  # by process id

    def serve(self) -> bool:
        """True in each process that is a call; False when the caller of all of it has gone."""
        while True:
            for key, _ in self.events.select():
                if key.fileobj is sys.stdin:
                    for pid in self.calls:
                        os.kill(pid, signal.SIGTERM)
                    return False
                if key.fileobj is self.listener:
                    if self._begin(self.listener.accept()[0]):
                        return True
                elif key.data in self.calls:
                    self._end(key.data, key.fileobj)

    def _begin(self, caller: socket.socket) -> bool:
        """Forks. True in the process that is the call."""
        with caller.makefile("rb") as told:
            header, streams, _, _ = socket.recv_fds(caller, HEADER, 3)
            arguments, environment, folder, umask = json.loads(told.read(int.from_bytes(header, "big")))
        pid = os.fork()
        if pid:
            for stream in streams:
                os.close(stream)
            self.calls[pid] = caller
            self.events.register(caller, selectors.EVENT_READ, pid)
            self.events.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
            return False
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        self.events.close()
        for left in (self.listener, caller, *self.calls.values()):
            left.close()
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        os.chdir(folder)
        os.umask(umask)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv, sys.path[0], tempfile.tempdir = arguments, str(Path(sys.executable).parent), None
        return True

    def _end(self, pid: int, what: Any) -> None:
        """The call has ended, and its caller hears how; or the caller has gone, and the call goes with it."""
        if isinstance(what, socket.socket):
            os.kill(pid, signal.SIGTERM)
            self.events.unregister(what)
            return
        caller = self.calls.pop(pid)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.events.unregister(what)
        os.close(what)
        if caller in self.events.get_map():
            self.events.unregister(caller)
            with contextlib.suppress(OSError):  # it has gone a moment ago
                caller.sendall(bytes([code if code >= 0 else 128 - code]))
        caller.close()


def main(path: str) -> None:
    server = Server(path)
    _load()
    os.write(1, b"+")
    if server.serve():
        from agent.cli import main

        main()


if __name__ == "__main__":
    main(sys.argv[1])
