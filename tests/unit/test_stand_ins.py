"""Stand-ins: what fits, what is said, and that nobody else trusts their certificates."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.domain.stand_in import StandIn, StandIns, Step
from agent.egress.hosting import Egress
from agent.stand_ins import Stage


@contextmanager
def staged(folder: Path, *stand_ins: dict[str, Any]) -> Iterator[Stage]:
    """The stand-ins, started on a loop of their own."""
    stage = Stage([StandIn.model_validate(one) for one in stand_ins], folder)
    loop = Egress(lambda _: None)
    loop.do(stage.open())
    try:
        yield stage
    finally:
        loop.do(stage.close())
        loop.stop()


def connected(stage: Stage, place: tuple[str, int] = ("api.example.com", 80)) -> socket.socket:
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(10)
    line.connect(str(stage.targets[place]))
    return line


class Client(http.client.HTTPConnection):
    def __init__(self, line: socket.socket) -> None:
        super().__init__("api.example.com")
        self.sock = line

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, str, dict[str, str]]:
        self.request(method, path, body, headers or {})
        reply = self.getresponse()
        return reply.status, reply.read().decode(), {name.lower(): value for name, value in reply.getheaders()}


ROUTES = [
    {"path": "/now", "query": {"q": "Oslo", "n": "1"}, "reply": {"json": {"t": 3.5}}},
    {
        "path": "/now",
        "headers": {"authorization": "Bearer trial-KEY"},
        "reply": {"body": "known", "headers": {"Content-Type": "text/x", "ETag": "7"}},
    },
    {"method": "POST", "path": "/in", "json": {"a": [1, True]}, "reply": {"status": 201}},
    {"method": "POST", "path": "/in", "body": "plain ü", "reply": {"status": 202, "body": ""}},
    {"path": "/a%20b", "reply": {"body": "spaced"}},
    {"path": "/now", "reply": {"status": 503, "headers": {"Retry-After": "5"}}},
]


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        (("GET", "/now?n=1&q=Oslo"), 200, '{"t": 3.5}'),
        (("GET", "/now?n=1&q=Oslo&more=1"), 503, ""),
        (("GET", "/now?n=1&q=Oslo&n=1"), 503, ""),
        (("GET", "/now", None, {"Authorization": "Bearer trial-KEY"}), 200, "known"),
        (("GET", "/now", None, {"Authorization": "Bearer other"}), 503, ""),
        (("HEAD", "/now"), 501, ""),
        (("POST", "/in", b'{ "a": [1.0, true] }'), 201, ""),
        (("POST", "/in", b'{"a": [true, 1]}'), 501, "no route for POST /in"),
        (("POST", "/in", "plain ü".encode()), 202, ""),
        (("POST", "/in", iter([b"plain ", "ü".encode()])), 202, ""),
        (("POST", "/in", b"[" * 100_000), 501, "no route"),
        (("GET", "/a%20b"), 200, "spaced"),
        (("GET", "/nowhere"), 501, "tests/stand-ins.yaml has no route for GET /nowhere"),
    ],
)
def test_the_first_route_that_fits_answers(tmp_path: Path, asked: tuple[Any, ...], status: int, said: str) -> None:
    with staged(tmp_path, {"host": "api.example.com:80", "routes": ROUTES}) as stage, connected(stage) as line:
        got, text, _ = Client(line).ask(*asked)
        assert got == status and (said in text if status == 501 else said == text)


def test_headers_are_as_scripted_and_a_connection_serves_many_requests(tmp_path: Path) -> None:
    with staged(tmp_path, {"host": "api.example.com:80", "routes": ROUTES}) as stage, connected(stage) as line:
        client = Client(line)
        known = client.ask("GET", "/now", None, {"Authorization": "Bearer trial-KEY"})
        assert (known[2]["content-type"], known[2]["etag"]) == ("text/x", "7")
        assert client.ask("GET", "/now")[2]["retry-after"] == "5"
        assert client.ask("GET", "/now?q=Oslo&n=1")[2]["content-type"] == "application/json"


MAIL = [
    {"send": "* OK ready"},
    {"expect": "{tag} LOGIN {user} {password}", "send": "{tag} OK hello {user}"},
    {"expect": "{tag} NOOP", "send": "{tag} OK first"},
    {"expect": "{tag} NOOP", "send": "* 1 EXISTS\n{tag} OK again"},
    {"expect": "{tag} FETCH {rest...}", "send": "* 1 FETCH ({rest} {12}\nHello world.)\n{tag} OK"},
    {"expect": "{tag} LOGOUT", "send": "* BYE", "close": True},
]


def test_a_dialogue_answers_line_by_line_and_counts_for_each_connection(tmp_path: Path) -> None:
    place = ("mail.example.com", 143)
    with staged(tmp_path, {"host": "mail.example.com:143", "dialogue": MAIL}) as stage:
        for _ in range(2):
            with connected(stage, place) as line:
                line.sendall(b"a1 login ada secret\r\na2 NOOP\r\na3 noop\r\na4 NOOP\r\na5 FETCH 1 BODY[]\r\na6 LOGOUT\r\n")
                said = line.makefile("rb").read().decode()
            assert said.split("\r\n") == [
                "* OK ready", "a1 OK hello ada", "a2 OK first", "* 1 EXISTS", "a3 OK again", "* 1 EXISTS", "a4 OK again",
                "* 1 FETCH (1 BODY[] {12}", "Hello world.)", "a5 OK", "* BYE", "",
            ]  # fmt: skip


@pytest.mark.parametrize("line", [b"what is this\r\n", b"a1 LOGIN ada\r\n", b"x" * 5000 + b"\r\n", b"x" * 200_000, b"\xff\xfe\r\n"])
def test_a_line_that_nobody_expects_ends_the_dialogue(tmp_path: Path, line: bytes) -> None:
    with staged(tmp_path, {"host": "mail.example.com:143", "dialogue": MAIL}) as stage, connected(stage, ("mail.example.com", 143)) as client:
        said = client.recv(100)
        with contextlib.suppress(ConnectionError):  # it ends while we still send
            client.sendall(line)
            said += client.makefile("rb").read()
        assert said == b"* OK ready\r\n"


@pytest.mark.parametrize(
    ("expect", "line", "names"),
    [
        ("{tag} OK", "a1 ok", {"tag": "a1"}),
        ("{tag} OK", "a1  OK", None),
        ("{tag} OK", "a1 OK more", None),
        ("MAIL FROM:<{who}>", "mail from:<ada@example.com>", {"who": "ada@example.com"}),
        ("MAIL FROM:<{who}>", "MAIL FROM:<>", None),
        ("GET {rest...}", "GET a b  c", {"rest": "a b  c"}),
        ("{rest...}", "", {"rest": ""}),
        ("*", "*", {}),
        ("(a+)+$", "aaaa", None),
    ],
)
def test_what_a_step_expects(expect: str, line: str, names: dict[str, str] | None) -> None:
    assert Step(expect=expect).match(line) == names


def test_no_expectation_takes_long_on_any_line() -> None:
    step = Step(expect=" ".join(["x{a}x"] * 400))
    begun = time.process_time()
    assert step.match(" ".join(["x" * 9] * 399)) is None
    assert time.process_time() - begun < 0.5  # one that tries every way would take years


@pytest.mark.parametrize("expect", ["{a}{b}", "{rest...} more", "x{rest...}"])
def test_an_expectation_that_cannot_be_matched_is_refused(expect: str) -> None:
    with pytest.raises(ValidationError):
        Step(expect=expect)


def test_tls_is_trusted_by_the_trials_own_authority_alone(tmp_path: Path) -> None:
    route = {"path": "/", "reply": {"body": "secure"}}
    with staged(tmp_path, {"host": "a.example.com:443", "routes": [route]}, {"host": "b.example.com:9000", "tls": True, "routes": [route]}) as stage:
        trusting = ssl.create_default_context(cadata=stage.certificates.decode())
        trusting.verify_flags |= ssl.VERIFY_X509_STRICT
        for host, port in stage.targets:
            with connected(stage, (host, port)) as line, trusting.wrap_socket(line, server_hostname=host) as wrapped:
                assert Client(wrapped).ask("GET", "/")[1] == "secure"
        place = ("a.example.com", 443)
        with connected(stage, place) as line, pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(line, server_hostname="a.example.com")
        with connected(stage, place) as line, pytest.raises(ssl.SSLCertVerificationError):
            trusting.wrap_socket(line, server_hostname="c.example.com")
    assert [path for path in tmp_path.iterdir() if path.suffix == ".pem"] == [], "a key was left"


def test_which_declared_hosts_lack_a_stand_in_and_which_stand_ins_nobody_declared() -> None:
    stand_ins = StandIns.model_validate({"hosts": [{"host": f"{name}.example.com:443", "routes": ROUTES} for name in ("a", "b")]})
    assert list(stand_ins.misfits(("a.example.com:443", "b.example.com:80"))) == [(1, "b.example.com:443 is not declared in permissions.network")]
    assert stand_ins.missing(("a.example.com:443", "*.example.com:443", "b.example.com:80", "*:25")) == ("b.example.com:80", "*:25")
    assert json.loads(stand_ins.model_dump_json(by_alias=True))["hosts"][0]["routes"][2]["json"] == {"a": [1, True]}
