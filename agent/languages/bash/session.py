"""What the test bed does in its children for a Bash skill: runs test functions one by one. Runs in the sandbox, as `/testbed/session.py`.

Nothing is written beside the skill: a changed script lies in a copy of its folder below /tmp.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from agent.languages.bash import mutate
from agent.languages.bash.lexer import Unreadable
from agent.languages.bash.syntax import commands

SUFFIXES = (".sh", ".bash")
FAILURES, TRACE = 199, 200  # descriptors of drive.sh and trace.sh
MESSAGE_LINES, MESSAGE_LENGTH = 6, 600
_TRACED = re.compile(rb"\++\t([^\t\n]*)\t(\d+)\t")
_COMPLAINT = re.compile(r"(?P<path>\S+\.sh): line (?P<line>\d+): (?P<message>.*)")

Job = dict[str, Any]
Sources = dict[str, bytes]
Emit = Callable[..., None]
Site = mutate.Site
Place = tuple[str, int]


def warm() -> None:
    """There is nothing to import."""


def sites(source: bytes) -> list[Site]:
    try:
        return mutate.sites(source.decode())
    except (Unreadable, UnicodeDecodeError):
        return []


# ---- the kinds of children ----------------------------------------------------------------------------------------------


def clean(job: Job, own: list[str], lines: list[Place]) -> Callable[[Emit], None]:
    """The author's tests as they are, with the coverage of the files `own` and, for `lines`, the tests that ran them."""

    def work(emit: Emit) -> None:
        statements = {path: _statements(Path(job["root"]) / path) for path in own}
        ran: dict[str, set[Place]] = {}
        for test in job["tests"]:
            emit(start=test)
            result = _Run(job, job["root"], test, traced=True)
            ran[test] = _reached(statements, result.places())
            emit(test=result.told())
        reached = set[Place]().union(*ran.values())
        emit(coverage={path: _share(path, spans, reached) for path, spans in statements.items()})
        emit(contexts=[[*place, ids] for place in lines if (ids := [test for test in job["tests"] if place in ran[test]])])
        emit(done=True)

    return work


def gutted(job: Job, sources: Sources) -> Callable[[Emit], None]:
    least = shlex.quote(json.dumps(job["gut"]["execute"]))
    return _counting(job, {job["entrypoint"]: f"cat >/dev/null\nprintf '%s\\n' {least}\n".encode()}, job["tests"])


def again(job: Job, sources: Sources, only: set[str] | None = None) -> Callable[[Emit], None]:
    return _counting(job, {}, [test for test in job["tests"] if only is None or test in only])


def mutant(job: Job, sources: Sources, target: str, number: int, only: set[str] | None) -> Callable[[Emit], None]:
    """Mutant `number` of the file `target`, against the tests `only` (None: all)."""
    changed = mutate.mutated(sources[target].decode(), number).encode()
    return _counting(job, {target: changed}, [test for test in job["tests"] if only is None or test in only])


def _counting(job: Job, changed: Sources, tests: Iterable[str]) -> Callable[[Emit], None]:
    """Runs up to the first failure, and tells only whether there was one."""

    def work(emit: Emit) -> None:
        scratch = Path(f"/tmp/run-{os.getpid()}")
        root = _copy(job["root"], scratch / "code", changed)  # also where nothing is changed: no run can tell which it is by where it is
        emit(failed=any(_Run(job, root, test).status for test in tests))
        shutil.rmtree(scratch, ignore_errors=True)
        emit(done=True)

    return work


def _copy(root: str, target: Path, changed: Sources) -> str:
    shutil.copytree(root, target)
    for path, content in changed.items():
        (target / path).unlink()
        (target / path).write_bytes(content)
    return str(target)


# ---- one test -----------------------------------------------------------------------------------------------------------


class _Run:
    """One test function in a Bash of its own. `status` is 0 where it passed."""

    def __init__(self, job: Job, root: str, test: str, *, traced: bool = False) -> None:
        self._test, self._root = test, root
        self._places: set[tuple[bytes, bytes]] = set()
        self._rest, self._failures, self._said = b"", b"", bytearray()
        path, _, function = test.partition("::")
        scratch = Path(f"/tmp/run-{os.getpid()}/tmp")
        scratch.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "TMPDIR": str(scratch), "SKILL_ENTRYPOINT": job["entrypoint"]}
        if traced:
            environment["BASH_ENV"] = "/testbed/trace.sh"
        takers = {FAILURES: self._fail, **({TRACE: self._trace} if traced else {})}
        readers = [self._collect(descriptor, take) for descriptor, take in takers.items()]
        done = subprocess.Popen(
            [job["bash"], "/testbed/drive.sh", path, function], cwd=root, env=environment, pass_fds=tuple(takers),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        readers.append(_reader(done.stderr.fileno(), self._said.extend))  # type: ignore[union-attr]
        self.status = done.wait()
        for descriptor in takers:
            os.close(descriptor)
        for thread in readers:
            thread.join(1.0)
        shutil.rmtree(scratch, ignore_errors=True)

    def _collect(self, descriptor: int, take: Callable[[bytes], None]) -> threading.Thread:
        near, far = os.pipe()
        os.dup2(far, descriptor)
        os.close(far)
        return _reader(near, take)

    def _fail(self, part: bytes) -> None:
        self._failures = (self._failures + part)[-64 * 1024 :]

    def _trace(self, part: bytes) -> None:
        """Keeps the places, and the last line while it may go on."""
        text = self._rest + part
        self._rest = text[text.rfind(b"\n") + 1 :][-4096:]
        self._places.update(_TRACED.findall(text))

    def places(self) -> dict[str, set[int]]:
        """The lines, by file, that traced commands were on."""
        found: dict[str, set[int]] = {}
        for name, line in self._places:
            found.setdefault(self._relative(name), set()).add(int(line))
        return found

    def _relative(self, name: bytes) -> str:
        return os.path.relpath(Path(self._root) / name.decode(errors="replace"), self._root)

    def told(self) -> dict[str, Any]:
        """As the report has it: with the message and the place where it failed."""
        if not self.status:
            return {"id": self._test, "outcome": "passed", "message": ""}
        path = self._test.partition("::")[0]
        said = [line for line in self._said.decode(errors="replace").splitlines() if line.strip()]
        *_, line, message = ["", "", *self._failures.decode(errors="replace").split("\0")[:-1]]
        place: dict[str, Any] = {"path": path, "line": int(line)} if line.isdigit() and int(line) else {"path": path}
        if not message and said and (match := _COMPLAINT.search(said[-1])):
            message, place = match["message"], {"path": self._relative(match["path"].encode()), "line": int(match["line"])}
        if not message or "ended with status" in message:
            message = "\n".join([message or f"ended with status {self.status}", *said[-MESSAGE_LINES:]])
        return {"id": self._test, "outcome": "failed", "message": message.strip()[:MESSAGE_LENGTH], **place}


def _reader(descriptor: int, take: Callable[[bytes], None]) -> threading.Thread:
    def read() -> None:
        while part := os.read(descriptor, 2**16):
            take(part)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


# ---- coverage -----------------------------------------------------------------------------------------------------------


def _statements(path: Path) -> list[tuple[int, int]]:
    """The first and last line of each command of a script, those of substitutions apart."""
    try:
        return sorted({(command.line, command.last_line) for command in commands(path.read_text()) if not command.inner})
    except (Unreadable, UnicodeDecodeError):
        return []


def _reached(statements: dict[str, list[tuple[int, int]]], places: dict[str, set[int]]) -> set[Place]:
    """All lines of the commands that ran: Bash tells one line of a command, not always its first."""
    return {
        (path, line)
        for path, spans in statements.items()
        for start, end in spans
        if not places.get(path, set()).isdisjoint(range(start, end + 1))
        for line in range(start, end + 1)
    }


def _share(path: str, spans: list[tuple[int, int]], reached: set[Place]) -> tuple[int, list[int]]:
    """How many lines start a command, and which of them no test ran."""
    lines = sorted({start for start, _ in spans})
    return len(lines), [line for line in lines if (path, line) not in reached]
