"""Inside the sandbox: makes the declared hosts look like hosts, and starts the skill's server. Standard library only.

`python forwarder.py WAY.json -- SERVER ARG…`. Each declared host has a loopback address in /etc/hosts with a listener for each of its
ports; a name that a wildcard rule allows gets such an address when it is asked for, from a small DNS server. What connects
there is led through the door, a unix socket, to the egress proxy outside (`proxy.py`), which judges it. So every client works as
it is, whatever protocol it speaks, and nothing here decides anything: code that goes around this file meets the same door.

The server is a child of this process; the two end together.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

PIECE = 65536  # bytes that are read at once
NAMES = 4096  # that wildcard rules give an address
TOLD_AGAIN = 60.0  # seconds after which a name that was refused is told of again
DYNAMIC = "127.78."  # addresses of names that wildcard rules allow
RESET = struct.pack("ii", 1, 0)
A, IN = 1, 1  # RFC 1035
NO_SUCH_NAME = 3


class Names:
    """Which loopback address stands for which host. `hosts`: those declared by name; `wildcards`: `*` or `*.example.com`."""

    def __init__(self, hosts: dict[str, str], wildcards: list[str]) -> None:
        self._addresses = {name: address for address, name in hosts.items()}
        self._hosts, self._wildcards = dict(hosts), wildcards
        self._declared = len(hosts)

    def host(self, address: str) -> str | None:
        return self._hosts.get(address)

    def address(self, name: str) -> str | None:
        """None where no rule allows the name at any port, or too many were asked for."""
        if found := self._addresses.get(name):
            return found
        number = len(self._addresses) - self._declared + 1
        if number > NAMES or not any(rule == "*" or name.endswith(rule[1:]) for rule in self._wildcards):
            return None
        address = f"{DYNAMIC}{number // 256}.{number % 256}"
        self._addresses[name], self._hosts[address] = address, name
        return address


def answer(query: bytes, names: Names) -> tuple[bytes, str]:
    """The reply to a DNS query (RFC 1035), empty where it is none; and the name, where it has no address."""
    try:
        number, flags, questions = struct.unpack("!HHH", query[:6])
        labels, place = [], 12
        while length := query[place]:
            if length > 63:
                return b"", ""
            labels.append(query[place + 1 : place + 1 + length].decode("ascii"))
            place += 1 + length
        question = query[12 : place + 5]
        kind, family = struct.unpack("!HH", query[place + 1 : place + 5])
    except (IndexError, struct.error, UnicodeDecodeError):
        return b"", ""
    if flags & 0xF800 or questions != 1:  # a reply, or no plain query
        return b"", ""
    name = ".".join(labels).lower()
    address = names.address(name)
    records = b""
    if address and (kind, family) == (A, IN):
        records = struct.pack("!HHHIH", 0xC00C, A, IN, 1, 4) + socket.inet_aton(address)
    head = struct.pack("!HHHHHH", number, 0x8480 | flags & 0x0100 | (0 if address else NO_SUCH_NAME), 1, bool(records), 0, 0)
    return head + question + records, "" if address else name


class Forwarder:
    def __init__(self, way: dict[str, Any]) -> None:
        self.door: str = way["door"]
        self.names = Names(way["hosts"], way["wildcards"])
        self._told: dict[str, float] = {}
        self._tasks: set[Any] = set()
        self.listening = [_listener(address, port) for address, port in way["listen"]]
        self.asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.asking.bind((way["names"], 53))
        self.asking.setblocking(False)

    async def run(self, server: int) -> int:
        """Until the server ends; its exit status as waitstatus_to_exitcode gives it."""
        import asyncio

        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(os.pidfd_open(server), ended.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, os.kill, server, number)
        loop.add_reader(self.asking, self._asked)
        for listening in self.listening:
            await asyncio.start_server(self._serve, sock=listening, limit=PIECE)
        await ended.wait()
        return os.waitstatus_to_exitcode(os.waitpid(server, 0)[1])

    def _asked(self) -> None:
        import asyncio

        try:
            query, client = self.asking.recvfrom(4096)
            reply, unknown = answer(query, self.names)
            if reply:
                self.asking.sendto(reply, client)
        except OSError:
            return
        if unknown and len(self._told) < NAMES and time.monotonic() - self._told.get(unknown, -TOLD_AGAIN) >= TOLD_AGAIN:
            self._told[unknown] = time.monotonic()
            task = asyncio.get_running_loop().create_task(self._tell(unknown))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _tell(self, name: str) -> None:
        """Port 0: the name alone was asked for. The proxy refuses and logs it."""
        try:
            _, writer, why = await self._through(name, 0)
            writer.close()
        except OSError as error:
            why = str(error)
        _say(name, 0, why)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        import asyncio

        address, port = writer.get_extra_info("sockname")[:2]
        host = self.names.host(address)
        far: asyncio.StreamWriter | None = None
        try:
            if host is None:
                return _reset(writer)
            far_reader, far, why = await self._through(host, port)
            if why:
                _say(host, port, why)
                return _reset(writer)
            await asyncio.gather(_pour(reader, far), _pour(far_reader, writer))
        except OSError:
            _reset(writer)
        finally:
            for one in (writer, far):
                if one is not None:
                    one.close()

    async def _through(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
        """The connection, and why it leads nowhere, where it does not."""
        import asyncio

        reader, writer = await asyncio.open_unix_connection(self.door, limit=PIECE)
        writer.write(f"{host} {port}\n".encode())
        said = (await reader.readline()).decode(errors="replace").strip()
        return reader, writer, "" if said == "ok" else said or "refused"


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(PIECE):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """What has connected sees that the connection failed, and not an end."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


def _say(host: str, port: int, why: str) -> None:
    """Into the skill's log."""
    print(f"network: {host}{f':{port}' if port else ''} {why}", file=sys.stderr, flush=True)


def _listener(address: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((address, port))
    listening.listen(128)
    return listening


def main(argv: list[str]) -> int:
    split = argv.index("--")
    with open(argv[split - 1], encoding="utf-8") as file:
        forwarder = Forwarder(json.load(file))
    server = os.posix_spawn(argv[split + 1], argv[split + 1 :], os.environ)
    import asyncio  # while the server starts, which may connect already

    code = asyncio.run(forwarder.run(server))
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv))
