"""One sandbox run of the test bed (`python/testbed.py`) over a skill's tests, and what its report means, for any language.

A language brings a `session.py`: what the test bed does in its children (see `python/session.py` and `bash/session.py`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.domain.capability import Capability, first_of
from agent.domain.check import Mutant, Outcome, TestReport, TestRun
from agent.domain.schema import least_value
from agent.domain.skill import WITNESS_PATH, Manifest
from agent.errors import UsageError
from agent.interpreter import base_mounts, interpreter
from agent.languages.python.toolchain import CODE, TESTBED, own_mounts
from agent.ports import Limits, Mount, Sandbox, SandboxResult, SandboxSpec

CLEAN_SECONDS = 60.0  # wall time of the author's tests, run once
ALL_SECONDS = 300.0  # a backstop: the test bed keeps its own time
BED_MEMORY = 512 * 2**20  # bytes, beside what the manifest allows each child
_ENDINGS = {
    "timeout": "the tests took too long",
    "out_of_memory": "the tests ran out of memory",
    "pids": "the tests started too many processes",
    "output_limit": "the tests wrote more than is allowed",
}


def run_tests(
    root: Path,
    manifest: Manifest,
    sandbox: Sandbox,
    *,
    expected: tuple[str, ...],
    wanted: str,
    mounts: tuple[Mount, ...],
    env: Mapping[str, str],
    job: Mapping[str, Any],
    machine: Mapping[str, str],
    mutants: int,
    seed: int,
    gut: bool,
) -> TestReport:
    """`expected`: the ids of the tests that must be reported; `wanted` says in words what none of them would be.

    `mounts`, `env` and `job` are the language's own, beside the test bed and the skill. `machine`: what names a place on
    this machine in a message, and what is said instead.
    """
    if (root / WITNESS_PATH).exists():
        raise UsageError(f"{WITNESS_PATH} must not lie where the tests run.", next_step="Give a copy of the skill without it.")
    if not expected:
        return TestReport(problem=f"there is no test: {wanted}", outcome=Outcome.FAILED)
    workers = os.cpu_count() or 1
    memory = manifest.resources.memory_bytes
    whole = {
        "root": CODE,
        "entrypoint": manifest.entrypoint,
        "mutants": mutants,
        "seed": seed,
        "gut": {"execute": least_value(manifest.outputs)} if gut else None,
        "memory": memory,
        "seconds": CLEAN_SECONDS,
        "workers": workers,
        **job,
    }
    spec = SandboxSpec(
        argv=(interpreter(), "-s", "-S", f"{TESTBED}/testbed.py"),
        mounts=(*base_mounts(), *own_mounts("testbed", "sightings"), Mount(source=root, target=CODE), *mounts),
        env={**manifest.environment, **env, "TZ": "UTC"},
        stdin=json.dumps(whole).encode(),
        limits=Limits(seconds=ALL_SECONDS, memory=BED_MEMORY + workers * memory, processes=128, output=16 * 2**20),
        result_fd=True,
        loopback=bool(manifest.permissions.network),
    )
    return _Reading(manifest, machine).report(sandbox.run(spec), expected)


class _Reading:
    """Turns what came out of the sandbox into a TestReport. Nothing in it is trusted to have the right form."""

    def __init__(self, manifest: Manifest, machine: Mapping[str, str]) -> None:
        self._prefix, self._machine, self._asked = f"skills/{manifest.name}/", machine, manifest.permissions

    def report(self, result: SandboxResult, expected: tuple[str, ...]) -> TestReport:
        if result.ending == "could_not_tell":
            return TestReport(problem="the sandbox could not tell how the tests ended", outcome=Outcome.COULD_NOT_TELL)
        try:
            said = json.loads(result.result)
            return self._read(said, expected)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, ValidationError):
            why = _ENDINGS.get(result.ending, "the test run ended without a report that can be read")
            return TestReport(problem=why, outcome=Outcome.FAILED)

    def _read(self, said: dict[str, Any], expected: tuple[str, ...]) -> TestReport:
        tests = tuple(self._test(test) for test in said["tests"])
        problem = self._problem(said, tests, expected)
        coverage, missed = self._coverage(said.get("coverage"))
        return TestReport(
            tests=tests,
            coverage=coverage,
            missed=missed,
            gutted_passes=said.get("gutted_passes"),
            mutants=tuple(Mutant(**{**mutant, "path": self._prefix + mutant["path"]}) for mutant in said.get("mutants", ())),
            problem=problem,
            outcome=Outcome.FAILED if problem else Outcome.PASSED,
            tried=first_of(self._tried(said)),
        )

    def _tried(self, said: dict[str, Any]) -> Iterator[Capability]:
        """What the sandbox saw, and what the process told of itself, which can only add to it."""
        declared = {"network": bool(self._asked.network), "files": self._asked.storage != "none"}
        if said.get("network"):
            yield Capability(kind="network", what="a connection", declared=declared["network"], source="sandbox")
        for kind, what, path, line in said.get("tried") or ():
            place = {"path": self._prefix + path, "line": line}
            yield Capability(kind=kind, what=what, declared=declared.get(kind, False), source="sandbox", **place)

    def _problem(self, said: dict[str, Any], tests: tuple[TestRun, ...], expected: tuple[str, ...]) -> str | None:
        last = said["last"] or "the import of the tests"
        if said["end"] == "timeout":
            return f"the tests took longer than {CLEAN_SECONDS:.0f} s; the last to start was {last}"
        if said["end"] == "flood":
            return f"the tests reported more than is allowed; the last to start was {last}"
        if said["end"] != "done":
            return f"the test process ended early, with status {said['status']}, in {last}"
        seen = {test.id.partition("[")[0] for test in tests}
        broken = {test.id for test in tests if test.outcome == "error"}
        if missing := [test for test in expected if test not in seen and test.partition("::")[0] not in broken]:
            return f"these tests did not run: {', '.join(missing[:5])}" + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        if said.get("repeats") is False:
            return "the tests passed once and failed when run again on the same code: each must give the same result every time"
        return None

    def _test(self, test: dict[str, Any]) -> TestRun:
        path = test.get("path")
        return TestRun(**{**test, "message": self._plain(test.get("message", "")), "path": self._prefix + path if path else None})

    def _coverage(self, shares: dict[str, Any] | None) -> tuple[float | None, tuple[tuple[str, int], ...]]:
        if not shares:
            return None, ()
        lines = sum(count for count, _ in shares.values())
        missed = tuple((self._prefix + path, line) for path, (_, missing) in shares.items() for line in missing)
        return (1 - len(missed) / lines if lines else None), missed

    def _plain(self, message: str) -> str:
        """Without what differs from run to run and from machine to machine: addresses, scratch folders, our paths."""
        message = re.sub(r"0x[0-9a-fA-F]{6,}", "0x…", message)
        message = re.sub(r"/tmp/run-\d+/code/", self._prefix, message)
        message = re.sub(r"/tmp/run-\d+", "<tmp>", message)
        for place, name in {f"{CODE}/": self._prefix, **self._machine}.items():
            message = message.replace(place, name)
        return message
