"""eslint, of one version that is locked by hash, in a folder of ours; fetched by npm when it is first needed."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache as remembered
from pathlib import Path

from agent.errors import CouldNotTell
from agent.languages.node.npm import npm
from agent.languages.node.toolchain import HERE, node, said

LOCKED = HERE / "style"  # package.json, package-lock.json, and our configuration
FETCH_SECONDS = 60.0


def run(root: Path, files: Sequence[str], cache: Path, *, fix: bool = False) -> list[tuple[str, int | None, str, str]]:
    """What eslint finds in `files`: path, line, rule, message. Nothing in the skill's folder configures it.

    Raises CouldNotTell where it is not here and cannot be fetched.
    """
    if not files:
        return []
    program = installed(cache) / "node_modules" / "eslint" / "bin" / "eslint.js"
    options = [
        "--no-config-lookup",
        "--config",
        str(LOCKED / "rules.mjs"),
        "--no-inline-config",
        "--no-ignore",
        "--no-warn-ignored",
        "--format",
        "json",
    ]
    done = said(node(), str(program), *options, *(["--fix"] if fix else []), "--", *files, cwd=root)
    try:
        return [
            (Path(item["filePath"]).relative_to(root.resolve()).as_posix(), found.get("line"), found["ruleId"] or "", found["message"])
            for item in json.loads(done.stdout)
            for found in item["messages"]
        ]
    except (ValueError, KeyError):
        why = done.stderr.decode(errors="replace").strip()[:400]
        raise CouldNotTell("eslint could not tell.", why=why, next_step="Try again.") from None


@remembered
def installed(cache: Path) -> Path:
    """The folder of eslint, fetched where it is not there yet."""
    lock = (LOCKED / "package-lock.json").read_bytes()
    folder = cache / f"eslint-{hashlib.sha256(lock).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".installing-") as scratch:
        target = Path(scratch) / "eslint"
        target.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(LOCKED / name, target / name)
        npm("ci", "--ignore-scripts", "--fetch-retries=0", cwd=target, seconds=FETCH_SECONDS)
        try:
            target.rename(folder)
        except OSError:
            if not folder.is_dir():  # somebody else was not just faster
                raise
    return folder
