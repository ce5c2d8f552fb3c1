"""Inside the sandbox: makes the declared hosts look like hosts, and starts the skill's server. Standard library only.

`python forwarder.py WAY -- SERVER ARG…`. Each declared host has a loopback address in /etc/hosts with a listener for each of its
ports; a name that a wildcard rule allows gets such an address when it is asked for, from a small DNS server. What connects
there is led through the door, a unix socket, to the egress proxy outside (`proxy.py`), which judges it. So every client works as
it is, whatever protocol it speaks, and nothing here decides anything: code that goes around this file meets the same door.

The server is a child of this process; the two end together.
"""

from __future__ import annotations

import _thread
import os
import select
import signal
import socket
import struct
import sys
import time

TYPE_CHECKING = False  # typing's own would have to be loaded, and a skill waits for this program
if TYPE_CHECKING:
    from collections.abc import Callable

PIECE = 65536  # bytes that are read at once
NAMES = 4096  # that wildcard rules give an address
DOOR_SECONDS = 5.0  # for the proxy to take a connection: it takes all at once, or does not run
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


class Link:
    """One connection: from the skill to the door and back, with a piece at most waiting for either side."""

    def __init__(self, loop: Loop, near: socket.socket, door: str, host: str, port: int) -> None:
        self._loop, self._near, self._host, self._port = loop, near, host, port
        self._far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._said, self._agreed = b"", False  # by the proxy
        self._waiting = {near: b"", self._far: f"{host} {port}\n".encode()}  # what is to be written to each
        self._ended: set[socket.socket] = set()  # those that have said all that they will
        self._told: set[socket.socket] = set()  # those that know that the other side has
        self._far.settimeout(DOOR_SECONDS)
        try:
            self._far.connect(door)
        except OSError as error:
            _say(host, port, str(error))
            self._far.close()
            _reset(near)
            return
        for one in self._waiting:
            one.setblocking(False)
            loop.add(one, self._ready)
        self._wait()

    def _ready(self, one: socket.socket, events: int) -> None:
        other = self._far if one is self._near else self._near
        try:
            if events & ~select.EPOLLOUT and one not in self._ended and not self._waiting[other]:
                self._read(one, other)
            for each in (one, other):
                self._write(each, other if each is one else one)
        except OSError:
            return self._end(reset=True)
        return self._end(reset=False) if len(self._told) == 2 else self._wait()

    def _read(self, one: socket.socket, other: socket.socket) -> None:
        try:
            piece = one.recv(PIECE)
        except BlockingIOError:
            return
        if not piece:
            self._ended.add(one)
        if one is self._far and not self._agreed:
            self._said += piece
            line, end, piece = self._said.partition(b"\n")
            if not end and one not in self._ended:
                return
            if line != b"ok":
                _say(self._host, self._port, line.decode(errors="replace") or "refused")
                raise ConnectionRefusedError
            self._agreed = True
        self._waiting[other] = piece

    def _write(self, one: socket.socket, other: socket.socket) -> None:
        if self._waiting[one]:
            try:
                self._waiting[one] = self._waiting[one][one.send(self._waiting[one]) :]
            except BlockingIOError:
                return
        if other in self._ended and one not in self._told and not self._waiting[one]:
            self._told.add(one)
            one.shutdown(socket.SHUT_WR)

    def _wait(self) -> None:
        """For what can be gone on with; what the skill says waits until there is somebody to hear it."""
        for one, other in ((self._near, self._far), (self._far, self._near)):
            reads = one not in self._ended and not self._waiting[other] and (one is self._far or self._agreed)
            self._loop.wait(one, (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if self._waiting[one] else 0))

    def _end(self, *, reset: bool) -> None:
        for one in self._waiting:
            self._loop.remove(one)
        self._far.close()
        if reset:
            _reset(self._near)
        else:
            self._near.close()


class Loop:
    """Calls whoever waits for a descriptor, with it and what happened. asyncio would take longer to load than a skill to start."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, tuple[socket.socket, Callable[[socket.socket, int], None]]] = {}
        self._waits: dict[int, int] = {}

    def add(self, one: socket.socket, ready: Callable[[socket.socket, int], None]) -> None:
        """It waits to read, for good or until `wait` is called for it the first time."""
        self._ready[one.fileno()] = (one, ready)
        self._epoll.register(one.fileno(), select.EPOLLIN)

    def wait(self, one: socket.socket, events: int) -> None:
        """For the next of `events`, once. What is over is told once, too, and not again while nothing is waited for: else we would spin."""
        if self._waits.get(one.fileno(), -1) != events:
            self._waits[one.fileno()] = events
            self._epoll.modify(one.fileno(), events | select.EPOLLONESHOT)

    def remove(self, one: socket.socket) -> None:
        self._epoll.unregister(one.fileno())
        del self._ready[one.fileno()]
        self._waits.pop(one.fileno(), None)

    def run(self, until: int) -> None:
        """Until the descriptor `until` becomes readable."""
        self._epoll.register(until, select.EPOLLIN)
        while True:
            for descriptor, events in self._epoll.poll():
                if descriptor == until:
                    return
                if descriptor in self._ready:  # it may have been removed in this very round
                    one, ready = self._ready[descriptor]
                    if descriptor in self._waits:
                        self._waits[descriptor] = 0
                    ready(one, events)


class Forwarder:
    """`way`: lines of `door PATH`, `names ADDRESS`, `host ADDRESS NAME`, `wildcard NAME` and `listen ADDRESS PORT`."""

    def __init__(self, way: str) -> None:
        lines = [line.split(" ") for line in way.splitlines()]
        given = {word: [rest for first, *rest in lines if first == word] for word in ("door", "names", "host", "wildcard", "listen")}
        self._door, self._loop = given["door"][0][0], Loop()
        self._names = Names(dict(given["host"]), [name for (name,) in given["wildcard"]])
        self._told: dict[str, float] = {}
        for address, port in given["listen"]:
            self._loop.add(_listener(address, int(port)), self._accept)
        asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asking.bind((given["names"][0][0], 53))
        asking.setblocking(False)
        self._loop.add(asking, self._asked)

    def run(self, server: int) -> int:
        """Until the server ends; its exit status as waitstatus_to_exitcode gives it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: os.kill(server, number))
        self._loop.run(end_of(server))
        return os.waitstatus_to_exitcode(os.waitpid(server, 0)[1])

    def _accept(self, listening: socket.socket, _: int) -> None:
        try:
            near, _ = listening.accept()
        except BlockingIOError:
            return
        except OSError:
            time.sleep(0.05)  # there is no descriptor left: one may become free, and the connection still waits
            return
        address, port = near.getsockname()
        if host := self._names.host(address):
            Link(self._loop, near, self._door, host, port)
        else:
            _reset(near)

    def _asked(self, asking: socket.socket, _: int) -> None:
        try:
            query, client = asking.recvfrom(4096)
            reply, unknown = answer(query, self._names)
            if reply:
                asking.sendto(reply, client)
        except OSError:
            return
        if unknown and len(self._told) < NAMES and time.monotonic() - self._told.get(unknown, -TOLD_AGAIN) >= TOLD_AGAIN:
            self._told[unknown] = time.monotonic()
            near, nobody = socket.socketpair()
            nobody.close()
            Link(self._loop, near, self._door, unknown, 0)  # port 0: only the name was asked for. The proxy refuses and logs it


def end_of(process: int) -> int:
    """A descriptor that can be read once a child has ended."""
    try:
        return os.pidfd_open(process)
    except OSError:  # gVisor's kernel has none: a thread waits
        near, far = socket.socketpair()

        def wait() -> None:
            os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
            far.close()

        _thread.start_new_thread(wait, ())
        return near.detach()


def _reset(near: socket.socket) -> None:
    """What has connected sees that the connection failed, and not an end."""
    if near.family == socket.AF_INET:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    near.close()


def _say(host: str, port: int, why: str) -> None:
    """Into the skill's log."""
    print(f"network: {host}{f':{port}' if port else ''} {why}", file=sys.stderr, flush=True)


def _listener(address: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((address, port))
    listening.listen(128)
    listening.setblocking(False)
    return listening


def main(argv: list[str]) -> int:
    split = argv.index("--")
    with open(argv[split - 1], encoding="ascii") as file:
        forwarder = Forwarder(file.read())
    code = forwarder.run(os.posix_spawn(argv[split + 1], argv[split + 1 :], os.environ))
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv))
