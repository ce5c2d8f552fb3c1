"""A machine that is reached through ssh: OpenSSH's server on loopback, with a host key, a port and an authorized key of the test's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import missing
from tests.ports import free_port

SECONDS = 60.0
SERVER = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
LogLevel VERBOSE
"""
CLIENT = """
Host 127.0.0.1
  IdentityFile {folder}/key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known
  StrictHostKeyChecking yes
"""


class Machine:
    """It is there as `address`. What its server says is its log."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.address = f"ssh://root@127.0.0.1:{port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def connections(self) -> list[str]:
        """The processes of clients that are connected, or want to be."""
        found = []
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = line.read_bytes().decode(errors="replace").split("\0")
                if Path(words[0]).name == "ssh" and str(self.port) in words:
                    found.append(" ".join(words))
        return found


@contextlib.contextmanager
def remote_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A server in `folder` that lets root in by key, and an `ssh` first in PATH that knows both; at the end it is gone."""
    server, client = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin"), shutil.which("ssh")
    if not (server and client and shutil.which("ssh-keygen")) or os.geteuid() != 0:
        missing("a machine behind ssh needs root and OpenSSH (apt-get install openssh-server openssh-client)")
    machine = Machine(folder, free_port())
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "known").write_text(f"[127.0.0.1]:{machine.port} {(folder / 'host.pub').read_text()}")
    (folder / "server.conf").write_text(SERVER.format(port=machine.port, folder=folder))
    (folder / "client.conf").write_text(CLIENT.format(folder=folder))
    (folder / "bin").mkdir()
    (folder / "bin/ssh").write_text(f'#!/bin/sh\nexec {client} -F {folder}/client.conf "$@"\n')
    (folder / "bin/ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}/bin", prepend=":")
    separated = Path("/run/sshd")  # where the server's unprivileged half is shut in; the system's own start makes it
    made = not separated.exists()
    separated.mkdir(mode=0o755, exist_ok=True)
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen([server, "-D", "-e", "-f", str(folder / "server.conf")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until = time.monotonic() + SECONDS
        while "Server listening" not in machine.log:
            assert running.poll() is None and time.monotonic() < until, machine.log
            time.sleep(0.02)
        yield machine
    finally:
        running.terminate()
        running.wait(SECONDS)
        if made:
            separated.rmdir()
