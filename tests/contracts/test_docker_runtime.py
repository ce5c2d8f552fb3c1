"""What the Docker runtime promises on top of the contract: its containers are closed in, and only the relay leads in and out."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.caller import execute
from agent.domain.invocation import Reply
from agent.errors import CouldNotTell, Refused
from agent.stages.invoking import prepare
from tests.builders import a_manifest
from tests.runtimes import LABEL, LABELS, DockerBench, clear_engine, eventually, process_lives

pytestmark = pytest.mark.docker

# A skill that does what it is told; `do` comes as the text.
PROBE = """
import json, os, socket, time
def tried(host, port, say=b""):
    began = time.monotonic()
    try:
        with socket.create_connection((host, port), 2) as line:
            line.settimeout(5)
            line.sendall(say)
            return line.recv(100).decode() or "closed"
    except OSError as error:
        return type(error).__name__ + (" slowly" if time.monotonic() - began > 4 else "")
def write(path):
    try:
        open(path, "w").write("x")
        return "written"
    except OSError as error:
        return type(error).__name__
def execute(inputs, context):
    told = json.loads(inputs["text"])
    if "connect" in told:
        host, port, say = told["connect"]
        return {"words": 0, "said": tried(host, port, say.encode())}
    if "write" in told:
        return {"words": 0, "said": write(told["write"])}
    if "status" in told:
        lines = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines() if ":" in line)
        return {"words": os.getuid(), "said": " ".join(lines[name].strip() for name in ("CapBnd", "CapEff", "NoNewPrivs", "Seccomp"))}
    if "loop" in told:
        while True:
            pass
    if "memory" in told:
        return {"words": len(bytearray(2 * 10**9))}
    if "die" in told:
        os.kill(1, 9)
        os._exit(1)
    return {"words": 1, "said": os.environ.get(told.get("env", ""), "")}
"""
OPEN = {"type": "object", "properties": {"words": {"type": "integer"}, "said": {"type": "string"}}}
LONELY, MAILER = (f"{name}-{os.getpid()}" for name in ("lonely", "mailer"))  # an engine has a name once, and other workers run these tests, too
TALKATIVE = {"outputs": OPEN, "resources": {"timeout": "5s"}}


class Greeting(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"* OK here is the world")
        self.request.recv(100)


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[str, int]]:
    """A server of this machine, at an address that the relay reaches."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.connect(("192.0.2.1", 9))
        address = found.getsockname()[0]
    with socketserver.ThreadingTCPServer((address, 0), Greeting) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield address, server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, world: tuple[str, int]) -> Iterator[DockerBench]:
    """One supervisor for all of the tests here, with a skill that reaches mail.example.com and one that reaches nothing."""
    DockerBench.resolve = {"mail.example.com:993": f"{world[0]}:{world[1]}"}
    bench = DockerBench(tmp_path_factory.mktemp("docker"))
    bench.runtime.deploy(bench.deployment(PROBE, name=LONELY, **TALKATIVE))
    bench.runtime.deploy(bench.deployment(PROBE, name=MAILER, permissions={"network": ["mail.example.com:993", "x.example.com:7443"]}, **TALKATIVE))
    yield bench
    bench.close()
    DockerBench.resolve = {}
    clear_engine(volumes=True, images=True)


def told(bench: DockerBench, skill: str, **do: Any) -> Reply:
    return bench.call(skill, text=json.dumps(do))


def said(bench: DockerBench, skill: str, **do: Any) -> str:
    reply = told(bench, skill, **do)
    assert reply.success, reply
    return str(reply.outputs["said"])


def container(bench: DockerBench, skill: str) -> Any:
    return bench.engine.containers.list(filters={"label": [f"skillops.skill={skill}", f"{LABEL}={LABELS[LABEL]}"]}, ignore_removed=True)[0]


def test_a_skill_has_no_right_that_it_does_not_need(bench: DockerBench) -> None:
    reply = told(bench, LONELY, status=1)
    assert (reply.outputs["words"], reply.outputs["said"]) == (65532, "0000000000000000 0000000000000000 1 2")
    assert said(bench, LONELY, write="/skill/x") in ("OSError", "PermissionError")
    assert said(bench, LONELY, write="/tmp/x") == "written"
    limits = container(bench, LONELY).attrs["HostConfig"]
    assert limits["ReadonlyRootfs"] and limits["CapDrop"] == ["ALL"] and limits["Init"]
    assert (limits["Memory"], limits["MemorySwap"], limits["NanoCpus"], limits["PidsLimit"]) == (512 * 2**20, 512 * 2**20, 5 * 10**8, 256)
    assert limits["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}
    assert not limits["PortBindings"] and not limits["Binds"]


def test_skills_find_each_other_by_name_and_nothing_else(bench: DockerBench, world: tuple[str, int]) -> None:
    assert "200" in said(bench, LONELY, connect=(MAILER, 8080, "GET /health HTTP/1.0\r\n\r\n"))
    for host in ("example.com", "mail.example.com", world[0], "8.8.8.8", "169.254.169.254"):
        assert said(bench, LONELY, connect=(host, world[1], "")) in ("gaierror", "OSError", "TimeoutError", "ConnectionRefusedError"), host


def test_neither_the_host_nor_the_way_in_is_reached_from_inside(bench: DockerBench) -> None:
    relay = bench.engine.containers.list(filters={"label": ["skillops.role=relay", f"{LABEL}={LABELS[LABEL]}"]}, ignore_removed=True)[0]
    addresses = [one["IPAddress"] for one in relay.attrs["NetworkSettings"]["Networks"].values()]
    host = _relay_address(bench).removesuffix("2") + "1"  # where a bridge has its host otherwise
    for address in (*addresses, host):
        for port in (8080, 22, 2375):
            assert said(bench, LONELY, connect=(address, port, "")) in ("OSError", "TimeoutError", "ConnectionRefusedError"), (address, port)


def test_a_declared_host_is_reached_and_no_other(bench: DockerBench) -> None:
    assert said(bench, MAILER, connect=("mail.example.com", 993, "")) == "* OK here is the world"
    assert said(bench, MAILER, connect=("mail.example.com", 994, "")) == "ConnectionRefusedError"
    assert said(bench, MAILER, connect=("other.example.com", 993, "")) == "gaierror"
    assert said(bench, LONELY, connect=(_relay_address(bench), 993, "")) in ("closed", "ConnectionResetError")


def test_what_was_refused_is_written_down(bench: DockerBench) -> None:
    said(bench, MAILER, connect=("other.example.com", 993, ""))
    said(bench, LONELY, connect=(_relay_address(bench), 993, ""))
    said(bench, MAILER, connect=("mail.example.com", 993, ""))
    path = bench.state / "supervisor/egress.jsonl"
    wanted = {(MAILER, "other.example.com", "refused"), (LONELY, "?", "refused"), (MAILER, "mail.example.com", "allowed")}

    def found() -> set[tuple[str, str, str]]:
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return {(line["skill"], line["host"], line["verdict"]) for line in lines}

    eventually(lambda: wanted <= found())


def _relay_address(bench: DockerBench) -> str:
    network = next(iter(container(bench, MAILER).attrs["NetworkSettings"]["Networks"].values()))
    first, second, third, _ = network["IPAddress"].split(".")
    return f"{first}.{second}.{int(third) & 0xFC}.2"


def test_an_endless_loop_ends_at_its_timeout_and_the_container_answers_the_next_call(bench: DockerBench) -> None:
    before = container(bench, LONELY).id
    reply = told(bench, LONELY, loop=1)
    assert (reply.success, reply.error_code) == (False, "timeout")
    assert reply.seconds < 15
    assert said(bench, LONELY, env="TZ") == "UTC"
    assert container(bench, LONELY).id == before


def test_a_call_that_eats_memory_ends_alone(bench: DockerBench) -> None:
    reply = told(bench, LONELY, memory=1)
    assert (reply.success, reply.error_code) == (False, "out-of-memory")
    assert said(bench, LONELY, env="TZ") == "UTC"


def test_a_skill_that_dies_in_the_middle_of_a_call_is_a_bad_reply_and_comes_back(bench: DockerBench) -> None:
    replies: list[Reply] = []
    client = threading.Thread(target=lambda: replies.append(told(bench, LONELY, loop=1)))
    client.start()
    eventually(lambda: bench.under_way(LONELY))
    container(bench, LONELY).kill()
    client.join()
    assert (replies[0].success, replies[0].error_code) == (False, "bad-reply")
    eventually(lambda: told(bench, LONELY, env="TZ").success, seconds=60)


def test_the_relay_that_is_killed_comes_back_at_the_same_place(bench: DockerBench) -> None:
    endpoint = bench.runtime.endpoint(LONELY)
    relay = bench.engine.containers.list(filters={"label": ["skillops.role=relay", f"{LABEL}={LABELS[LABEL]}"]}, ignore_removed=True)[0]
    relay.kill()
    invocation = prepare(a_manifest(name=LONELY), {"text": json.dumps({"env": "TZ"})}, "ada", "r1")
    eventually(lambda: execute(endpoint, invocation).success, seconds=60)


def test_an_image_that_is_gone_and_one_that_never_answers_are_told_apart(bench: DockerBench) -> None:
    gone = bench.deployment(PROBE, name="gone", **TALKATIVE).model_copy(update={"location": "skillops-test-nothing:1"})
    with pytest.raises(CouldNotTell, match="image of gone is not there"):
        bench.runtime.deploy(gone)
    silent = bench.deployment(PROBE, name="silent", health={"interval": "1s", "timeout": "1s", "retries": 2}, **TALKATIVE)
    relay = bench.engine.images.list(name="skillops-relay")[0].tags[0]
    with pytest.raises(Refused, match="silent does not become healthy"):
        bench.runtime.deploy(silent.model_copy(update={"location": relay, "digest": "sha256:relay"}))
    folder = bench.deployment(PROBE, name="folder", **TALKATIVE).model_copy(update={"location": str(bench.folder)})
    with pytest.raises(Refused, match="built as a folder"):
        bench.runtime.deploy(folder)


def test_containers_of_a_supervisor_that_was_killed_are_adopted_or_removed(bench: DockerBench) -> None:
    kept, killed = container(bench, LONELY).id, bench.supervisor()
    stray = bench.engine.containers.create(
        "skillops/base-python:stable",
        ["sleep", "600"],
        labels={**LABELS, "skillops.repository": container(bench, LONELY).labels["skillops.repository"], "skillops.instance": "stray"},
    )
    stray.start()
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: not process_lives(killed))
    assert said(bench, LONELY, env="TZ") == "UTC"
    assert container(bench, LONELY).id == kept
    assert not bench.alive(stray.id)


def test_an_orderly_end_leaves_nothing_at_the_engine_but_what_skills_keep(tmp_path: Path) -> None:
    bench = DockerBench(tmp_path)
    try:
        bench.runtime.deploy(bench.deployment(name="orderly", permissions={"storage": "persistent", "secrets": ["TOKEN"]}))
        clone = container(bench, "orderly").labels["skillops.repository"]
        bench.runtime.shutdown()
        ours = {"label": f"skillops.repository={clone}"}
        assert bench.engine.api.containers(all=True, filters=ours) == []
        assert bench.engine.networks.list(filters=ours) == []
        assert [volume.name for volume in bench.engine.volumes.list(filters=ours)] == [f"skillops-{clone}-orderly"]
    finally:
        bench.close()


class Pipe(socketserver.BaseRequestHandler):
    """A connection over TCP, passed on to the engine's socket."""

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect("/var/run/docker.sock")
            back = threading.Thread(target=_pour, args=(engine, self.request), daemon=True)
            back.start()
            _pour(self.request, engine)
            back.join()


def _pour(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def test_an_engine_over_tcp_serves_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Pipe) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_address[1]}")
        bench = DockerBench(tmp_path)
        try:
            bench.runtime.deploy(bench.deployment(permissions={"storage": "persistent"}))
            assert bench.words() == 1
        finally:
            bench.close()
            server.shutdown()
