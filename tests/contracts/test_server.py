"""What every language's server keeps to: the wire contract, and what a call may do without harm to the next."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.caller import call, execute, health
from agent.domain.invocation import Invocation, Reply
from agent.domain.release import Endpoint
from agent.languages.bash import BashLanguage
from agent.languages.go import GoLanguage
from agent.languages.node import NodeLanguage
from agent.languages.python import PythonLanguage
from agent.ports import Language
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from tests.builders import a_manifest
from tests.contracts.odd_skills import BROKEN, ERRORS, ODD

pytestmark = pytest.mark.bubblewrap
LANGUAGES: dict[str, Language] = {language.name: language for language in (PythonLanguage(), NodeLanguage(), GoLanguage(), BashLanguage())}


@contextmanager
def running(folder: Path, language: Language, source: str | dict[str, str], **traits: Any) -> Iterator[Endpoint]:
    """The skill with that source, served in the sandbox; healthy or not."""
    root, artifact, sockets = folder / "word-count", folder / "artifact", folder / "sockets"
    artifact.mkdir()
    sockets.mkdir()
    for name, text in ({language.entrypoint: source} if isinstance(source, str) else source).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    manifest = a_manifest(**{"runtime": language.name, "entrypoint": language.entrypoint, **traits})
    language.prepare(root, manifest, artifact)
    process = BubblewrapSandbox().start(language.server(artifact, manifest, sockets), log=folder / "log")
    endpoint = Endpoint(socket=str(sockets / "skill.sock"))
    try:
        until = time.monotonic() + 60
        while health(endpoint, 5)[0] in ("", "starting") and time.monotonic() < until:
            time.sleep(0.01)
        yield endpoint
    finally:
        process.stop(0.1)


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request) -> Language:
    return LANGUAGES[request.param]


@pytest.fixture(scope="module")
def odd(tmp_path_factory, language) -> Iterator[Endpoint]:
    traits = {"environment": {"UNIT": "metre"}, "resources": {"timeout": "60s"}}
    with running(tmp_path_factory.mktemp("odd"), language, ODD[language.name], **traits) as endpoint:
        yield endpoint


def asked(endpoint: Endpoint, do: str, deadline: float = 60.0, caller: str = "ada") -> Reply:
    return execute(endpoint, Invocation(skill="word-count", inputs={"do": do}, request_id="r1", caller=caller, deadline_seconds=deadline))


def test_whatever_the_skill_does_is_an_error_with_a_code(odd, language):
    for do, (code, message) in ERRORS[language.name].items():
        reply = asked(odd, do)
        assert (do, reply.success, reply.error_code) == (do, False, code), reply.error_message
        assert message in reply.error_message
        assert asked(odd, "fine").outputs == {"a": 1}


def test_the_callers_deadline_holds(odd):
    reply = asked_within(odd, 0.3)
    assert reply["error"]["code"] == "timeout"


def asked_within(endpoint: Endpoint, deadline: float) -> dict[str, Any]:
    _, body = call(endpoint, "POST", "/execute", json.dumps({"inputs": {"do": "hang"}, "context": {"deadline": deadline}}).encode(), 20)
    return json.loads(body)


def test_the_manifests_timeout_holds_where_the_caller_would_wait_longer(tmp_path, language):
    with running(tmp_path, language, ODD[language.name], resources={"timeout": "1s"}) as endpoint:
        assert asked_within(endpoint, 600)["error"]["code"] == "timeout"


def test_what_a_call_leaves_running_dies_with_it(odd):
    assert asked(odd, "leave").success
    assert asked_within(odd, 0.2)["error"]["code"] == "timeout"
    until = time.monotonic() + 10
    while (left := asked(odd, "sleepers").outputs["running"]) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == 0


def test_the_skill_gets_the_context_and_its_environment(odd):
    assert asked(odd, "context", 5.0).outputs["context"] == {"request_id": "r1", "deadline": 5.0, "traceparent": "", "caller": "ada"}
    assert asked(odd, "where").outputs == {"cwd": "/skill/code", "unit": "metre"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/execute", b"", 400, "bad-request"),
        ("POST", "/execute", b"{", 400, "bad-request"),
        ("POST", "/execute", b"[]", 400, "bad-request"),
        ("POST", "/execute", b'{"inputs": 1}', 400, "bad-request"),
        ("POST", "/execute", b'{"inputs": {}, "context": []}', 400, "bad-request"),
        ("POST", "/execute", b'{"inputs": {"a": NaN}}', 400, "bad-request"),
        ("POST", "/execute", b'{"inputs": {"a": ' + b"9" * 5000 + b"}}", 400, "bad-request"),
        ("POST", "/execute", b'{"inputs": ' + b"[" * 100_000, 400, "bad-request"),
        ("POST", "/execute", b"\xff\xfe", 400, "bad-request"),
        ("POST", "/execute", b"x" * (8 * 2**20 + 1), 413, "too-large"),
        ("POST", "/elsewhere", b"{}", 404, "not-found"),
        ("GET", "/execute", None, 405, "bad-request"),
        ("PUT", "/execute", b"{}", 405, "bad-request"),
        ("POST", "/health", b"", 405, "bad-request"),
        ("BREW", "/execute", None, 405, "bad-request"),
    ],
)
def test_a_wrong_request_gets_a_clean_error(odd, method, path, body, status, code):
    got, answer = call(odd, method, path, body, 20)
    assert (got, Reply.parse(answer).error_code) == (status, code)


@pytest.mark.parametrize("junk", [b"\x00\xff\r\n\r\n", b"POST /execute\r\n\r\n", b"POST /execute HTTP/9.9\r\n\r\n", b"A" * 70_000 + b"\r\n"])
def test_what_is_not_http_gets_a_clean_error(odd, junk):
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(60)
        line.connect(odd.socket)
        line.sendall(junk)
        answer = line.makefile("rb").read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 4") or head.startswith(b"HTTP/1.1 505")
    assert Reply.parse(body).error_code == "bad-request"


def test_a_connection_is_kept_for_the_next_call(odd):
    request = b'POST /execute HTTP/1.1\r\nHost: skill\r\nContent-Length: 24\r\n\r\n{"inputs":{"do":"fine"}}'
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(60)
        line.connect(odd.socket)
        replies = []
        for _ in range(2):
            line.sendall(request)
            replies.append(line.recv(65536))
    assert replies[0] == replies[1] and replies[0].startswith(b"HTTP/1.1 200 ")


def test_many_calls_at_once_are_all_answered(odd):
    with ThreadPoolExecutor(40) as pool:
        replies = list(pool.map(lambda _: asked(odd, "fine", 20.0), range(80)))
    assert {reply.success for reply in replies} == {True}


def test_health_and_metrics(odd):
    status, body = call(odd, "GET", "/health", None, 5)
    assert (status, json.loads(body)) == (200, {"status": "healthy", "name": "word-count", "version": "1.0.0"})

    def count(name: str) -> float:
        lines = call(odd, "GET", "/metrics", None, 5)[1].decode().splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))

    before = count("skill_calls_total"), count("skill_errors_total")
    asked(odd, "fine")
    asked(odd, "key")
    assert (count("skill_calls_total"), count("skill_errors_total")) == (before[0] + 2, before[1] + 1)
    assert count("skill_calls_in_flight") == 0


@pytest.mark.parametrize(("name", "source", "reason"), [case for case in BROKEN if case[0] in LANGUAGES])
def test_a_skill_that_cannot_be_loaded_is_unhealthy_and_says_why(tmp_path, name, source, reason):
    with running(tmp_path, LANGUAGES[name], source) as endpoint:
        status, body = call(endpoint, "GET", "/health", None, 5)
        assert status == 503 and reason in json.loads(body)["reason"]
        status, body = call(endpoint, "POST", "/execute", b'{"inputs": {}}', 5)
        assert status == 503 and Reply.parse(body).error_code == "unhealthy"


def test_what_a_skill_prints_goes_to_the_log(tmp_path, language):
    with running(tmp_path, language, ODD[language.name]) as endpoint:
        asked(endpoint, "printing")
    assert "printed printing" in (tmp_path / "log").read_text()


# ---- what a process that stays for its caller's next call may keep -----------------------------------------------------------

REMEMBERING = [name for name in LANGUAGES if name != "bash"]  # each call of a Bash skill has a process of its own


def counted(endpoint: Endpoint, do: str = "count", caller: str = "bob") -> int:
    reply = asked(endpoint, do, caller=caller)
    assert reply.success, reply
    return int(reply.outputs["n"])


@pytest.fixture(params=REMEMBERING)
def remembering(request, tmp_path) -> Iterator[Endpoint]:
    name = request.param
    with running(tmp_path, LANGUAGES[name], ODD[name]) as endpoint:
        yield endpoint


def test_a_process_stays_for_the_next_call_of_its_caller_and_of_no_other(remembering):
    assert [counted(remembering) for _ in range(3)] == [1, 2, 3]
    assert counted(remembering, caller="eve") == 1
    assert counted(remembering, caller="") == 1
    assert counted(remembering, caller="") == 1
    assert counted(remembering) == 4
    assert [counted(remembering, caller="a" * 300 + end) for end in "bc"] == [1, 1]


@pytest.mark.parametrize("name", REMEMBERING)
@pytest.mark.parametrize("said", [{"readOnly": False}, {"idempotent": False}])
def test_a_skill_that_changes_or_keeps_something_has_a_process_for_each_call(tmp_path, name, said):
    with running(tmp_path, LANGUAGES[name], ODD[name], annotations=said) as endpoint:
        assert [counted(endpoint) for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize("left", ["count and go on", "count and keep", "count and leave"])
def test_a_process_that_has_something_left_of_a_call_does_not_stay(remembering, left):
    assert [counted(remembering, left), counted(remembering), counted(remembering)] == [1, 1, 2]


@pytest.mark.parametrize("how", ["fail the second time", "die the second time"])
def test_nobody_pays_for_what_an_earlier_call_left(remembering, how):
    assert [counted(remembering, how), counted(remembering, how), counted(remembering, how)] == [1, 1, 1]


def test_a_call_that_takes_too_long_costs_no_other_its_process(remembering):
    assert counted(remembering) == 1
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(asked, remembering, "hang", 0.5, "bob")
        others = [counted(remembering, caller="eve") for _ in range(3)]
    assert (late.result().error_code, others) == ("timeout", [1, 2, 3])


# ---- the wire ----------------------------------------------------------------------------------------------------------------


def talk(endpoint: Endpoint, *parts: bytes, pause: float = 0.0) -> bytes:
    """All that is answered to these bytes, until the other side closes."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(60)
        line.connect(endpoint.socket)
        with ThreadPoolExecutor(1) as reader:
            answers = reader.submit(line.makefile("rb").read)
            for part in parts:
                line.sendall(part)
                time.sleep(pause)
            return answers.result()


CLOSE = b"Connection: close\r\n"


def a_request(body: bytes = b'{"inputs": {"do": "fine"}}', path: bytes = b"POST /execute", fields: bytes = b"") -> bytes:
    return path + b" HTTP/1.1\r\nHost: skill\r\n" + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body


def test_requests_may_be_sent_ahead_and_are_answered_in_their_order(odd):
    many = b"".join(a_request(b"", b"GET /health") + a_request() + a_request(b"{") for _ in range(20))
    answers = talk(odd, many + a_request(b"", b"GET /health", CLOSE))
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answers) == [b"200", b"200", b"400"] * 20 + [b"200"]


def test_thousands_of_requests_sent_ahead_do_no_harm(odd):
    assert talk(odd, a_request(b"", b"GET /health") * 4999 + a_request(b"", b"GET /health", CLOSE)).count(b"HTTP/1.1 200 ") == 5000


def test_a_request_may_come_in_any_parts(odd):
    request = a_request(fields=CLOSE)
    whole = talk(odd, request)
    assert talk(odd, *(request[at : at + 1] for at in range(len(request)))) == whole
    assert talk(odd, request[:-3], request[-3:], pause=0.05) == whole


def test_a_connection_that_is_to_be_closed_is_closed_after_the_answer(odd):
    answer = talk(odd, a_request(fields=CLOSE))
    assert answer.startswith(b"HTTP/1.1 200 ") and b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /execute HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"411"),
        (b"POST /execute HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /execute HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", b"400"),
        (b"POST /execute HTTP/1.1\r\nHost: a\r\nContent-Length : 2\r\n\r\n{}", b"400"),
    ],
)
def test_a_body_whose_end_is_in_doubt_is_not_taken(odd, request_, status):
    answer = talk(odd, request_)
    assert answer.split()[1] == status
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_client_that_goes_away_in_the_middle_takes_nothing_with_it(odd):
    for request in (a_request()[:-5], a_request(b'{"inputs": {"do": "hang"}, "context": {"deadline": 0.3}}')):
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(odd.socket)
            line.sendall(request)
    assert asked(odd, "fine").success
