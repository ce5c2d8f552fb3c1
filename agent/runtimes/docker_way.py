"""How the engine's published ports are reached from here: on loopback, at an address, or through a tunnel of the system's ssh."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from agent.domain.release import Endpoint
from agent.errors import ConfigurationError, CouldNotTell

PATIENCE = 20.0  # seconds for ssh to connect


class Way:
    """`host` is DOCKER_HOST, `address` the setting `docker_address`; `folder` says, once a tunnel is dug, where its socket lies: below a path
    that is short enough for one."""

    def __init__(self, host: str, address: str, folder: Callable[[], Path]) -> None:
        self._host, self._address, self._folder = urlsplit(host), address, folder
        self._socket: Path | None = None
        self._tunnel: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def tunnelled(self) -> bool:
        return self._host.scheme == "ssh" and not self._address

    @property
    def published_at(self) -> str:
        """The address of the engine's machine at which the relay is published: nobody else's where that can be had."""
        if self._address:
            return self._address
        if self._host.scheme in ("tcp", "http", "https") and not _is_loopback(self._host.hostname or ""):
            raise ConfigurationError(
                f"The engine is at {self._host.hostname}, and nothing says how its containers' ports are reached.",
                why="They are published on its loopback unless an address is named, so that nobody else gets there.",
                next_step="Use DOCKER_HOST=ssh://user@host, or set `docker_address` to an address of that machine that only you reach.",
            )
        return "127.0.0.1"

    def to(self, port: int) -> Endpoint:
        """Where the engine's published `port` is reached. Raises CouldNotTell where the tunnel cannot be had."""
        if not self.tunnelled:
            return Endpoint(url=f"http://{self.published_at}:{port}")
        if self._tunnel is None or self._tunnel.poll() is not None or self._port != port:
            self._dig(port)
        return Endpoint(socket=str(self._socket))

    def close(self) -> None:
        if self._tunnel:
            self._tunnel.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._tunnel.wait(5)
            self._tunnel = None
        if self._socket:
            with contextlib.suppress(OSError):
                self._socket.unlink(missing_ok=True)

    @property
    def broken(self) -> bool:
        """Whether there was a tunnel that has ended."""
        return self._tunnel is not None and self._tunnel.poll() is not None

    def _dig(self, port: int) -> None:
        self.close()
        self._socket = path = self._folder() / "relay.sock"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = tunnel_command(self._host.username, self._host.hostname or "", self._host.port, path, port)
        try:
            self._tunnel = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise CouldNotTell("The tunnel to the engine's machine cannot be dug.", why=str(error), next_step="Install the OpenSSH client.") from None
        self._port, deadline = port, time.monotonic() + PATIENCE
        while not path.exists():
            if self._tunnel.poll() is not None or time.monotonic() > deadline:
                said = self._tunnel.stderr.read(2000).decode(errors="replace") if self._tunnel.poll() is not None and self._tunnel.stderr else ""
                self.close()
                raise CouldNotTell(
                    f"The tunnel to {self._host.hostname} cannot be dug.",
                    why=said.strip() or f"ssh did not connect within {PATIENCE:g} s.",
                    next_step=f"See to it that `ssh {self._host.hostname}` works without asking anything.",
                )
            time.sleep(0.02)


def tunnel_command(user: str | None, host: str, port: int | None, socket: Path, far: int) -> tuple[str, ...]:
    """ssh(1) that leads `socket` here to the far loopback's port, and ends where that cannot be."""
    options = ("BatchMode=yes", "ExitOnForwardFailure=yes", "StreamLocalBindUnlink=yes", "StreamLocalBindMask=0177", "ServerAliveInterval=10",
               "ServerAliveCountMax=3", "ControlMaster=no", "ControlPath=none")  # fmt: skip
    return (
        "ssh", "-N", "-T", *(part for option in options for part in ("-o", option)), *(("-p", str(port)) if port else ()),
        *(("-l", user) if user else ()), "-L", f"{socket}:127.0.0.1:{far}", "--", host,
    )  # fmt: skip


def docker_host(environment: Mapping[str, str] = os.environ) -> str:
    """What docker-py takes as well (docker.utils.kwargs_from_env)."""
    return environment.get("DOCKER_HOST", "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
