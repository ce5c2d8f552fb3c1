"""The forwarder: what its small DNS server answers, which address stands for which host, and that connections pass whole."""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.egress.forwarder import NAMES, Link, Loop, Names, answer, end_of


def names(*wildcards: str) -> Names:
    return Names({"127.77.0.1": "api.example.com"}, list(wildcards))


def a_query(name: str, kind: int = 1, *, flags: int = 0x0100, questions: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 7, flags, questions, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def told(reply: bytes) -> tuple[int, list[str]]:
    """The response code, and the addresses."""
    number, flags, _, count = struct.unpack("!HHHH", reply[:8])
    assert number == 7 and flags & 0x8000
    return flags & 0xF, [".".join(map(str, reply[-4:]))] if count else []


def test_a_declared_host_has_its_address_in_any_case_of_letters() -> None:
    reply, unknown = answer(a_query("API.example.com"), names())
    assert told(reply) == (0, ["127.77.0.1"]) and unknown == ""


def test_other_kinds_of_record_are_there_and_empty() -> None:
    assert told(answer(a_query("api.example.com", kind=28), names())[0]) == (0, [])


def test_an_undeclared_name_does_not_exist_and_is_told() -> None:
    reply, unknown = answer(a_query("evil.example.com"), names())
    assert told(reply) == (3, []) and unknown == "evil.example.com"


def test_a_wildcard_gives_each_name_an_address_of_its_own_that_stays() -> None:
    known = names("*.example.org")
    first, second = (told(answer(a_query(name), known)[0])[1][0] for name in ("a.example.org", "b.example.org"))
    assert first != second and told(answer(a_query("a.example.org"), known)[0])[1] == [first]
    assert (known.host(first), known.host(second), known.host("127.77.0.1")) == ("a.example.org", "b.example.org", "api.example.com")
    assert known.address("example.org") is None and known.address("example.net") is None


def test_names_without_end_do_not_fill_the_memory() -> None:
    known = names("*")
    given = [known.address(f"n{number}.example.org") for number in range(NAMES + 50)]
    assert given[NAMES - 1] and given[NAMES:] == [None] * 50
    assert len(set(given[:NAMES])) == NAMES


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"\0" * 5,
        b"\0" * 12,
        a_query("api.example.com")[:-5],
        a_query("api.example.com", flags=0x8000),
        a_query("api.example.com", questions=2),
        a_query("api.example.com").replace(b"\x03api", b"\xc0\x0cpi"),
        struct.pack("!HHHHHH", 7, 0, 1, 0, 0, 0) + b"\x02\xff\xff\0\0\1\0\1",
    ],
)
def test_what_is_no_query_gets_no_answer(query: bytes) -> None:
    assert answer(query, names("*"))[0] == b"" or query == b"\0" * 12


# ---- connections ---------------------------------------------------------------------------------------------------


class Counted:
    """An epoll that counts how often it is asked."""

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll, self.polls = epoll, 0

    def poll(self) -> list[tuple[int, int]]:
        self.polls += 1
        return self._epoll.poll()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._epoll, name)


class Lane:
    """A forwarded connection: `client` is the skill's end, `proxy` the end that the proxy has taken."""

    def __init__(self, folder: Path) -> None:
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(folder / "door"))
        self._door.listen()
        self.client, near = socket.socketpair()
        self._stop, stopped = os.pipe()
        loop = Loop()
        self.epoll = loop._epoll = Counted(loop._epoll)  # type: ignore[assignment]
        self.link = Link(loop, near, str(folder / "door"), "api.example.com", 443)
        self._thread = threading.Thread(target=loop.run, args=(self._stop,))
        self._thread.start()
        self._end = stopped
        self.proxy = self._door.accept()[0]
        for one in (self.client, self.proxy):
            one.settimeout(10)

    def agree(self) -> None:
        assert self.proxy.recv(100) == b"api.example.com 443\n"
        self.proxy.sendall(b"ok\n")

    def close(self) -> None:
        os.write(self._end, b"x")
        self._thread.join(10)
        assert not self._thread.is_alive()
        for one in (self.client, self.proxy, self._door):
            one.close()
        os.close(self._stop)
        os.close(self._end)


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[Lane]:
    lane = Lane(tmp_path)
    yield lane
    lane.close()


def whole(one: socket.socket) -> bytes:
    return b"".join(iter(lambda: one.recv(65536), b""))


def test_both_ways_pass_whole_while_both_sides_say_much_at_once(lane: Lane) -> None:
    lane.agree()
    up, down = os.urandom(3_000_000), os.urandom(5_000_000)

    def says(one: socket.socket, what: bytes) -> None:
        one.sendall(what)
        one.shutdown(socket.SHUT_WR)

    senders = [threading.Thread(target=says, args=pair) for pair in ((lane.client, up), (lane.proxy, down))]
    heard: dict[str, bytes] = {}
    ends = {"up": lane.proxy, "down": lane.client}
    readers = [threading.Thread(target=lambda way=way, one=one: heard.update({way: whole(one)})) for way, one in ends.items()]
    for thread in (*senders, *readers):
        thread.start()
    for thread in (*senders, *readers):
        thread.join(20)
    assert (heard["up"] == up, heard["down"] == down) == (True, True)


def test_what_the_client_says_early_waits_for_the_proxy_to_agree(lane: Lane) -> None:
    lane.client.sendall(b"hello")
    lane.agree()
    assert lane.proxy.recv(100) == b"hello"
    lane.proxy.sendall(b"rest in the same piece")
    assert lane.client.recv(100) == b"rest in the same piece"


def test_a_greeting_in_the_same_piece_as_the_agreement_is_not_lost(lane: Lane) -> None:
    lane.proxy.sendall(b"ok\n* OK ready\r\n")
    assert lane.client.recv(100) == b"* OK ready\r\n"


def test_a_refusal_ends_the_connection_and_is_said(lane: Lane, capfd: pytest.CaptureFixture[str]) -> None:
    lane.proxy.sendall(b"refused no such luck\n")
    assert lane.client.recv(100) == b""
    assert capfd.readouterr().err == "network: api.example.com:443 refused no such luck\n"


@pytest.mark.parametrize("goes", ["proxy", "client"])
def test_who_goes_is_missed_without_a_spin(lane: Lane, goes: str) -> None:
    """Whoever stays says nothing for a while, and the forwarder must not burn the time away."""
    lane.agree()
    going, staying = (lane.proxy, lane.client) if goes == "proxy" else (lane.client, lane.proxy)
    going.close()
    assert staying.recv(100) == b""
    before = lane.epoll.polls
    time.sleep(0.4)
    assert lane.epoll.polls - before < 10
    staying.close()


def test_a_proxy_that_is_not_there_ends_the_connection(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    client, near = socket.socketpair()
    with client:
        Link(Loop(), near, str(tmp_path / "door"), "api.example.com", 443)
        assert client.recv(100) == b""
    assert "No such file" in capfd.readouterr().err


def no_descriptor(process: int) -> int:
    raise OSError(38, "Function not implemented")


@pytest.mark.parametrize("kernel", ["Linux", "gVisor"])
def test_the_end_of_the_server_is_heard_also_where_the_kernel_has_no_descriptor_for_it(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kernel == "gVisor":
        monkeypatch.setattr(os, "pidfd_open", no_descriptor)
    server = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE)
    heard = end_of(server.pid)
    try:
        assert select.select([heard], [], [], 0.05)[0] == []
        server.kill()
        assert select.select([heard], [], [], 10.0)[0] == [heard]
    finally:
        os.close(heard)
        server.communicate()
    assert server.returncode == -9  # which was not taken from whoever waits for it
