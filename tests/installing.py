"""Programs that tests install into the user's cache: once, by whichever worker comes first, and whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.engines import missing


def npm_package(name: str, version: str, file: str) -> Path:
    """A file of a package of npm's registry, with what the package needs beside it."""
    command = ("npm", "install", "--no-save", "--ignore-scripts", f"{name}@{version}")
    return installed(f"{name}-{version}", f"node_modules/{name}/{file}", lambda folder: ran([*command, "--prefix", str(folder)]))


def installed(name: str, file: str, install: Callable[[Path], str]) -> Path:
    """`file` in the folder `name` of the cache, into which `install` put it; other workers wait meanwhile. `install` gives what it said."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skillops" / "tests"
    wanted = cache / name / file
    if not wanted.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f".{name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not wanted.is_file():
                _replace(cache / name, file, install)
    return wanted


def _replace(folder: Path, file: str, install: Callable[[Path], str]) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".installing-") as place:
        fresh = Path(place, folder.name)
        fresh.mkdir()
        said = install(fresh)
        if not (fresh / file).is_file():
            missing(f"{folder.name} cannot be installed: {said[-300:]}")
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)


def ran(command: list[str], **variables: str) -> str:
    """What a command said of its troubles."""
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=500).stderr
