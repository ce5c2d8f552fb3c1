"""Runs a Go skill's tests: which they are, the programs that are made of them, and what the test bed needs to run those.

Two programs are compiled, outside of the sandbox and without running anything: the tests of the skill as it is, with coverage, and those
of the skill in which every chosen mutant, and the gutted functions, are written beside the original (`analyser/change.go`). A variable of
the environment says which of them runs, so that forty mutants cost no more than one to compile.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from agent.domain.check import Outcome, TestReport, TestRun
from agent.domain.schema import least_value
from agent.domain.skill import WITNESS_PATH, Manifest
from agent.errors import CouldNotTell
from agent.languages import bed
from agent.languages.go import analyser, locking
from agent.languages.go.building import LISTED, MODULE, compile_errors, workplace
from agent.languages.go.toolchain import HERE, environment, go, said
from agent.languages.python.toolchain import TESTBED
from agent.ports import Mount, Sandbox

MADE = f"{TESTBED}/made"
CLEAN, CHANGED, SITES = "clean.test", "changed.test", "sites.json"
ROUNDS = 5  # in which mutants that are no Go are found and left out
_BROKEN = re.compile(r"skillops-mutant-(\d+):")


def run_tests(root: Path, manifest: Manifest, sandbox: Sandbox, cache: Path, *, mutants: int, seed: int, gut: bool) -> TestReport:
    read = analyser.facts(cache, root)
    tests = {test["name"]: file["path"] for file in read for test in file["tests"] if _holds_tests(file["path"])}
    if (root / WITNESS_PATH).exists() or not tests:
        made = None
    else:
        modules = locking.installed(root, manifest, cache)
        made = tempfile.TemporaryDirectory(prefix="skillops-")
    try:
        if made:
            problem = _compile(root, manifest, read, Path(made.name), cache, modules, mutants=mutants, seed=seed, gut=gut)
            if problem:
                return problem
        return bed.run_tests(
            root,
            manifest,
            sandbox,
            expected=tuple(f"{path}::{name}" for name, path in sorted(tests.items(), key=lambda item: (item[1], item[0]))),
            wanted="tests/*_test.go holds no func Test…(t *testing.T)",
            mounts=(Mount(source=HERE / "session.py", target=f"{TESTBED}/session.py"), *_made_mounts(made)),
            env={"PYTHONDONTWRITEBYTECODE": "1"},
            job={"tests": tests, "made": MADE, "address_space": False},
            machine={},
            mutants=mutants,
            seed=seed,
            gut=gut,
        )
    finally:
        if made:
            made.cleanup()


def _made_mounts(made: tempfile.TemporaryDirectory[str] | None) -> list[Mount]:
    return [Mount(source=Path(made.name), target=MADE)] if made else []


def _holds_tests(path: str) -> bool:
    """tests/x_test.go; a folder below tests/ is for files that tests read."""
    return PurePosixPath(path).parent.as_posix() == "tests" and path.endswith("_test.go")


def _compile(
    root: Path, manifest: Manifest, read: list[analyser.Facts], made: Path, cache: Path, modules: Path | None, *, mutants: int, seed: int, gut: bool
) -> TestReport | None:
    """Fills `made`; where the tests cannot be compiled, the report that says so."""
    settings = environment(cache, modules)
    statements = {file["path"]: file["statements"] for file in read if not file["path"].startswith("tests/")}
    packages = sorted({_package(path) for path in statements if not path.endswith("_test.go")})
    with workplace(root, manifest) as place:
        covering = ("-cover", "-covermode=set", f"-coverpkg={','.join(packages)}") if packages else ()
        done = said(go(), "test", "-c", "-vet=off", "-ldflags", "-s -w", *covering, "-o", str(made / CLEAN), "./tests", cwd=place, env=settings)
        if done.returncode or not (made / CLEAN).is_file():
            return _uncompiled(manifest, (done.stderr + done.stdout).decode(errors="replace"))
        sites: list[dict[str, Any] | None] = []
        if mutants or gut:
            sites = _changed(place, manifest, made, cache, settings, mutants, seed, gut)
    by_file: dict[str, list[Any]] = {}
    for number, site in enumerate(sites, 1):
        if site:
            by_file.setdefault(hashlib.sha256((root / site["path"]).read_bytes()).hexdigest(), []).append({**site, "number": number})
    (made / SITES).write_text(json.dumps({"sites": by_file, "statements": statements}))
    return None


def _changed(
    place: Path, manifest: Manifest, made: Path, cache: Path, settings: dict[str, str], mutants: int, seed: int, gut: bool
) -> list[dict[str, Any] | None]:
    """Compiles the changed skill, and returns the mutants in it; those that the compiler refuses are None."""
    found: list[dict[str, Any]] = analyser.ask(cache, "sites", place)
    chosen: list[dict[str, Any] | None] = [*random.Random(seed).sample(found, min(mutants, len(found)))]
    chosen.sort(key=lambda site: (site["path"], site["start"], site["new"]) if site else ())
    choice = {"mutants": chosen, "gutted": {"Execute": least_value(manifest.outputs)} if gut else {}, "entry": _folder(manifest.entrypoint)}
    command = (go(), "test", "-c", "-vet=off", "-gcflags=skill/...=-e", "-ldflags", "-s -w", "-o", str(made / CHANGED), "./tests")
    told = ""
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="skillops-") as scratch:
            copy = Path(scratch) / "skill"
            shutil.copytree(place, copy)
            analyser.ask(cache, "change", copy, choice)
            done = said(*command, cwd=copy, env=settings)
        if done.returncode == 0:
            return chosen
        told = done.stderr.decode(errors="replace")
        numbers = {int(number) for number in _BROKEN.findall(told)}
        if not numbers:
            break
        for number in numbers:
            chosen[number - 1] = None
    raise CouldNotTell("The mutants of the skill could not be compiled.", why=told.strip()[:400], next_step="Tell those who make SkillOps.")


def _package(path: str) -> str:
    folder = _folder(path)
    return MODULE if folder == "." else f"{MODULE}/{folder}"


def _folder(path: str) -> str:
    return PurePosixPath(path).parent.as_posix()


def _uncompiled(manifest: Manifest, told: str) -> TestReport:
    """Each place that the compiler found wrong, as a test that could not be run."""
    prefix = f"skills/{manifest.name}/"
    errors = compile_errors(told)[:LISTED]
    if not errors:
        why = told.strip()[:400] or "the compiler said nothing"
        return TestReport(problem=f"the tests cannot be compiled: {why}", outcome=Outcome.FAILED)
    runs = [TestRun(id=path, outcome="error", message=message, path=prefix + path, line=line) for path, line, message in errors]
    return TestReport(tests=tuple(runs))
