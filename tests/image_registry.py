"""A registry of images on loopback: Debian's docker-registry, which speaks what GHCR speaks. Docker Engine trusts one there without TLS."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from agent.docker_engine import DockerEngine
from tests.engines import missing
from tests.ports import free_port

CONFIG = "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\nhttp: {{addr: {address}}}\n"
MANIFESTS = "application/vnd.docker.distribution.manifest.v2+json"


class ImageRegistry:
    """`address` is host:port."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._pulled: set[str] = set()

    def push(self, image: str, name: str, tag: str) -> str:
        """Pushes an image of the engine under a name of this registry; its reference by digest."""
        api = DockerEngine().client().api
        repository = f"{self.address}/{name}"
        api.tag(image, repository, tag)
        told = [part for part in api.push(repository, tag, stream=True, decode=True) if "aux" in part or "error" in part]
        assert told and "aux" in told[-1], told
        self._pulled.add(f"{repository}:{tag}")
        return f"{repository}@{told[-1]['aux']['Digest']}"

    def ask(self, path: str) -> tuple[dict[str, object], str]:
        """What it says of `path`, and the digest in its headers."""
        asked = urllib.request.Request(f"http://{self.address}/v2/{path}", headers={"Accept": MANIFESTS})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.load(answer), answer.headers.get("Docker-Content-Digest", "")

    def forget(self) -> None:
        """Removes from the engine what bears this registry's name, and no other."""
        api = DockerEngine().client().api
        for image in api.images():
            for name in (*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ())):
                if name.startswith(f"{self.address}/"):
                    with contextlib.suppress(Exception):
                        api.remove_image(name, force=True)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[ImageRegistry]:
    """One with its images in `folder`; left out where Debian's docker-registry is not installed."""
    program = shutil.which("docker-registry")
    if program is None:
        missing("docker-registry is not installed (apt-get install docker-registry)")
    address = f"127.0.0.1:{free_port()}"
    config = folder / "registry.yml"
    config.write_text(CONFIG.format(root=folder / "images", address=address))
    process = subprocess.Popen([program, "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    registry = ImageRegistry(address)
    try:
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                registry.ask("")
                break
            assert process.poll() is None and time.monotonic() < until, "docker-registry does not answer"
            time.sleep(0.05)
        yield registry
    finally:
        registry.forget()
        process.terminate()
        process.wait(30)
