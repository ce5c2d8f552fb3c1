"""Two builders as one: what is only data becomes a folder wherever images are built."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from agent.domain.release import Artifact
from agent.domain.skill import Manifest
from agent.ports import Builder, Context


class ByRuntime:
    """`Builder`: skills whose runtime is among `runtimes` are built by `those`, all others by `usual`."""

    def __init__(self, usual: Builder, those: Builder, runtimes: Collection[str]) -> None:
        self._usual, self._those, self._runtimes = usual, those, runtimes

    def digest(self, files: Mapping[str, bytes], manifest: Manifest) -> str:
        return self._of(manifest).digest(files, manifest)

    def build(self, root: Path, files: Mapping[str, bytes], manifest: Manifest) -> Artifact:
        return self._of(manifest).build(root, files, manifest)

    def find(self, digest: str) -> Artifact | None:
        return self._those.find(digest) or self._usual.find(digest)

    def pack(self, root: Path, files: Mapping[str, bytes], manifest: Manifest) -> Context | None:
        return self._of(manifest).pack(root, files, manifest)

    def fetch(self, digest: str, image: str) -> Artifact | None:
        return self._usual.fetch(digest, image)

    def _of(self, manifest: Manifest) -> Builder:
        return self._those if manifest.runtime in self._runtimes else self._usual
