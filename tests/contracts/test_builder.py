"""What every builder keeps to."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.builders.directory import DirectoryBuilder
from agent.domain.skill import Manifest
from agent.errors import CouldNotTell, Refused
from agent.languages.python import PythonLanguage
from agent.ports import Builder, Language
from tests.builders import a_manifest

BUILDERS: dict[str, Callable[[Path, dict[str, Language]], Builder]] = {"directory": DirectoryBuilder}
FILES = {"skill.yaml": b"name: word-count\n", "skill.py": b"def execute(inputs, context): ...\n", "tests/test_skill.py": b"", "a/b.txt": b"b"}
MANIFEST = a_manifest()


class Counting(PythonLanguage):
    """Python that counts what it prepares, and fails as told."""

    def __init__(self, error: Exception | None = None, digest: str = "") -> None:
        super().__init__()
        self.prepared, self._error, self._digest = 0, error, digest

    def digest(self) -> str:
        return self._digest or super().digest()

    def prepare(self, root: Path, manifest: Manifest, target: Path) -> None:
        self.prepared += 1
        super().prepare(root, manifest, target)
        if self._error:
            raise self._error


@pytest.fixture(params=BUILDERS)
def make(request, tmp_path) -> Callable[..., Builder]:
    return lambda language=None: BUILDERS[request.param](tmp_path / "store", {"python": language or PythonLanguage()})


def test_what_is_built_once_is_found_and_not_built_again(make, tmp_path):
    language = Counting()
    builder = make(language)
    digest = builder.digest(FILES, MANIFEST)
    assert builder.find(digest) is None
    first = builder.build(tmp_path, FILES, MANIFEST)
    assert first.digest == digest
    assert builder.build(tmp_path, FILES, MANIFEST) == builder.find(digest) == make().find(digest) == first
    assert language.prepared == 1


def test_the_digest_follows_what_runs_and_nothing_else(make):
    builder = make()
    same = builder.digest(FILES, MANIFEST)
    assert builder.digest(dict(reversed(FILES.items())), MANIFEST) == same
    assert builder.digest({**FILES, "tests/test_more.py": b"x", "tests/witness.yaml": b"y"}, MANIFEST) == same
    others = [
        builder.digest({**FILES, "skill.py": b"other"}, MANIFEST),
        builder.digest({**FILES, "requirements.lock": b"x"}, MANIFEST),
        builder.digest({**FILES, "testsuite.py": b""}, MANIFEST),
        builder.digest({"moved.py" if path == "skill.py" else path: data for path, data in FILES.items()}, MANIFEST),
        make(Counting(digest="sha256:" + "1" * 64)).digest(FILES, MANIFEST),
    ]
    assert len({same, *others}) == 1 + len(others)


def test_what_is_built_is_what_was_hashed(make, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "skill.py").write_text("something else")
    (root / "more.py").write_text("not hashed")
    location = Path(make().build(root, FILES, MANIFEST).location)
    assert (location / "code" / "skill.py").read_bytes() == FILES["skill.py"]
    assert sorted(path.name for path in (location / "code").iterdir()) == ["a", "skill.py", "skill.yaml"]


def test_many_builders_at_once_give_one_whole_artifact(make, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(lambda _: make().build(tmp_path, FILES, MANIFEST), range(16)))
    assert len({artifact.location for artifact in built}) == 1
    assert json.loads((Path(built[0].location) / "build.json").read_text())["digest"] == built[0].digest
    assert [path.name for path in (tmp_path / "store").iterdir()] == [Path(built[0].location).name]


def test_a_build_that_was_cut_short_is_never_taken_for_done(make, tmp_path):
    builder = make()
    artifact = builder.build(tmp_path, FILES, MANIFEST)
    (Path(artifact.location) / "build.json").unlink()
    (Path(artifact.location) / "code" / "skill.py").unlink()
    assert builder.find(artifact.digest) is None
    assert builder.build(tmp_path, FILES, MANIFEST) == artifact
    assert (Path(artifact.location) / "code" / "skill.py").is_file()


def test_a_build_that_fails_leaves_nothing_behind(make, tmp_path):
    with pytest.raises(Refused, match="broken lock"):
        make(Counting(Refused("broken lock file"))).build(tmp_path, FILES, MANIFEST)
    assert list((tmp_path / "store").iterdir()) == []


def test_a_full_disk_is_no_fault_of_the_author(make, tmp_path):
    with pytest.raises(CouldNotTell) as caught:
        make(Counting(OSError(errno.ENOSPC, "No space left on device"))).build(tmp_path, FILES, MANIFEST)
    assert "room" in caught.value.next_step


def test_what_a_killed_build_left_is_swept(make, tmp_path):
    left = tmp_path / "store" / ".building-old"
    left.mkdir(parents=True)
    os.utime(left, (time.time() - 10 * 86_400,) * 2)
    fresh = tmp_path / "store" / ".building-new"
    fresh.mkdir()
    make().build(tmp_path, FILES, MANIFEST)
    assert (left.exists(), fresh.exists()) == (False, True)


@pytest.mark.parametrize("path", ["../outside.py", "/absolute.py", "a/../../b.py", ""])
def test_a_path_out_of_the_folder_is_refused(make, tmp_path, path):
    with pytest.raises(Refused):
        make().build(tmp_path, {**FILES, path: b""}, MANIFEST)
    assert not (tmp_path / "outside.py").exists()


def test_a_runtime_that_nobody_builds_is_refused_with_those_that_are(make, tmp_path):
    with pytest.raises(Refused, match="python"):
        make().build(tmp_path, FILES, a_manifest(runtime="go"))


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:../../etc", "latest", "sha256:" + "0" * 64])
def test_what_was_never_built_is_not_found(make, digest):
    assert make().find(digest) is None


def test_an_artifact_under_another_name_is_not_found(make, tmp_path):
    artifact = make().build(tmp_path, FILES, MANIFEST)
    other = "0" * 64
    shutil.copytree(artifact.location, tmp_path / "store" / other)
    assert make().find(f"sha256:{other}") is None
