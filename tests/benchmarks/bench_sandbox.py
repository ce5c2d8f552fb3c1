"""How long a run in the sandbox takes beyond bubblewrap itself: `/bin/true` and an empty Python program, in turns with plain bwrap commands."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from agent.interpreter import base_mounts, interpreter
from agent.ports import SandboxSpec
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from tests.benchmarks.row import Row, alternated

TARGET = 1.3
PYTHON_TARGET = 60.0  # milliseconds from the start of an empty Python program to its end


def bare_command(program: Sequence[str] = ("/bin/true",), options: Sequence[str] = (), folder: str = "/tmp") -> list[str]:
    """The same namespaces and mounts, put together by hand."""
    command = ["bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    command += ["--clearenv", "--setenv", "PATH", "/usr/bin:/bin", "--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]
    command += ["--ro-bind", "/usr", "/usr"]
    for place in (Path("/bin"), Path("/sbin"), Path("/lib"), Path("/lib32"), Path("/lib64")):
        if place.is_symlink():
            command += ["--symlink", str(place.readlink()), str(place)]
        elif place.is_dir():
            command += ["--ro-bind", str(place), str(place)]
    for file in ("ld.so.cache", "alternatives", "localtime", "ssl/certs", "ssl/openssl.cnf", "hosts", "passwd", "group", "nsswitch.conf"):
        command += ["--ro-bind-try", f"/etc/{file}", f"/etc/{file}"]
    command += ["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    return [*command, "--tmpfs", "/tmp", *options, "--remount-ro", "/", "--chdir", folder, *program]


def measure(rounds: int = 40) -> list[Row]:
    """Medians of `rounds` turns in milliseconds."""
    sandbox, empty = BubblewrapSandbox(), (interpreter(), "-I", "-S", "-c", "")
    binds = [part for mount in base_mounts() for part in ("--ro-bind", str(mount.source), mount.target)]

    def ours(spec: SandboxSpec) -> None:
        assert sandbox.run(spec).ending == "ok"

    def bare(command: list[str]) -> None:
        subprocess.run(command, capture_output=True, check=True)

    works: dict[str, Callable[[], None]] = {
        "ours": partial(ours, SandboxSpec(argv=("/bin/true",))), "bare": partial(bare, bare_command()),
        "our python": partial(ours, SandboxSpec(argv=empty, mounts=base_mounts())), "bare python": partial(bare, bare_command(empty, binds)),
    }  # fmt: skip
    alternated(works, 2)
    taken = {name: 1000 * value for name, value in alternated(works, rounds).items()}
    return [
        Row("sandbox start", taken["ours"], "ms", TARGET, reference=taken["bare"], against="bare bubblewrap"),
        Row("an empty Python program in the sandbox", taken["our python"], "ms", PYTHON_TARGET, judged="ours", reference=taken["bare python"],
            against="bare bubblewrap"),
    ]  # fmt: skip
