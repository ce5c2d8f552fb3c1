"""One pytest session over a skill's tests, in a child of the test bed (`testbed.py`). Runs in the sandbox.

Nothing in the skill's folder configures it: no ini file, no conftest, no plugin, no bytecode. Each function here gives the
work of one kind of child: it writes JSON lines and ends with `{"done": true}`.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from types import CodeType
from typing import Any

import coverage
import gut
import mutate
import pytest
import sightings

SUFFIXES = (".py",)
OURS = ("testbed", "session", "sightings", "mutate", "gut")
UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
# Lines that no test can run. Nothing else is left out of coverage: the skill's own `pragma: no cover` does not count.
NEVER_RUN = (r"^if __name__ == ['\"]__main__['\"]:\s*$", r"^if (typing\.)?TYPE_CHECKING:\s*$")
ENDED = (
    pytest.ExitCode.OK,
    pytest.ExitCode.TESTS_FAILED,
    pytest.ExitCode.NO_TESTS_COLLECTED,
)  # and neither broken nor interrupted
MESSAGE_LINES, MESSAGE_LENGTH = 6, 600
# Plugins of pytest that only a person at a terminal needs, or that cost more than they tell: each run is a fork that lives for some 50 ms.
UNUSED = (
    *(
        "cacheprovider",
        "debugging",
        "doctest",
        "faulthandler",
        "junitxml",
        "legacypath",
        "pastebin",
        "setuponly",
        "setupplan",
        "stepwise",
    ),
    *("terminal", "threadexception", "unraisableexception", "warnings"),
)

Job = dict[str, Any]
Sources = dict[str, bytes]
Change = Callable[[str, bytes], ast.Module]
Emit = Callable[..., None]
Site = mutate.Site


def warm() -> None:
    """Imports what a session would import, so that its forks have it."""
    from _pytest.config import default_plugins

    for name in (*default_plugins, "_argcomplete"):
        importlib.import_module(f"_pytest.{name}")
    for name in (
        "readline",
        "encodings.unicode_escape",
        "sqlite3",
        "unittest",
        "unittest.mock",
        "coverage.sqldata",
        "coverage.python",
        "coverage.results",
        "coverage.tracer",
    ):
        importlib.import_module(name)


def sites(source: bytes) -> list[mutate.Site]:
    try:
        return mutate.sites(ast.parse(source))
    except UNPARSABLE:
        return []


# ---- the kinds of children ----------------------------------------------------------------------------------------------


def clean(job: Job, own: list[str], lines: list[tuple[str, int]]) -> Callable[[Emit], None]:
    """The author's tests as they are, with the coverage of the files `own` and, for `lines`, the tests that ran them."""

    def work(emit: Emit) -> None:
        _enter(job, {path: compiled(job, path, (Path(job["root"]) / path).read_bytes(), _unchanged) for path in own})
        sightings.watch(job["root"], emit)
        measured = coverage.Coverage(data_file=None, config_file=False, source=[job["root"]], omit=[f"{job['root']}/tests/*"], messages=False)
        measured.clear_exclude()
        for pattern in NEVER_RUN:
            measured.exclude(pattern)
        measured.start()
        status = _run(job, _Telling(emit, Path(job["root"]), measured.switch_context), "--continue-on-collection-errors")
        measured.stop()
        data = measured.get_data()
        shares = {}
        for path in own:
            _, statements, _, missing, _ = measured.analysis2(f"{job['root']}/{path}")
            shares[path] = [len(statements), missing]
        emit(coverage=shares)
        found = {path: data.contexts_by_lineno(f"{job['root']}/{path}") for path in {path for path, _ in lines}}
        emit(contexts=[[path, line, found[path][line]] for path, line in lines if found[path].get(line)])
        emit(done=status in ENDED)

    return work


def gutted(job: Job, sources: Sources) -> Callable[[Emit], None]:
    return _counting(job, sources, lambda _, source: gut.gutted(source, job["gut"]))


def again(job: Job, sources: Sources, only: set[str] | None = None) -> Callable[[Emit], None]:
    return _counting(job, sources, _unchanged, only)


def mutant(job: Job, sources: Sources, target: str, number: int, only: set[str] | None) -> Callable[[Emit], None]:
    """Mutant `number` of the file `target`, against the tests `only` (None: all)."""
    return _counting(job, sources, lambda path, source: mutate.mutated(source, number) if path == target else ast.parse(source), only)


def _counting(job: Job, sources: Sources, change: Change, only: set[str] | None = None) -> Callable[[Emit], None]:
    """Runs up to the first failure, and tells only whether there was one.

    The code is made here, before the run: in its process nothing says where the code came from.
    """
    codes = {path: compiled(job, path, source, change) for path, source in sources.items()}

    def work(emit: Emit) -> None:
        _enter(job, codes)
        counting = _Counting(only)
        status = _run(job, counting, "-x", "--assert=plain")
        emit(failed=counting.failed or status not in ENDED)
        emit(done=True)

    return work


def _unchanged(_: str, source: bytes) -> ast.Module:
    return ast.parse(source)


def compiled(job: Job, path: str, source: bytes, change: Change) -> CodeType | None:
    """None where Python cannot read it: the import tells that, as it does anywhere."""
    try:
        return compile(change(path, source), f"{job['root']}/{path}", "exec", dont_inherit=True)
    except UNPARSABLE:
        return None


def _run(job: Job, plugin: object, *options: str) -> int:
    scratch = f"/tmp/run-{os.getpid()}"
    fixed = [
        "-c",
        os.devnull,
        f"--rootdir={job['root']}",
        "--noconftest",
        "-s",
        f"--basetemp={scratch}",
        *(f"-pno:{name}" for name in UNUSED),
    ]
    return int(pytest.main([*fixed, *options, f"{job['root']}/tests"], plugins=[plugin]))


# ---- importing the skill ----------------------------------------------------------------------------------------------


def _enter(job: Job, codes: dict[str, CodeType | None]) -> None:
    """Makes this process the skill's: its folder is where we are and comes first on the path, its modules load from `codes`."""
    for name in OURS:
        sys.modules.pop(name, None)
    sys.path[:1] = [job["root"], *job["path"]]
    sys.meta_path.insert(0, _Own(job["root"], codes))
    sys.pycache_prefix = "/nowhere"  # bytecode that lies in the skill's folder is not looked at
    os.chdir(job["root"])


class _Own(importlib.abc.MetaPathFinder):
    """Finds the skill's own modules, and loads the code that is given; never from bytecode."""

    def __init__(self, root: str, codes: dict[str, CodeType | None]) -> None:
        self._root, self._codes = root, codes

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or not spec.origin or not spec.origin.startswith(f"{self._root}/"):
            return None
        relative = spec.origin[len(f"{self._root}/") :]
        if relative not in self._codes:
            return None
        spec.loader = _Loader(name, spec.origin, self._codes[relative])
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, code: CodeType | None) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code or compile(self.get_data(self.path), self.path, "exec", dont_inherit=True)


# ---- watching pytest ------------------------------------------------------------------------------------------------


class _Counting:
    """Notes whether anything failed."""

    def __init__(self, only: set[str] | None) -> None:
        self._only = only
        self.failed = False

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self._only is not None:
            items[:] = [item for item in items if item.nodeid in self._only]
        for item in items:
            item.repr_failure = _unspoken  # type: ignore[method-assign]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.failed |= report.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed


def _unspoken(excinfo: pytest.ExceptionInfo[BaseException], style: str | None = None) -> str:
    """In place of pytest's own account of a failure, which costs more than the test."""
    return "failed"


class _Telling:
    """Tells of every test as it starts and ends."""

    def __init__(self, emit: Emit, root: Path, switch_context: Callable[[str], Any]) -> None:
        self._emit, self._root, self._switch_context = emit, root, switch_context
        self._result: dict[str, Any] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            item.repr_failure = _unspoken  # type: ignore[method-assign]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._emit(start=nodeid)
        self._switch_context(nodeid)
        self._result = {"id": nodeid, "outcome": "passed", "message": ""}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
        report = yield
        if report.failed:
            outcome = "failed" if call.when == "call" else "error"
            told = self._told(call.excinfo) if call.excinfo else {"message": str(report.longrepr)}
            self._result = {"id": item.nodeid, "outcome": outcome, **told}
        elif report.skipped and self._result["outcome"] == "passed":
            self._result["outcome"] = "skipped"
        return report

    def pytest_runtest_logfinish(self) -> None:
        self._switch_context("")
        self._emit(test=self._result)

    def pytest_exception_interact(self, node: pytest.Item | pytest.Collector, call: pytest.CallInfo[Any]) -> None:
        if isinstance(node, pytest.Collector) and call.excinfo:
            self._emit(test={"id": node.nodeid, "outcome": "error", **self._told(call.excinfo)})

    def _told(self, excinfo: pytest.ExceptionInfo[BaseException]) -> dict[str, Any]:
        """The message of a failure, and the skill's own line where it came from."""
        if isinstance(excinfo.value, pytest.Collector.CollectError) and excinfo.value.__cause__:
            excinfo = pytest.ExceptionInfo.from_exception(excinfo.value.__cause__)
        lines = [line for line in excinfo.exconly(tryshort=True).splitlines() if line.strip()]
        told: dict[str, Any] = {"message": "\n".join(lines[:MESSAGE_LINES])[:MESSAGE_LENGTH]}
        for entry in excinfo.traceback:
            if Path(entry.path).is_relative_to(self._root):
                told |= {"path": str(Path(entry.path).relative_to(self._root)), "line": entry.lineno + 1}
        if isinstance(excinfo.value, SyntaxError) and excinfo.value.filename and Path(excinfo.value.filename).is_relative_to(self._root):
            told |= {"path": str(Path(excinfo.value.filename).relative_to(self._root)), "line": excinfo.value.lineno}
        return told
