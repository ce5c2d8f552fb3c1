"""SkillOps as a container, by docs/compose: a skill is proposed, checked, merged and called; the engine's socket is in no skill's
container; what was there is there after a stop and a start; and `down` leaves nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.builders import own_image
from agent.docker_engine import DockerEngine, remove
from agent.runtimes.docker_options import REPOSITORY
from tests.engines import missing, need_base_images
from tests.images import remove_image
from tests.ports import free_port

pytestmark = [pytest.mark.docker, pytest.mark.slow]
PATIENCE = 120.0  # seconds for one step, on a machine that does much else
FILE = own_image.FOLDER / "compose.yaml"


def compose_command() -> tuple[str, ...]:
    """Compose as a plugin of the command docker, or the program that Debian has."""
    if shutil.which("docker") and subprocess.run(("docker", "compose", "version"), capture_output=True, check=False).returncode == 0:
        return ("docker", "compose")
    if not shutil.which("docker-compose"):
        missing("neither `docker compose` nor docker-compose is here (apt-get install docker-compose)")
    return ("docker-compose",)


def until(found: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
    return value


class Project:
    """One compose project of this test's own, on a port of its own."""

    def __init__(self, image: str) -> None:
        port = free_port()
        self.name, self.command, self.api = f"skillops-test-{os.getpid()}", compose_command(), DockerEngine().client().api
        self.url, self.image = f"http://127.0.0.1:{port}", image
        self.variables = {"SKILLOPS_IMAGE": image, "SKILLOPS_PORT": str(port), "SKILLOPS_MUTANTS": "1", "COMPOSE_PROJECT_NAME": self.name}
        self.clone = ""

    def compose(self, *arguments: str) -> str:
        command = (*self.command, "--file", str(FILE), *arguments)
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **self.variables}, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr + self.log()
        return done.stdout

    def container(self) -> dict[str, Any]:
        (found,) = self.api.containers(all=True, filters={"label": f"com.docker.compose.project={self.name}"})
        return self.api.inspect_container(found["Id"])

    def healthy(self) -> None:
        until(lambda: self.container()["State"]["Health"]["Status"] == "healthy", f"it does not become healthy: {self.log()}")

    def inside(self, script: str, user: str = "ada") -> str:
        """What a script says in the gateway's container."""
        told = self.api.exec_create(self.container()["Id"], ["sh", "-ec", script], environment={"SKILLOPS_USER": user})["Id"]
        said = self.api.exec_start(told, demux=True)
        assert self.api.exec_inspect(told)["ExitCode"] == 0, said
        return (said[0] or b"").decode()

    def skills(self) -> list[dict[str, Any]]:
        """The containers that its supervisor started."""
        found = self.api.containers(all=True, filters={"label": f"{REPOSITORY}={self.clone}"}) if self.clone else []
        return [self.api.inspect_container(each["Id"]) for each in found]

    def log(self) -> str:
        found = self.api.containers(all=True, filters={"label": f"com.docker.compose.project={self.name}"})
        return self.api.logs(found[0]["Id"], tail=40).decode(errors="replace") if found else ""

    def left(self) -> list[str]:
        """What is on the engine of it."""
        mine, clone = f"com.docker.compose.project={self.name}", f"{REPOSITORY}={self.clone}"
        found = [each["Id"] for label in (mine, clone) for each in self.api.containers(all=True, filters={"label": label})]
        found += [each["Name"] for label in (mine, clone) for each in self.api.networks(filters={"label": label})]
        return found + [each["Name"] for label in (mine, clone) for each in self.api.volumes(filters={"label": label})["Volumes"] or ()]

    def clear(self) -> None:
        self.compose("down", "--volumes")
        for each in self.skills():  # where the test found a fault
            remove(self.api, each["Id"])
        for name in {tag for each in self.api.images(filters={"reference": "skillops/composed-echo"}) for tag in each["RepoTags"]}:
            remove_image(self.api, name)
        remove_image(self.api, self.image)


@pytest.fixture
def project() -> Iterator[Project]:
    need_base_images("python")
    compose_command()
    project = Project(own_image.make(DockerEngine(), stable=False))
    yield project
    project.clear()


def test_gateway_and_controller_run_as_a_container_and_leave_nothing(project: Project) -> None:
    project.compose("up", "--detach")
    project.healthy()

    # A person proposes a skill there, and another approves it; the controller checks, merges and deploys it.
    made = project.inside(
        "skillops new composed-echo --in /tmp >&2; skillops propose --from /tmp/composed-echo >&2;"
        "skillops key create --scope invoke --scope request --scope approve --name bob --json"
    )
    with httpx.Client(base_url=project.url, headers={"authorization": f"Bearer {json.loads(made)['key']}"}, timeout=PATIENCE) as client:
        assert client.post("/proposals/1/approve", json={}).status_code == 201
        until(lambda: client.get("/skills/composed-echo").status_code == 200, f"it is not released: {project.log()}")

        def answer() -> dict[str, Any] | None:
            said = client.post("/skills/composed-echo/execute", json={"inputs": {"text": "hello"}})
            return said.json() if said.status_code == 200 else None

        told = until(answer, f"it does not answer: {project.log()}")
        assert (told["outputs"], told["receipt"]["approvers"]) == ({"text": "hello"}, ["bob"])

        # The engine's socket, and what it takes to use it, is in that one container.
        project.clone = project.inside("python3 -c 'from agent.runtimes.docker import *; print(clone_id(Path(\".skillops\").absolute()))'").strip()
        names = [each["Name"].rpartition("-")[0] for each in project.skills()]
        assert sorted(names) == ["/composed", "/composed", "/skillops-relay"]  # as it was deployed, and bob's own
        assert [mount for each in project.skills() for mount in each["Mounts"] if mount["Type"] == "bind"] == []
        own = project.container()
        assert [mount["Source"] for mount in own["Mounts"] if mount["Type"] == "bind"] == ["/var/run/docker.sock"]
        assert own["HostConfig"]["ReadonlyRootfs"] and own["HostConfig"]["CapDrop"] == ["ALL"] and not own["HostConfig"]["Privileged"]

        # Stopped, it has taken its skills with it; started again, it knows them.
        project.compose("stop")
        assert (project.skills(), project.container()["State"]["ExitCode"]) == ([], 0), project.log()
        project.compose("start")
        project.healthy()
        assert until(answer, f"it does not answer again: {project.log()}")["receipt"]["approvers"] == ["bob"]

    project.compose("down", "--volumes")
    assert project.left() == []
    assert [place for place in Path("/tmp").glob("skillops-*/word") if place.is_dir()] == []  # which Docker Engine makes of a path it lacks
