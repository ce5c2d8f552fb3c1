"""What the test bed does in its children for a Node skill: runs `node --test`. Runs in the sandbox, as `/testbed/session.py`.

Nothing is written beside the skill: a changed module lies in a copy of its folder below /tmp.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from agent.languages.node import mutate
from agent.languages.node.tree import Node, Unreadable, line, parse, walk

SUFFIXES = (".js", ".cjs", ".mjs")
STATEMENTS = frozenset(
    f"{name}Statement" for name in ("Expression", "Return", "If", "For", "ForIn", "ForOf", "While", "DoWhile", "Switch", "Throw", "Break", "Continue")
) | {"VariableDeclaration"}
MESSAGE_LINES, MESSAGE_LENGTH = 6, 600
PARSER = "/testbed/parse.js"
_FRAME = re.compile(r"(?:file://)?(/[^\s():]+):(\d+)(?::\d+)?")

Job = dict[str, Any]
Sources = dict[str, bytes]
Emit = Callable[..., None]
Site = mutate.Site


def warm() -> None:
    """There is nothing to import."""


@cache
def _tree(source: bytes, module: bool = False) -> Node | None:
    try:
        (tree,) = parse(os.environ["SKILLOPS_NODE"], PARSER, [("x.mjs" if module else "x.js", source.decode())])
    except (OSError, UnicodeDecodeError):
        return None
    return None if isinstance(tree, Unreadable) else tree


def _tree_of(source: bytes) -> Node | None:
    """Whatever kind of module it is: `import` and `export` are only read in one of them."""
    return _tree(source) or _tree(source, True)


def sites(source: bytes) -> list[Site]:
    try:
        return mutate.sites(source.decode(), tree) if (tree := _tree_of(source)) else []
    except RecursionError:
        return []


# ---- the kinds of children ----------------------------------------------------------------------------------------------


def clean(job: Job, own: list[str], lines: list[tuple[str, int]]) -> Callable[[Emit], None]:
    """The author's tests as they are, with the coverage of the files `own`; which test ran which of `lines` is not told."""

    def work(emit: Emit) -> None:
        missed: dict[str, set[int]] = {}
        told = _Told(job["root"])
        command = ["--test", "--test-concurrency=1", "--experimental-test-coverage", "--test-reporter=/testbed/reporter.mjs"]
        process = subprocess.Popen(
            [job["node"], *command, "--test-reporter-destination=stdout", *job["tests"]],
            cwd=job["root"], env=_environment(job), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for text in process.stdout or ():
            event = _event(text)
            if event.get("type") == "test:coverage":
                missed = {os.path.relpath(path, job["root"]): set(numbers) for path, numbers in event["files"]}
            for emitted in told.of(event):
                emit(**emitted)
        status = process.wait()
        coverage = {path: _share(Path(job["root"]) / path, missed.get(path)) for path in own}
        emit(coverage=coverage)
        unrun = {(path, number) for path, (_, numbers) in coverage.items() for number in numbers}
        emit(contexts=[[*place, [""]] for place in lines if place not in unrun])
        emit(done=status in (0, 1))

    return work


def gutted(job: Job, sources: Sources) -> Callable[[Emit], None]:
    trees = {path: tree for path, source in sources.items() if (tree := _tree_of(source))}
    changed = {path: mutate.gutted(sources[path].decode(), tree, job["gut"]).encode() for path, tree in trees.items()}
    return _counting(job, changed)


def again(job: Job, sources: Sources, only: set[str] | None = None) -> Callable[[Emit], None]:
    return _counting(job, {})


def mutant(job: Job, sources: Sources, target: str, number: int, only: set[str] | None) -> Callable[[Emit], None]:
    """Mutant `number` of the file `target`, against all tests."""
    source = sources[target]
    return _counting(job, {target: mutate.mutated(source.decode(), sites(source)[number]).encode()})


def _counting(job: Job, changed: Sources) -> Callable[[Emit], None]:
    """Runs up to the first file that fails, and tells only whether there was one."""

    def work(emit: Emit) -> None:
        scratch = Path(f"/tmp/run-{os.getpid()}")
        root = _copy(job["root"], scratch / "code", changed)
        environment, silent = _environment(job), subprocess.DEVNULL
        emit(
            failed=any(
                subprocess.run([job["node"], test], cwd=root, env=environment, stdin=silent, stdout=silent, stderr=silent, check=False).returncode
                for test in job["tests"]
            )
        )
        shutil.rmtree(scratch, ignore_errors=True)
        emit(done=True)

    return work


def _copy(root: str, target: Path, changed: Sources) -> Path:
    shutil.copytree(root, target)
    if Path("/skill/node_modules").is_dir():
        (target.parent / "node_modules").symlink_to("/skill/node_modules")
    for path, content in changed.items():
        (target / path).unlink()
        (target / path).write_bytes(content)
    return target


def _environment(job: Job) -> dict[str, str]:
    options = f"--no-addons --max-old-space-size={job['memory'] // 2**20}"
    return {**os.environ, "NODE_OPTIONS": options, "NO_COLOR": "1"}


# ---- watching the runner ------------------------------------------------------------------------------------------------


def _event(text: bytes) -> dict[str, Any]:
    try:
        event = json.loads(text)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


class _Told:
    """Turns the runner's events into the lines of the report."""

    def __init__(self, root: str) -> None:
        self._root, self._names = root, list[str]()

    def of(self, event: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if event.get("type") not in ("test:start", "test:pass", "test:fail"):
            return
        path = os.path.relpath(event.get("file") or self._root, self._root)
        self._names[event["nesting"] :] = [event["name"]]
        whole_file = event["name"] in (event.get("file"), path)
        ident = path if whole_file else f"{path}::{' > '.join(self._names)}"
        took = {"seconds": round(event["took"] / 1000, 4)} if event.get("took") is not None else {}  # the runner tells of tests in their order, late
        if event["type"] == "test:start":
            yield {"start": ident}
        elif event["type"] == "test:fail":
            yield {"test": {"id": ident, "outcome": "error" if whole_file else "failed", **took, **self._failure(event, path)}}
        elif not event["suite"] and not whole_file:
            yield {"test": {"id": ident, "outcome": "skipped" if event["skipped"] else "passed", "message": "", **took}}

    def _failure(self, event: dict[str, Any], path: str) -> dict[str, Any]:
        """The message of a failure, and the skill's own line where it came from."""
        lines = [text for text in str(event.get("message") or "failed").splitlines() if text.strip()]
        kind = event.get("kind") or ""
        message = "\n".join(lines[:MESSAGE_LINES])
        if kind not in ("", "Error", "AssertionError"):
            message = f"{kind}: {message}"
        place = {"path": path, "line": event.get("line")}
        for file, number in _FRAME.findall(event.get("stack") or ""):
            if Path(file).is_relative_to(self._root):
                place = {"path": os.path.relpath(file, self._root), "line": int(number)}
                break
        return {"message": message[:MESSAGE_LENGTH], **place}


def _share(path: Path, missed: set[int] | None) -> tuple[int, list[int]]:
    """How many lines start a statement, and which of them no test ran; None: no test loaded the file."""
    tree = _tree_of(path.read_bytes())
    starts = sorted({line(node) for node in walk(tree) if node["type"] in STATEMENTS and "directive" not in node}) if tree else []
    return len(starts), [number for number in starts if missed is None or number in missed]
