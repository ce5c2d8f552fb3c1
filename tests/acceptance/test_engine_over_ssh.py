"""DOCKER_HOST is another machine behind ssh (OpenSSH's own server, on loopback): skills are checked in its sandbox, built and run there, and
called from here; nothing of this machine's files is seen there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import wiring
from agent.docker_engine import DockerEngine
from agent.runtimes.docker import clone_id
from agent.runtimes.docker_options import REPOSITORY
from tests.command import Done, skillops, told
from tests.engines import need_base_images
from tests.images import remove_image
from tests.runtimes import eventually
from tests.ssh_server import Machine, remote_machine

pytestmark = [pytest.mark.docker, pytest.mark.slow]
DOCKER = {"SKILLOPS_RUNTIME": "docker", "SKILLOPS_BUILDER": "docker", "SKILLOPS_SANDBOX": "docker", "SKILLOPS_MUTANTS": "1"}
SKILL = "far-echo"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    need_base_images("python")
    (tmp_path / "machine").mkdir()
    with remote_machine(tmp_path / "machine", monkeypatch) as machine:
        # It is this machine, so it would see our files; from another it could not.
        monkeypatch.setattr("agent.sandboxes.docker.see_our_files", lambda *_: False)
        yield machine


def test_a_skill_is_checked_built_run_and_called_on_a_machine_behind_ssh(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {**DOCKER, "DOCKER_HOST": machine.address, "SKILLOPS_SANDBOX_IMAGE": "skillops/base-python:stable"}
    repository = tmp_path / "skills"

    def did(*arguments: str | int | Path, user: str = "ada") -> Done:
        return skillops(*arguments, "-C", repository, user=user, **there)

    told(skillops("init", repository), 0)
    told(skillops("new", SKILL, "--in", tmp_path), 0)
    clone = clone_id(repository / ".skillops")
    api = DockerEngine().client().api
    try:
        told(did("propose", "--from", tmp_path / SKILL), 0)
        told(did("approve", 1, user="bob"), 0)
        told(did("run"), 0, "is healthy and serves")  # checked in its sandbox, and tried and built there, before anything is merged
        called = did("invoke", SKILL, "--input", '{"text": "hello"}', "--json")
        assert called.code == 0 and called.document["outputs"] == {"text": "hello"}, called.said

        # It was the machine behind ssh: the relay is published on its loopback alone, and a tunnel leads there.
        (serving,) = [each for each in api.containers(filters={"label": f"{REPOSITORY}={clone}"}) if each["Names"] == [f"/{SKILL}"]]
        assert serving["Image"].startswith(f"skillops/{SKILL}:1.0.0-") and serving["Mounts"] == []
        assert len(re.findall(r"Accepted publickey for root", machine.log)) >= 2
        (tunnel,) = [line for line in machine.connections() if " -L " in line]
        assert "/relay.sock:127.0.0.1:" in tunnel
    finally:
        with monkeypatch.context() as environment:
            for name, value in there.items():
                environment.setenv(name, value)
            wiring.open_workplace(repository).parts.runtime.shutdown()  # type: ignore[attr-defined]
        for each in api.images(filters={"reference": f"skillops/{SKILL}"}):
            remove_image(api, each["Id"])

    assert api.containers(all=True, filters={"label": f"{REPOSITORY}={clone}"}) == []
    eventually(lambda: not [line for line in machine.connections() if " -L " in line])
