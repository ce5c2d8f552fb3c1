"""The egress proxy: a unix socket for each skill, outside of its sandbox.

A client connects, writes one line `host port\\n`, and reads one line: `ok\\n`, from where on the connection is the host's,
or `refused WHY\\n` and the end. So HTTP, TLS and plain TCP are alike, and nothing that is encrypted is opened.

A name is resolved once, every address that it has is judged, and the connection goes to one of these very addresses: a name
that resolves differently the second time (DNS rebinding) finds no second time. `pinned` alone leads to a private address.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agent.egress.rules import Rule, allows, canonical, forbidden
from agent.egress.splicing import PIECE, Traffic, drop, splice

LONGEST_LINE = 300  # bytes: a host name has at most 253

Target = tuple[str, int] | str
"""An address with its port, or the path of a unix socket."""
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
Connector = Callable[[Target], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
Carrier = Callable[[asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamReader, asyncio.StreamWriter, float, Traffic], Awaitable[str]]
"""Carries what is said on an agreed connection, as `splice` does: near, far, seconds of silence; why, where it was cut short."""


@dataclass(frozen=True)
class Limits:
    """Seconds, and connections of one skill at once."""

    connections: int = 64
    ask: float = 10.0  # until the client has said where to
    resolve: float = 5.0
    connect: float = 10.0
    idle: float = 300.0


@dataclass(frozen=True)
class Verdict:
    """One connection, told when it is over. `address` is what was reached, or what made it refused. `sent` and `received` in bytes,
    as the skill sees it."""

    skill: str
    host: str
    port: int
    verdict: str  # allowed | refused | failed
    why: str = ""
    address: str = ""
    sent: int = 0
    received: int = 0
    seconds: float = 0.0

    def line(self) -> dict[str, Any]:
        """As it is logged: with the time, in seconds since 1970."""
        return {"time": round(time.time(), 3), **asdict(self)}


@dataclass
class Proxy:
    """Doors of skills on one event loop. `record` gets each verdict and must not block.

    `pinned`: (host, port) -> where that is instead of what its name says. `sealed`: nothing but what is pinned is reached, as in a trial.
    """

    record: Callable[[Verdict], None]
    pinned: Mapping[tuple[str, int], Target] = field(default_factory=dict)
    sealed: bool = False
    limits: Limits = Limits()
    resolver: Resolver | None = None
    connector: Connector | None = None

    async def open(self, skill: str, rules: Sequence[Rule], path: Path, carriers: Mapping[tuple[str, int], Carrier] | None = None,
                   own: Mapping[tuple[str, int], Target] | None = None) -> Door:  # fmt: skip
        """Listens at `path` (a socket that lies there is replaced) for what `rules` allow `skill`. `carriers`: those that do more than
        pass on, by (host, port); `own`: what is pinned at this door alone. Raises OSError."""
        door = Door(self, skill, tuple(rules), {**self.pinned, **(own or {})}, carriers or {})
        path.unlink(missing_ok=True)
        # Bound here and not by asyncio, which cannot say how many may wait and who may connect.
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(str(path))
            path.chmod(0o666)  # the folder that it lies in says who gets there
            door.server = await asyncio.start_unix_server(door.serve, sock=listening, limit=PIECE, backlog=128)
        except OSError:
            listening.close()
            raise
        door.path = path
        return door


class Refusal(Exception):
    """Where a connection may not or cannot go; `verdict` as in Verdict."""

    def __init__(self, why: str, address: str = "", verdict: str = "refused") -> None:
        super().__init__(why)
        self.why, self.address, self.verdict = why, address, verdict


class Door:
    """One skill's way out."""

    def __init__(self, proxy: Proxy, skill: str, rules: tuple[Rule, ...], pinned: Mapping[tuple[str, int], Target],
                 carriers: Mapping[tuple[str, int], Carrier] | None = None) -> None:  # fmt: skip
        self.proxy, self.skill, self.rules, self.pinned, self.carriers = proxy, skill, rules, pinned, carriers or {}
        self.server: asyncio.Server | None = None
        self.path: Path | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Ends every connection; each still gets its verdict."""
        if self.server:
            self.server.close()
        if self.path:
            self.path.unlink(missing_ok=True)
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= 2 * self.proxy.limits.connections:  # beyond those that are told why not
            writer.transport.abort()
            return
        self._open.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, ValueError, asyncio.CancelledError):
            pass  # the client has gone, said nothing that can be read, or the door closes: there is nobody to tell
        finally:
            self._open.discard(task)
            drop(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun, limits = time.monotonic(), self.proxy.limits
        try:
            host, port, first = await self.asked(reader, writer)
        except TimeoutError:
            return
        traffic = Traffic()
        address, verdict, why = "", "allowed", ""
        try:
            if len(self._open) > limits.connections:
                raise Refusal(f"the skill has {limits.connections} connections open already, which is the most")
            address, far_reader, far_writer = await self._reach(host, port)
            try:
                self.agreed(writer)
                far_writer.write(first)
                carry = self.carriers.get((host, port), splice)
                why = await carry(reader, writer, far_reader, far_writer, limits.idle, traffic)
            finally:
                drop(far_writer)
        except Refusal as refusal:
            address, verdict, why = refusal.address, refusal.verdict, refusal.why
            with contextlib.suppress(OSError):
                self.refused(writer, why)
                await writer.drain()
        except asyncio.CancelledError:
            why = "the skill was stopped"
            raise
        finally:
            seconds = round(time.monotonic() - begun, 3)
            self.proxy.record(Verdict(self.skill, host, port, verdict, why, address, traffic.sent, traffic.received, seconds))

    async def asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int, bytes]:
        """Where the client wants to go, and what of its bytes for there was read already. Raises ValueError for what is no request."""
        async with asyncio.timeout(self.proxy.limits.ask):
            line = await reader.readuntil(b"\n")
        host, _, port = line.decode("ascii").strip().rpartition(" ")
        name = canonical(host)
        if name is None or len(line) > LONGEST_LINE or not 0 <= int(port) <= 65535:
            raise ValueError(line)
        return name, int(port), b""

    def agreed(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"ok\n")

    def refused(self, writer: asyncio.StreamWriter, why: str) -> None:
        writer.write(f"refused {why}\n".encode())

    async def _reach(self, host: str, port: int) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
        """The address, and the connection to it. Raises Refusal."""
        if not allows(self.rules, host, port):  # port 0: only the name was asked for
            raise Refusal("the manifest does not declare it")
        pinned = self.pinned.get((host, port))
        if pinned is None and self.proxy.sealed:
            raise Refusal("this is a trial, and tests/stand-ins.yaml has no stand-in for it")
        targets: list[Target] = [pinned] if pinned is not None else [(address, port) for address in await self._resolved(host, port)]
        failed = "it has no address"
        for target in targets:
            shown = target if isinstance(target, str) else target[0]
            try:
                async with asyncio.timeout(self.proxy.limits.connect):
                    reader, writer = await (self.proxy.connector or connected)(target)
            except TimeoutError:
                failed = f"no connection within {self.proxy.limits.connect:g} s"
            except OSError as error:
                failed = os.strerror(error.errno) if error.errno else str(error)
            else:
                if pinned is None and _is_this_machine(writer):
                    writer.transport.abort()
                    raise Refusal("its name leads to this very machine", shown)
                return shown, reader, writer
        raise Refusal(failed, shown if targets else "", "failed")

    async def _resolved(self, host: str, port: int) -> Sequence[str]:
        """Every address of the name, if all of them may be reached: one that may not makes the whole name suspect."""
        try:
            async with asyncio.timeout(self.proxy.limits.resolve):
                addresses = await (self.proxy.resolver or resolve)(host, port)
        except TimeoutError:
            raise Refusal("its name was not resolved in time", verdict="failed") from None
        except (OSError, UnicodeError) as error:
            raise Refusal(f"its name cannot be resolved: {getattr(error, 'strerror', None) or error}", verdict="failed") from None
        for address in addresses:
            if why := forbidden(address):
                raise Refusal(f"its name leads to {address}, which no skill may reach: {why}", address)
        return addresses


async def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of `host`, in the system's order of preference. Raises OSError, UnicodeError."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Sequence[str]] = loop.create_future()

    def tell(addresses: Sequence[str], error: Exception | None) -> None:
        if not found.done():
            found.set_exception(error) if error else found.set_result(addresses)

    def look() -> None:
        addresses, wrong = [], None
        try:
            addresses = [str(address[0]) for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except (OSError, UnicodeError) as error:
            wrong = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, tuple(dict.fromkeys(addresses)), wrong)

    # Not in the loop's own pool of threads: the end of a loop, and of Python, would wait for a name server that hangs.
    threading.Thread(target=look, name="resolve", daemon=True).start()
    return await found


async def connected(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Raises OSError."""
    if isinstance(target, str):
        return await asyncio.open_unix_connection(target, limit=PIECE)
    return await asyncio.open_connection(*target, limit=PIECE)


def _is_this_machine(writer: asyncio.StreamWriter) -> bool:
    """Whether both ends have one address: a public one of this machine leads to services that may be meant for itself alone."""
    near, far = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
    return bool(near and far and near[0] == far[0])
