"""The builder for Docker Engine: an artifact is an image, named by its skill and labelled with the digest of what it was made from.

Nobody writes a Dockerfile: the language does (`Language.dockerfile`), for a context that it prepared on the host, so that nothing of
this machine's settings comes near the image. A skill whose runtime is `container` has one of its own (`own_dockerfile.py`).
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.builders import context
from agent.builders.bases import STABLE, Base, base_image, in_registry
from agent.builders.directory import DirectoryBuilder, machine_problem, plain_path, what_runs
from agent.builders.engine_build import WRITTEN, build_image, clear_leftovers
from agent.builders.own_dockerfile import OwnDockerfile, forget_steps, without_settings
from agent.docker_engine import DockerEngine, faults
from agent.dockerfile import NAME, with_bases
from agent.domain.release import Artifact
from agent.domain.skill import Manifest, digest_of
from agent.errors import CouldNotTell, Refused
from agent.ports import Context, Language

VERSION = "docker/1"
CONTAINER = "container"
DIGEST = "skillops.digest"
MAX_CONTEXT = 512 * 2**20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class DockerBuilder:
    """`Builder` into the engine. `store` keeps the contexts, each with its Dockerfile beside it; `bases` maps a runtime to its image.

    `seconds` is what one build may take, `max_context` how many bytes it may be made from; `labels` come on every image
    beside those that it always has. Of a Dockerfile that the skill brings, `network` is what its steps reach (none, default, host), and
    `written` how many bytes one of them may write.
    """

    def __init__(
        self, store: Path, languages: Mapping[str, Language], engine: DockerEngine, bases: Mapping[str, str] | None = None, *,
        seconds: float = 600.0, max_context: int = MAX_CONTEXT, labels: Mapping[str, str] | None = None,
        network: str = "default", written: int = WRITTEN,
    ) -> None:  # fmt: skip
        self._store, self._languages, self._engine = store, languages, engine
        self._bases = {**STABLE, **(bases or {})}
        self._contexts = DirectoryBuilder(store, languages)
        self._seconds, self._max_context, self._own_labels = seconds, max_context, dict(labels or {})
        self._network, self._written = network, written

    def digest(self, files: Mapping[str, bytes], manifest: Manifest) -> str:
        """Over what the directory builder hashes, the base images, the Dockerfile and this builder's version."""
        inputs = {"builder": VERSION, "files": self._contexts.digest(files, manifest), "labels": self._own_labels}
        if manifest.runtime == CONTAINER:
            own = OwnDockerfile(files, manifest.name)
            return digest_of({**inputs, "base": [base_image(self._engine, name).digest for name in own.bases]})
        base = self._base(manifest)
        return digest_of({**inputs, "base": base.digest, "dockerfile": self._dockerfile(manifest)})

    def build(self, root: Path, files: Mapping[str, bytes], manifest: Manifest) -> Artifact:
        digest = self.digest(files, manifest)
        if found := self.find(digest):
            return found
        with self._turn(digest):
            if found := self.find(digest):
                return found
            clear_leftovers(self._engine, self._seconds)
            try:
                if manifest.runtime == CONTAINER:
                    self._build_own(files, manifest, digest)
                else:
                    self._build(root, files, manifest, digest)
            except OSError as error:
                raise machine_problem(error) from error
        found = self.find(digest)
        if found is None:
            raise CouldNotTell("The image was built and then could not be found.", next_step="Try again; look at who else removes images.")
        return found

    def find(self, digest: str) -> Artifact | None:
        if not _DIGEST.fullmatch(digest):
            return None
        with faults("list its images"):
            images = self._engine.client().api.images(filters={"label": f"{DIGEST}={digest}", "dangling": False})
        names = sorted(name for image in images for name in image.get("RepoTags") or () if name.startswith("skillops/"))
        return Artifact(digest=digest, kind="image", location=names[0]) if names else None

    def fetch(self, digest: str, image: str) -> Artifact | None:
        """Pulled, and named as if it had been built here."""
        with faults(f"pull {image}"):
            api = self._engine.client().api
            api.pull(image)
            labels = api.inspect_image(image)["Config"].get("Labels") or {}
        if labels.get(DIGEST) != digest:
            why = f"Its label says {labels.get(DIGEST, 'nothing')}, and the registry {digest}."
            raise Refused(f"{image} is not what was released.", why=why, next_step="`skillops history` says who entered it; release it anew.")
        with faults("name an image"):
            repository, _, tag = f"skillops/{labels['skillops.skill']}:{labels['skillops.version']}-{_short(digest)}".partition(":")
            api.tag(image, repository, tag)
        return self.find(digest)

    def pack(self, root: Path, files: Mapping[str, bytes], manifest: Manifest) -> Context:
        """What is built from it elsewhere is what would be built here, but for what the steps of a Dockerfile of its own fetch."""
        digest = self.digest(files, manifest)
        if manifest.runtime == CONTAINER:
            own = OwnDockerfile(files, manifest.name)
            pinned = {name: in_registry(self._engine, name) for name in own.bases}
            text = own.text(self._labels(digest, manifest, ", ".join(own.bases)))
            inside = context.of_files({plain_path(path): data for path, data in what_runs(files).items() if path != NAME})
        else:
            folder, text = self._context(root, files, manifest, digest)
            pinned = {name: in_registry(self._engine, name) for name in (self._bases[manifest.runtime],)}
            inside = context.of_folder(folder)
        return Context(digest, context.pack([*inside, (NAME, with_bases(text, pinned).encode())], self._max_context), pinned)

    def _build(self, root: Path, files: Mapping[str, bytes], manifest: Manifest, digest: str) -> None:
        folder, text = self._context(root, files, manifest, digest)
        (folder.parent / f"{folder.name}.Dockerfile").write_text(text)
        with context.pack([*context.of_folder(folder), (NAME, text.encode())], self._max_context) as packed:
            build_image(self._engine, packed, tag=_tag(manifest, digest), seconds=self._seconds, network="none")

    def _context(self, root: Path, files: Mapping[str, bytes], manifest: Manifest, digest: str) -> tuple[Path, str]:
        """What an image is built from: a folder, and the Dockerfile."""
        folder = Path(self._contexts.build(root, files, manifest).location)
        return folder, self._dockerfile(manifest, self._labels(digest, manifest, self._bases[manifest.runtime]))

    def _build_own(self, files: Mapping[str, bytes], manifest: Manifest, digest: str) -> None:
        own, tag = OwnDockerfile(files, manifest.name), _tag(manifest, digest)
        arguments = own.arguments()
        labels = self._labels(digest, manifest, ", ".join(own.bases))
        inside = {plain_path(path): data for path, data in what_runs(files).items()} | {NAME: own.text(labels).encode()}
        with context.pack(context.of_files(inside), self._max_context) as packed:
            built = build_image(
                self._engine, packed, tag=tag, seconds=self._seconds, network=self._network, arguments=arguments, written=self._written
            )
        without_settings(self._engine, built.image, tag, arguments.values())
        forget_steps(self._engine, built.steps, arguments.values())

    def _dockerfile(self, manifest: Manifest, labels: Mapping[str, str] | None = None) -> str:
        return self._languages[manifest.runtime].dockerfile(manifest, self._bases[manifest.runtime], labels)

    def _base(self, manifest: Manifest) -> Base:
        base = base_image(self._engine, self._bases[manifest.runtime])
        ours = ".".join(map(str, sys.version_info[:2]))
        if manifest.runtime == "python" and manifest.dependencies and not f"{base.version}.".startswith(f"{ours}."):
            raise CouldNotTell(
                f"The base image {base.reference} has Python {base.version or 'of an unknown version'}, and dependencies are locked here for {ours}.",
                next_step=f"Run SkillOps with that Python, or set `base_images` to an image with Python {ours}.",
            )
        return base

    def _labels(self, digest: str, manifest: Manifest, base: str) -> dict[str, str]:
        """The words are those of the OCI image specification (annotations.md), and ours. Nothing in them changes with the day."""
        return {
            "org.opencontainers.image.title": manifest.name,
            "org.opencontainers.image.version": manifest.version,
            "org.opencontainers.image.description": manifest.description,
            "org.opencontainers.image.base.name": base,
            "skillops.skill": manifest.name,
            "skillops.version": manifest.version,
            "skillops.runtime": manifest.runtime,
            "skillops.builder": VERSION,
            DIGEST: digest,
            **self._own_labels,
        }

    @contextlib.contextmanager
    def _turn(self, digest: str) -> Iterator[None]:
        """Two builds of one thing take turns, also those of two processes; the second finds what the first made."""
        try:
            self._store.mkdir(parents=True, exist_ok=True)
            handle = (self._store / f".{digest[7:19]}.lock").open("a")
        except OSError as error:
            raise machine_problem(error) from error
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                yield
            finally:
                Path(handle.name).unlink(missing_ok=True)


def _tag(manifest: Manifest, digest: str) -> str:
    return f"skillops/{manifest.name}:{manifest.version}-{_short(digest)}"


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
