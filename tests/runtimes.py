"""Runtimes for tests: each with a supervisor of its own, in a state folder of its own, and skills to put on it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from agent.caller import call, execute
from agent.docker_engine import DockerEngine
from agent.domain.invocation import Reply
from agent.domain.release import Artifact
from agent.domain.skill import Manifest, digest_of
from agent.languages.python import PythonLanguage
from agent.ports import Deployment
from agent.runtimes.docker import DockerLauncher
from agent.runtimes.process import ProcessRuntime
from agent.runtimes.supervised import SupervisedRuntime
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from agent.stages.invoking import prepare
from agent.supervisor_client import NotRunning, ask
from tests.builders import a_manifest

COUNTS = "def execute(inputs, context):\n    return {'words': %d}\n"
LABEL = "skillops.test"
LABELS = {LABEL: f"runtime-{os.getpid()}"}
RELAY_BASE = "skillops/base-python:stable"
VAULT = """
from agent.errors import MissingSecret
class Vault:
    def values(self, skill, names, person=""):
        if "MISSING" in names:
            raise MissingSecret(f"{skill} waits for the secret MISSING.")
        return {name: f"the {name} of {person or skill}" for name in names}
    def revision(self, skill, names, person=""):
        return "1"
    def known(self, skill):
        return []
"""
PROCESS = (
    VAULT
    + """
import sys
from pathlib import Path
from agent.languages.python import PythonLanguage
from agent.runtimes.process import ProcessLauncher
from agent.sandboxes.bubblewrap import BubblewrapSandbox
from agent.supervisor import serve
state = Path(sys.argv[1])
serve(state, ProcessLauncher(state, BubblewrapSandbox(), {"python": PythonLanguage()}, secrets=Vault()), float(sys.argv[2]), Vault(), 2)
"""
)
DOCKER = (
    VAULT
    + """
import json, sys
from pathlib import Path
from agent.docker_engine import DockerEngine
from agent.runtimes.docker import DockerLauncher
from agent.supervisor import serve
state, told = Path(sys.argv[1]), json.loads(sys.argv[3])
launcher = DockerLauncher(state, DockerEngine(), base=told["base"], labels=told["labels"], secrets=Vault(), resolve=told["resolve"],
                          authorities=told["authorities"])
serve(state, launcher, float(sys.argv[2]), Vault(), 2)
"""
)


class ProcessBench:
    """What a test does to the process runtime. `alive` and the like take what `running` gave."""

    kind = "process"

    def __init__(self, folder: Path, idle: float = 900.0) -> None:
        self.folder, self.state, self.idle = folder, folder / "state", idle
        self.runtime: SupervisedRuntime = self.another()

    def another(self) -> SupervisedRuntime:
        command = (sys.executable, "-c", PROCESS, str(self.state), str(self.idle))
        return ProcessRuntime(self.state, BubblewrapSandbox(), {"python": PythonLanguage()}, command)

    def close(self) -> None:
        self.runtime.shutdown()

    def built(self, code: str, manifest: Manifest) -> Artifact:
        digest = digest_of([code, manifest.model_dump(mode="json")])
        source, target = self.folder / f"source-{digest[-8:]}", self.folder / f"built-{digest[-8:]}"
        if not target.exists():
            source.mkdir()
            target.mkdir()
            (source / "skill.py").write_text(code)
            PythonLanguage().prepare(source, manifest, target)
        return Artifact(digest=digest, kind="directory", location=str(target))

    def deployment(self, code: str = COUNTS % 1, **traits: Any) -> Deployment:
        manifest = a_manifest(**{"health": {"interval": "1s", "timeout": "20s", "retries": 1}, **traits})
        artifact = self.built(code, manifest)
        return Deployment(
            skill=manifest.name,
            version=manifest.version,
            digest=artifact.digest,
            runtime=manifest.runtime,
            location=artifact.location,
            resources=manifest.resources,
            health=manifest.health,
            manifest=manifest,
        )

    def call(self, skill: str = "word-count", runtime: SupervisedRuntime | None = None, text: str = "a", deadline: float = 10.0) -> Reply:
        invocation = prepare(a_manifest(name=skill), {"text": text}, "ada", "r1", deadline=deadline)
        endpoint = (runtime or self.runtime).endpoint(skill)
        return execute(endpoint, invocation, again=lambda: (runtime or self.runtime).endpoint(skill))

    def under_way(self, skill: str = "word-count") -> bool:
        """Whether a call of the skill is under way."""
        _, body = call(self.runtime.endpoint(skill), "GET", "/metrics", None, timeout=10)
        return f'skill_calls_in_flight{{skill="{skill}"}} 1\n'.encode() in body

    def words(self, skill: str = "word-count") -> int:
        reply = self.call(skill)
        assert reply.success, reply
        return int(reply.outputs["words"])

    def kept(self) -> dict[str, Any]:
        return dict(json.loads((self.state / "supervisor/services.json").read_text()))

    def running(self) -> list[Any]:
        """What the supervisor has noted as started: bubblewrap's outer processes."""
        return [line["pid"] for line in self.kept()["instances"].values()]

    def supervisor(self) -> int:
        return int(ask(self.state, "ping"))

    def alive(self, one: Any) -> bool:
        return process_lives(one)

    def kill(self, one: Any) -> None:
        os.kill(inner(one), signal.SIGKILL)

    def freeze(self, one: Any) -> None:
        os.kill(inner(inner(one)), signal.SIGSTOP)


class DockerBench(ProcessBench):
    """The same on the engine of this machine; what is running is known by its container's id."""

    kind = "docker"
    resolve: Mapping[str, str] = {}  # as the setting egress_resolve
    authorities = ""  # as broker_authorities
    used = False  # whether there may be something to clear away

    def another(self) -> SupervisedRuntime:
        DockerBench.used = True
        told = json.dumps({"base": RELAY_BASE, "labels": LABELS, "resolve": self.resolve, "authorities": self.authorities})
        command = (sys.executable, "-c", DOCKER, str(self.state), str(self.idle), told)
        return SupervisedRuntime(self.state, DockerLauncher(self.state, DockerEngine(), base=RELAY_BASE), command)

    @cached_property
    def engine(self) -> Any:
        return DockerEngine().client()

    def built(self, code: str, manifest: Manifest) -> Artifact:
        from agent.builders.docker import DockerBuilder

        store = Path(tempfile.gettempdir()) / f"skillops-test-contexts-{os.getpid()}"
        builder = DockerBuilder(store, {"python": PythonLanguage()}, DockerEngine(), labels=LABELS)
        return builder.build(self.folder, {"skill.py": code.encode()}, manifest)

    def close(self) -> None:
        super().close()
        clear_engine(volumes=True)

    def running(self) -> list[Any]:
        return [line["container"] for line in self.kept()["instances"].values()]

    def alive(self, one: Any) -> bool:
        import docker.errors

        with contextlib.suppress(docker.errors.NotFound):
            return bool(self.engine.containers.get(one).attrs["State"]["Running"])
        return False

    def kill(self, one: Any) -> None:
        self.engine.containers.get(one).kill()

    def freeze(self, one: Any) -> None:
        self.engine.containers.get(one).pause()


BENCHES: dict[str, type[ProcessBench]] = {"process": ProcessBench, "docker": DockerBench}


def clear_engine(*, volumes: bool = False, images: bool = False) -> None:
    """Takes away what this run's tests have left at the engine."""
    import docker.errors

    client, ours = DockerEngine().client(), {"label": f"{LABEL}={LABELS[LABEL]}"}
    for container in client.containers.list(all=True, filters=ours, ignore_removed=True):
        with contextlib.suppress(docker.errors.APIError):
            container.remove(force=True, v=True)
    for network in client.networks.list(filters=ours):
        with contextlib.suppress(docker.errors.APIError):
            network.remove()
    for volume in client.volumes.list(filters=ours) if volumes else ():
        with contextlib.suppress(docker.errors.APIError):
            volume.remove()
    for image in client.images.list(filters=ours) if images else ():
        with contextlib.suppress(docker.errors.APIError):
            client.images.remove(image.id, force=True)


def eventually(true: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def at_once(times: int, do: Callable[[], Any]) -> list[Any]:
    """What `do` gives, called so often side by side."""
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(do())) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def inner(pid: int) -> int:
    """The first process of the sandbox whose outer process is `pid`: with it ends everything in there."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def process_lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def no_supervisor(state: Path) -> bool:
    try:
        ask(state, "ping")
    except NotRunning:
        return True
    return False
