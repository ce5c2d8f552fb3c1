"""How one talks to a repository's supervisor: where it listens, what goes over the wire, how it is started on demand.

The wire: on connecting, the supervisor greets with one line of JSON; then one request line `{"verb": …}` is answered
by one line, `{"value": …}` or `{"error": {"code", "what", "why", "next_step"}}`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agent.errors import ConfigurationError, CouldNotTell, MissingSecret, NotFound, Refused, SandboxUnavailable, SkillOpsError, UsageError
from agent.instance import tail

GREETING = 10.0  # seconds in which a supervisor that lives has greeted
LONGEST = 85  # bytes of a folder below which our sockets still fit into the 108 bytes of sockaddr_un (unix(7))


class NotRunning(Exception):
    """No supervisor answers, or it ended before it did."""


class OtherRuntime(CouldNotTell):
    """The supervisor that answers was started when the settings named another runtime, or by a SkillOps that was updated since."""

    code = "other-runtime"


_ERRORS: dict[str, type[SkillOpsError]] = {
    kind.code: kind for kind in (OtherRuntime, Refused, UsageError, NotFound, MissingSecret, CouldNotTell, SandboxUnavailable, ConfigurationError)
}


def home(state: Path) -> Path:
    """The supervisor's folder in a clone's state folder: lock, services.json, logs, and the link to its sockets."""
    return state / "supervisor"


def sockets(state: Path) -> Path:
    """The folder of the sockets, as the supervisor has chosen it."""
    run = home(state) / "run"
    return run.readlink() if run.is_symlink() else run


def make_sockets(state: Path) -> Path:
    """Makes that folder; a short one elsewhere, which `run` then links to, where the path would be too long."""
    run = home(state) / "run"
    if len(os.fsencode(run)) <= LONGEST:
        run.mkdir(mode=0o700, exist_ok=True)
        return run
    # By path and inode, so that a folder which was deleted and made anew never shares one with its predecessor.
    short = _own_folder() / hashlib.sha256(b"%d %s" % (run.parent.stat().st_ino, os.fsencode(run))).hexdigest()[:12]
    short.mkdir(mode=0o700, exist_ok=True)
    if sockets(state) != short:
        run.unlink(missing_ok=True)
        run.symlink_to(short)
    return short


def ask(state: Path, verb: str, **arguments: Any) -> Any:
    """Puts one request. Raises NotRunning, CouldNotTell where it hangs, and the error that it answers with."""
    with held(state, verb, **arguments) as value:
        return value


@contextlib.contextmanager
def held(state: Path, verb: str, **arguments: Any) -> Iterator[Any]:
    """As `ask`, with the connection held meanwhile: what a request gives for a time (a trial) ends with it."""
    if not sockets(state).exists():
        raise NotRunning
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        yield _value(_exchanged(state, connection, {"verb": verb, **arguments}))


def _exchanged(state: Path, connection: socket.socket, request: dict[str, Any]) -> bytes:
    connection.settimeout(GREETING)
    try:
        connection.connect(str(sockets(state) / "control.sock"))
        stream = connection.makefile("rwb")
        if not stream.readline():
            raise NotRunning
        connection.settimeout(None)  # it lives; a deploy may take as long as the skill's manifest allows
        stream.write(json.dumps(request).encode() + b"\n")
        stream.flush()
        return stream.readline()
    except (FileNotFoundError, ConnectionError):
        raise NotRunning from None
    except OSError as error:
        raise CouldNotTell(
            "The supervisor does not answer.",
            why=f"Process {holder(state)} holds its lock, but: {error or 'it hangs'}.",
            next_step=f"End it with `kill {holder(state)}` and try again; its log is {home(state) / 'supervisor.log'}.",
        ) from None


def _value(line: bytes) -> Any:
    if not line.endswith(b"\n"):
        raise NotRunning
    answer = json.loads(line)
    if "error" in answer:
        raise _error(answer["error"])
    return answer["value"]


def start(state: Path, command: Sequence[str], patience: float = 60.0) -> None:
    """Starts a supervisor, detached, and waits until one answers; where another one was quicker, that one serves."""
    log = home(state) / "supervisor.log"
    try:
        home(state).mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/")
    except OSError as error:
        raise cannot("start the supervisor", error) from None
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() in (None, 0):
        with contextlib.suppress(NotRunning):
            ask(state, "ping")
            return
        time.sleep(0.02)
    raise CouldNotTell("The supervisor does not start.", why=f"Its log ends: {tail(log, 8)}", next_step=f"See {log}, and try again.")


def holder(state: Path) -> str:
    """The process id in the lock file."""
    with contextlib.suppress(OSError):
        return (home(state) / "lock").read_text().strip()
    return "?"


def cannot(what: str, error: OSError) -> CouldNotTell:
    """An operating system error (a full disk, a missing right) as the third outcome."""
    return CouldNotTell(f"Could not {what}.", why=str(error), next_step="Mend that (`skillops doctor` tells how the machine is), and try again.")


def error_line(error: SkillOpsError) -> dict[str, Any]:
    wanted = {"skill": error.skill, "names": error.names, "person": error.person} if isinstance(error, MissingSecret) else {}
    return {"code": error.code, "what": error.what, "why": error.why, "next_step": error.next_step, **wanted}


def _error(line: dict[str, Any]) -> SkillOpsError:
    kind = _ERRORS.get(line["code"], CouldNotTell)
    wanted = {name: line[name] for name in ("skill", "names", "person") if name in line} if kind is MissingSecret else {}
    return kind(line["what"], why=line["why"], next_step=line["next_step"], **wanted)


def short_folder() -> Path:
    """A folder for temporary files in which paths of sockets stay short. Raises ConfigurationError."""
    for place in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if place and len(os.fsencode(place)) <= LONGEST - 40 and os.access(place, os.W_OK):
            return Path(place)
    raise ConfigurationError("No folder for temporary files can be written to.", next_step="Set TMPDIR to one with a short path.")


def _own_folder() -> Path:
    """A short folder that only we can enter. Anyone may write to /tmp, so what lies there already is not trusted."""
    folder = short_folder() / f"skillops-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigurationError(
            f"{folder} is not a folder that only you can enter.",
            why="The sockets of running skills lie there.",
            next_step=f"Remove it, or `chmod 700 {folder}` where it is yours.",
        )
    return folder
