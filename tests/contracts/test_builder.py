"""What every builder keeps to."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pytest

from agent.builders.directory import DirectoryBuilder
from agent.domain.release import Artifact
from agent.domain.skill import Manifest
from agent.errors import CouldNotTell, Refused
from agent.languages.bash import BashLanguage
from agent.languages.go import GoLanguage
from agent.languages.node import NodeLanguage
from agent.languages.python import PythonLanguage
from agent.ports import Builder, Language
from tests.builders import a_manifest
from tests.engines import need_base_images

LANGUAGES: tuple[Language, ...] = (PythonLanguage(), NodeLanguage(), GoLanguage(), BashLanguage())


class Place(Protocol):
    """Where a builder keeps its artifacts, as a test looks into it."""

    def builder(self, languages: dict[str, Language]) -> Builder: ...
    def holds(self, artifact: Artifact) -> dict[str, bytes]:
        """The skill's files in an artifact."""
        ...

    def artifacts(self) -> list[str]: ...
    def cut_short(self, artifact: Artifact) -> None:
        """Leaves what a build leaves that was killed at its end."""
        ...


class Folders:
    """The directory builder's."""

    def __init__(self, store: Path) -> None:
        self._store = store

    def builder(self, languages: dict[str, Language]) -> Builder:
        return DirectoryBuilder(self._store, languages)

    def holds(self, artifact: Artifact) -> dict[str, bytes]:
        code = Path(artifact.location) / "code"
        return {path.relative_to(code).as_posix(): path.read_bytes() for path in code.rglob("*") if path.is_file()}

    def artifacts(self) -> list[str]:
        return [str(path) for path in self._store.iterdir()]

    def cut_short(self, artifact: Artifact) -> None:
        (Path(artifact.location) / "build.json").unlink()
        shutil.rmtree(Path(artifact.location) / "code")


class Counting:
    """A language that counts what it prepares, and fails as told."""

    def __init__(self, language: Language, error: Exception | None = None, digest: str = "") -> None:
        self._language, self.prepared, self._error, self._digest = language, 0, error, digest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._language, name)

    def digest(self) -> str:
        return self._digest or self._language.digest()

    def prepare(self, root: Path, manifest: Manifest, target: Path) -> None:
        self.prepared += 1
        self._language.prepare(root, manifest, target)
        if self._error:
            raise self._error


@pytest.fixture(params=LANGUAGES, ids=lambda language: language.name)
def language(request) -> Language:
    return request.param


@pytest.fixture
def entry(language) -> str:
    return language.entrypoint


EMPTY = {"go": b"package skill\n\nfunc Execute(inputs, context map[string]any) (map[string]any, error) { return inputs, nil }\n"}


@pytest.fixture
def manifest(language) -> Manifest:
    return a_manifest(runtime=language.name, entrypoint=language.entrypoint)


@pytest.fixture
def files(entry, language) -> dict[str, bytes]:
    return {"skill.yaml": b"name: word-count\n", entry: EMPTY.get(language.name, b""), "tests/test_skill.x": b"", "a/b.txt": b"b"}


@pytest.fixture(params=["directory", pytest.param("docker", marks=pytest.mark.docker)])
def place(request, tmp_path, language, images) -> Place:
    """Where the builder of the test keeps what it builds."""
    if request.param == "directory":
        return Folders(tmp_path / "store")
    need_base_images(language.name)
    return images(tmp_path / "store")


@pytest.fixture
def make(place, language) -> Callable[..., Builder]:
    return lambda other=None: place.builder({language.name: other or language})


def test_what_is_built_once_is_found_and_not_built_again(make, tmp_path, files, manifest, language):
    counting = Counting(language)
    builder = make(counting)
    digest = builder.digest(files, manifest)
    assert builder.find(digest) is None
    first = builder.build(tmp_path, files, manifest)
    assert first.digest == digest
    assert builder.build(tmp_path, files, manifest) == builder.find(digest) == make().find(digest) == first
    assert counting.prepared == 1


def test_the_digest_follows_what_runs_and_nothing_else(make, files, manifest, entry, language):
    builder = make()
    same = builder.digest(files, manifest)
    assert builder.digest(dict(reversed(files.items())), manifest) == same
    assert builder.digest({**files, "tests/test_more.x": b"x", "tests/witness.yaml": b"y"}, manifest) == same
    others = [
        builder.digest({**files, entry: b"other"}, manifest),
        builder.digest({**files, "some.lock": b"x"}, manifest),
        builder.digest({**files, "testsuite.x": b""}, manifest),
        builder.digest({"moved.x" if path == entry else path: data for path, data in files.items()}, manifest),
        make(Counting(language, digest="sha256:" + "1" * 64)).digest(files, manifest),
    ]
    assert len({same, *others}) == 1 + len(others)


def test_what_is_built_is_what_was_hashed(make, place, tmp_path, files, manifest, entry):
    root = tmp_path / "root"
    root.mkdir()
    (root / entry).write_text("something else")
    (root / "more.py").write_text("not hashed")
    held = place.holds(make().build(root, files, manifest))
    assert held == {entry: files[entry], "skill.yaml": files["skill.yaml"], "a/b.txt": b"b"}


def test_many_builders_at_once_give_one_whole_artifact(make, place, tmp_path, files, manifest):
    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(lambda _: make().build(tmp_path, files, manifest), range(16)))
    assert len({artifact.location for artifact in built}) == 1
    assert place.artifacts() == [built[0].location]


def test_a_build_that_was_cut_short_is_never_taken_for_done(make, place, tmp_path, files, manifest, entry):
    builder = make()
    artifact = builder.build(tmp_path, files, manifest)
    place.cut_short(artifact)
    assert builder.find(artifact.digest) is None
    assert builder.build(tmp_path, files, manifest) == artifact
    assert entry in place.holds(artifact)


def test_a_build_that_fails_leaves_nothing_behind(make, place, tmp_path, files, manifest, language):
    with pytest.raises(Refused, match="broken lock"):
        make(Counting(language, Refused("broken lock file"))).build(tmp_path, files, manifest)
    assert list((tmp_path / "store").iterdir()) == place.artifacts() == []


def test_a_full_disk_is_no_fault_of_the_author(make, tmp_path, files, manifest, language):
    with pytest.raises(CouldNotTell) as caught:
        make(Counting(language, OSError(errno.ENOSPC, "No space left on device"))).build(tmp_path, files, manifest)
    assert "room" in caught.value.next_step


def test_what_a_killed_build_left_is_swept(make, tmp_path, files, manifest):
    left = tmp_path / "store" / ".building-old"
    left.mkdir(parents=True)
    os.utime(left, (time.time() - 10 * 86_400,) * 2)
    fresh = tmp_path / "store" / ".building-new"
    fresh.mkdir()
    make().build(tmp_path, files, manifest)
    assert (left.exists(), fresh.exists()) == (False, True)


@pytest.mark.parametrize("path", ["../outside.py", "/absolute.py", "a/../../b.py", ""])
def test_a_path_out_of_the_folder_is_refused(make, tmp_path, path, files, manifest):
    with pytest.raises(Refused):
        make().build(tmp_path, {**files, path: b""}, manifest)
    assert not (tmp_path / "outside.py").exists()


def test_a_runtime_that_nobody_builds_is_refused_with_those_that_are(make, tmp_path, files, language):
    with pytest.raises(Refused, match=language.name):
        make().build(tmp_path, files, a_manifest(runtime="container"))


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:../../etc", "latest", "sha256:" + "0" * 64])
def test_what_was_never_built_is_not_found(make, digest):
    assert make().find(digest) is None


def test_an_artifact_under_another_name_is_not_found(tmp_path, files, manifest, language):
    builder = Folders(tmp_path / "store").builder({language.name: language})
    artifact = builder.build(tmp_path, files, manifest)
    other = "0" * 64
    shutil.copytree(artifact.location, tmp_path / "store" / other)
    assert builder.find(f"sha256:{other}") is None
