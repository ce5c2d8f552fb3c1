"""How long a run in the sandbox takes beyond bubblewrap itself: `/bin/true`, in turns with a plain bwrap command."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from agent.ports import SandboxSpec
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from tests.benchmarks.row import Row, alternated

TARGET = 1.3


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
    sandbox, spec, command = BubblewrapSandbox(), SandboxSpec(argv=("/bin/true",)), bare_command()

    def ours() -> None:
        assert sandbox.run(spec).ending == "ok"

    def bare() -> None:
        subprocess.run(command, capture_output=True, check=True)

    works = {"ours": ours, "bare": bare}
    alternated(works, 2)
    taken = alternated(works, rounds)
    return [Row("sandbox start", 1000 * taken["ours"], "ms", TARGET, reference=1000 * taken["bare"], against="bare bubblewrap")]
