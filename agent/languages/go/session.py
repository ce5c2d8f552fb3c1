"""What the test bed does in its children for a Go skill: runs the compiled tests. Runs in the sandbox, as `/testbed/session.py`.

Which mutant runs is said by SKILLOPS_MUTANT: 0 for none, -1 for the gutted skill (`analyser/change.go`). Nothing is compiled here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

SUFFIXES = (".go",)
MADE = Path("/testbed/made")
MESSAGE_LINES, MESSAGE_LENGTH = 6, 600
_MARK = "\x16"  # before what the runner itself says (test2json)
_SAID = re.compile(r"(=== (?:RUN|NAME|CONT|PAUSE)|--- (?:PASS|FAIL|SKIP):) +(\S+)")
_PLACE = re.compile(r"^\s*([\w./-]+\.go):(\d+): ?(.*)")
_FRAME = re.compile(r"^\s+(?:/skill/code/|skill/)?([\w./-]+\.go):(\d+)")
_BLOCK = re.compile(r"skill/(?P<path>\S+):(?P<from>\d+)\.(?P<col>\d+),(?P<to>\d+)\.(?P<last>\d+) \d+ (?P<count>\d+)")
_ENDS = {"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"}

Job = dict[str, Any]
Sources = dict[str, bytes]
Emit = Callable[..., None]


@dataclass(frozen=True)
class Site:
    """One mutant, as the analyser found it. `number` is its number in the program."""

    number: int
    line: int
    statement: int
    change: str
    inside: bool = True


@cache
def _known() -> dict[str, Any]:
    known: dict[str, Any] = json.loads((MADE / "sites.json").read_bytes())
    return known


def warm() -> None:
    """There is nothing to import."""


def sites(source: bytes) -> list[Site]:
    found = _known()["sites"].get(hashlib.sha256(source).hexdigest(), [])
    return [Site(site["number"], site["line"], site["statement"], f"{_shown(site['old'])} → {_shown(site['new'])}") for site in found]


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return (f"`{text}`" if len(text) <= 60 else f"`{text[:59]}…`") if text else "nothing"


# ---- the kinds of children ----------------------------------------------------------------------------------------------


def clean(job: Job, own: list[str], lines: list[tuple[str, int]]) -> Callable[[Emit], None]:
    """The author's tests as they are, with the coverage of the files `own`."""

    def work(emit: Emit) -> None:
        profile = Path(f"/tmp/cover-{os.getpid()}")
        told = _Told(job)
        process = subprocess.Popen(
            [MADE / "clean.test", "-test.v=test2json", "-test.paniconexit0", "-test.timeout=0", f"-test.coverprofile={profile}"],
            cwd=f"{job['root']}/tests", env=_environment(job, 0), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        for text in process.stdout or ():
            for emitted in told.of(text.decode(errors="replace").rstrip("\n")):
                emit(**emitted)
        status = process.wait()
        for emitted in told.rest():
            emit(**emitted)
        coverage, ran = _coverage(profile, own)
        emit(coverage=coverage)
        emit(contexts=[[*place, [""]] for place in lines if tuple(place) in ran])
        emit(done=status in (0, 1, 2))  # 2: a panic, which was told

    return work


def gutted(job: Job, sources: Sources) -> Callable[[Emit], None]:
    return _counting(job, "changed.test", -1)


def again(job: Job, sources: Sources, only: set[str] | None = None) -> Callable[[Emit], None]:
    return _counting(job, "changed.test", 0)  # the program of the mutants, none of which is on


def mutant(job: Job, sources: Sources, target: str, number: int, only: set[str] | None) -> Callable[[Emit], None]:
    return _counting(job, "changed.test", sites(sources[target])[number].number)


def _counting(job: Job, program: str, number: int) -> Callable[[Emit], None]:
    """Tells only whether a test failed."""

    def work(emit: Emit) -> None:
        silent = subprocess.DEVNULL
        command = [MADE / program, "-test.failfast", "-test.paniconexit0", "-test.timeout=0"]
        done = subprocess.run(
            command, cwd=f"{job['root']}/tests", env=_environment(job, number), stdin=silent, stdout=silent, stderr=silent, check=False
        )
        emit(failed=done.returncode != 0)
        emit(done=True)

    return work


def _environment(job: Job, number: int) -> dict[str, str]:
    return {**os.environ, "GOMEMLIMIT": str(job["memory"]), "SKILLOPS_MUTANT": str(number)}


# ---- watching the runner ------------------------------------------------------------------------------------------------


class _Told:
    """Turns what the runner prints into the lines of the report."""

    def __init__(self, job: Job) -> None:
        self._files, self._root = job["tests"], Path(job["root"])
        self._running: list[str] = []
        self._printed: dict[str, list[str]] = {}
        self._now = ""
        self._silent: list[str] = []  # failed, and said nothing yet: a panic is printed after that

    def of(self, line: str) -> Iterator[dict[str, Any]]:
        before, marked, after = line.rpartition(_MARK)
        said = _SAID.match(after.lstrip()) if marked else None
        if not said:
            self._printed.setdefault(self._now, []).append(line.replace(_MARK, ""))
            return
        if before:
            self._printed.setdefault(self._now, []).append(before)
        verb, self._now = said[1], said[2]
        if verb == "=== RUN":
            self._running.append(self._now)
            yield {"start": self._id(self._now)}
        elif verb.startswith("---"):
            self._running = [name for name in self._running if name != self._now]
            outcome = _ENDS[verb.split()[1].rstrip(":")]
            if outcome == "failed" and not self._printed_by(self._now):
                self._silent.append(self._now)
                return
            failure = self._failure(self._now) if outcome == "failed" else {"message": ""}
            yield {"test": {"id": self._id(self._now), "outcome": outcome, **failure}}
            self._now = self._now.rpartition("/")[0] if outcome != "failed" else self._now

    def rest(self) -> Iterator[dict[str, Any]]:
        """What failed without a word, and what was running when the program ended by a panic."""
        for name in self._silent:
            yield {"test": {"id": self._id(name), "outcome": "failed", **self._failure(name)}}
        if self._running and any(line.startswith(("panic: ", "fatal error: ")) for lines in self._printed.values() for line in lines):
            name = self._running[-1]
            self._printed[name] = [line for lines in self._printed.values() for line in lines]
            yield {"test": {"id": self._id(name), "outcome": "failed", **self._failure(name)}}

    def _printed_by(self, name: str) -> list[str]:
        """By a test, or where it is silent by those in it."""
        return self._printed.get(name) or [line for other, lines in self._printed.items() if other.startswith(f"{name}/") for line in lines]

    def _id(self, name: str) -> str:
        return f"{self._files.get(name.partition('/')[0], 'tests')}::{name}"

    def _failure(self, name: str) -> dict[str, Any]:
        """The message of a failure, and the skill's own line where it came from."""
        printed = self._printed_by(name)
        place = {"path": self._files.get(name.partition("/")[0]), "line": 1}
        if cause := next((at for at, line in enumerate(printed) if line.startswith(("panic: ", "fatal error: "))), None):
            printed = printed[cause:]
        if printed and printed[0].startswith(("panic: ", "fatal error: ")):
            frames = [(path, int(line)) for text in printed for path, line in _FRAME.findall(text) if (self._root / path).is_file()]
            if frames:
                place = {"path": frames[0][0], "line": frames[0][1]}
            return {"message": printed[0].removesuffix(" [recovered, repanicked]").removesuffix(" [recovered]")[:MESSAGE_LENGTH], **place}
        lines = []
        for text in printed:
            if (match := _PLACE.match(text)) and (self._root / "tests" / match[1]).is_file():
                if not lines:
                    place = {"path": f"tests/{match[1]}", "line": int(match[2])}
                text = match[3]
            if text.strip():
                lines.append(text.strip())
        return {"message": "\n".join(lines[:MESSAGE_LINES])[:MESSAGE_LENGTH] or "failed without a word", **place}


def _coverage(profile: Path, own: list[str]) -> tuple[dict[str, tuple[int, list[int]]], set[tuple[str, int]]]:
    """For each file how many lines start a statement, and which of them no test ran; and the places that were run."""
    blocks: dict[str, list[tuple[tuple[int, int], tuple[int, int], bool]]] = {}
    try:
        text = profile.read_text(errors="replace")
    except OSError:
        text = ""
    for match in _BLOCK.finditer(text):
        span = (int(match["from"]), int(match["col"])), (int(match["to"]), int(match["last"]))
        blocks.setdefault(match["path"], []).append((*span, match["count"] != "0"))
    shares: dict[str, tuple[int, list[int]]] = {}
    ran: set[tuple[str, int]] = set()
    for path in own:
        reached: dict[int, bool] = {}
        for line, column in _known()["statements"].get(path, []):
            hits = [covered for start, end, covered in blocks.get(path, []) if start <= (line, column) < end]
            if hits:
                reached[line] = reached.get(line, False) or any(hits)
        shares[path] = (len(reached), sorted(line for line, covered in reached.items() if not covered))
        ran |= {(path, line) for line, covered in reached.items() if covered}
    return shares, ran
