"""One exchange with a skill: whatever the other side does becomes a value, in bounded time and space."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from agent.caller import NoAnswer, call, execute, health, probe
from agent.domain.invocation import Invocation
from agent.domain.release import Endpoint

Talk = Callable[[socket.socket], None]


@contextmanager
def listening(talk: Talk, address: tuple[socket.AddressFamily, Any]) -> Iterator[socket.socket]:
    """A server that hands each connection to `talk`."""
    with socket.socket(address[0]) as server:
        server.bind(address[1])
        server.listen()

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        talk(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@contextmanager
def a_skill(tmp_path: Path, talk: Talk) -> Iterator[Endpoint]:
    path = str(tmp_path / "s.sock")
    with listening(talk, (socket.AF_UNIX, path)):
        yield Endpoint(socket=path)


def heard(connection: socket.socket) -> bytes:
    """One whole request."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def saying(body: bytes, status: str = "200 OK", length: int | None = None) -> Talk:
    def talk(connection: socket.socket) -> None:
        heard(connection)
        connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status.encode(), len(body) if length is None else length) + body)

    return talk


def an_invocation(**traits: object) -> Invocation:
    return Invocation(**{"skill": "word-count", "inputs": {"text": "a b"}, "request_id": "r1", "caller": "ada", **traits})  # type: ignore[arg-type]


def test_a_reply_comes_back_with_its_outputs_and_the_time_it_took(tmp_path: Path) -> None:
    with a_skill(tmp_path, saying(b'{"success": true, "outputs": {"words": 2}}')) as endpoint:
        reply = execute(endpoint, an_invocation())
    assert (reply.success, reply.outputs) == (True, {"words": 2})
    assert reply.seconds > 0


def test_the_skill_is_sent_its_inputs_and_the_context(tmp_path: Path) -> None:
    requests: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        requests.append(heard(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with a_skill(tmp_path, talk) as endpoint:
        execute(endpoint, an_invocation(deadline_seconds=3.0))
    head, _, body = requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /execute HTTP/1.1")
    assert json.loads(body) == {
        "inputs": {"text": "a b"},
        "context": {"request_id": "r1", "deadline": 3.0, "traceparent": "", "caller": "ada"},
    }


def test_an_error_of_the_skill_keeps_its_code_whatever_the_status(tmp_path: Path) -> None:
    with a_skill(tmp_path, saying(b'{"success": false, "error": {"code": "no-table", "message": "not a table"}}', "422 No")) as endpoint:
        reply = execute(endpoint, an_invocation())
    assert (reply.success, reply.error_code, reply.error_message) == (False, "no-table", "not a table")


def test_a_base_url_is_called_over_tcp() -> None:
    with listening(saying(b'{"success": true, "outputs": {}}'), (socket.AF_INET, ("127.0.0.1", 0))) as server:
        reply = execute(Endpoint(url=f"http://127.0.0.1:{server.getsockname()[1]}"), an_invocation())
    assert reply.success


@pytest.mark.parametrize("left_behind", [True, False], ids=["a stale socket", "no socket"])
def test_nobody_at_the_socket_is_unreachable(tmp_path: Path, left_behind: bool) -> None:
    path = str(tmp_path / "s.sock")
    if left_behind:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
    assert execute(Endpoint(socket=path), an_invocation()).error_code == "unreachable"


def test_a_skill_that_went_to_rest_is_asked_once_more_at_a_fresh_endpoint(tmp_path: Path) -> None:
    with a_skill(tmp_path, saying(b'{"success": true, "outputs": {"words": 2}}')) as endpoint:
        reply = execute(Endpoint(socket=str(tmp_path / "gone")), an_invocation(), again=lambda: endpoint)
    assert reply.success


def test_a_skill_that_says_unreachable_itself_is_not_called_twice(tmp_path: Path) -> None:
    asked_again = False

    def again() -> Endpoint:
        nonlocal asked_again
        asked_again = True
        return endpoint

    with a_skill(tmp_path, saying(b'{"success": false, "error": {"code": "unreachable", "message": "its host is down"}}')) as endpoint:
        reply = execute(endpoint, an_invocation(), again=again)
    assert (reply.error_code, asked_again) == ("unreachable", False)


def silence(until: threading.Event) -> None:
    until.wait(5)


def test_silence_is_a_timeout(tmp_path: Path) -> None:
    done = threading.Event()
    with a_skill(tmp_path, lambda connection: silence(done)) as endpoint:
        assert execute(endpoint, an_invocation(deadline_seconds=0.05)).error_code == "timeout"
        done.set()


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"], ids=["in the head", "in the body"])
def test_a_skill_that_drips_bytes_cannot_stretch_the_deadline(tmp_path: Path, begin: bytes) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(begin)
        for _ in range(1000):
            connection.sendall(b"a")
            time.sleep(0.02)

    with a_skill(tmp_path, drip) as endpoint:
        assert execute(endpoint, an_invocation(deadline_seconds=0.1)).error_code == "timeout"


def endless(connection: socket.socket) -> None:
    heard(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


@pytest.mark.parametrize("talk", [endless, saying(b"", length=10**12)], ids=["endless", "announced"])
def test_too_much_is_cut_off(tmp_path: Path, talk: Talk) -> None:
    with a_skill(tmp_path, talk) as endpoint:
        assert execute(endpoint, an_invocation()).error_code == "too-large"


def test_a_reply_of_exactly_the_limit_is_taken(tmp_path: Path) -> None:
    with a_skill(tmp_path, saying(b"x" * 100)) as endpoint:
        assert call(endpoint, "GET", "/", None, 5.0, max_bytes=100) == (200, b"x" * 100)
        with pytest.raises(NoAnswer, match="99 are allowed"):
            call(endpoint, "GET", "/", None, 5.0, max_bytes=99)


@pytest.mark.parametrize(
    "talk",
    [
        saying(b"Internal Server Error", "500 Oh"),
        saying(b'{"success": true, "out', length=100),
        saying(b"[" * 100_000),
        lambda connection: connection.sendall(b"hello\r\n\r\n"),
        lambda connection: heard(connection) and None,
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n"),
    ],
    ids=["an error page", "cut short", "deep", "not HTTP", "hung up", "a flood of headers"],
)
def test_what_is_no_reply_is_a_bad_reply(tmp_path: Path, talk: Talk) -> None:
    with a_skill(tmp_path, talk) as endpoint:
        assert execute(endpoint, an_invocation()).error_code == "bad-reply"


def test_an_answer_given_before_the_whole_body_was_read_is_heard(tmp_path: Path) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 413 Large\r\nContent-Length: 5\r\n\r\nlarge")

    with a_skill(tmp_path, refuse) as endpoint:
        assert call(endpoint, "POST", "/execute", b"x" * 4 * 2**20, 5.0) == (413, b"large")


def test_a_full_backlog_is_waited_for_and_then_a_timeout(tmp_path: Path) -> None:
    path = str(tmp_path / "s.sock")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(path)
        server.listen(0)
        first.connect(path)
        assert execute(Endpoint(socket=path), an_invocation(deadline_seconds=0.05)).error_code == "timeout"


def test_a_healthy_skill_probes_well(tmp_path: Path) -> None:
    with a_skill(tmp_path, saying(b'{"status": "healthy"}')) as endpoint:
        assert probe(endpoint, 5.0) == (True, "")


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        ("503 No", b'{"status": "unhealthy", "reason": "no disk"}', ("unhealthy", "no disk")),
        ("503 No", b'{"status": "unhealthy", "reason": "starting"}', ("starting", "starting")),
        ("500 No", b'{"status": "healthy"}', ("", "GET /health answered 500")),
        ("200 OK", b"fine", ("", "GET /health answered 200: fine")),
        ("200 OK", b"[1]", ("", "GET /health answered 200: [1]")),
    ],
)
def test_health_tells_what_is_wrong(tmp_path: Path, status: str, body: bytes, told: tuple[str, str]) -> None:
    with a_skill(tmp_path, saying(body, status)) as endpoint:
        found, why = health(endpoint, 5.0)
        assert probe(endpoint, 5.0)[0] is False
    assert found == told[0]
    assert why.startswith(told[1])
