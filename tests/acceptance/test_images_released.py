"""Releases as images: release.yml, from the file, pushes to a real registry; registry.yaml names what is there by digest; a host pulls and serves it.

What stands in for the actions of Docker builds by the engine of this machine, from the context that the job unpacked.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.docker_engine import DockerEngine
from agent.forges.github import GitHubForge
from agent.languages.go import GoLanguage
from agent.manifest_file import write_manifest
from agent.registry_file import parse
from agent.starter.hosted import hosted_files
from tests import hub
from tests.builders import a_manifest
from tests.command import skillops, told
from tests.engines import need_base_images
from tests.image_registry import ImageRegistry, running
from tests.images import remove_image
from tests.workflow_runner import Ran, Runner

pytestmark = [pytest.mark.github, pytest.mark.docker, pytest.mark.go_tools, pytest.mark.slow]
LABELS = {"skillops.test": f"released-{os.getpid()}"}
ECHO = b'package skill\n\nfunc Execute(inputs, context map[string]any) (map[string]any, error) {\n\treturn map[string]any{"words": 2}, nil\n}\n'


@pytest.fixture(scope="module")
def server() -> Iterator[hub.Hub]:
    with hub.running() as running:
        yield running


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageRegistry]:
    need_base_images("go")
    with running(tmp_path_factory.mktemp("registry")) as started:
        started.push("skillops/base-go:stable", "base-go", "1")
        yield started


@dataclass
class Actions:
    """Stand-ins: docker's build and push by the engine here, and what would be attested."""

    registry: ImageRegistry
    attested: list[dict[str, str]] = field(default_factory=list)
    fails: set[str] = field(default_factory=set)

    def all(self) -> dict[str, Any]:
        return {
            "docker/setup-buildx-action": lambda given: {}, "docker/login-action": self.login, "docker/build-push-action": self.push,
            "actions/attest": self.attest,
        }  # fmt: skip

    def login(self, given: dict[str, str]) -> dict[str, str]:
        assert given["registry"] == self.registry.address and given["password"] == hub.token_of(hub.MALLORY)
        return {}

    def push(self, given: dict[str, str]) -> dict[str, str]:
        from tests.workflow_runner import StepFailed

        repository, _, tag = given["tags"].rpartition(":")
        if repository.rpartition("/")[2] in self.fails:
            raise StepFailed("the registry is out of reach")
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(given["context"], ".")
        packed.seek(0)
        # Not from steps that the engine knows: other tests' builds have the same, and take them away.
        built = DockerEngine().client().images.build(fileobj=packed, custom_context=True, labels=LABELS, rm=True, forcerm=True, nocache=True)[0]
        pushed = self.registry.push(built.id, repository.partition("/")[2], tag)
        return {"digest": pushed.partition("@")[2]}

    def attest(self, given: dict[str, str]) -> dict[str, str]:
        bill = Path(given["sbom-path"]).read_text() if "sbom-path" in given else ""
        self.attested.append({"subject": f"{given['subject-name']}@{given['subject-digest']}", "bill": bill})
        return {}


@dataclass
class Desk:
    runner: Runner
    forge: GitHubForge
    actions: Actions
    registry: ImageRegistry

    def push(self, *names: str, **files: bytes) -> None:
        """A commit of a person on main, with these skills in it."""
        made: dict[str, bytes | None] = {}
        for name in names:
            manifest = a_manifest(name=name, runtime="go", entrypoint=GoLanguage.entrypoint)
            own = {**GoLanguage().template(manifest), GoLanguage.entrypoint: ECHO, "skill.yaml": write_manifest(manifest), **files}
            made |= {f"skills/{name}/{path}": data for path, data in own.items()}
        self.forge.commit("main", made, parent=self.forge.head("main"), message="Skills", author="ada")

    def release(self) -> Ran:
        return self.runner.run("release.yml", "push", {"ref": "refs/heads/main"})

    def entries(self) -> dict[str, Any]:
        return {entry.name: entry for entry in parse(self.forge.read("main", "registry.yaml") or b"").skills}


@pytest.fixture
def desk(server: hub.Hub, registry: ImageRegistry, command: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    forge, root = server.forge(request.node.name), tmp_path / "root"
    settings = (
        f'forge = "github"\ngithub_repository = "{forge.api.repository}"\nbuilder = "docker"\nruntime = "docker"\n'
        f'image_repository = "{registry.address}/acme/skills"\nbase_images = {{go = "{registry.address}/base-go:1"}}\n'
    )
    files = {**hosted_files(forge.api.repository), "skillops.toml": settings.encode()}
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    forge.commit("main", files, parent=None, message="A new skills repository", author="ada")
    actions = Actions(registry)
    secrets = {"skillops-app": {"SKILLOPS_APP_KEY": "the-key-of-the-app"}}
    variables = {"SKILLOPS_GITHUB_LOGIN": hub.BOT, "SKILLOPS_APP_CLIENT_ID": "Iv1"}
    runner = Runner(server, forge, root, tmp_path / "runs", variables, secrets, _go(tmp_path), actions.all(), command)
    yield Desk(runner, forge, actions, registry)
    registry.forget()
    client = DockerEngine().client()
    for image in client.api.images(filters={"label": f"skillops.test={LABELS['skillops.test']}"}):
        remove_image(client.api, image["Id"])


def _go(folder: Path) -> Path:
    """Go in a folder of its own, with this machine's cache of what was compiled."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skillops/go/build"
    (folder / "bin").mkdir()
    (folder / "bin/go").write_text(f'#!/bin/bash\nGOCACHE={shlex.quote(str(cache))} exec {shlex.quote(shutil.which("go") or "go")} "$@"\n')
    (folder / "bin/go").chmod(stat.S_IRWXU)
    return folder / "bin"


def test_what_is_merged_is_pushed_by_digest_attested_entered_and_served_by_a_pull(desk: Desk, tmp_path: Path) -> None:
    desk.push("word-count", "word-sum")
    desk.actions.fails = {"word-sum"}

    results = desk.release().results

    # One that cannot be pushed is told, and keeps the other from nothing.
    assert (results["build"], results["image"], results["release"]) == ("success", "failure", "failure"), desk.runner.told()
    assert "The image of word-sum was not pushed" in desk.runner.told() and desk.entries().keys() == {"word-count"}
    entry = desk.entries()["word-count"]
    repository, _, digest = entry.image.partition("@")
    assert (entry.artifact, repository) == ("image", f"{desk.registry.address}/acme/skills/word-count")
    assert desk.registry.ask(f"acme/skills/word-count/manifests/{digest}")[1] == digest
    assert [each["subject"] for each in desk.actions.attested] == [entry.image] * 2
    bill = json.loads(desk.actions.attested[1]["bill"])
    assert [part["version"] for part in bill["components"]] == [desk.registry.ask("base-go/manifests/1")[1]]

    # The host has none of it: it pulls what registry.yaml names, and serves that.
    desk.registry.forget()
    desk.runner.fetch()
    host = tmp_path / "host"
    subprocess.run(["git", "clone", "--quiet", desk.runner.origin.as_uri(), host], check=True)
    ours = {"SKILLOPS_GITHUB_API": desk.runner.server.url, "SKILLOPS_GITHUB_TOKEN": hub.token_of(hub.BOT)}
    try:
        answer = skillops("invoke", "word-count", "--input", '{"text": "one two"}', "-C", host, "--json", **ours)
        told(answer, 0)
        assert answer.document["outputs"] == {"words": 2} and answer.document["receipt"]["digest"] == entry.digest
        here = DockerEngine().client().api.images(filters={"label": f"skillops.digest={entry.digest}"})
        assert entry.image in [name for image in here for name in image["RepoDigests"] or ()]
    finally:
        _stop(host, ours, entry.digest)


def _stop(host: Path, ours: dict[str, str], digest: str) -> None:
    from agent.wiring import open_workplace

    place = open_workplace(host, github_api=ours["SKILLOPS_GITHUB_API"], github_token=ours["SKILLOPS_GITHUB_TOKEN"])
    place.parts.runtime.shutdown()  # type: ignore[attr-defined]
    api = DockerEngine().client().api
    for image in api.images(filters={"label": f"skillops.digest={digest}"}):
        remove_image(api, image["Id"])
    shutil.rmtree(host, ignore_errors=True)
