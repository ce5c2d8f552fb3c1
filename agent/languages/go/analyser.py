"""Asks the analyser (`analyser/`, a Go program of ours) about a skill's files. It is built once, from its source, into our cache."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from functools import cache as remembered
from pathlib import Path
from typing import Any

from agent.errors import CouldNotTell
from agent.languages.go.toolchain import FIX, HERE, environment, go, said, version

SOURCES = tuple(sorted(path for path in (HERE / "analyser").iterdir() if path.suffix in (".go", ".mod")))
Facts = dict[str, Any]


def ask(cache: Path, command: str, root: Path, given: object = None) -> Any:
    """What the analyser answers, from JSON; None where it only writes. See `analyser/main.go` for the commands."""
    stdin = b"" if given is None else json.dumps(given).encode()
    done = said(program(cache), command, str(root.absolute()), cwd=root, env=environment(cache), stdin=stdin)
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip()[:400]
        raise CouldNotTell("The Go code could not be read.", why=why, next_step=FIX)
    return json.loads(done.stdout) if done.stdout else None


def facts(cache: Path, root: Path) -> list[Facts]:
    """What stands in each .go file, by path; `error` where a file cannot be read (`analyser/facts.go`)."""
    found: list[Facts] = ask(cache, "facts", root)
    return found


@remembered
def program(cache: Path) -> str:
    """The analyser's path, built where it is not there yet."""
    hashed = hashlib.sha256(version().encode())
    for path in SOURCES:
        hashed.update(path.read_bytes())
    place = cache / f"analyser-{hashed.hexdigest()[:16]}"
    if not place.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".building-") as scratch:
            for path in SOURCES:
                (Path(scratch) / path.name).write_bytes(path.read_bytes())
            done = said(go(), "build", "-o", "analyser", ".", cwd=Path(scratch), env=environment(cache))
            if done.returncode:
                why = done.stderr.decode(errors="replace").strip()[:400]
                raise CouldNotTell("The analyser of Go code could not be built.", why=why, next_step=FIX)
            os.replace(Path(scratch) / "analyser", place)  # noqa: PTH105
    return str(place)
