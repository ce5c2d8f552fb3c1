"""The supervisor's door: one daemon a clone, which listens on a unix socket for the verbs of `supervision.py`.

Started on demand (`skillops supervise`), it ends by itself when its clone is gone, or when for ten minutes nothing ran
and nobody asked for anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import resource
import shutil
import signal
import socketserver
import threading
import time
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import BaseModel, ValidationError

from agent.domain.stand_in import StandIns
from agent.errors import SkillOpsError, UsageError
from agent.ports import Deployment, Launcher, Secrets
from agent.supervision import Supervisor
from agent.supervisor_client import NotRunning, OtherRuntime, ask, cannot, error_line, home, make_sockets

LINGER = 600.0  # seconds without a running skill or a command
MAX_REQUEST = 16 * 2**20  # bytes
ROUND = 0.2  # seconds between two looks at the skills
log = logging.getLogger("agent.supervisor")
M = TypeVar("M", bound=BaseModel)


def serve(state: Path, launcher: Launcher, idle_seconds: float, secrets: Secrets | None = None, max_instances: int = 1) -> None:
    """Blocks until the orderly end (`shutdown`, SIGTERM, SIGINT, or by itself); where another one serves, returns at once.

    `state` is the clone's state folder. A skill that was not called for `idle_seconds` is put to rest; one under load gets up to
    `max_instances` instances.
    """
    state = state.absolute()
    home(state).mkdir(mode=0o700, parents=True, exist_ok=True)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    lock = _only_one(state)
    if lock is None:
        return
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each connection of a skill to a host takes two descriptors
    with lock:
        supervisor = Supervisor(state, launcher, idle_seconds, secrets, max_instances)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.ending.set())
        control = make_sockets(state) / "control.sock"
        supervisor.adopt()
        control.unlink(missing_ok=True)
        with _Server(str(control), supervisor) as server:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            log.info("process %s serves %s", os.getpid(), state)
            while not supervisor.ending.wait(ROUND) and _at_home(state, lock) and control.exists():
                if supervisor.busy():
                    server.last_used = time.monotonic()
                elif time.monotonic() - server.last_used > LINGER:
                    break
                supervisor.look()
            supervisor.stop()
            server.shutdown()
            if _at_home(state, lock) or control.parent.parent != home(state):
                shutil.rmtree(control.parent, ignore_errors=True)
        log.info("process %s ends", os.getpid())


def answer(supervisor: Supervisor, request: dict[str, Any], meanwhile: contextlib.ExitStack) -> Any:
    """The value of one request, as JSON has it; what it gives for a time ends with `meanwhile`. Raises what the verbs raise."""
    if request.get("runtime", supervisor.runtime) != supervisor.runtime:
        raise OtherRuntime(f"The supervisor that runs starts skills with the runtime {supervisor.runtime}.")
    match request:
        case {"verb": "ping"}:
            return os.getpid()
        case {"verb": "deploy", "deployment": dict(told)}:
            return supervisor.deploy(_read(Deployment, told)).model_dump(mode="json")
        case {"verb": "remove", "skill": str(skill)}:
            return supervisor.remove(skill)
        case {"verb": "services"}:
            return [service.model_dump(mode="json") for service in supervisor.services()]
        case {"verb": "endpoint", "skill": str(skill)}:
            return supervisor.endpoint(skill, str(request.get("person", ""))).model_dump(mode="json")
        case {"verb": "trial", "deployment": dict(told), "stand_ins": dict(script)}:
            trial = supervisor.trial(_read(Deployment, told), _read(StandIns, script))
            return meanwhile.enter_context(trial).model_dump(mode="json")
        case {"verb": "logs", "skill": str(skill), "lines": int(lines)}:
            return supervisor.logs(skill, lines)
        case {"verb": "stats", "skill": str() | None as skill}:
            return [load.model_dump(mode="json") for load in supervisor.stats(skill)]
        case {"verb": "shutdown"}:
            supervisor.ending.set()
            return supervisor.ended.wait(60)
    raise _of_another_version()


def _read(kind: type[M], told: dict[str, Any]) -> M:
    try:
        return kind.model_validate(told)
    except ValidationError:
        raise _of_another_version() from None


def _of_another_version() -> OtherRuntime:
    """Whoever asks ends this supervisor, and starts one that knows what they mean."""
    return OtherRuntime(
        "The supervisor that runs does not know this request.", why="SkillOps was updated since it was started.",
        next_step="End it with `kill`, and a new one starts with the next command.",
    )  # fmt: skip


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: str, supervisor: Supervisor) -> None:
        super().__init__(path, _Handler)
        self.supervisor, self.last_used = supervisor, time.monotonic()


class _Handler(socketserver.StreamRequestHandler):
    timeout = 30  # seconds in which a request must have arrived
    server: _Server

    def handle(self) -> None:
        self.server.last_used = time.monotonic()
        with contextlib.suppress(ConnectionError, TimeoutError):  # whoever asked has gone
            self.wfile.write(_line({"pid": os.getpid()}))
            if line := self.rfile.readline(MAX_REQUEST):
                with contextlib.ExitStack() as meanwhile:
                    self.wfile.write(_line(self._reply(line, meanwhile)))
                    self.connection.settimeout(None)
                    self.rfile.read(1)  # what is given for a time is given until whoever asked hangs up

    def _reply(self, line: bytes, meanwhile: contextlib.ExitStack) -> dict[str, Any]:
        verb = "understand the request"
        try:
            try:
                request = json.loads(line)
                verb = request["verb"]
            except (ValueError, KeyError, TypeError):
                raise UsageError("The request is no line of JSON with a verb.") from None
            return {"value": answer(self.server.supervisor, request, meanwhile)}
        except SkillOpsError as error:
            return {"error": error_line(error)}
        except OSError as error:
            log.exception("could not %s", verb)
            return {"error": error_line(cannot(verb, error))}


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"


def _only_one(state: Path, patience: float = 15.0) -> IO[str] | None:
    """The lock, ours until we end however we end; None where another supervisor answers. An ending one is waited for."""
    lock = (home(state) / "lock").open("a+")
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with contextlib.suppress(NotRunning, SkillOpsError):
                ask(state, "ping")
                lock.close()
                return None
            if time.monotonic() > deadline:
                raise cannot("become the supervisor", BlockingIOError("another process holds the lock and does not answer")) from None
            time.sleep(0.05)
        else:
            lock.truncate(0)
            print(os.getpid(), file=lock, flush=True)
            return lock


def _at_home(state: Path, lock: IO[str]) -> bool:
    """Whether the state folder is still the one in which we hold the lock."""
    try:
        return (home(state) / "lock").stat().st_ino == os.fstat(lock.fileno()).st_ino
    except OSError:
        return False
