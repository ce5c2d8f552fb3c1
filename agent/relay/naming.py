"""Names in the closed network: what a skill may reach is here, and nothing else exists (DNS over UDP, RFC 1035).

The engine answers for the names of containers itself, and asks us for all others.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import cast

from agent.egress.proxy import Verdict
from agent.egress.rules import canonical
from agent.relay.table import Table

A, IN, ANY_PORT = 1, 1, 0
NXDOMAIN, FORMERR = 3, 1
SECONDS = 60  # for which an answer may be kept


class Names(asyncio.DatagramProtocol):
    """`address` is where skills are let out."""

    def __init__(self, table: Table, address: str, record: Callable[[Verdict], None]) -> None:
        self._table, self._address, self._record = table, address, record
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # asyncio's own is not one by name

    def datagram_received(self, query: bytes, client: tuple[str, int]) -> None:
        if self._transport and (reply := self._reply(query, client[0])):
            self._transport.sendto(reply, client)

    def _reply(self, query: bytes, client: str) -> bytes | None:
        if len(query) < 12 or query[2] & 0x80:
            return None
        asked = question(query)
        if asked is None:
            return query[:2] + struct.pack(">HHHHH", 0x8000 | FORMERR, 0, 0, 0, 0)
        name, kind, raw = asked
        skill = self._table.ways.get(client)
        host = canonical(name)
        known = skill is not None and host is not None and any(rule.matches(host, rule.port) for rule in skill.rules)
        if not known and kind == A:
            self._record(Verdict(skill.name if skill else "?", name[:253], ANY_PORT, "refused", "the manifest does not declare it"))
        answers = b""
        if known and kind == A:
            answers = b"\xc0\x0c" + struct.pack(">HHIH", A, IN, SECONDS, 4) + socket.inet_aton(self._address)
        flags = 0x8480 | (query[2] & 1) << 8 | (0 if known else NXDOMAIN)
        return query[:2] + struct.pack(">HHHHH", flags, 1, 1 if answers else 0, 0, 0) + raw + answers


def question(query: bytes) -> tuple[str, int, bytes] | None:
    """The name that is asked for, the type, and the question as it stands there; None where it is none."""
    labels, at = [], 12
    while at < len(query) and query[at]:
        size = query[at]
        if size > 63 or at + 1 + size > len(query):
            return None
        labels.append(query[at + 1 : at + 1 + size].decode("latin-1"))
        at += 1 + size
    if at + 5 > len(query):
        return None
    kind, _ = struct.unpack(">HH", query[at + 1 : at + 5])
    return ".".join(labels), kind, query[12 : at + 5]
