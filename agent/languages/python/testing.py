"""Runs a skill's tests: which they are, and what the test bed needs for them."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from agent.domain.check import TestReport
from agent.domain.skill import Manifest
from agent.languages import bed
from agent.languages.python import syntax
from agent.languages.python.toolchain import DEPENDENCIES, SITE, own_mounts, package_mounts
from agent.ports import Mount, Sandbox

_ENVIRONMENT = {
    "PYTHONPATH": SITE,
    "PYTHONHASHSEED": "0",  # so that a set prints in the same order, and a failure reads the same, in every run
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "COVERAGE_CORE": "ctrace",
}


def run_tests(root: Path, manifest: Manifest, sandbox: Sandbox, dependencies: Path | None, *, mutants: int, seed: int, gut: bool) -> TestReport:
    """`dependencies`: the folder that holds the locked dependencies, where the skill has any."""
    mounts = [*package_mounts(), *own_mounts("session", "mutate", "gut")]
    if dependencies:
        mounts.append(Mount(source=dependencies, target=DEPENDENCIES))
    return bed.run_tests(
        root,
        manifest,
        sandbox,
        expected=expected_tests(root),
        wanted="tests/test_*.py holds no function test_*",
        mounts=tuple(mounts),
        env=_ENVIRONMENT,
        job={"path": [DEPENDENCIES] if dependencies else [], "address_space": True},
        machine={os.path.realpath(sys.base_prefix): "<python>"},
        mutants=mutants,
        seed=seed,
        gut=gut,
    )


def expected_tests(root: Path) -> tuple[str, ...]:
    """The tests that pytest must report, read from the source: `tests/test_x.py::TestA::test_b`, without parameters."""
    found: dict[str, None] = {}
    for path in sorted((root / "tests").rglob("*.py")):
        if not (path.name.startswith("test_") or path.name.endswith("_test.py")):
            continue
        name = path.relative_to(root).as_posix()
        try:
            found |= dict.fromkeys(f"{name}::{test}" for test in _tests_in(syntax.parse(path.read_bytes()).body))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            found[name] = None  # pytest reports the file as an error
    return tuple(found)


def _tests_in(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            if not any("fixture" in ast.unparse(decorator) for decorator in node.decorator_list):
                yield node.name
        elif isinstance(node, ast.ClassDef) and _collected(node):
            yield from (f"{node.name}::{test}" for test in _tests_in(node.body))


def _collected(node: ast.ClassDef) -> bool:
    """Whether pytest looks for tests in a class: unittest's, or one that is called Test… and needs no arguments."""
    if any(ast.unparse(base).endswith("TestCase") for base in node.bases):
        return True
    return node.name.startswith("Test") and not any(isinstance(item, ast.FunctionDef) and item.name in ("__init__", "__new__") for item in node.body)
