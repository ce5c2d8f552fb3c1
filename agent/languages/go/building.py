"""Builds a skill's program: the skill, and the server shim that answers calls. Nothing of the skill is run."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from agent.domain.skill import Manifest
from agent.errors import Refused
from agent.languages.go import analyser, locking
from agent.languages.go.toolchain import HERE, environment, go, said

SHIM = tuple(sorted((HERE / "shim").rglob("*.go")))
FOLDER = "skillops_shim"
SIGNATURE = "func Execute(inputs, context map[string]any) (map[string]any, error)"
MODULE = "skill"
LISTED = 10  # compile errors
_LOCK_SIGNS = ("missing go.sum entry", "checksum mismatch", "updates to go.mod", "no required module provides", "cannot find module providing")
_GATE = f'package %s\n\nimport _ "{MODULE}/{FOLDER}/gate"\n'  # so that the server never runs what stands in this package
_ERROR = re.compile(r"^(?:vet: )?(?:\./)?(?P<path>[^\s:]+\.go):(?P<line>\d+)(?::\d+)?: (?P<message>.*)$", re.MULTILINE)


@contextmanager
def workplace(root: Path, manifest: Manifest | None) -> Iterator[Path]:
    """A copy of the skill's files, tests among them, with the go.mod that its manifest asks for; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="skillops-", ignore_cleanup_errors=True) as temporary:
        place = Path(temporary) / "skill"
        shutil.copytree(root, place, ignore=lambda folder, _: {"vendor", "go.work"} if Path(folder) == root else set())
        locking.write_module(place, manifest)
        yield place


def build(root: Path, manifest: Manifest, target: Path, cache: Path) -> None:
    """The program at `target`, static and the same each time. Refused with the compiler's words where it cannot be built."""
    modules = locking.installed(root, manifest, cache)
    entry = PurePosixPath(manifest.entrypoint).parent.as_posix()
    if (root / FOLDER).exists():
        raise Refused(f"The folder {FOLDER} is SkillOps' own.", next_step="Take another name.")
    with workplace(root, manifest) as place:
        shutil.rmtree(place / "tests", ignore_errors=True)
        for folder, name in _packages(analyser.facts(cache, place), manifest).items():
            (place / folder / "skillops_gate.go").write_text(_GATE % name)
        for path in SHIM:
            copy = place / FOLDER / path.relative_to(HERE / "shim")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text().replace(f"{MODULE}/ENTRY", MODULE if entry == "." else f"{MODULE}/{entry}"))
        made = place / FOLDER / "made"
        done = said(go(), "build", "-ldflags", "-s -w -buildid=", "-o", str(made), f"./{FOLDER}", cwd=place, env=environment(cache, modules))
        if done.returncode:
            raise _refusal(done.stderr.decode(errors="replace"))
        shutil.copyfile(made, target)
        target.chmod(0o755)


def _packages(read: list[analyser.Facts], manifest: Manifest) -> dict[str, str]:
    """The name of the package in each folder. Refused where the entrypoint is none that can be called."""
    entry = next((file for file in read if file["path"] == manifest.entrypoint), None)
    if entry is None:
        raise Refused(f"The entrypoint {manifest.entrypoint} is no Go file.", next_step="Name the file with Execute; it ends with .go.")
    if entry["package"] == "main":
        why = "Its tests, and the program that SkillOps makes of it, import it."
        raise Refused(f"{manifest.entrypoint} is package main.", why=why, next_step=f"Write `package {MODULE}`, without main().")
    return {PurePosixPath(file["path"]).parent.as_posix(): file["package"] for file in read if file["package"] and not _is_test(file["path"])}


def _is_test(path: str) -> bool:
    return path.endswith("_test.go")


def compile_errors(told: str) -> list[tuple[str, int, str]]:
    """Path, line and message of what the compiler found wrong, each once."""
    found = {(match["path"].removeprefix(f"{MODULE}/"), int(match["line"]), match["message"]) for match in _ERROR.finditer(told)}
    return sorted(found)


def _refusal(told: str) -> Refused:
    errors = compile_errors(told)
    if any(path.startswith(FOLDER) for path, _, _ in errors):
        return Refused("The skill cannot be built.", why=f"It has no {SIGNATURE}.", next_step="Write it, in the file that is the entrypoint.")
    why = "; ".join(f"{path}:{line}: {message}" for path, line, message in errors[:LISTED]) or told.strip()[:600] or "The compiler said nothing."
    if any(sign in told for sign in _LOCK_SIGNS):
        return Refused("The skill cannot be built with its lock file.", why=told.strip()[:400], next_step="Name what it imports in `dependencies`.")
    return Refused("The skill cannot be built.", why=why, next_step="Correct what the compiler found.")
