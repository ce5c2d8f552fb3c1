"""The network of skills on the process runtime, by effect: what is declared is reached, whatever it speaks; nothing else is, and in a
trial nothing at all."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.caller import execute
from agent.domain.invocation import Reply
from agent.domain.release import Artifact, Endpoint
from agent.domain.skill import Manifest, digest_of
from agent.domain.stand_in import StandIns
from agent.languages.bash import BashLanguage
from agent.languages.go import GoLanguage
from agent.languages.node import NodeLanguage
from agent.languages.python import PythonLanguage
from agent.ports import Deployment, Language
from agent.runtimes.process import ProcessRuntime
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from agent.sandboxes.gvisor import GvisorSandbox
from agent.stages.invoking import prepare
from agent.supervisor_client import ask, sockets
from tests.builders import a_manifest
from tests.contracts.networks import ANSWERS, CALLERS, DECLARED, ENTRYPOINTS, World, a_world
from tests.runtimes import eventually, inner

pytestmark = pytest.mark.bubblewrap

LANGUAGES: dict[str, Language] = {"python": PythonLanguage(), "bash": BashLanguage(), "node": NodeLanguage(), "go": GoLanguage()}
EACH = [
    pytest.param("python"),
    pytest.param("bash", marks=pytest.mark.bash_tools),
    pytest.param("node", marks=pytest.mark.node_tools),
    pytest.param("go", marks=pytest.mark.go_tools),
]
ANYTHING = {"type": "object"}
SUPERVISE = """
import json, sys
from pathlib import Path
from agent.languages.bash import BashLanguage
from agent.languages.go import GoLanguage
from agent.languages.node import NodeLanguage
from agent.languages.python import PythonLanguage
from agent.runtimes.process import ProcessLauncher
from agent.sandboxes.%s import %s as TheSandbox
from agent.supervisor import serve
state = Path(sys.argv[1])
languages = {"python": PythonLanguage(), "bash": BashLanguage(), "node": NodeLanguage(), "go": GoLanguage()}
serve(state, ProcessLauncher(state, TheSandbox(), languages, json.loads(sys.argv[2])), 900.0)
"""
ASK = """
import socket, urllib.request

def execute(inputs, context):
    said = {}
    for url in inputs["urls"]:
        try:
            said[url] = urllib.request.urlopen(url, timeout=5).read().decode()
        except OSError as error:
            said[url] = type(getattr(error, "reason", error)).__name__
    for line in inputs.get("door", []):
        with socket.socket(socket.AF_UNIX) as door:
            door.connect("/run/egress/door")
            door.sendall(line.encode() + b"\\n")
            said[line] = door.makefile().readline().strip()
    return said
"""


class Bench:
    def __init__(self, folder: Path, world: World, sandbox: type[BubblewrapSandbox | GvisorSandbox] = BubblewrapSandbox) -> None:
        self.folder, self.state, self.world, self.sandbox = folder, folder / "state", world, sandbox
        self.resolve = dict(world.resolve)
        self.runtime = self.another()

    def another(self) -> ProcessRuntime:
        supervise = SUPERVISE % (self.sandbox.name, self.sandbox.__name__)
        command = (sys.executable, "-c", supervise, str(self.state), json.dumps(self.resolve))
        return ProcessRuntime(self.state, self.sandbox(), LANGUAGES, command)

    def built(self, code: str, manifest: Manifest) -> Artifact:
        digest = digest_of([code, manifest.model_dump(mode="json")])
        source, target = self.folder / f"source-{digest[-8:]}", self.folder / f"built-{digest[-8:]}"
        source.mkdir()
        target.mkdir()
        (source / manifest.entrypoint).write_text(code)
        LANGUAGES[manifest.runtime].prepare(source, manifest, target)
        return Artifact(digest=digest, kind="directory", location=str(target))

    def deploy(self, code: str, manifest: Manifest) -> None:
        built = self.built(code, manifest)
        told = {name: getattr(manifest, name) for name in ("version", "runtime", "resources", "health")}
        self.runtime.deploy(Deployment(skill=manifest.name, digest=built.digest, location=built.location, manifest=manifest, **told))

    def call(self, **inputs: Any) -> Reply:
        return called(self.runtime.endpoint("reach-out"), inputs)

    def verdicts(self) -> list[dict[str, Any]]:
        log = self.state / "supervisor/egress.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def reaching(language: str = "python", network: list[str] = DECLARED, **traits: Any) -> Manifest:
    return a_manifest(
        name="reach-out", runtime=language, entrypoint=ENTRYPOINTS[language], inputs=ANYTHING, outputs=ANYTHING,
        examples=[{"inputs": {}, "outputs": {}}], permissions={"network": network}, health={"interval": "1s", "timeout": "10s", "retries": 1},
        **traits,
    )  # fmt: skip


def called(endpoint: Endpoint, inputs: dict[str, Any]) -> Reply:
    return execute(endpoint, prepare(reaching(), inputs, "ada", "r1", deadline=20.0))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        yield world


@pytest.fixture
def bench(tmp_path: Path, world: World, request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(tmp_path, world, GvisorSandbox if request.node.get_closest_marker("gvisor") else BubblewrapSandbox)
    yield bench
    bench.runtime.shutdown()


# ---- what is deployed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", [*EACH, pytest.param("python", marks=pytest.mark.gvisor, id="python-gvisor")])
def test_a_skill_reaches_its_hosts_by_http_tls_and_plain_tcp(bench: Bench, language: str) -> None:
    bench.deploy(CALLERS[language].format(authority=bench.world.authority), reaching(language))
    reply = bench.call()
    assert reply.success, (reply, bench.runtime.logs("reach-out"))
    assert reply.outputs == ANSWERS
    assert bench.world.received == ["web.example.com /a", "secure.example.com /b", "a1 LOGIN ada"]
    eventually(lambda: len(bench.verdicts()) == 3)
    told = {(one["skill"], one["host"], one["port"], one["address"], one["verdict"]) for one in bench.verdicts()}
    assert told == {("reach-out", place.rpartition(":")[0], int(place.rpartition(":")[2]), "127.0.0.1", "allowed") for place in DECLARED}
    assert all(one["sent"] > 10 and one["received"] > 10 for one in bench.verdicts())


def test_what_is_not_declared_is_refused_logged_and_gets_nothing(bench: Bench) -> None:
    canary = bench.world.ports["web.example.com:80"]
    bench.resolve["evil.example.com:80"] = f"127.0.0.1:{canary}"
    bench.runtime = bench.another()
    bench.deploy(ASK, reaching(network=["secure.example.com:443"]))
    urls = ["http://evil.example.com/", f"http://127.0.0.1:{canary}/", f"http://[::1]:{canary}/", "http://secure.example.com/", "http://1.1.1.1/"]
    door = ["evil.example.com 80", f"127.0.0.1 {canary}", "secure.example.com 80", "localhost 443", "169.254.169.254 80"]
    reply = bench.call(urls=urls, door=door)
    assert reply.success, reply
    assert {reply.outputs[url] for url in urls} <= {"gaierror", "ConnectionRefusedError", "OSError"}
    assert {reply.outputs[line] for line in door} == {"refused the manifest does not declare it"}
    assert bench.world.received == []
    told = {("evil.example.com", 0, "refused"), *((line.split()[0], int(line.split()[1]), "refused") for line in door)}
    eventually(lambda: len(bench.verdicts()) >= len(told))  # the last is written just after it was said
    assert {(one["host"], one["port"], one["verdict"]) for one in bench.verdicts()} == told


def test_a_wildcard_reaches_each_name_below_it_and_nothing_private(bench: Bench) -> None:
    canary = bench.world.ports["web.example.com:80"]
    bench.deploy(ASK, reaching(network=["*.example.com:80", f"*:{canary}"]))
    reply = bench.call(urls=["http://web.example.com/a", f"http://localhost.:{canary}/", "http://web.example.org/"], door=[f"127.0.0.1 {canary}"])
    assert reply.success, reply
    assert reply.outputs["http://web.example.com/a"] == "from web.example.com"
    assert reply.outputs["http://web.example.org/"] != "from web.example.org"
    assert "loopback" in reply.outputs[f"127.0.0.1 {canary}"]
    assert bench.world.received == ["web.example.com /a"]


def test_a_skill_without_hosts_has_no_way_out_at_all(bench: Bench) -> None:
    code = """
import os

def execute(inputs, context):
    links = [line.split(":")[0].strip() for line in open("/proc/net/dev").read().splitlines()[2:]]
    return {"door": os.path.exists("/run/egress"), "names": os.path.exists("/etc/resolv.conf"), "links": links}
"""
    bench.deploy(code, reaching(network=[]))
    assert bench.call().outputs == {"door": False, "names": False, "links": ["lo"]}


def test_the_server_behind_the_forwarder_has_no_capability(bench: Bench) -> None:
    code = """
def execute(inputs, context):
    status = open("/proc/self/status").read()
    return {line.split(":")[0]: int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("Cap", "NoNewPrivs"))}
"""
    bench.deploy(code, reaching())
    assert bench.call().outputs == {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapBnd": 0, "CapAmb": 0, "NoNewPrivs": 1}


def test_forwarder_and_server_end_together_and_start_again(bench: Bench) -> None:
    bench.deploy(ASK, reaching())
    kept = json.loads((bench.state / "supervisor/services.json").read_text())
    outer = next(iter(kept["instances"].values()))["pid"]
    forwarder = int(Path(f"/proc/{inner(outer)}/task/{inner(outer)}/children").read_text().split()[0])
    assert b"forwarder.py" in Path(f"/proc/{forwarder}/cmdline").read_bytes()
    os.kill(forwarder, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{outer}").exists())
    assert bench.call(urls=["http://web.example.com/again"]).outputs == {"http://web.example.com/again": "from web.example.com"}


def test_an_adopted_skill_reaches_its_hosts_through_the_next_supervisor(bench: Bench) -> None:
    bench.deploy(ASK, reaching())
    before = json.loads((bench.state / "supervisor/services.json").read_text())["instances"]
    os.kill(int(ask(bench.state, "ping")), signal.SIGKILL)
    assert bench.call(urls=["http://web.example.com/a"]).outputs == {"http://web.example.com/a": "from web.example.com"}
    assert json.loads((bench.state / "supervisor/services.json").read_text())["instances"] == before, "it was not adopted"


def test_nothing_of_a_removed_skill_is_left(bench: Bench) -> None:
    bench.deploy(ASK, reaching())
    assert [path for path in sockets(bench.state).iterdir() if path.suffix == ".net"]
    bench.runtime.remove("reach-out")
    eventually(lambda: [path.name for path in sockets(bench.state).iterdir()] == ["control.sock"])


# ---- what is tried ------------------------------------------------------------------------------------------------------

SCRIPTS = StandIns.model_validate(
    {
        "hosts": [
            {"host": "web.example.com:80", "routes": [{"path": "/a", "reply": {"body": "from web.example.com"}}]},
            {"host": "secure.example.com:443", "routes": [{"path": "/b", "reply": {"body": "from secure.example.com"}}]},
            {"host": "mail.example.com:143", "dialogue": [{"send": "* OK ready"}, {"expect": "{tag} login {rest...}", "send": "{tag} OK from mail"}]},
        ]
    }
)


@pytest.mark.parametrize("language", EACH)
def test_in_a_trial_the_stand_ins_answer_and_no_server_hears_of_it(bench: Bench, language: str, capfd: pytest.CaptureFixture[str]) -> None:
    manifest, before = reaching(language), {thread.name for thread in threading.enumerate()}
    with bench.runtime.trial(bench.built(CALLERS[language].format(authority=""), manifest), manifest, SCRIPTS) as endpoint:
        replies = [called(endpoint, {}) for _ in range(3)]
        folder = Path(str(endpoint.socket)).parent
        log = (folder / "log").read_text()
    assert [reply.outputs for reply in replies] == [ANSWERS] * 3, (replies, log)
    assert bench.world.received == []
    assert not folder.exists()
    eventually(lambda: {thread.name for thread in threading.enumerate() if thread.name in ("egress", "sandbox-service")} <= before)


def test_in_a_trial_a_host_without_a_stand_in_refuses(bench: Bench) -> None:
    manifest = reaching(network=[*DECLARED, "*.example.org:8080"])
    urls = ["http://web.example.com/a", "http://secure.example.com:443/", "http://any.example.org:8080/", "http://evil.example.com/"]
    with bench.runtime.trial(bench.built(ASK, manifest), manifest) as endpoint:
        reply = called(endpoint, {"urls": urls, "door": ["web.example.com 80", "evil.example.com 80"]})
    assert reply.success, reply
    assert [reply.outputs[url] for url in urls] == ["ConnectionRefusedError", "ConnectionRefusedError", "ConnectionResetError", "gaierror"]
    assert "stand-in" in reply.outputs["web.example.com 80"] and "declare" in reply.outputs["evil.example.com 80"]
    assert bench.world.received == []
