"""Trials on Docker Engine whose skills declare hosts: their stand-ins answer, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.builders.docker import DockerBuilder
from agent.caller import execute
from agent.checks.contract import ContractCheck
from agent.docker_engine import DockerEngine
from agent.domain.check import Outcome
from agent.domain.stand_in import StandIns
from agent.stages.invoking import prepare
from agent.wiring_runtimes import languages_of
from agent.workbench import Bench, examine, subject_of_folder
from tests.builders import a_manifest
from tests.engines import need_base_images
from tests.runtimes import LABEL, LABELS, DockerBench, clear_engine, eventually

pytestmark = pytest.mark.docker

SKILLS = Path(__file__).parents[2] / "skills"
# What is said to each place, or how asking for it ends.
ASK = """
import json, socket, ssl
def said(place, text):
    host, _, port = place.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), 5) as line:
            with ssl.create_default_context().wrap_socket(line, server_hostname=host) if port == "443" else line as way:
                way.sendall(text.encode())
                return b"".join(iter(lambda: way.recv(1000), b"")).decode() or "closed"
    except ConnectionResetError:  # closed, before what was said to it was read
        return "closed"
    except OSError as error:
        return type(error).__name__
def execute(inputs, context):
    return {"words": 0, "said": {place: said(place, text) for place, text in json.loads(inputs["text"]).items()}}
"""
OUTPUTS: dict[str, Any] = {"type": "object", "properties": {"words": {"type": "integer"}, "said": {"type": "object"}}}
SCRIPT = StandIns.model_validate({"hosts": [
    {"host": "mail.example.com:143", "dialogue": [{"send": "* hello"}, {"expect": "{tag} QUIT", "send": "{tag} bye", "close": True}]},
    {"host": "api.example.com:443", "routes": [{"path": "/", "reply": {"headers": {"Connection": "close"}, "json": None}}]},
]})  # fmt: skip
GET = "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n"


class Pinned(DockerBench):
    resolve = {"idle.example.com:8143": "127.0.0.1:8080"}  # the relay itself: in a trial not even that is reached


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DockerBench]:
    bench = Pinned(tmp_path)
    yield bench
    bench.close()
    clear_engine(volumes=True, images=True)


@pytest.mark.parametrize("name", [
    "http-request", "email-fetch", pytest.param("weather", marks=pytest.mark.bash_tools),
])  # fmt: skip
def test_a_bundled_skill_of_the_network_keeps_its_contract(bench: DockerBench, tmp_path: Path, name: str) -> None:
    subject = subject_of_folder(SKILLS / name, tmp_path / "root")
    assert subject.manifest is not None
    need_base_images(subject.manifest.runtime)
    builder = DockerBuilder(tmp_path / "store", languages_of(), DockerEngine(), labels=LABELS)
    with Bench(subject, builder, bench.runtime) as workbench:
        report = examine([ContractCheck()], subject, workbench, workers=1)
    assert report.outcome is Outcome.PASSED, report.results[0]
    assert "outputs of" in report.results[0].summary


def test_a_trial_reaches_its_stand_ins_and_nothing_else_and_leaves_nothing(bench: DockerBench) -> None:
    network = ["mail.example.com:143", "api.example.com:443", "idle.example.com:8143", "*.example.org:80"]
    manifest = a_manifest(permissions={"network": network, "secrets": ["TOKEN"]}, outputs=OUTPUTS)
    asks = {
        "mail.example.com:143": "a1 quit\r\n", "api.example.com:443": GET, "idle.example.com:8143": GET.replace("api", "idle"),
        "www.example.org:80": GET.replace("api.example.com", "www.example.org"), "elsewhere.example.net:443": GET,
    }  # fmt: skip
    with bench.runtime.trial(bench.built(ASK, manifest), manifest, SCRIPT) as endpoint:
        reply = execute(endpoint, prepare(manifest, {"text": json.dumps(asks)}, "ada", "r1", deadline=30.0))
        container = bench.engine.containers.list(filters={"label": ["skillops.role=skill", f"{LABEL}={LABELS[LABEL]}"]}, ignore_removed=True)[0]
        assert container.exec_run(["ls", "/run/secrets", "/run/authorities"]).output.decode().split() == [
            "/run/authorities:", "certificates.pem", "/run/secrets:", "TOKEN",
        ]  # fmt: skip
    assert reply.success, reply
    assert reply.outputs["said"].pop("api.example.com:443").endswith("\r\n\r\nnull")
    assert reply.outputs["said"].pop("mail.example.com:143") == "* hello\r\na1 bye\r\n"
    assert reply.outputs["said"] == {
        "idle.example.com:8143": "closed", "www.example.org:80": "closed", "elsewhere.example.net:443": "gaierror",
    }  # fmt: skip
    eventually(lambda: {"idle.example.com", "www.example.org"} <= refused_in_trial(bench))
    ours = {"label": ["skillops.instance", f"{LABEL}={LABELS[LABEL]}"]}
    eventually(lambda: not bench.engine.containers.list(all=True, filters=ours, ignore_removed=True) and not bench.engine.volumes.list(filters=ours))


def refused_in_trial(bench: DockerBench) -> set[str]:
    log = bench.state / "supervisor/egress.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return {line["host"] for line in lines if line["verdict"] == "refused" and "this is a trial" in line["why"]}
