"""The image of SkillOps itself, for who runs gateway and controller in a container: `python -m agent.builders.own_image` (make image).

It holds what runs here, and nothing is fetched, so that no registry, mirror or index needs to be reached: the Python packages as they
are installed, and git with the libraries that the base image lacks. There are two images: the packages, which take their time and are
made once for a set of versions; and our own code on them, by the Dockerfile in docs/compose, in seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, cast

from agent.builders import context
from agent.builders.bases import STABLE, base_image
from agent.builders.engine_build import MARK, build_image, import_tar
from agent.docker_engine import DockerEngine, faults, remove
from agent.errors import ConfigurationError, CouldNotTell, SkillOpsError

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "docs/compose"
GATEWAY, PACKAGES = "skillops/gateway", "skillops/gateway-packages"
OURS, VERSION = "skillops-agent", "packages/1"
ROOTS = (OURS, "pip")  # which locks the dependencies of skills
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOME = "opt/skillops"  # where our own code lies in the image
_SERVED = "litellm/proxy/_experimental/out/"  # the web pages of a server that we do not run: a tenth of everything
LARGEST = 64 * 2**20  # bytes of our own code
SECONDS = 900.0

File = tuple[str, Path]


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes it and says its name. Exits with the code of what went wrong."""
    parser = argparse.ArgumentParser(prog="python -m agent.builders.own_image", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--base", default=STABLE["python"], help="what it is built on; it needs this machine's Python (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    try:
        print(f"{make(DockerEngine(), chosen.base)} is made, and is {GATEWAY}:stable.")
    except SkillOpsError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def make(engine: DockerEngine, base: str = STABLE["python"], *, stable: bool = True) -> str:
    """The image's name, which is that of its content; `stable`: it is what compose.yaml takes from now on, too.

    Raises ConfigurationError where this is no source tree or the base has another Python, CouldNotTell where it cannot be built.
    """
    if not (FOLDER / "Dockerfile").is_file():
        raise ConfigurationError("The image is made from the source tree of SkillOps, and this is none.", next_step="Clone it, then `make image`.")
    packages = _packages(engine, base)
    with context.pack(_own_files(), LARGEST) as packed:
        content = hashlib.file_digest(packed, "sha256")
        content.update(packages.encode())
        packed.seek(0)
        name = f"{GATEWAY}:{content.hexdigest()[:12]}"
        if not _there(engine, name):
            build_image(engine, packed, tag=name, seconds=SECONDS, network="none", arguments={"PACKAGES": packages})
    if stable:
        with faults("name an image"):
            engine.client().api.tag(name, GATEWAY, "stable")
    return name


def _packages(engine: DockerEngine, base: str) -> str:
    """The image with what we need; made where it is not there."""
    found, here = base_image(engine, base), ".".join(map(str, sys.version_info[:2]))
    if not f"{found.version}.".startswith(f"{here}."):
        fix = f"Run it with that Python, or name a base with Python {here} (--base)."
        raise ConfigurationError(f"{base} has Python {found.version or 'of an unknown version'}, and here it is {here}.", next_step=fix)
    needed = sorted(_needed(ROOTS))
    versions = [f"{name}=={importlib.metadata.version(name)}" for name in needed]
    recipe = "\n".join((VERSION, found.digest, here, _said("git", "--version"), *versions))
    name = f"{PACKAGES}:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if _there(engine, name):
        return name
    site = f"usr/local/lib/python{here}/dist-packages"
    with tempfile.TemporaryFile(prefix="skillops-image-") as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            there = _copied(engine, base, tar)
            for path, file in sorted(_installed(needed)):
                _add(tar, f"{site}/{path}", file)
            for path in sorted(_git_files(there)):
                _add(tar, path.lstrip("/"), Path(path))
            tar.addfile(*_text(f"{site}/skillops.pth", f"/{HOME}\n"))
        packed.seek(0)
        import_tar(engine.client().api, iter(partial(packed.read, 2**20), b""), name, [f"ENV PATH={PATH}"])
    return name


# ---- what goes in -------------------------------------------------------------------------------------------------------


def _needed(roots: Sequence[str]) -> set[str]:
    """The distributions that `roots` need here, ours not among them, by their normalized names (PEP 503)."""
    from packaging.requirements import Requirement

    todo, seen = [(name, frozenset[str]()) for name in roots], dict[str, frozenset[str]]()
    while todo:
        name, extras = todo.pop()
        if (key := re.sub(r"[-_.]+", "-", name).lower()) in seen and extras <= seen[key]:
            continue
        seen[key] = seen.get(key, frozenset()) | extras
        try:
            requirements = [Requirement(line) for line in importlib.metadata.requires(key) or ()]
        except importlib.metadata.PackageNotFoundError:
            fix = "Install SkillOps again, with its dependencies."
            raise ConfigurationError(f"The package {name} is not installed here.", next_step=fix) from None
        for each in requirements:
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in {"", *seen[key]}):
                todo.append((each.name, frozenset(each.extras)))
    return seen.keys() - {OURS}


def _installed(names: Sequence[str]) -> Iterator[File]:
    """The files of distributions by their paths in site-packages, without the commands: those name this machine's Python. ruff is a program."""
    for name in names:
        for file in importlib.metadata.files(name) or ():
            path = Path(str(file.locate()))
            if _SERVED in file.as_posix():
                continue
            if ".." not in file.parts and path.is_file():
                yield file.as_posix(), path
            elif file.name == "ruff" and path.is_file():
                yield "bin/ruff", path


def _git_files(there: set[str]) -> Iterator[str]:
    """The paths of git and of the libraries that it is linked with, but for those whose names are `there`. Its scripts are left out."""
    folder = Path(_said("git", "--exec-path"))
    programs = [path for path in sorted(folder.iterdir()) if path.is_symlink() or (path.is_file() and path.read_bytes()[:4] == b"\x7fELF")]
    yield from (os.path.realpath(shutil.which("git") or ""), *map(str, programs))
    yield from (str(path) for path in sorted(Path("/usr/share/git-core/templates").rglob("*")) if path.is_file())
    linked = {word for line in _said("ldd", *map(str, programs)).splitlines() for word in line.split() if word.startswith("/") and ":" not in word}
    for library in map(Path, sorted(linked)):
        for path in {Path(os.path.realpath(library.parent)) / library.name, Path(os.path.realpath(library))}:  # /lib is a link into /usr
            if path.name not in there:
                yield str(path)


def _own_files() -> Iterator[context.File]:
    """Our code, the shelf in its place, and the Dockerfile with what it copies."""
    for package in ("agent", "reviewers"):
        for path, file in context.of_folder(ROOT / package):
            if path != "starter/skills":  # a link to the shelf
                yield f"{package}/{path}", file
    for path, file in context.of_folder(ROOT / "skills"):
        yield f"agent/starter/skills/{path}", file
    for name in ("Dockerfile", "skillops", "start"):
        yield name, FOLDER / name


# ---- small parts --------------------------------------------------------------------------------------------------------


class _Chunks:
    """What comes in pieces, as a file that is read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (piece := next(self._chunks, b"")):
            self._rest += piece
        found, self._rest = self._rest[:size], self._rest[size:]
        return found


def _copied(engine: DockerEngine, image: str, tar: tarfile.TarFile) -> set[str]:
    """Copies the files of an image; returns their names."""
    names: set[str] = set()
    with faults("take an image apart"):
        api = engine.client().api
        container = api.create_container(image, command=["-"], labels={MARK: "1"})["Id"]
        try:
            with tarfile.open(fileobj=cast(IO[bytes], _Chunks(api.export(container))), mode="r|") as source:
                for member in source:
                    names.add(Path(member.name).name)
                    tar.addfile(member, source.extractfile(member) if member.isreg() else None)
        finally:
            remove(api, container)
    return names


def _add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    """With the file's time: that of a compiled one's source is written in it."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = int(member.mtime)
        return member

    tar.add(path, arcname=name, recursive=False, filter=plain)


def _text(name: str, text: str) -> tuple[tarfile.TarInfo, IO[bytes]]:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(text), 0o644
    return member, io.BytesIO(text.encode())


def _there(engine: DockerEngine, name: str) -> bool:
    with faults("list its images"):
        return bool(engine.client().api.images(filters={"reference": name}))


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"}).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise CouldNotTell(f"{command[0]} does not say what the image needs of it.", why=str(error), next_step="See to it that it runs.") from None


if __name__ == "__main__":
    main()
