"""The workbench: a Subject with its snapshot on disk, the one build and the one trial that its checks share, and the
running of checks side by side."""

from __future__ import annotations

import stat
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from agent.domain.check import CheckReport, CheckResult, Finding, Outcome, Subject
from agent.domain.decision import Problem
from agent.domain.paths import odd_path, shown
from agent.domain.proposal import Change
from agent.domain.release import Artifact, Endpoint
from agent.domain.skill import WITNESS_PATH, Case, Manifest, SkillName, tree_digest
from agent.domain.stand_in import NO_STAND_INS, STAND_INS_PATH, StandIns
from agent.errors import CouldNotTell, InvalidFile, Refused, SkillOpsError, UsageError
from agent.manifest_file import read_manifest, read_stand_ins, read_witness, witness_digest
from agent.ports import Builder, Check, Runtime, Workbench

T = TypeVar("T")
MANIFEST_PATH = "skill.yaml"
LARGEST_READ = 2**20  # bytes; what a forge leaves out too
LINK = "120000"  # git's mode of a symbolic link; other things that are no file are taken for one
LEFTOVERS = frozenset((".git", ".venv", "__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", "node_modules", ".coverage"))


def make_subject(
    skill: str,
    head: str,
    files: Mapping[str, bytes],
    *,
    root: Path,
    base: str | None = None,
    base_files: Mapping[str, bytes] | None = None,
    changes: Sequence[Change] = (),
    witness_digest: str | None = None,
    kind: str = "person",
    others: Sequence[str] = (),
) -> Subject:
    """Writes the snapshot of `files` (relative to `skills/<skill>/`) to `root` and reads the manifest and the cases.

    The witness cases are not written; nor are paths that `odd_path` objects to, which the check scope refuses.
    Raises CouldNotTell where this machine cannot hold the snapshot.
    """
    try:
        _write_snapshot(root, files)
    except OSError as error:
        raise _machine_problem("The files to check could not be written.", error) from error
    manifest, manifest_error = _manifest(skill, files)
    return Subject(
        skill=skill, head=head, base=base, files=dict(files), base_files=dict(base_files or {}), changes=tuple(changes), root=root,
        manifest=manifest, manifest_error=manifest_error, base_manifest=_manifest(skill, base_files)[0] if base_files else None,
        witness=_witness(skill, files), witness_digest=witness_digest, kind=kind, others=tuple(others),
    )  # fmt: skip


def subject_of_folder(folder: Path, root: Path) -> Subject:
    """A skill's folder as it lies on disk, with its snapshot at `root`: what `skillops check PATH` looks at.

    Every entry is a change, so that scope sees links, modes and sizes; the cases that lie there are taken as they are.
    Raises UsageError where the folder is none or its name is no skill's.
    """
    name = folder.resolve().name
    try:
        TypeAdapter(SkillName).validate_python(name)
    except ValidationError:
        raise UsageError(f"{name!r} is no skill's name.", next_step="Name the folder like csv-to-json: small letters, digits, hyphens.") from None
    changes = _entries(folder)
    files = {change.path: (folder / change.path).read_bytes() for change in changes if change.mode != LINK and change.size <= LARGEST_READ}
    cases = files.get(WITNESS_PATH)
    return make_subject(
        name, tree_digest(files), files, root=root,
        changes=[change.model_copy(update={"path": f"skills/{name}/{change.path}"}) for change in changes],
        witness_digest=None if cases is None else witness_digest(cases),
    )  # fmt: skip


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files of a skill's folder on disk, by relative path. UsageError for a folder that is none, Refused for what
    no skill may hold."""
    files = {}
    for entry in _entries(folder):
        if entry.mode == LINK or entry.size > LARGEST_READ:
            why = "it is a link or no file" if entry.mode == LINK else f"it has {entry.size:,} bytes"
            raise Refused(f"{shown(entry.path)} cannot be part of a skill: {why}.", next_step="Take it out of the folder.")
        files[entry.path] = (folder / entry.path).read_bytes()
    return files


def _entries(folder: Path) -> list[Change]:
    """What lies in `folder`, tools' left-overs apart; links are named, not followed."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder.", next_step="Give the folder that holds skill.yaml.")
    entries = []
    for path in sorted(folder.rglob("*")):
        status, relative = path.lstat(), path.relative_to(folder)
        if stat.S_ISDIR(status.st_mode) or LEFTOVERS.intersection(relative.parts):
            continue
        mode = LINK if not stat.S_ISREG(status.st_mode) else "100755" if status.st_mode & 0o111 else "100644"
        entries.append(Change(path=relative.as_posix(), status="added", mode=mode, size=status.st_size))
    return entries


class Bench(Workbench):
    """Builds the subject and starts its trial at most once; everybody who asks gets the same result or exception.

    Both happen on a thread of the bench's own: a sandbox may end what it runs when the thread that started it ends,
    and the trial outlives the check that asked for it first.
    """

    def __init__(self, subject: Subject, builder: Builder, runtime: Runtime) -> None:
        self._subject, self._builder, self._runtime = subject, builder, runtime
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bench")
        self._running = ExitStack()  # entered and left on that thread alone
        self._lock = Lock()
        self._artifact: Future[Artifact] | None = None
        self._trial: Future[Endpoint] | None = None

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._thread.submit(self._running.close).result()
        finally:
            self._thread.shutdown()

    def artifact(self) -> Artifact:
        """Raises Refused where the subject cannot be built, CouldNotTell where we could not find out."""
        with self._lock:
            self._artifact = self._artifact or self._thread.submit(self._build)
        return self._artifact.result()

    def trial(self) -> Endpoint:
        """A healthy instance of the subject. Raises what `artifact` raises, and Refused where it does not become healthy."""
        self.artifact()
        with self._lock:
            self._trial = self._trial or self._thread.submit(self._start)
        return self._trial.result()

    def _valid_manifest(self) -> Manifest:
        if self._subject.manifest is None:
            raise Refused("There is nothing to build: skill.yaml is not valid.")
        return self._subject.manifest

    def _build(self) -> Artifact:
        manifest = self._valid_manifest()
        files = {path: data for path, data in self._subject.files.items() if path != WITNESS_PATH}
        return self._builder.build(self._subject.root, files, manifest)

    def _start(self) -> Endpoint:
        return self._running.enter_context(self._runtime.trial(self.artifact(), self._valid_manifest(), self._stand_ins()))

    def _stand_ins(self) -> StandIns:
        """What answers in the trial for the hosts that the manifest declares. Raises Refused where the file cannot be read."""
        path = f"skills/{self._subject.skill}/{STAND_INS_PATH}"
        try:
            return read_stand_ins(self._subject.files[STAND_INS_PATH], path)
        except KeyError:
            return NO_STAND_INS
        except InvalidFile as error:
            raise Refused(f"There is no trial without its stand-ins. {error.what}", next_step=error.next_step) from None


def examine(
    checks: Sequence[Check], subject: Subject, bench: Workbench, workers: int, on_result: Callable[[CheckResult], None] | None = None
) -> CheckReport:
    """Runs the checks side by side. `on_result` is called on this thread, as they end; the report is in the checks' order."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="check")
    try:
        futures = [pool.submit(_examined, check, subject, bench) for check in checks]
        for future in as_completed(futures):
            if on_result:
                on_result(future.result())
        return CheckReport(head=subject.head, results=tuple(future.result() for future in futures))
    finally:
        pool.shutdown(cancel_futures=True)


class TryOut:
    """The author's own trial: runs the checks that it is given on a draft that no commit holds yet."""

    def __init__(self, checks: Sequence[Check], builder: Builder, runtime: Runtime, workers: int) -> None:
        self._checks, self._builder, self._runtime, self._workers = checks, builder, runtime, workers

    def __call__(self, files: Mapping[str, bytes], manifest: Manifest) -> tuple[Problem, ...]:
        """What is wrong with the draft. Raises CouldNotTell where nothing failed and something could not be told."""
        with tempfile.TemporaryDirectory(prefix="skillops-") as folder:
            subject = make_subject(manifest.name, tree_digest(files), files, root=Path(folder) / manifest.name)
            with Bench(subject, self._builder, self._runtime) as bench:
                report = examine(self._checks, subject, bench, self._workers)
        if report.outcome is Outcome.COULD_NOT_TELL:
            unknown = report.of(Outcome.COULD_NOT_TELL)
            raise CouldNotTell("The draft could not be tried.", why=" ".join(f"{result.name}: {result.summary}" for result in unknown))
        return Problem.of_report(report)


def _examined(check: Check, subject: Subject, bench: Workbench) -> CheckResult:
    start = time.monotonic()
    told = partial(CheckResult, name=check.name, head=subject.head)
    try:
        result = check.run(subject, bench)
    except Refused as error:
        result = told(outcome=Outcome.FAILED, summary=error.what, findings=(Finding(message=str(error)),))
    except SkillOpsError as error:
        result = told(outcome=Outcome.COULD_NOT_TELL, summary=str(error))
    except OSError as error:
        result = told(outcome=Outcome.COULD_NOT_TELL, summary=str(_machine_problem("The check could not run here.", error)))
    return result.model_copy(update={"seconds": round(time.monotonic() - start, 3)})


def _machine_problem(what: str, error: OSError) -> CouldNotTell:
    """Without the file's name: it is a path of this machine, and a result reads the same on every machine."""
    why = f"{error.strerror or type(error).__name__}."
    return CouldNotTell(what, why=why, next_step="Look at the disk, memory and permissions (`skillops doctor`), then try again.")


def _manifest(skill: str, files: Mapping[str, bytes]) -> tuple[Manifest | None, Finding | None]:
    path = f"skills/{skill}/{MANIFEST_PATH}"
    if MANIFEST_PATH not in files:
        return None, Finding(message="skill.yaml is missing", rule="manifest", path=path)
    try:
        return read_manifest(files[MANIFEST_PATH], path), None
    except InvalidFile as error:
        return None, Finding(message=error.expected, rule="manifest", path=path, line=error.line)


def _witness(skill: str, files: Mapping[str, bytes]) -> tuple[Case, ...]:
    """The cases; none where the file cannot be read, which the check scope refuses."""
    try:
        return read_witness(files[WITNESS_PATH], f"skills/{skill}/{WITNESS_PATH}")[1] if WITNESS_PATH in files else ()
    except InvalidFile:
        return ()


def _write_snapshot(root: Path, files: Mapping[str, bytes]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name in sorted(files):
        if name == WITNESS_PATH or odd_path(name):
            continue
        path = root / name
        if path.exists() or any(parent.is_file() for parent in path.parents):
            continue  # a crafted git tree may hold both `a` and `a/b`, and scope refuses both
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name])
        path.chmod(0o444)
