"""Runs a Node skill's tests: which they are, and what the test bed needs for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.domain.check import TestReport
from agent.domain.skill import Manifest
from agent.languages import bed
from agent.languages.node.reading import trees
from agent.languages.node.toolchain import HERE, base_mounts, node
from agent.languages.node.tree import Node, Unreadable, children, dotted, literal
from agent.languages.python.toolchain import TESTBED
from agent.ports import Mount, Sandbox

MODULES = "/skill/node_modules"
SUITES, TESTS = ("describe", "suite"), ("test", "it")


def run_tests(root: Path, manifest: Manifest, sandbox: Sandbox, dependencies: Path | None, *, mutants: int, seed: int, gut: bool) -> TestReport:
    """`dependencies`: the folder that holds the locked dependencies, where the skill has any."""
    package = f"{TESTBED}/{'/'.join(__package__.split('.'))}"
    mounts = [
        *base_mounts(),
        *(Mount(source=HERE / name, target=f"{TESTBED}/{name}") for name in ("session.py", "reporter.mjs", "parse.js")),
        *(Mount(source=HERE / name, target=f"{package}/{name}") for name in ("tree.py", "mutate.py")),
    ]
    if dependencies:
        mounts.append(Mount(source=dependencies, target=MODULES))
    return bed.run_tests(
        root,
        manifest,
        sandbox,
        expected=expected_tests(root),
        wanted="tests/*.test.js holds no call of test('name', …)",
        mounts=tuple(mounts),
        env={"PYTHONDONTWRITEBYTECODE": "1", "SKILLOPS_NODE": node()},
        job={"tests": files(root), "node": node(), "address_space": False},
        machine={},
        mutants=mutants,
        seed=seed,
        gut=gut,
    )


def files(root: Path) -> list[str]:
    """`tests/x.test.js` or `tests/test_x.js`, also as .mjs and .cjs."""
    return sorted(
        path.relative_to(root).as_posix()
        for path in (root / "tests").rglob("*")
        if path.suffix in (".js", ".mjs", ".cjs") and path.is_file() and (path.stem.endswith(".test") or path.stem.startswith("test_"))
    )


def expected_tests(root: Path) -> tuple[str, ...]:
    """The tests that Node must report, read from the source: `tests/x.test.js::suite > test`. Names that are computed are not among them."""
    found: dict[str, None] = {}
    for name, tree in trees(root, files(root)).items():
        if isinstance(tree, Unreadable):
            found[name] = None  # Node reports the file as an error
        else:
            found |= dict.fromkeys(f"{name}::{test}" for test in _tests_in(tree, ""))
    return tuple(found)


def _tests_in(node: Node, before: str) -> Iterator[str]:
    """What is called where the module is loaded, and in the suites there."""
    for _, child in children(node):
        if child["type"] != "CallExpression":
            if child["type"] in ("ExpressionStatement", "AwaitExpression"):
                yield from _tests_in(child, before)
            continue
        called = (dotted(child["callee"]) or "").rpartition(".")[2] or ""
        given = child["arguments"]
        name = literal(given[0]) if given else None
        if called in TESTS and name is not None:
            yield before + name
        elif called in SUITES and name is not None and isinstance(given[-1].get("body"), dict):
            yield from _tests_in(given[-1]["body"], f"{before}{name} > ")
