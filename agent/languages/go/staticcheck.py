"""staticcheck, of one version that is locked by hash (`style/`), in a folder of ours; fetched and built when it is first needed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache as remembered
from pathlib import Path

from agent.errors import CouldNotTell
from agent.languages.go.toolchain import HERE, environment, fetching, go, said, version

LOCKED = HERE / "style"
PACKAGE = "honnef.co/go/tools/cmd/staticcheck"
BUILD_SECONDS = 300.0
_PLACE = re.compile(r"/skillops-[^/]+/skill/(.+)$")  # a finding that it has kept names the folder of that time
# Correctness, dead code and simplifications; of style those rules that are not about comments and names.
CHECKS = "SA*,S1*,U1000,ST1005,ST1006,ST1008,ST1012,ST1013,ST1017,ST1019,ST1023"


def run(place: Path, cache: Path, modules: Path | None) -> list[tuple[str, int, str, str]]:
    """What staticcheck finds in the module at `place`: path, line, rule, message. Nothing in the skill's folder configures it.

    CouldNotTell where it is not here and cannot be fetched.
    """
    (place / "staticcheck.conf").unlink(missing_ok=True)
    done = said(program(cache), "-f", "json", "-checks", CHECKS, "-tests", "./...", cwd=place, env=environment(cache, modules))
    try:
        found = list(_read(done.stdout.decode()))
    except (ValueError, KeyError):
        found = []
    if done.returncode and not found:
        why = (done.stderr or done.stdout).decode(errors="replace").strip()[:400]
        raise CouldNotTell("staticcheck could not tell.", why=why, next_step="Try again.")
    return found


def _read(text: str) -> Iterator[tuple[str, int, str, str]]:
    for line in text.splitlines():
        item = json.loads(line)
        if match := _PLACE.search(item["location"]["file"]):
            yield match[1], item["location"]["line"], item["code"], item["message"]


@remembered
def program(cache: Path) -> str:
    """The path of staticcheck, fetched and built where it is not there yet."""
    sums = (LOCKED / "go.sum").read_bytes() + version().encode()
    place = cache / f"staticcheck-{hashlib.sha256(sums).hexdigest()[:16]}"
    if not place.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".building-", ignore_cleanup_errors=True) as scratch:
            folder = Path(scratch) / "place"
            folder.mkdir()
            for name in ("go.mod", "go.sum"):
                shutil.copyfile(LOCKED / name, folder / name)
            modules = Path(scratch) / "modules"
            steps = {("mod", "download"): fetching(cache, modules), ("build", "-o", "made", PACKAGE): environment(cache, modules)}
            for command, settings in steps.items():
                done = said(go(), *command, cwd=folder, env=settings, seconds=BUILD_SECONDS)
                if done.returncode:
                    why = done.stderr.decode(errors="replace").strip()[:400]
                    next_step = "Look at the network and `go env GOPROXY`, then try again."
                    raise CouldNotTell("staticcheck cannot be fetched here.", why=why, next_step=next_step)
            os.replace(folder / "made", place)  # noqa: PTH105
    return str(place)
