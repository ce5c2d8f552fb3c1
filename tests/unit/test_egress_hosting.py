"""The egress proxy in its thread, its log, and the setting that pins hosts."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

from agent.egress.hosting import Egress, VerdictLog
from agent.egress.proxy import Verdict
from agent.egress.rules import Rule, pinned_by
from agent.errors import ConfigurationError
from agent.settings import Settings


def a_verdict(host: str = "api.example.com") -> Verdict:
    return Verdict("web-search", host, 443, "refused", "the manifest does not declare it")


def asked(path: Path, line: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(5)
        door.connect(str(path))
        door.sendall(line)
        return door.makefile("rb").read()


def test_doors_open_and_close_from_any_thread_and_nothing_is_left(tmp_path: Path) -> None:
    told: list[Verdict] = []
    egress = Egress(told.append)
    doors = [egress.open(f"skill-{number}", [Rule.parse("api.example.com:443")], tmp_path / str(number)) for number in range(3)]
    assert asked(tmp_path / "1", b"evil.example.com 443\n") == b"refused the manifest does not declare it\n"
    egress.close(doors[1])
    egress.close(doors[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "2"]
    egress.stop()
    egress.close(doors[0])
    assert list(tmp_path.iterdir()) == []
    assert [thread for thread in threading.enumerate() if thread.name == "egress"] == []
    assert [(verdict.skill, verdict.host) for verdict in told] == [("skill-1", "evil.example.com")]


def test_a_door_takes_over_a_socket_that_a_killed_process_left(tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "door"))
    stale.close()
    egress = Egress(lambda _: None)
    egress.open("web-search", [], tmp_path / "door")
    assert asked(tmp_path / "door", b"api.example.com 443\n").startswith(b"refused")
    egress.stop()


def test_a_door_that_cannot_be_is_an_error_and_stops_nothing(tmp_path: Path) -> None:
    egress = Egress(lambda _: None)
    with pytest.raises(OSError):
        egress.open("web-search", [], tmp_path / "nowhere" / "door")
    egress.open("web-search", [], tmp_path / "door")
    egress.stop()


def test_each_verdict_is_one_line_and_the_log_does_not_outgrow_its_limit(tmp_path: Path) -> None:
    log = VerdictLog(tmp_path / "egress.jsonl", limit=2000)
    for number in range(100):
        log(a_verdict(f"h{number}.example.com"))
    lines = [json.loads(line) for line in (tmp_path / "egress.jsonl").read_text().splitlines()]
    older = [json.loads(line) for line in (tmp_path / "egress.1").read_text().splitlines()]
    assert [line["host"] for line in (*older, *lines)][-1] == "h99.example.com"
    assert lines[0].keys() == {"time", "skill", "host", "port", "verdict", "why", "address", "sent", "received", "seconds"}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 5000


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    VerdictLog(tmp_path / "nowhere" / "egress.jsonl")(a_verdict())


def test_a_host_is_pinned_by_address_in_both_families() -> None:
    pinned = pinned_by({"api.example.com:443": "10.0.0.7:8443", "six.example.com:443": "[fd00::7]:443"})
    assert pinned == {("api.example.com", 443): ("10.0.0.7", 8443), ("six.example.com", 443): ("fd00::7", 443)}


@pytest.mark.parametrize(
    ("resolve", "why"),
    [
        ({"*:443": "10.0.0.7:443"}, "wildcard"),
        ({"api.example.com": "10.0.0.7:443"}, "no port"),
        ({"api.example.com:443": "other.example.com:443"}, "no address with a port"),
        ({"api.example.com:443": "10.0.0.7"}, "no address with a port"),
        ({"api.example.com:443": "10.0.0.7:70000"}, "no address with a port"),
    ],
)
def test_a_wrong_pin_is_a_wrong_setting_that_says_why(tmp_path: Path, resolve: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigurationError) as wrong:
        Settings.load(tmp_path, egress_resolve=resolve)
    assert "egress_resolve" in wrong.value.what and why in wrong.value.what
