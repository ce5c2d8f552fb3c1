"""The embedded builder: an artifact is a folder that is named by the digest of what it was made from."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from agent.domain.paths import odd_path
from agent.domain.release import Artifact
from agent.domain.skill import Manifest, digest_of
from agent.errors import CouldNotTell, Refused, SkillOpsError
from agent.ports import Language

VERSION = "directory/1"
RECEIPT = "build.json"  # written last: a folder without it is not done
SCRATCH = ".building-"
SCRATCH_SECONDS = 86_400.0  # how long a build that was killed leaves its folder behind
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class DirectoryBuilder:
    """`Builder` into `store`, shared by any number of processes: a folder appears there whole or not at all."""

    def __init__(self, store: Path, languages: Mapping[str, Language]) -> None:
        self._store, self._languages = store, languages

    def digest(self, files: Mapping[str, bytes], manifest: Manifest) -> str:
        """Over the files that run (the tests do not), the language's toolchain and shim, and this builder's version."""
        hashes = {path: hashlib.sha256(data).hexdigest() for path, data in what_runs(files).items()}
        return digest_of({"builder": VERSION, "language": self._language(manifest).digest(), "files": hashes})

    def build(self, root: Path, files: Mapping[str, bytes], manifest: Manifest) -> Artifact:
        """Builds from `files`, never from what else may lie in `root`, so that what runs is what was hashed."""
        digest = self.digest(files, manifest)
        if found := self.find(digest):
            return found
        try:
            self._store.mkdir(parents=True, exist_ok=True)
            self._sweep()
            with tempfile.TemporaryDirectory(dir=self._store, prefix=SCRATCH, ignore_cleanup_errors=True) as scratch:
                source, target = Path(scratch) / "source" / manifest.name, Path(scratch) / "artifact"
                _write(source, what_runs(files))
                target.mkdir()
                self._language(manifest).prepare(source, manifest, target)
                receipt = {"digest": digest, "builder": VERSION, "skill": manifest.name, "version": manifest.version}
                (target / RECEIPT).write_text(json.dumps(receipt, indent=1, sort_keys=True))
                with contextlib.suppress(FileExistsError):
                    self._place(target, self._folder(digest))
        except SkillOpsError:
            raise
        except OSError as error:
            raise machine_problem(error) from error
        found = self.find(digest)
        if found is None:
            raise CouldNotTell("The artifact was built and then could not be found.", next_step="Try again; look at who else cleans the store.")
        return found

    def find(self, digest: str) -> Artifact | None:
        if not _DIGEST.fullmatch(digest):
            return None
        folder = self._folder(digest)
        try:
            receipt = json.loads((folder / RECEIPT).read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(receipt, dict) or receipt.get("digest") != digest:
            return None
        return Artifact(digest=digest, kind="directory", location=str(folder.absolute()))

    def pack(self, root: Path, files: Mapping[str, bytes], manifest: Manifest) -> None:
        return None

    def fetch(self, digest: str, image: str) -> Artifact | None:
        return None

    def _place(self, target: Path, folder: Path) -> None:
        """Renames; what lies there already was built from the same inputs, unless it is broken."""
        try:
            target.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if self.find(f"sha256:{folder.name}") is None:
                shutil.rmtree(folder)
                target.rename(folder)

    def _sweep(self) -> None:
        """Clears what builds that were killed left behind."""
        for folder in self._store.glob(f"{SCRATCH}*"):
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > SCRATCH_SECONDS:
                    shutil.rmtree(folder)

    def _folder(self, digest: str) -> Path:
        return self._store / digest.removeprefix("sha256:")

    def _language(self, manifest: Manifest) -> Language:
        if language := self._languages.get(manifest.runtime):
            return language
        known = ", ".join(sorted(self._languages))
        raise Refused(f"The runtime {manifest.runtime!r} cannot be built here.", next_step=f"Set `runtime` in skill.yaml to one of: {known}.")


def what_runs(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {path: data for path, data in files.items() if PurePosixPath(path).parts[:1] != ("tests",)}


def _write(root: Path, files: Mapping[str, bytes]) -> None:
    root.mkdir(parents=True)
    for name, data in files.items():
        path = root / plain_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def plain_path(name: str) -> str:
    """The path as it is; Refused where it leads out of the skill's folder, or otherwise astray."""
    if odd := odd_path(name):
        raise Refused(f"{name!r} cannot be part of a skill: it {odd}.", next_step="Rename the file.")
    return name


def machine_problem(error: OSError) -> CouldNotTell:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CouldNotTell("The artifact could not be built: no space is left.", next_step="Make room on the disk, then try again.")
    return CouldNotTell("The artifact could not be built on this machine.", why=f"{error.strerror}.", next_step="See `skillops doctor`.")
