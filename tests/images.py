"""Images that a test builds: it gives them a name of their own, looks into them, and they are gone when it is over."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docker.errors import APIError, ImageNotFound

from agent.builders.docker import DockerBuilder
from agent.docker_engine import DockerEngine, remove
from agent.domain.release import Artifact
from agent.ports import Language


def remove_image(api: Any, image: str) -> None:
    """Removes one with all of its names, and what it alone was made from. An engine stumbles where it removes another of that at once."""
    for tries in range(3):
        try:
            api.remove_image(image, force=True)
            return
        except ImageNotFound:
            return
        except APIError:
            if tries == 2:
                raise


class Images:
    """An engine as a test looks into it; `mark` is part of the digest of everything that it builds."""

    def __init__(self, store: Path, mark: str, engine: DockerEngine | None = None) -> None:
        self._store, self._mark, self.engine = store, mark, engine or DockerEngine()
        self.labels = {"skillops.test": mark}
        self.api: Any = self.engine.client().api

    def builder(self, languages: Mapping[str, Language], **traits: Any) -> DockerBuilder:
        return DockerBuilder(self._store, languages, self.engine, **{"labels": self.labels, **traits})

    def builds(self, running: str = "") -> list[dict[str, Any]]:
        """Containers that are, or were left by, steps of anybody's build whose command has `running` in it."""
        found = self.api.containers(all=True, filters={"label": "skillops.build"})
        return [container for container in found if not container["Labels"].get("skillops.digest") and running in container["Command"]]

    def wait_for_build(self, seconds: float = 100.0) -> None:
        """Until a step of a build runs."""
        until = time.monotonic() + seconds
        while not any(container["State"] == "running" for container in self.builds()) and time.monotonic() < until:
            time.sleep(0.05)

    def holds(self, artifact: Artifact) -> dict[str, bytes]:
        """The skill's files in an image."""
        return {name.removeprefix("code/"): data for name, data in self.files(artifact.location, "/skill/code").items()}

    def files(self, reference: str, folder: str) -> dict[str, bytes]:
        container = self.api.create_container(reference, labels=self.labels)["Id"]
        try:
            chunks, _ = self.api.get_archive(container, folder)
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
                return {member.name: read.read() for member in tar if member.isfile() and (read := tar.extractfile(member))}
        finally:
            remove(self.api, container)

    def artifacts(self) -> list[str]:
        return [name for image in self._mine() for name in image["RepoTags"] or () if name != "<none>:<none>"]

    def containers(self) -> list[dict[str, Any]]:
        """What lies there of this test's builds, running or not."""
        return self.api.containers(all=True, filters={"label": f"skillops.test={self._mark}"})

    def cut_short(self, artifact: Artifact) -> None:
        """An image without its name, as where a build was killed before it gave it one."""
        keeper = self.api.create_container(artifact.location, labels=self.labels)["Id"]
        self.api.remove_image(artifact.location, force=True, noprune=True)
        remove(self.api, keeper)

    def clear(self) -> None:
        for container in self.containers():
            remove(self.api, container["Id"])
        for image in self._mine():
            remove_image(self.api, image["Id"])

    def _mine(self) -> list[dict[str, Any]]:
        return self.api.images(filters={"label": f"skillops.test={self._mark}"})
