"""On a network with neighbours, a skill that works with one person's secrets answers those alone who come by the relay."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.caller import NoAnswer, call
from agent.domain.release import Endpoint
from agent.languages.node import NodeLanguage
from agent.languages.node.toolchain import node
from agent.languages.python import PythonLanguage
from tests.builders import a_manifest
from tests.ports import free_port

SOURCES = {
    "python": "def execute(inputs, context):\n    return {'words': 1}\n",
    "node": "exports.execute = () => ({ words: 1 });\n",
}


def answers(port: int) -> bool:
    """Whether what listens on the port by now answers a client of this machine; it closes the connection of others without a word."""
    until = time.monotonic() + 60
    while True:
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert time.monotonic() < until, "nobody listens"
        time.sleep(0.02)
    try:
        return call(Endpoint(url=f"http://127.0.0.1:{port}"), "GET", "/metrics", None, 10.0)[0] == 200
    except NoAnswer as error:
        assert error.code == "bad-reply"
        return False


@pytest.mark.parametrize("language", ["python", pytest.param("node", marks=pytest.mark.node_tools)])
def test_a_server_answers_the_addresses_that_it_is_named_alone(tmp_path: Path, language: str) -> None:
    shelf = {"python": PythonLanguage(), "node": NodeLanguage()}[language]
    root, artifact = tmp_path / "word-count", tmp_path / "artifact"
    root.mkdir()
    artifact.mkdir()
    (root / shelf.entrypoint).write_text(SOURCES[language])
    shelf.prepare(root, a_manifest(runtime=language, entrypoint=shelf.entrypoint), artifact)
    service = artifact / "service.json"
    service.write_text(json.dumps({**json.loads(service.read_text()), "code": str(artifact / "code")}))
    program = [sys.executable, "-E", "-s", "-S", "server.py"] if language == "python" else [str(node()), "server.js"]
    for callers, answered in (("127.0.0.9", False), ("127.0.0.9 127.0.0.1", True), ("", True)):
        port = free_port()
        environment = {**os.environ, "SKILL_LISTEN": f"0.0.0.0:{port}", "SKILL_CALLERS": callers}
        process = subprocess.Popen(program, cwd=artifact, env=environment)
        try:
            assert answers(port) is answered
        finally:
            process.terminate()
            process.wait(30)
