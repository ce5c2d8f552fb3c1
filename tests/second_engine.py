"""An engine of the test's own, which may be stopped and killed: a second dockerd, with its own folders and network namespace.

The namespace is not for tidiness: a dockerd with `--bridge=none` removes `docker0`, which would be that of the machine's engine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from agent.docker_engine import DockerEngine
from tests.engines import missing

SECONDS = 90.0


class SecondEngine:
    """A dockerd that listens on a socket in `folder` and keeps all that it has there."""

    def __init__(self, folder: Path) -> None:
        self.address = f"unix://{folder}/docker.sock"
        self.namespace: tuple[str, ...] = ("unshare", "--net")  # how it comes into its own; one that it keeps over restarts, where a test needs that
        self.data = folder / "data"
        self._folder, self._daemon = folder, None

    def start(self) -> None:
        """Returns when it answers."""
        folder = self._folder
        (folder / "pid").unlink(missing_ok=True)
        folders = [f"--data-root={self.data}", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"]
        command = [*self.namespace, "dockerd", f"--host={self.address}", *folders, "--bridge=none", "--iptables=false", "--ip6tables=false"]
        with (folder / "log").open("ab") as log:
            self._daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + SECONDS
        while not self.engine().available().ok:
            if time.monotonic() > until or self._daemon.poll() is not None:
                self.kill()
                missing(f"a second dockerd does not start here: {(folder / 'log').read_text()[-300:]}")
            time.sleep(0.05)

    def engine(self) -> DockerEngine:
        """A connection of its own."""
        return DockerEngine(address=self.address)

    def kill(self) -> None:
        """SIGKILL to it and to all that it started, as when the machine loses power."""
        until = time.monotonic() + SECONDS
        while (mine := [line.parent for line in Path("/proc").glob("[0-9]*/cmdline") if self._is_mine(line)]) and time.monotonic() < until:
            for process in mine:  # and what they start meanwhile
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(process.name), signal.SIGKILL)
            time.sleep(0.02)
        if self._daemon:
            self._daemon.wait()
        self.unmount(self._folder / "exec")
        shutil.rmtree(self._folder / "exec", ignore_errors=True)  # like /run, it does not outlive the machine

    def unmount(self, below: Path) -> None:
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            if (place := line.split()[1]).startswith(str(below)):
                subprocess.run(["umount", "--lazy", place], capture_output=True, check=False)

    def _is_mine(self, command: Path) -> bool:
        """dockerd, its containerd and the shims of its containers name the folder."""
        with contextlib.suppress(OSError):
            return str(self._folder).encode() in command.read_bytes()
        return False

    def stop(self) -> None:
        """SIGTERM, as by the system."""
        if self._daemon and self._daemon.poll() is None:
            self._daemon.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._daemon.wait(SECONDS)
        self.kill()


@contextlib.contextmanager
def second_engine() -> Iterator[SecondEngine]:
    """It runs; at the end it and all that it kept are gone."""
    if shutil.which("dockerd") is None or os.geteuid() != 0:
        missing("a second dockerd needs root and the package docker.io")
    folder = Path(tempfile.mkdtemp(prefix="skillops-dockerd-"))
    second = SecondEngine(folder)
    try:
        second.start()
        yield second
    finally:
        second.stop()
        second.unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)
