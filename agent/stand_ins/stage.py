"""Starts the stand-ins of one trial on the event loop of its egress proxy, each on a unix socket that only we can reach."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path

from agent.domain.stand_in import StandIn
from agent.egress.proxy import Target
from agent.stand_ins import dialogue, http
from agent.stand_ins.authority import issue


class Stage:
    """`folder` is of this machine and not shown to the skill. `plain`: places that are spoken to without TLS, as brokered ones are.
    `certificates` (PEM) is what the skill has to trust; empty without TLS."""

    def __init__(self, stand_ins: Sequence[StandIn], folder: Path, plain: Collection[tuple[str, int]] = ()) -> None:
        self._stand_ins, self._folder, self._plain = stand_ins, folder, plain
        self._servers: list[asyncio.Server] = []
        hosts = list(dict.fromkeys(one.place[0] for one in stand_ins if self._encrypted(one)))
        self._tls, self.certificates = issue(hosts, folder) if hosts else (None, b"")

    @property
    def targets(self) -> dict[tuple[str, int], Target]:
        """Where the proxy finds each, as `Proxy.pinned`."""
        return {one.place: str(self._folder / f"{number}.sock") for number, one in enumerate(self._stand_ins)}

    async def open(self) -> None:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        for one, path in zip(self._stand_ins, self.targets.values(), strict=True):
            tls = self._tls if self._encrypted(one) else None
            if one.routes:
                server = await loop.create_unix_server(http.server_of(one.routes), str(path), ssl=tls)
            else:
                server = await asyncio.start_unix_server(dialogue.server_of(one.dialogue), str(path), ssl=tls)
            self._servers.append(server)

    async def close(self) -> None:
        for server in self._servers:
            server.close()

    def _encrypted(self, one: StandIn) -> bool:
        return one.encrypted and one.place not in self._plain
