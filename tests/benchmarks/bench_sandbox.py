"""What our sandbox costs on top of bubblewrap itself: start and end of `/bin/true`, in turns with a plain bwrap command."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from agent.ports import SandboxSpec
from agent.sandboxes.bubblewrap import BubblewrapSandbox

TARGET = 1.3


def bare_command() -> list[str]:
    """The same namespaces and mounts, put together by hand."""
    command = ["bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    command += ["--clearenv", "--setenv", "PATH", "/usr/bin:/bin", "--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]
    command += ["--ro-bind", "/usr", "/usr"]
    for folder in (Path("/bin"), Path("/sbin"), Path("/lib"), Path("/lib32"), Path("/lib64")):
        if folder.is_symlink():
            command += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            command += ["--ro-bind", str(folder), str(folder)]
    for file in ("ld.so.cache", "alternatives", "localtime", "ssl/certs", "ssl/openssl.cnf", "hosts", "passwd", "group", "nsswitch.conf"):
        command += ["--ro-bind-try", f"/etc/{file}", f"/etc/{file}"]
    command += ["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    command += ["--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp", "/bin/true"]
    return command


def measure(rounds: int = 30) -> dict[str, object]:
    """Medians of `rounds` turns in milliseconds, and their ratio."""
    sandbox, spec, command = BubblewrapSandbox(), SandboxSpec(argv=("/bin/true",)), bare_command()

    def ours() -> None:
        assert sandbox.run(spec).ending == "ok"

    def bare() -> None:
        subprocess.run(command, capture_output=True, check=True)

    times: dict[Callable[[], None], list[float]] = {ours: [], bare: []}
    for turn in range(-2, rounds):  # two turns to warm up
        for action, taken in times.items():
            begun = time.perf_counter()
            action()
            if turn >= 0:
                taken.append((time.perf_counter() - begun) * 1000)
    ours_ms, bare_ms = (statistics.median(taken) for taken in times.values())
    return {
        "name": "sandbox start",
        "ours_ms": round(ours_ms, 2),
        "bare_ms": round(bare_ms, 2),
        "ratio": round(ours_ms / bare_ms, 3),
        "target": TARGET,
        "cores": os.cpu_count(),
    }


if __name__ == "__main__":
    print(json.dumps(measure()))
