"""Go on this machine, as it is run over code that nobody has judged: no cgo, nothing generated, no other toolchain, no settings of the skill's."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from agent.errors import CouldNotTell

HERE = Path(__file__).parent
OLDEST = (1, 22)
SECONDS = 120.0
FILE = 512 * 2**20  # bytes of a file that a build may write
FIX = "Install Go 1.22 or newer (go.dev/dl, or the package of your system) and have it on PATH."
# Where modules come from, and what is trusted there: the machine's own.
FETCHING = ("GOPROXY", "GONOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GOINSECURE", "GOAUTH")
_LIMITED = 'ulimit -c 0 && ulimit -f "$0" && exec "$@"'


@cache
def go() -> str:
    """The path of Go; CouldNotTell with the fix where it is missing or too old."""
    path = shutil.which("go")
    if path is None:
        raise CouldNotTell("Go is not installed here.", next_step=FIX)
    told = _version_of(path)
    numbers = re.search(r"\bgo(\d+)\.(\d+)", told)
    if not numbers or (int(numbers[1]), int(numbers[2])) < OLDEST:
        raise CouldNotTell("Go is too old here.", why=f"It says {told!r}.", next_step=FIX)
    return path


@cache
def version() -> str:
    """Like `go version go1.26.8 linux/amd64`."""
    return _version_of(go())


def _version_of(path: str) -> str:
    try:
        done = subprocess.run(
            [path, "version"], capture_output=True, text=True, timeout=SECONDS, check=False, env=_surroundings({"GOTOOLCHAIN": "local"})
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CouldNotTell("Go could not be run.", why=str(error), next_step=FIX) from None
    return done.stdout.strip()


def environment(cache: Path, modules: Path | None = None) -> dict[str, str]:
    """For building: nothing is fetched. `cache`: our own folder; `modules`: the modules that the lock file names."""
    return _surroundings({
        "GOCACHE": str(cache / "build"), "GOMODCACHE": str(modules or cache / "no-modules"), "GOPATH": str(cache / "path"), "GOPROXY": "off",
        "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false", "GOENV": "off", "GOWORK": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0",
        "GO111MODULE": "on", "GOTELEMETRY": "off", "STATICCHECK_CACHE": str(cache / "staticcheck-facts"),
    })  # fmt: skip


def fetching(cache: Path, modules: Path) -> dict[str, str]:
    """For fetching: through the machine's own proxy, as `go env` and GOFLAGS have it set up."""
    own = _own()
    flags = f"{own['GOFLAGS']} -modcacherw".strip()
    proxies = own["GOPROXY"]
    if proxies not in ("direct", "off"):  # a module that no proxy knows is not looked for on whatever host its name says
        proxies = re.sub(r"[,|]direct$", "", proxies)
    return environment(cache, modules) | {**{name: own[name] for name in FETCHING if own.get(name)}, "GOFLAGS": flags, "GOPROXY": proxies}


def _own() -> dict[str, str]:
    names = (*FETCHING, "GOFLAGS")
    done = subprocess.run([go(), "env", *names], capture_output=True, text=True, timeout=SECONDS, check=False)
    return dict(zip(names, [*done.stdout.splitlines(), *[""] * len(names)], strict=False))


def _surroundings(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment without Go's settings and what would change a build, and with ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GO", "CGO_")) and name not in ("CC", "CXX", "AR")}
    kept.setdefault("HOME", "/tmp")
    return {**kept, **settings}


def said(*command: str, cwd: Path, env: Mapping[str, str], stdin: bytes = b"", seconds: float = SECONDS) -> subprocess.CompletedProcess[bytes]:
    """What a tool says; all that it started ends with it. CouldNotTell where it cannot be run or takes too long."""
    name = Path(command[0]).name
    limited = ["/bin/sh", "-c", _LIMITED, str(FILE // 512), *command]  # dash counts blocks of 512 bytes
    try:
        with subprocess.Popen(
            limited, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, env=dict(env), start_new_session=True
        ) as process:
            try:
                out, err = process.communicate(stdin, timeout=seconds)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
    except subprocess.TimeoutExpired:
        raise CouldNotTell(f"{name} took longer than {seconds:.0f} s.", next_step="Try again; make the skill smaller if it goes on.") from None
    except OSError as error:
        raise CouldNotTell(f"{name} could not be run.", why=str(error), next_step=FIX) from None
    return subprocess.CompletedProcess(command, process.returncode, out, err)
