"""How an engine's published ports are reached: on loopback, at an address, or through ssh, which a program of ours stands in for here."""

from __future__ import annotations

import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.caller import call
from agent.errors import ConfigurationError, CouldNotTell
from agent.runtimes.docker_way import Way, tunnel_command

# As much of ssh(1) as a tunnel needs: -L SOCKET:HOST:PORT. The host `closed` refuses, as a server does that does not know us.
SSH = """#!{python}
import socket, sys, threading
if sys.argv[-1] == "closed":
    sys.exit("Permission denied (publickey).")
path, host, port = sys.argv[sys.argv.index("-L") + 1].rsplit(":", 2)
listening = socket.socket(socket.AF_UNIX)
listening.bind(path)
listening.listen()
def pour(one, other):
    while data := one.recv(65536):
        other.sendall(data)
    other.shutdown(socket.SHUT_WR)
while True:
    near, _ = listening.accept()
    far = socket.create_connection((host, int(port)))
    for pair in ((near, far), (far, near)):
        threading.Thread(target=pour, args=pair, daemon=True).start()
"""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"far away")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(SSH.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")


def test_the_engine_of_this_machine_is_reached_on_loopback(tmp_path: Path, port: int) -> None:
    for host in ("", "unix:///var/run/docker.sock", "tcp://127.0.0.1:2375", "tcp://localhost:2375"):
        way = Way(host, "", lambda: tmp_path)
        assert way.published_at == "127.0.0.1"
        assert call(way.to(port), "GET", "/", None, 5.0) == (200, b"far away")


def test_an_engine_elsewhere_over_tcp_needs_to_be_told_how_its_ports_are_reached(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as wrong:
        Way("tcp://10.0.0.7:2376", "", lambda: tmp_path).to(8080)
    assert "docker_address" in wrong.value.next_step
    assert Way("tcp://10.0.0.7:2376", "10.0.0.7", lambda: tmp_path).to(8080).url == "http://10.0.0.7:8080"


@pytest.mark.usefixtures("ssh")
def test_over_ssh_a_tunnel_leads_there_and_is_dug_again_when_it_breaks(tmp_path: Path, port: int) -> None:
    way = Way("ssh://ada@engine.example.com", "", lambda: tmp_path / "tunnel")
    try:
        assert way.published_at == "127.0.0.1"
        endpoint = way.to(port)
        assert call(endpoint, "GET", "/", None, 5.0) == (200, b"far away")
        assert way.to(port) == endpoint and not way.broken
        assert way._tunnel is not None
        way._tunnel.kill()
        way._tunnel.wait()
        assert way.broken
        assert call(way.to(port), "GET", "/", None, 5.0) == (200, b"far away")
        tunnel = way._tunnel
    finally:
        way.close()
    assert tunnel is not None and tunnel.poll() is not None
    assert list((tmp_path / "tunnel").iterdir()) == []


@pytest.mark.usefixtures("ssh")
def test_a_tunnel_that_cannot_be_dug_says_what_ssh_said(tmp_path: Path) -> None:
    with pytest.raises(CouldNotTell) as trouble:
        Way("ssh://closed", "", lambda: tmp_path / "tunnel").to(8080)
    assert trouble.value.why == "Permission denied (publickey)."
    assert "ssh closed" in trouble.value.next_step


def test_ssh_asks_nobody_and_a_host_is_never_an_option() -> None:
    command = tunnel_command("ada", "-oProxyCommand=x", 2222, Path("/run/relay.sock"), 32768)
    assert command[-2:] == ("--", "-oProxyCommand=x")
    assert command[-8:-2] == ("-p", "2222", "-l", "ada", "-L", "/run/relay.sock:127.0.0.1:32768")
    assert {"BatchMode=yes", "ExitOnForwardFailure=yes"} <= set(command)
