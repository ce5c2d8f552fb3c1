"""Runs a Bash skill's tests: which they are, and what the test bed needs for them."""

from __future__ import annotations

import re
from pathlib import Path

from agent.domain.check import TestReport
from agent.domain.skill import Manifest
from agent.languages import bed
from agent.languages.bash.toolchain import program
from agent.languages.python.toolchain import TESTBED
from agent.ports import Mount, Sandbox

HERE = Path(__file__).parent
_TEST = re.compile(r"^\s*(?:function\s+)?(test_\w+)\s*(?:\(\s*\)|(?<=\w)\s*\{)", re.MULTILINE)


def run_tests(root: Path, manifest: Manifest, sandbox: Sandbox, *, mutants: int, seed: int, gut: bool) -> TestReport:
    tests = expected_tests(root)
    program("jq")  # the driver needs it, and so does nearly every skill
    package = f"{TESTBED}/{'/'.join(__package__.split('.'))}"
    return bed.run_tests(
        root,
        manifest,
        sandbox,
        expected=tests,
        wanted="tests/test_*.sh holds no function test_*",
        mounts=(
            *(Mount(source=HERE / name, target=f"{TESTBED}/{name}") for name in ("session.py", "drive.sh", "trace.sh")),
            *(Mount(source=HERE / name, target=f"{package}/{name}") for name in ("quoting.py", "lexer.py", "syntax.py", "mutate.py")),
        ),
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        job={"tests": tests, "bash": program("bash"), "address_space": True},
        machine={},
        mutants=mutants,
        seed=seed,
        gut=gut,
    )


def expected_tests(root: Path) -> tuple[str, ...]:
    """The test functions, read from the source: `tests/test_x.sh::test_b`."""
    found: dict[str, None] = {}
    for path in sorted((root / "tests").rglob("test_*.sh")):
        name = path.relative_to(root).as_posix()
        found |= dict.fromkeys(f"{name}::{test}" for test in _TEST.findall(path.read_text(errors="replace")))
    return tuple(found)
