"""The gateway on a socket: uvicorn with uvloop and httptools."""

from __future__ import annotations

import ipaddress
import socket
from functools import partial
from typing import TYPE_CHECKING, Literal

from agent.errors import ConfigurationError
from agent.gateway.door import Door
from agent.gateway.lobby import MOST, Lobby, room

if TYPE_CHECKING:
    import uvicorn

LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))
BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is any that is free. ConfigurationError where there can be none."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"Nobody can listen on {host}, port {port}.", why=f"{error}.", next_step="Name another with --port, or end what listens there."
        ) from None


def is_loopback(host: str) -> bool:
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def configured(app: Door, loop: Literal["uvloop", "none"] = "uvloop", most: int = MOST) -> uvicorn.Config:
    """`loop` none: the one that runs. `most`: connections."""
    import uvicorn

    from agent.gateway.fast_lane import FastLane

    protocol = partial(FastLane, lobby=Lobby(most))
    return uvicorn.Config(
        app, loop=loop, http=protocol, ws="none", lifespan="on", access_log=False, log_level="warning", server_header=False,
        proxy_headers=False, timeout_keep_alive=60, timeout_graceful_shutdown=15,
    )  # fmt: skip


def run(app: Door, listening: socket.socket) -> None:
    """Serves until a signal ends it; calls under way are answered first."""
    import uvicorn

    config = configured(app, most=room())

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.leave()  # or a stream of events that somebody holds open would be waited for
            await super().shutdown(sockets)

    Server(config).run(sockets=[listening])
