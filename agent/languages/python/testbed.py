"""The test bed: runs in the sandbox, once for all the runs of a skill's tests, in any language. Standard library only.

`python -s -S testbed.py < JOB`, with the report on descriptor 3, both JSON; `session.py` beside it says what is done in each child.
This process never imports the skill; it forks a child for the clean run (with coverage), one for the gutted skill, one for each
mutant, and some for the unchanged skill again, whose tests must pass again. A child is a session of its own and is killed with all
that it started.

What a child says of itself may be forged: the author's tests run in it. So the runs that count are blind. A child is told the code that
it tests and the tests to run, and nothing of what is expected of it; all that this process knew is let go of before the first line of
the author's runs (`Become`). A forger who claims a pass each time has the gutted skill pass, one who claims a failure has the unchanged
skill fail, also where only some of its tests are run; to tell them apart, they would have to look at what the skill does, which is a test.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import math
import os
import random
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import session  # the language's own
import sightings

CHILD_OUTPUT = 16 * 2**20  # bytes of a child's report
CHILD_FILE = 16 * 2**20  # bytes of a file that a child may write
LOOK_SECONDS = 0.05  # between two looks at children, where no descriptor tells of their end
MUTANTS_SECONDS = 120.0  # wall time for all mutants together
PR_SET_DUMPABLE = 4
DECOYS = 2  # runs of the unchanged skill with the tests of a mutant, among the mutants
AGAIN = 3  # runs of the unchanged skill beside the gutted one, where there are no mutants
CHANCE = random.SystemRandom()  # the order of the blind runs, which no author can work out


class Emit:
    """Writes JSON lines to a descriptor. A test that does not say itself how long it took has the seconds since its start."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._started = descriptor, dict[str, float]()

    def __call__(self, **line: Any) -> None:
        if "start" in line:
            self._started[line["start"]] = time.monotonic()
        if (test := line.get("test")) and test["id"] in self._started:
            test.setdefault("seconds", round(time.monotonic() - self._started[test["id"]], 4))
        data = json.dumps(line).encode() + b"\n"
        while data:
            data = data[os.write(self._descriptor, data) :]


@dataclass(frozen=True)
class Plan:
    """One child: what it does, and the seconds of wall time and processor time that it may take (0: no limit of its own)."""

    work: Callable[[Emit], None]
    wall: float
    cpu: float = 0.0


@dataclass
class Run:
    """A child that runs, or ran. `end` is done, exit (without having said that it is done), timeout or flood."""

    plan: Plan
    pid: int
    pidfd: int
    pipe: int
    started: float
    data: bytearray = field(default_factory=bytearray)
    end: str = ""
    status: int = 0
    cpu: float = 0.0
    wall: float = 0.0

    def has_ended(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def lines(self) -> list[dict[str, Any]]:
        found = []
        for line in bytes(self.data).splitlines():
            with contextlib.suppress(ValueError):
                if isinstance(value := json.loads(line), dict):
                    found.append(value)
        return found

    def said(self, key: str) -> Any:
        return next((line[key] for line in self.lines() if key in line), None)


def _failed(run: Run) -> bool:
    return run.end != "done" or bool(run.said("failed"))


class Become(BaseException):
    """Raised in a child, so that everything above is unwound: nobody in it can find what the parent knew."""


def main() -> None:
    try:
        _examine()
    except Become as become:
        plan, pipe, limits = become.args
    else:
        return
    gc.collect()
    _child(plan, pipe, limits)


def _examine() -> None:
    job = json.load(sys.stdin.buffer)
    session.warm()
    gc.freeze()  # a child's collections leave these pages shared
    # A child must not reach the report's descriptor through /proc (prctl(2)).
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    report = Bed(job).report()
    with os.fdopen(3, "wb") as result:
        result.write(json.dumps(report).encode())


class Bed:
    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._root = Path(job["root"])
        self._repeats = True
        self._sources = {
            str(path.relative_to(self._root)): path.read_bytes()
            for path in sorted(self._root.rglob("*"))
            if path.suffix in session.SUFFIXES and path.is_file() and path.relative_to(self._root).parts[0] != "tests"
        }

    def report(self) -> dict[str, Any]:
        mutants = self._choose()
        lines = sorted({(path, line) for path, _, site in mutants for line in (site.line, site.statement)})
        before = sightings.network()
        (clean,) = self._pool([Plan(session.clean(self._job, list(self._sources), lines), self._job["seconds"])])
        tests = [line["test"] for line in clean.lines() if "test" in line]
        started = [line["start"] for line in clean.lines() if "start" in line]
        report: dict[str, Any] = {
            "tests": tests,
            "end": clean.end,
            "status": clean.status,
            "last": started[-1] if started else None,
            "tried": [line["tried"] for line in clean.lines() if "tried" in line],
            "network": sightings.network() > before,
        }
        if clean.end != "done" or not tests or any(test["outcome"] in ("failed", "error") for test in tests):
            return report
        report["coverage"] = clean.said("coverage")
        return report | self._changed(mutants, clean)

    def _choose(self) -> list[tuple[str, int, session.Site]]:
        """The mutants to try: all sites of the skill, or as many as asked for, chosen by the seed."""
        found = [(path, number, site) for path, source in self._sources.items() for number, site in enumerate(session.sites(source))]
        wanted = self._job["mutants"]
        chosen = random.Random(self._job["seed"]).sample(range(len(found)), min(wanted, len(found)))
        return [found[index] for index in sorted(chosen)]

    def _changed(self, mutants: list[tuple[str, int, session.Site]], clean: Run) -> dict[str, Any]:
        """The gutted skill and the unchanged one, side by side; then the mutants, which may take a few times as long."""
        wall = 2.0 + 8 * clean.wall
        again = [Plan(session.again(self._job, self._sources), wall) for _ in range(1 if mutants else AGAIN)]
        gutted = [] if self._job["gut"] is None else [Plan(session.gutted(self._job, self._sources), wall)]
        plans = [*(again if mutants or gutted else []), *gutted]
        CHANCE.shuffle(plans)
        runs = {id(plan): run for plan, run in zip(plans, self._pool(plans), strict=True)}
        report: dict[str, Any] = {"gutted_passes": not _failed(runs[id(gutted[0])]) if gutted else None}
        if plans:
            report["repeats"] = not any(_failed(runs[id(plan)]) for plan in again)
        if mutants and report["repeats"]:
            report["mutants"] = self._mutants(mutants, clean, wall, 0.25 + 4 * runs[id(again[0])].cpu)
            report["repeats"] = self._repeats
        return report

    def _mutants(self, mutants: list[tuple[str, int, session.Site]], clean: Run, wall: float, cpu: float) -> list[dict[str, Any]]:
        """Which mutants die. One whose line no test runs lives without being tried; those that time does not reach are left out."""
        contexts = {(path, line): ids for path, line, ids in clean.said("contexts") or []}
        decoys = CHANCE.sample(range(len(mutants)), min(DECOYS, len(mutants)))
        plans: list[tuple[Plan, int | None]] = []  # each with the number of its mutant; None: a decoy
        for number, (path, place, site) in enumerate(mutants):
            if ids := {*contexts.get((path, site.line), []), *contexts.get((path, site.statement), [])}:
                only = ids if site.inside and "" not in ids else None
                plans.append((Plan(session.mutant(self._job, self._sources, path, place, only), wall, cpu), number))
                plans += [(Plan(session.again(self._job, self._sources, only), wall, cpu), None)] if number in decoys else []
        CHANCE.shuffle(plans)
        runs = self._pool([plan for plan, _ in plans], time.monotonic() + MUTANTS_SECONDS)
        ended = [(number, _failed(run)) for (_, number), run in zip(plans, runs, strict=False)]
        self._repeats = not any(failed for number, failed in ended if number is None)
        killed, untried = dict(ended), {number for _, number in plans[len(runs) :]}
        return [
            {"path": path, "line": site.line, "change": site.change, "killed": killed.get(number, False)}
            for number, (path, _, site) in enumerate(mutants)
            if number not in untried
        ]

    # ---- children ----------------------------------------------------------------------------------------------------

    def _pool(self, plans: list[Plan], until: float = float("inf")) -> list[Run]:
        """The runs of `plans` in their order, as many at once as there are processors; none starts after `until`."""
        waiting = list(enumerate(plans))
        running: dict[int, Run] = {}
        self._running = running.values()
        ended: dict[int, Run] = {}
        while (waiting and time.monotonic() < until) or running:
            while waiting and len(running) < self._job["workers"] and time.monotonic() < until:
                number, plan = waiting.pop(0)
                running[number] = self._start(plan)
            self._wait(list(running.values()))
            for number in [number for number, run in running.items() if run.end]:
                ended[number] = running.pop(number)
        return [ended[number] for number in sorted(ended)]

    def _start(self, plan: Plan) -> Run:
        near, far = os.pipe()
        os.set_blocking(near, False)
        pid = os.fork()
        if pid == 0:
            os.close(near)
            for run in self._running:
                os.close(run.pipe)
                os.close(run.pidfd)
            raise Become(plan, far, {"address_space": self._job["address_space"], "memory": self._job["memory"]})
        os.close(far)
        return Run(plan, pid, _opened(pid), near, time.monotonic())

    def _wait(self, runs: list[Run]) -> None:
        """Waits until something happens to one of `runs`; sets `end` of those that ended."""
        left = max(0.0, min(run.started + run.plan.wall for run in runs) - time.monotonic())
        select.select([fd for run in runs for fd in (run.pidfd, run.pipe)], [], [], min(left, LOOK_SECONDS))
        for run in runs:
            self._drain(run)
            if run.has_ended():
                self._end(run, "exit")
            elif len(run.data) > CHILD_OUTPUT:
                self._end(run, "flood")
            elif time.monotonic() >= run.started + run.plan.wall:
                self._end(run, "timeout")

    def _drain(self, run: Run) -> None:
        with contextlib.suppress(BlockingIOError):
            while len(run.data) <= CHILD_OUTPUT and (part := os.read(run.pipe, 2**18)):
                run.data += part

    def _end(self, run: Run, how: str) -> None:
        for kill in (os.killpg, os.kill):  # the second where the child has no session yet
            with contextlib.suppress(ProcessLookupError):
                kill(run.pid, signal.SIGKILL)
        _, status, used = os.wait4(run.pid, 0)
        self._drain(run)
        os.close(run.pidfd)
        os.close(run.pipe)
        run.end = "done" if how == "exit" and run.said("done") else how
        run.status = os.waitstatus_to_exitcode(status)
        run.cpu, run.wall = used.ru_utime + used.ru_stime, time.monotonic() - run.started


def _opened(pid: int) -> int:
    """A descriptor that tells when a child has ended; on gVisor's kernel, which has none, one that is silent."""
    with contextlib.suppress(OSError):
        return os.pidfd_open(pid)
    return os.eventfd(0)


def _child(plan: Plan, pipe: int, job: dict[str, Any]) -> NoReturn:
    with contextlib.suppress(BaseException):
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.close(3)
        limits = {resource.RLIMIT_FSIZE: CHILD_FILE, resource.RLIMIT_CORE: 0}
        if job["address_space"]:
            with open("/proc/self/statm") as statm:
                limits[resource.RLIMIT_AS] = int(statm.read().split()[0]) * resource.getpagesize() + job["memory"]
        if plan.cpu:
            limits[resource.RLIMIT_CPU] = math.ceil(plan.cpu)  # of each process; the timer below is finer, and holds for this one
        for limit, value in limits.items():
            hard = resource.getrlimit(limit)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(limit, (value, value))
        signal.setitimer(signal.ITIMER_PROF, plan.cpu)  # its signal ends the process
        plan.work(Emit(pipe))
    os._exit(0)


if __name__ == "__main__":
    main()
