"""The gateway: what it costs beside a call of the skill's own server, what 200 skills take, and how soon a resting skill answers.

Both sides run uvicorn with uvloop and httptools, one worker; the client is wrk with eight connections, in turns. The gateway looks at
the key, holds inputs and outputs against their schemas, adds the receipt, and counts. That server is a FastAPI route; the same is
told of our own server for Python skills, which is faster than that.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from agent.caller import execute
from agent.domain.invocation import Invocation
from agent.errors import CouldNotTell
from agent.languages.python import PythonLanguage
from tests.acceptance.harness import CODE, Home
from tests.acceptance.test_gateway import publish
from tests.benchmarks.load import NO_WRK, Load, post, wrk_is_here
from tests.benchmarks.row import Row
from tests.benchmarks.serving import Gateway, a_gateway, a_skill, memory_of, wait_for
from tests.builders import a_manifest
from tests.ports import free_port

RATIO, EXTRA, MEBIBYTES, COLD = 2.0, 1.5, 250.0, 0.6
ROUNDS, SECONDS = 5, 3.0  # whole seconds: wrk knows no others
BODY = json.dumps({"inputs": {"text": "one two three"}, "context": {"caller": "bench"}})
THROUGH = json.dumps({"inputs": {"text": "one two three"}})
MIB = 2**20


def measure(rounds: int = ROUNDS, seconds: float = SECONDS, skills: int = 200) -> list[Row]:
    """Four rows: time a call (the inverse of the throughput), the median's extra, memory, and the cold start."""
    with tempfile.TemporaryDirectory(prefix="skillops-") as folder:
        return [*_calls(Path(folder), rounds, seconds), _memory(Path(folder), skills), _cold(Path(folder) / "home", rounds)]


def _calls(folder: Path, rounds: int, seconds: float) -> list[Row]:
    if not wrk_is_here():
        return [Row("gateway, a call", None, "ms", RATIO, against=NO_WRK), Row("gateway, p50 more", None, "ms", EXTRA, "ours", against=NO_WRK)]
    with a_skill() as skill, a_gateway(folder / "uvicorn", skill) as gateway:
        direct, through = _in_turns(skill, gateway, rounds, seconds)
    with a_shim(folder / "shim") as skill, a_gateway(folder / "ours", skill) as gateway:
        shim, through_shim = _in_turns(skill, gateway, rounds, seconds)
    told = {
        "calls/s": {
            "gateway": _middle(through, "rate"), "its FastAPI skill": _middle(direct, "rate"),
            "gateway to our own server": _middle(through_shim, "rate"), "our own server": _middle(shim, "rate"),
        },
        "p50, ms": {
            "gateway": _middle(through, "p50"), "its FastAPI skill": _middle(direct, "p50"),
            "gateway to our own server": _middle(through_shim, "p50"), "our own server": _middle(shim, "p50"),
        },
    }  # fmt: skip
    ours, reference = 1000 / _middle(through, "rate"), 1000 / _middle(direct, "rate")
    more = statistics.median(there.p50 - here.p50 for there, here in zip(through, direct, strict=True))
    return [
        Row("gateway, a call", ours, "ms", RATIO, reference=reference, against="the skill's own server, on uvicorn", parts=told),
        Row("gateway, p50 more", more, "ms", EXTRA, "ours", against="than the skill's own server"),
    ]


def _in_turns(skill: str, gateway: Gateway, rounds: int, seconds: float) -> tuple[list[Load], list[Load]]:
    """Rounds of the skill's own server, and of the gateway before it."""
    url, json_ = f"{gateway.url}/skills/word-count/execute", {"content-type": "application/json"}
    answer = httpx.post(url, content=THROUGH, headers=gateway.headers, timeout=60).json()
    assert answer["outputs"] == {"words": 3} and answer["receipt"]["skill"] == "word-count", answer
    direct: list[Load] = []
    through: list[Load] = []
    for number in range(rounds + 1):
        found = post(f"{skill}/execute", json_, BODY, seconds), post(url, gateway.headers, THROUGH, seconds)
        if number:  # the first warms
            direct.append(found[0])
            through.append(found[1])
    return direct, through


def _middle(loads: list[Load], what: str) -> float:
    return statistics.median(getattr(load, what) for load in loads)


@contextlib.contextmanager
def a_shim(folder: Path) -> Iterator[str]:
    """Our own server for Python skills, on a port, with no sandbox around it: wrk knows no unix sockets."""
    root, artifact, port = folder / "word-count", folder / "artifact", free_port()
    root.mkdir(parents=True)
    artifact.mkdir()
    (root / "skill.py").write_text(CODE)
    PythonLanguage().prepare(root, a_manifest(), artifact)
    service = artifact / "service.json"
    service.write_text(json.dumps({**json.loads(service.read_text()), "code": str(artifact / "code")}))
    environment = {**os.environ, "SKILL_LISTEN": f"127.0.0.1:{port}"}
    process = subprocess.Popen([sys.executable, "-E", "-s", "-S", artifact / "server.py"], env=environment)
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _memory(folder: Path, skills: int) -> Row:
    """The gateway's memory with so many skills registered, after each was asked for and the document was made."""
    with a_skill() as skill, a_gateway(folder / "many", skill, skills) as gateway, httpx.Client(headers=gateway.headers, timeout=60) as client:
        named = client.get(f"{gateway.url}/skills").json()["skills"]
        assert len(named) == skills
        for each in named:
            called = client.post(f"{gateway.url}/skills/{each['name']}/execute", content=THROUGH)
            assert called.status_code == 200, called.text
        assert client.get(f"{gateway.url}/openapi.json").status_code == 200
        return Row(f"gateway memory, {skills} skills", memory_of(gateway.pid) / MIB, "MiB", MEBIBYTES, "ours")


def _cold(folder: Path, rounds: int) -> Row:
    """From the call of a skill that is built and rests to its answer, in the process runtime with its supervisor running."""
    home = Home.founded(folder)
    try:
        publish(home, "word-count", CODE)
        runtime, taken = home.place.parts.runtime, list[float]()
        entry = home.place.parts.entry("word-count")
        for _ in range(rounds):
            runtime.remove("word-count")
            started = time.perf_counter()
            home.place.pipeline.deploy(entry.name)
            call = Invocation(skill="word-count", inputs={"text": "a b"}, request_id="cold", caller="bench")
            reply = execute(runtime.endpoint("word-count"), call)
            taken.append(time.perf_counter() - started)
            if not reply.success:
                raise CouldNotTell(f"The skill did not answer: {reply.error_message}")
        return Row("cold start, process", statistics.median(taken), "s", COLD, "ours")
    finally:
        home.close()
