"""The way out: skills are led here by the names that they may reach, and each connection goes on to the host that it is meant for.

The skill is known by its address, which nobody in the closed network can take from another (they have no CAP_NET_RAW and no
CAP_NET_ADMIN). The host is known by the port, where the skill may reach only one there; else by what TLS or HTTP say first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping

from agent.egress.proxy import Door, Proxy, Target, Verdict, connected
from agent.egress.rules import Rule, canonical
from agent.relay.lending import Lent, key_of
from agent.relay.sniffing import host_in
from agent.relay.table import Skill, Table

LONGEST_HELLO = 16384 + 5  # bytes: one TLS record (RFC 8446, 5.1)
UNKNOWN = "?"  # a host or a skill
NOBODY = Skill(UNKNOWN, ())
log = logging.getLogger("agent.relay")


class WayOut(Door):
    """The door of one skill, at every port that somebody may reach."""

    async def asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int, bytes]:
        port = int(writer.get_extra_info("sockname")[1])
        if only := only_host(self.rules, port):
            return only, port, b""
        if not any(rule.port == port for rule in self.rules):
            return UNKNOWN, port, b""
        first, host = b"", None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.proxy.limits.ask):
                while host is None and len(first) < LONGEST_HELLO and (piece := await reader.read(LONGEST_HELLO)):
                    first += piece
                    host = host_in(first)
        return canonical(host or "") or UNKNOWN, port, first

    def agreed(self, writer: asyncio.StreamWriter) -> None:
        """The client knows nothing of us."""

    def refused(self, writer: asyncio.StreamWriter, why: str) -> None:
        """It sees its connection end."""


class Outward:
    """All doors, and the ports at which they are. `record` gets each verdict; what is `lent` leads to stand-ins and the broker."""

    def __init__(self, table: Table, address: str, record: Callable[[Verdict], None], lent: Lent) -> None:
        self._table, self._address, self._record, self._lent = table, address, record, lent
        self._servers: dict[int, asyncio.Server] = {}
        self._doors: dict[str, tuple[Skill, WayOut]] = {}
        self._turn = asyncio.Lock()

    async def follow(self) -> None:
        """Brings doors and ports up to the table; doors of those who may no longer are closed with their connections."""
        async with self._turn:
            for address, (skill, door) in list(self._doors.items()):
                if self._table.ways.get(address) != skill:
                    del self._doors[address]
                    await door.close()
            wanted = self._table.ports()
            for port in self._servers.keys() - wanted:
                self._servers.pop(port).close()
            for port in sorted(wanted - self._servers.keys()):
                try:
                    self._servers[port] = await asyncio.start_server(self._serve, self._address, port, backlog=128)
                except OSError as error:
                    log.error("no way out at port %s: %s", port, error)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._door(str(writer.get_extra_info("peername")[0])).serve(reader, writer)

    def _door(self, address: str) -> WayOut:
        skill = self._table.ways.get(address, NOBODY)
        if address not in self._doors or self._doors[address][0] != skill:
            pinned = self._pinned(address, skill)
            proxy = Proxy(self._record, pinned, skill.sealed, connector=self._connected)
            self._doors[address] = skill, WayOut(proxy, skill.name, skill.rules, pinned)
        return self._doors[address][1]

    def _pinned(self, address: str, skill: Skill) -> Mapping[tuple[str, int], Target]:
        """What is lent is a text here: the key that its connections are lent for. In a trial it is all that there is."""
        places: dict[str, Target] = {} if skill.sealed else {**self._table.pinned}
        places.update({place: key_of(address, place) for place in skill.lent})
        return {(host, int(port)): target for place, target in places.items() for host, _, port in (place.rpartition(":"),)}

    async def _connected(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await (self._lent.take(target) if isinstance(target, str) else connected(target))


def only_host(rules: tuple[Rule, ...], port: int) -> str | None:
    """The one host that these rules allow at `port`, where that is so."""
    there = [rule for rule in rules if rule.port == port]
    return there[0].host if len(there) == 1 and there[0].exact else None
